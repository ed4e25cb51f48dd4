// A database for one test: cloned from a migrated template, dropped at the end. All test processes of a checkout share one embedded
// server, which the last of them stops; TEST_DATABASE_URL (an administering address) puts another server in its place.
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, statfsSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Client, escapeIdentifier } from 'pg'
import { withClient, withDatabase } from '#storage/admin-client.ts'
import { type Database, openDatabase } from '#storage/database.ts'
import { type EmbeddedServer, startEmbeddedServer } from '#storage/embedded-server.ts'
import { migrate } from '#storage/migrate.ts'
import { ensureServiceLogin, serviceLoginOf } from '#storage/service-login.ts'

/** What of a tap test is needed here. */
export interface Teardown {
  teardown(clean: () => unknown): void
}

export interface TestDatabase {
  /** The service's address: only the rights that a node has. */
  url: string
  /** The superuser's address of the same database. */
  adminUrl: string
  name: string
  /** Opened with `url`; closed at the end of the test. */
  database: Database
}

export const migrationsFolder = join(import.meta.dirname, '..', 'migrations')

export async function createTestDatabase(t: Teardown): Promise<TestDatabase> {
  const server = await openTestServer()
  const name = `t_${process.pid}_${randomBytes(4).toString('hex')}`
  await cloneTemplate(server.adminUrl, name)
  const url = await ensureServiceLogin({
    adminUrl: server.adminUrl,
    databaseName: name,
    password: randomBytes(16).toString('hex'),
  })
  const database = openDatabase({ url, applicationName: 'crossline test' })
  t.teardown(async () => {
    await database.close()
    await withClient(server.adminUrl, (client) => dropTestDatabase(client, name))
    await server.stop()
  })
  return { url, adminUrl: withDatabase(server.adminUrl, name), name, database }
}

/** An administering address, and how to let go of it. The server stops when the last process of this checkout lets go. */
export async function openTestServer(): Promise<Pick<EmbeddedServer, 'adminUrl' | 'stop'>> {
  const given = process.env.TEST_DATABASE_URL
  if (given) return { adminUrl: given, stop: async () => undefined }
  const server = await startEmbeddedServer({ dataDir: testDataDir() })
  spawnKeeper()
  if (server.startedHere) await withClient(server.adminUrl, sweepDeadTests)
  return server
}

let keeper: ChildProcess | undefined

// One for a whole run (test/run.ts), or one for a test file that runs by itself.
function spawnKeeper(): void {
  if (keeper || process.env.CROSSLINE_TEST_SERVER_KEPT) return
  const program = join(import.meta.dirname, 'server-keeper.ts')
  // Detached, so that Ctrl-C does not reach it.
  keeper = spawn(process.execPath, [program, testDataDir()], { detached: true, stdio: ['pipe', 'ignore', 'ignore'], env: {} })
  keeper.unref()
  const pipe = keeper.stdin as Socket | null
  pipe?.on('error', () => undefined)
  pipe?.unref()
}

// Outside the checkout, which the server's user may be unable to enter; kept between runs, because making a cluster takes a second. In memory
// where there is room for it (about 150 MB stay): hundreds of databases come and go, each of 600 files.
export function testDataDir(): string {
  const key = createHash('sha256')
    .update(`${import.meta.dirname} ${process.geteuid?.() ?? ''}`)
    .digest('hex')
    .slice(0, 12)
  const dataDir = join(hasRoom(inMemory) ? inMemory : tmpdir(), `crossline-test-${key}`)
  mkdirSync(dataDir, { recursive: true, mode: 0o711 })
  return dataDir
}

const inMemory = '/dev/shm'

function hasRoom(folder: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(folder)
    return bavail * bsize > 4 * 2 ** 30
  } catch {
    return false
  }
}

async function cloneTemplate(adminUrl: string, name: string): Promise<void> {
  await withClient(adminUrl, async (client) => {
    const template = await ensureTemplate(client, adminUrl)
    await client.query(`create database ${escapeIdentifier(name)} template ${escapeIdentifier(template)} strategy file_copy`)
    await client.query(`revoke all on database ${escapeIdentifier(name)} from public`) // a clone does not take over its template's rights
  })
}

// One template for each content of migrations/. It takes its name only when it is whole.
async function ensureTemplate(client: Client, adminUrl: string): Promise<string> {
  const template = `crossline_template_${digestOf(migrationsFolder)}`
  await client.query("select pg_advisory_lock(hashtext('crossline test template'))")
  try {
    const { rowCount } = await client.query('select from pg_database where datname = $1', [template])
    if (rowCount) return template
    const building = `${template}_building`
    await client.query(`drop database if exists ${escapeIdentifier(building)} with (force)`)
    await client.query(
      `create database ${escapeIdentifier(building)} template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C'`,
    )
    await migrate({ adminUrl: withDatabase(adminUrl, building), folder: migrationsFolder })
    await client.query(`alter database ${escapeIdentifier(building)} rename to ${escapeIdentifier(template)}`)
    return template
  } finally {
    await client.query("select pg_advisory_unlock(hashtext('crossline test template'))")
  }
}

function digestOf(folder: string): string {
  const hash = createHash('sha256')
  for (const name of readdirSync(folder).sort()) hash.update(`${name}\n`).update(readFileSync(join(folder, name)))
  return hash.digest('hex').slice(0, 16)
}

// Whoever starts the server is alone with it: databases of killed runs and templates of older migrations are nobody's.
async function sweepDeadTests(client: Client): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    "select datname as name from pg_database where datname ~ '^(t_[0-9]+|crossline_template)_'",
  )
  const current = `crossline_template_${digestOf(migrationsFolder)}`
  for (const { name } of rows) {
    if (name !== current && !isAlive(Number(/^t_(\d+)_/.exec(name)?.[1]))) await dropTestDatabase(client, name)
  }
}

function isAlive(pid: number): boolean {
  try {
    return pid > 0 && process.kill(pid, 0)
  } catch {
    return false
  }
}

async function dropTestDatabase(client: Client, name: string): Promise<void> {
  await client.query(`drop database if exists ${escapeIdentifier(name)} with (force)`)
  await client.query(`drop role if exists ${escapeIdentifier(serviceLoginOf(name))}`)
}
