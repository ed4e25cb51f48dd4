// Real hotlines for a test: real certificates, real databases, real DNS exchange, the very server that production starts. Only the clock
// may be another, and the zone of the DNS server is the test's.

import { randomInt, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Agent, request as send } from 'undici'
import type { DevelopmentMember } from '#commands/certs-dev.ts'
import { startDnsServer, type Zone } from '#commands/demo-dns.ts'
import { authorityFiles, type ClientRole, memberFiles, networkFiles } from '#commands/dev-files.ts'
import { authorDevNetwork, type DescribedMember, type DescribedRoute } from '#commands/office-dev-network.ts'
import { type Config, readConfig } from '#config.ts'
import { fingerprintOf } from '#crypto/certificates.ts'
import { createLogger, type Logger } from '#log.ts'
import { type Node, startNode } from '#node.ts'
import { insertClient } from '#storage/client-store.ts'
import { makeTestCertificates } from './certificates.ts'
import { createTestDatabase, type Teardown, type TestDatabase } from './database.ts'

/** A time between rounds of witnesses that no test lives to see. */
export const never = 3_600_000
const loopback = ['localhost', '127.0.0.1']
const geoFolder = join(import.meta.dirname, 'geo')

/** Addresses of the vendor's published test data, by the country that it gives them. */
export const addresses = {
  GB: '81.2.69.142',
  SE: '89.160.20.112',
  JP: '2001:218::1',
  US: '216.160.83.56',
  PH: '202.196.224.1',
  BT: '67.43.156.1',
  CDN: '104.16.0.1',
} as const

export interface Member extends DevelopmentMember {
  status?: NonNullable<DescribedMember['status']>
  orphanMandate?: boolean
  /** False: in the directory, but no node runs. */
  runs?: boolean
}

export const defaultMembers: readonly Member[] = [
  { id: 'hotline-gb', name: 'GB', countries: ['GB'], hosts: loopback },
  { id: 'hotline-se', name: 'SE', countries: ['SE'], hosts: loopback },
]

/** Answer of a call to a node. */
export interface Answer {
  status: number
  headers: Record<string, string | string[] | undefined>
  text: string
  bytes: Buffer
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into whatever came back
  body: any
}

