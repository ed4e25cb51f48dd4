// A log of its own for a test of the sealer: a real database, a clock and a folder that the test sets, entries written as the steps write
// them. The tree is computed here a second time, as RFC 6962 defines it, from nothing but the entries.
import { createPublicKey, generateKeyPairSync, hash, type KeyObject, randomBytes, verify } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { type DerivedKeys, deriveKeys } from '#crypto/sealed-text.ts'
import { createLogger } from '#log.ts'
import type { AuditEvent, Entry } from '#schema/audit.ts'
import { appendAudit } from '#steps/append-audit.ts'
import { createSealer, type SealContext, type Sealer } from '#steps/seal-audit.ts'
import { createSealing } from '#steps/sealing.ts'
import { findOrMakeKey } from '#steps/stable-keys.ts'
import { stableSubject } from '#steps/subject-keys.ts'
import { withClient, withDatabase } from '#storage/admin-client.ts'
import { type Database, inTransactionOrAgain, openDatabase } from '#storage/database.ts'
import type { Trx } from '#storage/report-store.ts'
import { serviceLoginOf } from '#storage/service-login.ts'
import { createTestDatabase, type Teardown, type TestDatabase } from '../database.ts'

interface LogParts {
  database: TestDatabase
  folder: string
  logKey: KeyObject
  clock: { now: Date }
  logLines: string[]
  keys: DerivedKeys
}

export interface OwnLog extends LogParts {
  /** One process: a memory of its own, the same database, folder and clock. */
  openProcess(): SealingProcess
  /** Appends entries to the chain of a subject, in one transaction. */
  append(subject: string, count?: number): Promise<void>
  /** Asks the database: as its superuser, or with another address. */
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into whatever came back
  ask(query: string, values?: unknown[], url?: string): Promise<any[]>
}

export interface SealingProcess {
  ctx: SealContext
  sealer: Sealer
  /** Seals until nothing is left. */
  sealAll(): Promise<void>
}

