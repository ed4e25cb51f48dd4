// Brings a database's schema up to this program, under a lock, all or nothing. Promise: every object belongs to the owner role, every
// change of the schema stands in crossline.migration_window, and a migration that ran is never changed or left out unnoticed.
import { Kysely, PostgresDialect, sql, type Transaction } from 'kysely'
import { type Migration, type MigrationResultSet, Migrator } from 'kysely/migration'
import { type Client, Pool } from 'pg'
import { CrosslineError } from '#errors.ts'
import { codeOf, withClient, withSettings } from './admin-client.ts'
import { type MigrationFile, readMigrationFiles } from './migration-files.ts'
import { ensureRoles, isSuperuser, ownerRole, retryCollisions } from './roles.ts'
import { type StorageLog, silentLog } from './storage-log.ts'

export interface MigrateOptions {
  adminUrl: string
  folder: string
  log?: StorageLog
}

/**
 * Applies what is not applied, in one transaction. A `.superuser` migration waits, with a warning and unrecorded, until a superuser
 * migrates; it may then run after later ones, so it must not depend on what they leave. Throws invalid_config for a migration that was
 * changed or is gone, migration_needed for one that fails.
 */
export async function migrate({ adminUrl, folder, log = silentLog }: MigrateOptions): Promise<{ applied: string[] }> {
  const files = readMigrationFiles(folder)
  const { runnable, waiting } = await withClient(adminUrl, async (client) => {
    await ensureRoles(client)
    await ensureSchema(client)
    await closeToPublic(client, log)
    return await chooseRunnable(client, files)
  })
  for (const name of waiting) log.warn({ migration: name }, 'this migration needs a superuser and was left out')
  const applied = await runMigrations(adminUrl, runnable)
  for (const name of applied) log.info({ migration: name }, 'migration applied')
  return { applied }
}

/** The names that a login without rights finds missing, `.superuser` ones apart. Throws invalid_config for a changed or unknown one. */
export async function pendingMigrations(
  url: string,
  folder: string,
): Promise<{ pending: string[]; awaitingSuperuser: string[] }> {
  const files = readMigrationFiles(folder)
  const done = await withClient(url, readApplied)
  refuseChanges(files, done)
  const missing = files.filter((file) => !done.has(file.name))
  return {
    pending: missing.filter((file) => !file.needsSuperuser).map((file) => file.name),
    awaitingSuperuser: missing.filter((file) => file.needsSuperuser).map((file) => file.name),
  }
}

// Name → digest of the file that ran, where it is known.
type Applied = Map<string, Buffer | null>

async function chooseRunnable(client: Client, files: MigrationFile[]): Promise<{ runnable: MigrationFile[]; waiting: string[] }> {
  const done = await readApplied(client)
  refuseChanges(files, done)
  const superuser = await isSuperuser(client)
  const waiting = files.filter((file) => file.needsSuperuser && !superuser && !done.has(file.name))
  return { runnable: files.filter((file) => !waiting.includes(file)), waiting: waiting.map((file) => file.name) }
}

async function readApplied(client: Client): Promise<Applied> {
  const { rows } = await client
    .query<{ name: string; digest: Buffer | null }>(
      `select m.name, w.digest from crossline.kysely_migration m
       left join lateral (select digest from crossline.migration_window w where w.name = m.name order by id desc limit 1) w on true`,
    )
    .catch((error) => {
      // undefined_table, invalid_schema_name: nothing ran yet. Everything else is a failure.
      if (['42P01', '3F000'].includes(codeOf(error))) return { rows: [] }
      if (codeOf(error) !== '42501') throw error
      throw new CrosslineError('migration_needed', {
        detail: 'This login has no rights in the schema crossline: run `crossline migrate` with an administering DATABASE_URL.',
      })
    })
  return new Map(rows.map(({ name, digest }) => [name, digest]))
}

function refuseChanges(files: MigrationFile[], done: Applied): void {
  const last = files.findLast((file) => done.has(file.name) && !file.needsSuperuser)
  for (const name of done.keys()) {
    if (!files.some((file) => file.name === name)) {
      throw new CrosslineError('invalid_config', {
        detail: `The database has the migration ${name}, which this program does not know: it is newer, or another program's.`,
      })
    }
  }
  for (const file of files) {
    const digest = done.get(file.name)
    if (digest && !digest.equals(file.digest)) {
      throw new CrosslineError('invalid_config', {
        detail: `The migration ${file.name} was changed after it ran. Restore it, and write a new one.`,
      })
    }
    if (last && file.name < last.name && !file.needsSuperuser && !done.has(file.name)) {
      throw new CrosslineError('invalid_config', {
        detail: `The migration ${file.name} comes before ${last.name}, which already ran. Give it a higher number.`,
      })
    }
  }
}

async function ensureSchema(client: Client): Promise<void> {
  const { rowCount } = await client.query("select from pg_namespace where nspname = 'crossline'")
  if (rowCount) return
  await client.query(`create schema crossline authorization ${ownerRole}`).catch((error) => {
    if (['42P06', '23505'].includes(codeOf(error))) return
    if (codeOf(error) !== '42501') throw error
    throw new CrosslineError('invalid_config', {
      detail: 'The login of DATABASE_URL may not create a schema in this database: use its owner.',
    })
  })
}

