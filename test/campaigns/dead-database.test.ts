// A database that is killed or falls silent: a node that is told to stop still ends, soon and with a word. One that lost a server of its
// own ends by itself.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { authorDevNetwork } from '#commands/office-dev-network.ts'
import { type EmbeddedServer, ensureDatabase, startEmbeddedServer } from '#storage/embedded-server.ts'
import { makeTestCertificates } from '../certificates.ts'
import { openHeldLine } from '../crash/held-line.ts'
import type { Teardown } from '../database.ts'
import { defaultMembers, environmentOf, eventually, freePort } from '../network.ts'
import { makeFolder, waitForEnd } from '../storage/fixtures.ts'

const program = join(import.meta.dirname, '..', '..', 'bin', 'crossline.js')
const folder = await mkdtemp(join(tmpdir(), 'crossline-dead-database-'))
t.teardown(() => rm(folder, { recursive: true, force: true }))
await makeTestCertificates({ folder, members: defaultMembers })
const members = defaultMembers.map(({ hosts: _hosts, runs: _runs, ...member }) => ({ ...member, url: 'https://localhost:8443' }))
await authorDevNetwork({ folder, members, routes: [{ country: 'GB', primary: 'hotline-gb' }] })

interface Line {
  level: string
  msg: string
  pid?: number
}

interface Running {
  child: ChildProcess
  log: Line[]
  said(text: string): Promise<Line>
}

async function startNode(t: Teardown, { databaseUrl, dataDir }: { databaseUrl: string; dataDir: string }): Promise<Running> {
  const env = { ...environmentOf('hotline-gb', { folder, port: 0, dnsPort: 53 }, databaseUrl), DATA_DIR: dataDir }
  const child = spawn(process.execPath, [program, 'node', 'start'], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const log: Line[] = []
  createInterface({ input: child.stdout }).on('line', (line) => log.push(JSON.parse(line) as Line))
  const said = (text: string) => eventually(text, async () => log.find(({ msg }) => msg.includes(text)))
  const running = { child, log, said }
  await said('node ready')
  return running
}

/** SIGTERM; how it ended. A node that does not is the test's time-out. */
async function endOf({ child }: Running): Promise<{ code: number | null; signal: string | null }> {
  const ended = once(child, 'exit') as Promise<[number | null, string | null]>
  child.kill('SIGTERM')
  const [code, signal] = await ended
  return { code, signal }
}

async function startServer(t: Teardown): Promise<EmbeddedServer> {
  const server = await startEmbeddedServer({ dataDir: makeFolder(t) })
  t.teardown(() => server.stop())
  return server
}

t.test('ends in order when its database was killed', { timeout: 60_000 }, async (t) => {
  const server = await startServer(t)
  const node = await startNode(t, {
    databaseUrl: await ensureDatabase(server.adminUrl, 'crossline_dead'),
    dataDir: makeFolder(t),
  })
  process.kill(server.pid, 'SIGKILL')
  await waitForEnd(server.pid)
  await node.said('work failed')
  t.same(await endOf(node), { code: 0, signal: null })
  t.match(node.log.at(-1), { msg: 'node stopped' })
})

t.test('ends when its database takes every query and answers none', { timeout: 60_000 }, async (t) => {
  const server = await startServer(t)
  const line = await openHeldLine(t, { port: await freePort(), target: server.port })
  const url = new URL(await ensureDatabase(server.adminUrl, 'crossline_silent'))
  url.port = String(line.port)
  const node = await startNode(t, { databaseUrl: url.href, dataDir: makeFolder(t) })
  line.holdRequests()
  await sleep(2000)
  t.same(await endOf(node), { code: 1, signal: null })
  t.match(node.log.at(-1), { level: 'error', msg: /could not be stopped in order/ })
})

t.test('ends with 1 when its own server was killed, and its next start brings both back', { timeout: 60_000 }, async (t) => {
  const dataDir = makeFolder(t)
  const node = await startNode(t, { databaseUrl: '', dataDir })
  const { pid } = await node.said('embedded database started')
  const ended = once(node.child, 'exit')
  process.kill(pid as number, 'SIGKILL')
  t.same(await ended, [1, null], 'without being told')
  t.match(
    node.log.filter(({ level }) => level === 'fatal'),
    [{ msg: /embedded database was killed/ }],
  )
  t.match(node.log.at(-1), { msg: 'node stopped' })
  const again = await startNode(t, { databaseUrl: '', dataDir })
  t.same(await endOf(again), { code: 0, signal: null })
})
