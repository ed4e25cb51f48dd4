// Hotlines as real processes, each on a database of its own and reached through a line that a test can hold: what a crash test needs to
// bring a node to an exact step from outside, kill it there, and look at what is left.
import { type ChildProcess, spawn } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Client } from 'pg'
import { Agent, request as send } from 'undici'
import { startDnsServer } from '#commands/demo-dns.ts'
import { authorityFiles, memberFiles } from '#commands/dev-files.ts'
import { authorDevNetwork } from '#commands/office-dev-network.ts'
import { fingerprintOf } from '#crypto/certificates.ts'
import { withClient } from '#storage/admin-client.ts'
import { insertClient } from '#storage/client-store.ts'
import type { Database } from '#storage/database.ts'
import { makeTestCertificates } from '../certificates.ts'
import type { Teardown } from '../database.ts'
import { addresses, defaultMembers, environmentOf, eventually, freePort, type Member } from '../network.ts'
import { type HeldLine, openHeldLine } from './held-line.ts'

/** A database of a node: the service's address, the superuser's, and a connection with the service's rights. */
export interface NodeDatabase {
  url: string
  adminUrl: string
  database: Database
}

export interface NodeProcess {
  id: string
  /** What its peers go through. */
  line: HeldLine
  database: NodeDatabase
  masterKey: string
  start(): Promise<void>
  /** kill -9; resolves when the process is gone. */
  kill(): Promise<void>
  isRunning(): boolean
  /** Calls its API as the hotline's own system. */
  call(method: 'GET' | 'POST', path: string, body?: object): Promise<{ status: number; body: Record<string, unknown> }>
}

/**
 * Prepares the members' certificates, directory, DNS, lines and processes, with what else is `given` in their environment; starts nothing.
 * `content.example` is hosted in SE.
 */
export async function prepareProcesses(
  t: Teardown,
  openDatabase: (member: Member) => Promise<NodeDatabase>,
  given: Record<string, string> = {},
): Promise<Map<string, NodeProcess>> {
  const folder = await mkdtemp(join(tmpdir(), 'crossline-crash-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  await makeTestCertificates({ folder, members: defaultMembers })
  const dns = await startDnsServer({ zone: { 'content.example': { A: [addresses.SE] } } })
  t.teardown(() => dns.close())
  const nodes = new Map<string, NodeProcess>()
  for (const member of defaultMembers) {
    const line = await openHeldLine(t, { port: await freePort(), target: await freePort() })
    const database = await openDatabase(member)
    await registerHotline(database, { id: member.id, folder })
    const env = { ...environmentOf(member.id, { folder, port: line.target, dnsPort: dns.port }, database.url), ...given }
    nodes.set(member.id, {
      ...runner(t, env),
      ...caller(t, { id: member.id, folder, port: line.target }),
      id: member.id,
      line,
      database,
      masterKey: join(folder, 'data', member.id, 'master.key'),
    })
  }
  await authorDevNetwork({
    folder,
    members: defaultMembers.map(({ hosts: _hosts, runs: _runs, ...member }) => ({
      ...member,
      url: `https://localhost:${nodes.get(member.id)?.line.port}`,
    })),
    routes: defaultMembers.flatMap(({ id, countries }) => countries.map((country) => ({ country, primary: id }))),
  })
  return nodes
}

async function registerHotline({ database }: NodeDatabase, { id, folder }: { id: string; folder: string }): Promise<void> {
  const certificate = readFileSync(memberFiles(folder, id).clients.hotline.certificate)
  const fingerprint = fingerprintOf(new X509Certificate(certificate))
  await insertClient(database, { fingerprint, role: 'hotline', name: `${id}-hotline`, countries: [], network_wide: false })
}

const program = join(import.meta.dirname, '..', '..', 'bin', 'crossline.js')

function runner(t: Teardown, env: Record<string, string>): Pick<NodeProcess, 'start' | 'kill' | 'isRunning'> {
  let child: ChildProcess | undefined
  const isRunning = () => child !== undefined && child.exitCode === null && child.signalCode === null
  const kill = async () => {
    if (!child || !isRunning()) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }
  t.teardown(kill)
  return {
    isRunning,
    kill,
    start: async () => {
      // Without the options of this process, which make tap watch over what it runs.
      child = spawn(process.execPath, [program, 'node', 'start'], { env, stdio: ['ignore', 'pipe', 'pipe'] })
      await untilReady(child)
    },
  }
}

async function untilReady(child: ChildProcess): Promise<void> {
  let said = ''
  child.stderr?.on('data', (text) => {
    said += text
  })
  await new Promise<void>((ready, fail) => {
    child.on('exit', (code) => fail(new Error(`the node ended with ${code}: ${said}`)))
    // Read to its end, so that the node never waits for somebody to take its log.
    createInterface({ input: child.stdout as NonNullable<ChildProcess['stdout']> }).on('line', (line) => {
      if (line.includes('"msg":"node ready"')) ready()
    })
  })
}

function caller(t: Teardown, { id, folder, port }: { id: string; folder: string; port: number }): Pick<NodeProcess, 'call'> {
  const { certificate, key } = memberFiles(folder, id).clients.hotline
  const agent = new Agent({
    connect: { ca: readFileSync(authorityFiles(folder).certificate), cert: readFileSync(certificate), key: readFileSync(key) },
  })
  t.teardown(() => agent.destroy())
  return {
    call: async (method, path, body) => {
      const headers = { 'content-type': 'application/json' }
      const given = body === undefined ? {} : { body: JSON.stringify(body), headers }
      const answer = await send(`https://localhost:${port}${path}`, { method, dispatcher: agent, ...given })
      return { status: answer.statusCode, body: (await answer.body.json()) as Record<string, unknown> }
    },
  }
}

export interface HeldTable {
  /** Waits until somebody stands before the lock, within a transaction that has already written. */
  untilSomebodyWaits(atLeast?: number): Promise<void>
  release(): Promise<void>
}

/** Locks a table from outside: in SHARE mode it can be read, and whoever writes to it waits. */
export async function holdTable(adminUrl: string, table: string): Promise<HeldTable> {
  const client = new Client({ connectionString: adminUrl })
  client.on('error', () => undefined)
  await client.connect()
  await client.query('begin')
  await client.query(`lock table crossline.${table} in share mode`)
  return {
    untilSomebodyWaits: async (atLeast = 1) => {
      await eventually(`${atLeast} wait for ${table}`, async () => (await countWaiting(client, table)) >= atLeast)
    },
    release: () => client.end(),
  }
}

async function countWaiting(client: Client, table: string): Promise<number> {
  const { rows } = await client.query<{ count: number }>(
    'select count(distinct pid)::int as count from pg_locks where not granted and relation = $1::regclass',
    [`crossline.${table}`],
  )
  return rows[0]?.count ?? 0
}

/** How many sessions of a database wait for a lock of any kind. */
export async function countBlocked(adminUrl: string): Promise<number> {
  const found = await withClient(adminUrl, (client) =>
    client.query<{ count: number }>(
      "select count(*)::int as count from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
    ),
  )
  return found.rows[0]?.count ?? 0
}

/** What a crash test would otherwise wait for: the dead process's lease and every back-off run out. */
export async function letTimePass({ adminUrl }: NodeDatabase): Promise<void> {
  await withClient(adminUrl, (client) =>
    client.query('update crossline.peer set lease_until = least(lease_until, now()), retry_at = least(retry_at, now())'),
  )
}