// Only who is named may connect, and nobody may leave tables or functions where others' searches find them.
async function closeToPublic(client: Client, log: StorageLog): Promise<void> {
  const { rows } = await client.query<{ name: string; open: boolean; creatable: boolean }>(
    `select format('%I', d.datname) as name,
       exists (select from aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) where grantee = 0) as open,
       exists (select from pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
               where n.nspname = 'public' and a.grantee = 0 and a.privilege_type = 'CREATE') as creatable
     from pg_database d where d.datname = current_database()`,
  )
  const found = rows[0]
  if (found?.open) await tryRevoke(client, log, `revoke all on database ${found.name} from public`)
  if (found?.creatable) await tryRevoke(client, log, 'revoke create on schema public from public')
}

async function tryRevoke(client: Client, log: StorageLog, revoke: string): Promise<void> {
  try {
    await client.query(revoke)
  } catch (error) {
    log.warn({ sqlstate: codeOf(error) }, `not allowed: ${revoke}`)
  }
}

const windowSettings = {
  role: ownerRole,
  search_path: 'crossline,pg_temp',
  timezone: 'UTC',
  statement_timeout: '0',
  lock_timeout: '60s',
}

async function runMigrations(adminUrl: string, files: MigrationFile[]): Promise<string[]> {
  const pool = new Pool({
    connectionString: withSettings(adminUrl, windowSettings),
    application_name: 'crossline migrate',
    max: 1,
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
  })
  pool.on('error', () => undefined)
  pool.on('connect', (client) => client.on('error', () => undefined))
  const db = new Kysely<WindowTables>({ dialect: new PostgresDialect({ pool }) })
  try {
    return await runMigrator(db, files)
  } finally {
    await db.destroy()
  }
}

async function runMigrator(db: Kysely<WindowTables>, files: MigrationFile[]): Promise<string[]> {
  const migrator = new Migrator({
    db,
    provider: { getMigrations: async () => Object.fromEntries(files.map((file) => [file.name, asMigration(file)])) },
    migrationTableSchema: 'crossline',
    // A superuser's migration may have had to wait; refuseChanges keeps the others in order.
    allowUnorderedMigrations: true,
  })
  const { error, results } = await migrateUnlessCollided(migrator)
  if (error !== undefined) throw explainFailure(error, results?.find((result) => result.status === 'Error')?.migrationName, files)
  return (results ?? []).map((result) => result.migrationName)
}

// Migrations may grant groups to one another, and roles are shared with databases that migrate at the same moment. What collided was
// rolled back as a whole, so it may start again.
async function migrateUnlessCollided(migrator: Migrator): Promise<MigrationResultSet> {
  try {
    return await retryCollisions(async () => {
      const outcome = await migrator.migrateToLatest()
      if (outcome.error === undefined) return outcome
      throw Object.assign(outcome.error as Error, { outcome })
    })
  } catch (error) {
    return (error as { outcome?: MigrationResultSet }).outcome ?? { error }
  }
}

interface WindowTables {
  migration_window: { name: string; digest: Buffer }
}

// The window stands open before the SQL runs, because event triggers refuse a change outside one. The first migration makes the table.
function asMigration(file: MigrationFile): Migration {
  return {
    async up(trx: Transaction<WindowTables>) {
      const opened = await openWindow(trx, file)
      if (file.needsSuperuser) await sql`set local role none`.execute(trx)
      await sql.raw(file.sql).execute(trx)
      if (file.needsSuperuser) await sql`set local role ${sql.ref(ownerRole)}`.execute(trx)
      if (opened) return
      await openWindow(trx, file)
      await sql`grant usage on schema crossline to crossline_service`.execute(trx)
      await sql`grant select on crossline.kysely_migration, crossline.migration_window to crossline_service`.execute(trx)
    },
  }
}

async function openWindow(trx: Transaction<WindowTables>, { name, digest }: MigrationFile): Promise<boolean> {
  const { rows } = await sql<{ exists: boolean }>`select to_regclass('crossline.migration_window') is not null as exists`.execute(
    trx,
  )
  if (!rows[0]?.exists) return false
  await trx.withSchema('crossline').insertInto('migration_window').values({ name, digest }).execute()
  return true
}

// The text of a syntax or naming error (class 42) speaks of identifiers only; others may repeat a row's values.
function explainFailure(error: unknown, name: string | undefined, files: MigrationFile[]): CrosslineError {
  const code = codeOf(error)
  const position = Number((error as { position?: string }).position)
  const before = files.find((file) => file.name === name)?.sql.slice(0, position || 0)
  const line = position > 0 && before !== undefined ? `, line ${before.split('\n').length}` : ''
  const text = code.startsWith('42') ? `: ${(error as Error).message}` : ''
  return new CrosslineError('migration_needed', {
    detail: `${name === undefined ? 'Migrating' : `The migration ${name}`} failed (${code}${line})${text}`,
    facts: { sqlstate: code, ...(name === undefined ? {} : { migration: name }) },
  })
}
