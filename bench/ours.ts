// Our side: two nodes as they are started in production, two databases, items from accepted intake to the receipt that the sender recorded.
import { X509Certificate } from 'node:crypto'
import { Agent, request } from 'node:https'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from 'pg'
import { type DnsServer, startDnsServer, type Zone } from '#commands/demo-dns.ts'
import { authorityFiles } from '#commands/dev-files.ts'
import { authorDevNetwork, type DevNetwork } from '#commands/office-dev-network.ts'
import { fingerprintOf } from '#crypto/certificates.ts'
import { connect } from '#storage/admin-client.ts'
import { ensureDatabase } from '#storage/embedded-server.ts'
import { type BenchItem, hostCount, hostOf, makeItems } from './items.ts'
import { certificatesOf, filesOf, readTls, receiver, type Stage, sender, type TlsPems } from './stage.ts'

export interface Ours {
  receiverUrl: string
  /** Items per second, from the first report posted to the last receipt recorded. Reports of `size` items, `connections` in flight. */
  runReports(items: number, load: { size: number; connections: number }): Promise<number>
  submitOne(item: BenchItem): Promise<void>
  close(): Promise<void>
}

/** From the vendor's published test data: hosted in the receiver's country. */
const hostAddress = '89.160.20.112'
const patienceMs = 60_000

interface Node {
  member: string
  port: number
  healthPort: number
  databaseUrl: string
}

/** Options for the nodes' processes, e.g. `--cpu-prof`, from the command line. */
export async function startOurs(stage: Stage, execArgv: readonly string[]): Promise<Ours> {
  const zone: Zone = Object.fromEntries(Array.from({ length: hostCount }, (_, n) => [hostOf(n), { A: [hostAddress] }]))
  const dns = await startDnsServer({ zone })
  const nodes = await Promise.all([sender, receiver].map((member) => placeNode(stage, member)))
  const network = await authorDevNetwork({
    folder: certificatesOf(stage.folder),
    members: nodes.map(({ member, port }) => ({
      id: member,
      name: member,
      countries: [countryOf(member)],
      url: `https://localhost:${port}`,
    })),
    routes: nodes.map(({ member }) => ({ country: countryOf(member), primary: member })),
  })
  for (const node of nodes) startNode(stage, node, { network, dns, execArgv })
  await Promise.all(nodes.map(waitUntilReady))
  const [sending, receiving] = nodes as [Node, Node]
  const watcher = await connect(sending.databaseUrl)
  await registerClient(stage, watcher)
  const post = openClient(sending.port, await readTls(stage.folder, filesOf(stage.folder, sender).clients.hotline))
  return {
    receiverUrl: receiving.databaseUrl,
    runReports: (items, load) => runReports({ watcher, post }, items, load),
    submitOne: (item) => post(writeReport([item])),
    async close() {
      await watcher.end()
      await dns.close()
    },
  }
}

const countryOf = (member: string): string => member.slice(-2).toUpperCase()

async function placeNode(stage: Stage, member: string): Promise<Node> {
  const [port, healthPort, databaseUrl] = await Promise.all([
    findFreePort(),
    findFreePort(),
    ensureDatabase(stage.server.adminUrl, `ours_${countryOf(member).toLowerCase()}`),
  ])
  return { member, port, healthPort, databaseUrl }
}

function findFreePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
}

function startNode(
  stage: Stage,
  node: Node,
  { network, dns, execArgv }: { network: DevNetwork; dns: DnsServer; execArgv: readonly string[] },
): void {
  const files = filesOf(stage.folder, node.member)
  stage.startProcess(new URL('../src/main.ts', import.meta.url), {
    args: ['node', 'start'],
    execArgv,
    env: {
      MEMBER_ID: node.member,
      DATA_DIR: join(stage.folder, node.member),
      DATABASE_URL: node.databaseUrl,
      LISTEN_PORT: String(node.port),
      HEALTH_PORT: String(node.healthPort),
      TLS_CERT: files.node.certificate,
      TLS_KEY: files.node.key,
      TLS_CA: authorityFiles(certificatesOf(stage.folder)).certificate,
      SIGN_KEY: files.sign,
      AUDIT_KEY: files.audit,
      MASTER_KEY: join(stage.folder, `${node.member}.master.key`),
      ROOT_FILE: network.root.path,
      DIRECTORY_FILE: network.directory.path,
      GEO_COUNTRY_DB: join(import.meta.dirname, '..', 'test', 'geo', 'GeoLite2-Country-Test.mmdb'),
      DNS_SERVERS: dns.address,
    },
  })
}