export async function openLog(
  t: Teardown,
  { now = new Date('2026-11-23T12:00:00.000Z'), on }: { now?: Date; on?: TestDatabase } = {},
): Promise<OwnLog> {
  const folder = mkdtempSync(join(tmpdir(), 'crossline-seal-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const database = on ?? (await createTestDatabase(t))
  const { privateKey: logKey } = generateKeyPairSync('ed25519')
  return openOver({ database, folder, logKey, clock: { now }, logLines: [], keys: deriveKeys(randomBytes(32)) })
}

function openOver(parts: LogParts): OwnLog {
  const { database, folder, logKey, clock, logLines, keys } = parts
  const log = createLogger({ level: 'debug', destination: { write: (line: string) => void logLines.push(line) } })
  const openProcess = (): SealingProcess => {
    const sealing = createSealing()
    const ctx: SealContext = {
      self: 'hotline-gb',
      keys,
      log,
      sealing,
      db: database.database,
      now: () => clock.now,
      auditKey: () => ({ key: logKey, kid: '', publicJwk: { kty: 'OKP', crv: 'Ed25519', x: '' } }),
      checkpoint: () => sealing.checkpoint,
      auditFolder: join(folder, 'audit'),
    }
    const sealer = createSealer(ctx, { gapMs: 0 })
    const sealAll = async () => {
      while (await sealer.seal());
    }
    return { ctx, sealer, sealAll }
  }
  const writer = openProcess()
  return {
    ...parts,
    openProcess,
    append: (subject, count = 1) =>
      inTransactionOrAgain(database.database, (trx) => appendTo(writer.ctx, trx, { subject, count })).then(() => undefined),
    ask: (query, values = [], url = database.adminUrl) =>
      withClient(url, async (client) => (await client.query(query, values.length > 0 ? values : undefined)).rows),
  }
}

/** Changes a table as nobody may: as superuser, in a migration window, with its triggers off for a moment. */
export async function tamper({ ask }: Pick<OwnLog, 'ask'>, table: string, change: string): Promise<void> {
  const triggers = await ask(
    "select tgname as name from pg_trigger where tgrelid = ('crossline.' || $1)::regclass and tgenabled = 'A' and not tgisinternal",
    [table],
  )
  const alter = (what: string) => triggers.map(({ name }) => `alter table crossline.${table} ${what} trigger ${name}`)
  await ask(
    [
      'begin',
      "insert into crossline.migration_window (name) values ('tampering')",
      ...alter('disable'),
      change,
      ...alter('enable always'),
      'commit',
    ].join(';\n'),
  )
}

/** The database as it is now, as a second log with the same folder, key and clock: what a restore of a backup gives later. */
export async function restoreAs(t: Teardown, log: OwnLog): Promise<OwnLog> {
  const { name, url, adminUrl } = log.database
  const copy = `${name}_copy`
  const server = withDatabase(adminUrl, 'postgres')
  await withClient(server, async (client) => {
    await client.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [name])
    await client.query(`create database ${copy} template ${name} strategy file_copy`)
    await client.query(`revoke all on database ${copy} from public`)
    await client.query(`grant connect on database ${copy} to ${serviceLoginOf(name)}`)
  })
  const database = openDatabase({ url: withDatabase(url, copy), applicationName: 'crossline test' })
  t.teardown(async () => {
    await database.close()
    await withClient(server, (client) => client.query(`drop database if exists ${copy} with (force)`))
  })
  return openOver({
    ...log,
    logLines: [],
    database: { url: withDatabase(url, copy), adminUrl: withDatabase(adminUrl, copy), name: copy, database },
  })
}

/** Appends to a chain within a transaction of the test. */
export async function appendTo(
  ctx: SealContext,
  trx: Trx,
  { subject, count = 1, event = 'item.traced' }: { subject: string; count?: number; event?: AuditEvent },
): Promise<void> {
  const key = await findOrMakeKey(ctx, trx, stableSubject(subject))
  const one = { event, subject: key, actor: { kind: 'node' as const }, payload: { test: subject } }
  await appendAudit(
    ctx,
    trx,
    Array.from({ length: count }, () => one),
  )
}

/** RFC 6962 §2.1, word for word. */
function rootByDefinition(entries: readonly Buffer[]): Buffer {
  if (entries.length === 0) return hash('sha256', '', 'buffer')
  const [only] = entries
  if (entries.length === 1 && only) return hash('sha256', Buffer.concat([Buffer.of(0), only]), 'buffer')
  let split = 1
  while (split * 2 < entries.length) split *= 2
  const halves = [rootByDefinition(entries.slice(0, split)), rootByDefinition(entries.slice(split))]
  return hash('sha256', Buffer.concat([Buffer.of(1), ...halves]), 'buffer')
}

export interface CheckedShard {
  year: number
  size: number
  entries: Entry[]
}

/**
 * Checks the sealed log from the entries up: every entry exactly one leaf or still waiting, indexes without a gap, n in order, each
 * checkpoint the root by definition and signed. Throws with what is wrong.
 */
export async function checkSealed(db: Database, logKey: KeyObject): Promise<CheckedShard[]> {
  const rows = await db
    .selectFrom('audit_entry as e')
    .leftJoin('audit_leaf as l', 'l.entry_id', 'e.id')
    .leftJoin('audit_pending as p', 'p.id', 'e.id')
    .select(['e.id', 'e.entry', 'l.year', 'l.leaf_index', 'l.hash', 'p.id as waiting'])
    .orderBy('l.year')
    .orderBy('l.leaf_index')
    .execute()
  const leaves = await db
    .selectFrom('audit_leaf')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow()
  const sealed = rows.filter((row) => row.leaf_index !== null)
  if (rows.some((row) => (row.waiting === null) === (row.leaf_index === null)))
    throw new Error('an entry is lost, or stands twice')
  if (leaves.count !== sealed.length) throw new Error('a leaf has no entry')
  const shards: CheckedShard[] = []
  const last = new Map<string, number>()
  for (const [year, of] of Map.groupBy(sealed, (row) => row.year as number)) {
    const entries = of.map(({ entry }) => JSON.parse(entry.toString()) as Entry)
    for (const [place, { ref, n, log }] of entries.entries()) {
      if (of[place]?.leaf_index !== place) throw new Error(`the leaves of ${year} have a gap at ${place}`)
      if (log !== `hotline-gb/audit/${year}`) throw new Error(`an entry of ${log} stands in ${year}`)
      if (n !== (last.get(ref) ?? 0) + 1) throw new Error(`n = ${n} of an item follows on ${last.get(ref)}`)
      last.set(ref, n)
    }
    if (entries[0]?.event !== 'shard.opened') throw new Error(`the first entry of ${year} is ${entries[0]?.event}`)
    await checkCheckpoints(db, { year, logKey, bytes: of.map(({ entry }) => entry) })
    shards.push({ year, size: of.length, entries })
  }
  return shards
}

async function checkCheckpoints(
  db: Database,
  { year, logKey, bytes }: { year: number; logKey: KeyObject; bytes: Buffer[] },
): Promise<void> {
  const checkpoints = await db.selectFrom('audit_checkpoint').selectAll().where('year', '=', year).orderBy('size').execute()
  for (const { size, root, note } of checkpoints) {
    if (!rootByDefinition(bytes.slice(0, size)).equals(root))
      throw new Error(`the checkpoint of ${year} at ${size} has another root`)
    const [text = '', signature = ''] = note.split('\n\n')
    if (`${text}\n` !== `hotline-gb/audit/${year}\n${size}\n${root.toString('base64')}\n`)
      throw new Error('the note says something else')
    const signed = Buffer.from(signature.split(' ')[2] ?? '', 'base64').subarray(4)
    if (!verify(null, Buffer.from(`${text}\n`), createPublicKey(logKey), signed)) throw new Error('the note is not signed')
  }
  if (checkpoints.at(-1)?.size !== bytes.length) throw new Error(`the last checkpoint of ${year} does not hold every leaf`)
}

/** A log with sealed entries, and a fresh process that has not looked at it yet. */
export async function openSealedLog(t: Test, entries = 3) {
  const log = await openLog(t)
  const first = log.openProcess()
  await log.append('a', entries)
  await first.sealAll()
  return { log, first, fresh: log.openProcess() }
}

/** The log is halted for this reason, loudly, and nothing was signed after `sealed`. */
export async function expectHalt(t: Test, log: OwnLog, halt: { why: string; sealed?: number }): Promise<void> {
  const [state] = await log.ask('select halted_why as why, halted_at is not null as dated from crossline.audit_state')
  t.same(state, { why: halt.why, dated: true }, `halted: ${halt.why}`)
  t.ok(
    log.logLines.some((line) => line.includes('"level":"fatal"') && line.includes(`"why":"${halt.why}"`)),
    'and said so',
  )
  const [{ size }] = await log.ask('select coalesce(max(size), 0)::int as size from crossline.audit_checkpoint')
  if (halt.sealed !== undefined) t.equal(size, halt.sealed, 'nothing was signed')
}