export interface RunningMember {
  id: string
  port: number
  url: string
  config: Config
  database: TestDatabase
  node(): Node
  /** Calls the API with the member's own client certificate of that role. */
  call(role: ClientRole, method: 'GET' | 'POST', path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>
  start(): Promise<void>
  stop(): Promise<void>
  logLines: string[]
}

export interface Network {
  folder: string
  zone: Zone
  dnsPort: number
  members: Map<string, RunningMember>
  get(id: string): RunningMember
  /** Publishes the next directory; nodes follow within their poll, or at once with `reloadAll`. */
  publish(change?: (described: DescribedNetwork) => void): Promise<void>
}

export interface DescribedNetwork {
  members: DescribedMember[]
  routes: DescribedRoute[]
}

export interface NetworkOptions {
  members?: readonly Member[]
  routes?: DescribedRoute[]
  zone?: Zone
  now?: () => Date
  /** The office's clock, by which directories are issued. */
  officeNow?: () => Date
  /** Most that a call to a peer may take. */
  peerWaitMs?: number
  /** How often peers are asked to cosign; without it never, so that nothing stands in the logs that a test did not do. */
  witnessRoundMs?: number
  /** How long sealing waits for witnesses after a start; not at all while they are never asked. */
  witnessPatienceMs?: number
  env?: Record<string, string>
}

/** Starts a network of hotlines. Everything ends with the test. */
export async function createNetwork(t: Teardown, options: NetworkOptions = {}): Promise<Network> {
  const described = options.members ?? defaultMembers
  const folder = await mkdtemp(join(tmpdir(), 'crossline-network-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  await makeTestCertificates({ folder, members: described })
  const zone: Zone = options.zone ?? {}
  const dns = await startDnsServer({ zone })
  t.teardown(() => dns.close())
  const ports = new Map<string, number>()
  for (const { id } of described) ports.set(id, await freePort())
  const network: DescribedNetwork = {
    members: described.map(({ hosts: _hosts, runs: _runs, ...member }) => ({
      ...member,
      url: `https://localhost:${ports.get(member.id)}`,
    })),
    routes: options.routes ?? described.flatMap(({ id, countries }) => countries.map((country) => ({ country, primary: id }))),
  }
  const author = () => authorDevNetwork({ folder, ...network, now: options.officeNow?.() ?? new Date() })
  await author()
  const members = new Map<string, RunningMember>()
  for (const member of described) {
    if (member.runs === false) continue
    const running = await prepareMember(t, member, { folder, port: ports.get(member.id) as number, dnsPort: dns.port, options })
    members.set(member.id, running)
    await running.start()
  }
  return {
    folder,
    zone,
    dnsPort: dns.port,
    members,
    get: (id) => {
      const member = members.get(id)
      if (!member) throw new Error(`no member ${id} runs`)
      return member
    },
    publish: async (change) => {
      change?.(network)
      await author()
    },
  }
}

export interface Place {
  folder: string
  port: number
  dnsPort: number
  options: NetworkOptions
}

/** The environment that a node of this network starts with. */
export function environmentOf(
  id: string,
  { folder, port, dnsPort }: Omit<Place, 'options'>,
  databaseUrl: string,
): Record<string, string> {
  const files = memberFiles(folder, id)
  return {
    MEMBER_ID: id,
    DATA_DIR: join(folder, 'data', id),
    DATABASE_URL: databaseUrl,
    LISTEN_PORT: String(port),
    HEALTH_PORT: '0',
    TLS_CERT: files.node.certificate,
    TLS_KEY: files.node.key,
    TLS_CA: authorityFiles(folder).certificate,
    SIGN_KEY: files.sign,
    AUDIT_KEY: files.audit,
    ROOT_FILE: networkFiles(folder).root,
    DIRECTORY_FILE: networkFiles(folder).directory,
    GEO_COUNTRY_DB: join(geoFolder, 'GeoLite2-Country-Test.mmdb'),
    GEO_ASN_DB: join(geoFolder, 'GeoLite2-ASN-Test.mmdb'),
    DNS_SERVERS: `127.0.0.1:${dnsPort}`,
    DNS_TIMEOUT_MS: '500',
    LIAISON_QUESTIONS_PER_MINUTE: '100000',
  }
}

async function prepareMember(t: Teardown, { id, countries }: Member, place: Place): Promise<RunningMember> {
  const { folder, port, options } = place
  const database = await createTestDatabase(t)
  const config = readConfig({ ...environmentOf(id, place, database.url), ...options.env })
  const files = memberFiles(folder, id)
  await registerClients(database, { id, countries, files })
  const logLines: string[] = []
  const log: Logger = createLogger({ level: config.logLevel, destination: { write: (line: string) => void logLines.push(line) } })
  let node: Node | undefined
  const stop = async () => {
    await node?.stop()
    node = undefined
  }
  t.teardown(stop)
  const agents = new Map<ClientRole, Agent>()
  t.teardown(async () => {
    for (const agent of agents.values()) await agent.destroy()
  })
  const agentOf = (role: ClientRole) => {
    const held = agents.get(role)
    if (held) return held
    const { certificate, key } = files.clients[role]
    const agent = new Agent({
      connect: { ca: readFileSync(authorityFiles(folder).certificate), cert: readFileSync(certificate), key: readFileSync(key) },
    })
    agents.set(role, agent)
    return agent
  }
  const url = `https://localhost:${port}`
  return {
    id,
    port,
    url,
    config,
    database,
    logLines,
    node: () => {
      if (!node) throw new Error(`${id} does not run`)
      return node
    },
    start: async () => {
      const { now, peerWaitMs, witnessRoundMs = never, witnessPatienceMs = witnessRoundMs === never ? 0 : undefined } = options
      node = await startNode(config, {
        log,
        ...(now ? { now } : {}),
        ...(peerWaitMs ? { peerWaitMs } : {}),
        witnessRoundMs,
        ...(witnessPatienceMs === undefined ? {} : { witnessPatienceMs }),
      })
    },
    stop,
    call: async (role, method, path, body, headers = {}) => {
      const payload =
        body === undefined ? null : typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body)
      const answer = await send(`${url}${path}`, {
        method,
        dispatcher: agentOf(role),
        body: payload,
        headers: { ...(payload === null ? {} : { 'content-type': 'application/json' }), ...headers },
      })
      const bytes = Buffer.from(await answer.body.arrayBuffer())
      const text = bytes.toString()
      return { status: answer.statusCode, headers: answer.headers, text, bytes, body: parseIfJson(text) }
    },
  }
}

function parseIfJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

async function registerClients(
  database: TestDatabase,
  { id, countries, files }: { id: string; countries: readonly string[]; files: ReturnType<typeof memberFiles> },
): Promise<void> {
  for (const role of ['hotline', 'liaison', 'operator'] as const) {
    const fingerprint = fingerprintOf(new X509Certificate(readFileSync(files.clients[role].certificate)))
    await insertClient(database.database, {
      fingerprint,
      role,
      name: `${id}-${role}`,
      countries: role === 'liaison' ? [...countries] : [],
      network_wide: false,
    })
  }
}

/** A port on 127.0.0.1 that nobody has. Not of those that systems give to outgoing connections: other tests would take it before its use. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_240, 32_768)
    if (await canListen(port)) return port
  }
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.on('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

/** Waits until something holds; fails with what it was waiting for. */
export async function eventually<T>(what: string, look: () => Promise<T | undefined | false>, timeoutMs = 15_000): Promise<T> {
  const end = Date.now() + timeoutMs
  for (;;) {
    const found = await look()
    if (found) return found
    if (Date.now() > end) throw new Error(`waited in vain for: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}

/** A report that is valid but for what a test changes. */
export function reportOf(items: readonly object[], change: object = {}): Record<string, unknown> {
  return {
    reference: 'FILE-1',
    receivedAt: '2026-11-01T10:00:00.000Z',
    source: 'public_form',
    siteType: 'website',
    commerciality: 'not_determined',
    items,
    ...change,
  }
}