async function waitUntilReady({ member, healthPort }: Node): Promise<void> {
  const deadline = Date.now() + patienceMs
  while (Date.now() < deadline) {
    const answer = await fetch(`http://127.0.0.1:${healthPort}/health/ready`).catch(() => undefined)
    if (answer?.ok) return
    await sleep(50)
  }
  throw new Error(`the node of ${member} did not become ready`)
}

async function registerClient(stage: Stage, watcher: Client): Promise<void> {
  const { cert } = await readTls(stage.folder, filesOf(stage.folder, sender).clients.hotline)
  const fingerprint = fingerprintOf(new X509Certificate(cert))
  await watcher.query("insert into crossline.api_client (fingerprint, role, name) values ($1, 'hotline', 'bench')", [fingerprint])
}

type Post = (body: Buffer) => Promise<void>

/** Posts reports over mutual TLS; throws unless each is newly stored. */
function openClient(port: number, tls: TlsPems): Post {
  const agent = new Agent({ ...tls, minVersion: 'TLSv1.3', keepAlive: true })
  return (body) =>
    new Promise((resolve, reject) => {
      const headers = { 'content-type': 'application/json', 'content-length': body.length }
      const sent = request({ agent, host: 'localhost', port, method: 'POST', path: '/v1/reports', headers }, (response) => {
        response
          .resume()
          .once('end', () =>
            response.statusCode === 201 ? resolve() : reject(new Error(`intake answered ${response.statusCode}`)),
          )
      })
      sent.once('error', reject).end(body)
    })
}

function writeReport(items: readonly BenchItem[]): Buffer {
  return Buffer.from(
    JSON.stringify({
      reference: 'BENCH-1',
      receivedAt: new Date().toISOString(),
      source: 'analyst',
      siteType: 'image_host',
      commerciality: 'not_determined',
      items,
    }),
  )
}

interface Run {
  watcher: Client
  post: Post
}

async function runReports(
  { watcher, post }: Run,
  items: number,
  { size, connections }: { size: number; connections: number },
): Promise<number> {
  const made = makeItems(items)
  const bodies = Array.from({ length: Math.ceil(items / size) }, (_, n) => writeReport(made.slice(n * size, (n + 1) * size)))
  const before = await countReceipted(watcher)
  const startedAt = performance.now()
  const posting = Promise.all(Array.from({ length: connections }, () => postAll(post, bodies)))
  await Promise.all([posting, waitForReceipts(watcher, before + items)])
  return items / ((performance.now() - startedAt) / 1000)
}

async function postAll(post: Post, bodies: Buffer[]): Promise<void> {
  for (let body = bodies.shift(); body !== undefined; body = bodies.shift()) await post(body)
}

async function waitForReceipts(watcher: Client, wanted: number): Promise<void> {
  const deadline = Date.now() + patienceMs
  while ((await countReceipted(watcher)) < wanted) {
    if (Date.now() > deadline) throw new Error('not every item was receipted in time')
    await sleep(20)
  }
  const { rows } = await watcher.query<{ delivered: number }>(
    "select count(*)::int as delivered from crossline.item where state = 'delivered'",
  )
  if (rows[0]?.delivered !== wanted) throw new Error('a receipted item is not delivered')
}

async function countReceipted(watcher: Client): Promise<number> {
  const { rows } = await watcher.query<{ items: number }>(
    'select coalesce(sum(size), 0)::int as items from crossline.outbound_batch where receipt is not null',
  )
  return rows[0]?.items ?? 0
}
