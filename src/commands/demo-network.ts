// Sets up the network of the demo: certificates, directory, one embedded server with a database for each hotline, a DNS server, and three
// nodes as processes of their own. Promise: what was started is stopped, in the opposite order, however the demo ends short of a kill -9;
// after a kill -9 the next start stops what was left.
import { X509Certificate } from 'node:crypto'
import { access, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { fingerprintOf } from '#crypto/certificates.ts'
import { makeFolder } from '#crypto/secret-file.ts'
import { CrosslineError } from '#errors.ts'
import { registerClient } from '#steps/register-client.ts'
import { ensureDatabase, startEmbeddedServer } from '#storage/embedded-server.ts'
import { tryExclusive } from '#storage/process-lock.ts'
import { developmentMembers, makeDevelopmentCertificates } from './certs-dev.ts'
import { withRegistry } from './client-registry.ts'
import { type Api, openApi, waitFor } from './demo-api.ts'
import { type PublishedDirectory, publishDirectory } from './demo-directory.ts'
import { startDnsServer, type Zone } from './demo-dns.ts'
import { writeDemoFile } from './demo-file.ts'
import { choosePorts } from './demo-ports.ts'
import { type NodeFiles, type NodeProcess, nodeFilesOf, readLastWords, startNodeProcess, stopOrphan } from './demo-processes.ts'
import { authorityFiles, clientRoles, memberFiles, networkFiles } from './dev-files.ts'
import { writeWhole } from './write-whole.ts'

/** Members that run a node here. */
const nodeMembers = ['hotline-gb', 'hotline-se', 'hotline-jp'] as const
/** Members with an endpoint: an integrator's own program may be the laboratory. */
const endpointMembers = [...nodeMembers, 'lab'] as const

export interface DemoHotline {
  id: string
  url: string
  api: Api
  files: NodeFiles
  /** The settings of its node. */
  env: Readonly<Record<string, string>>
  /** The administering address of its database. Never printed. */
  databaseUrl: string
}

export interface DemoNetwork {
  folder: string
  certs: string
  directory: PublishedDirectory
  get(id: string): DemoHotline
  hotlines: readonly DemoHotline[]
}

export interface DemoStart {
  data: string
  zone: Zone
  say: (text: string) => void
  signal: AbortSignal
  /** Filled as things are started: call them from the last to the first. */
  stops: (() => Promise<unknown> | unknown)[]
}

const geoFolder = resolve(import.meta.dirname, '..', '..', 'test', 'geo')
const geoFiles = { country: join(geoFolder, 'GeoLite2-Country-Test.mmdb'), asn: join(geoFolder, 'GeoLite2-ASN-Test.mmdb') }
const readyPatienceMs = 60_000

export async function startDemoNetwork(start: DemoStart): Promise<DemoNetwork> {
  const { say, signal, stops } = start
  await requireTestData()
  const folder = await openFolder(start)
  const homes = new Map(nodeMembers.map((id) => [id as string, nodeFilesOf(join(folder, id))]))
  await stopOrphans(homes, say)
  say('Certificates, keys and the directory that two officers sign …')
  const certs = join(folder, 'certs')
  await makeDevelopmentCertificates({ folder: certs })
  const ports = await choosePorts(folder, endpointMembers)
  const urls = Object.fromEntries(Object.entries(ports).map(([id, port]) => [id, `https://localhost:${port}`]))
  const directory = await publishDirectory(certs, urls)
  signal.throwIfAborted()
  say('A PostgreSQL server with a database for each hotline …')
  const server = await startEmbeddedServer({ dataDir: join(folder, 'postgres') })
  stops.push(() => server.stop())
  const dns = await startDnsServer({ zone: start.zone })
  stops.push(() => dns.close())
  const place = { folder, certs, adminUrl: server.adminUrl, dnsAddress: dns.address, start }
  const hotlines: DemoHotline[] = []
  // One after the other: databases of one server share its roles.
  for (const id of nodeMembers) {
    signal.throwIfAborted()
    hotlines.push(await prepareHotline(place, id, { port: ports[id] as number, files: homes.get(id) as NodeFiles }))
  }
  say('Three nodes, each a process of its own …')
  await startNodes(hotlines, start)
  await writeDemoFile(folder, { certs, urls, homes })
  return { folder, certs, directory, hotlines, get: (id) => hotlines.find((each) => each.id === id) as DemoHotline }
}

async function requireTestData(): Promise<void> {
  await Promise.all(Object.values(geoFiles).map((path) => access(path))).catch((cause: unknown) => {
    throw new CrosslineError('demo_failed', {
      detail:
        'The demo needs a checkout of the repository: the published geolocation test data lies in test/geo, which a container does not have.',
      cause,
    })
  })
}

async function openFolder({ data, stops }: DemoStart): Promise<string> {
  const folder = resolve(data)
  // Others may pass through, not look: the database server runs as another user when this one is root.
  await makeFolder(folder, 0o711).catch((cause: unknown) => {
    throw new CrosslineError('demo_failed', { detail: 'The data folder cannot be made: name a writable one with --data.', cause })
  })
  const lock = tryExclusive(join(folder, 'demo.lock'))
  if (!lock) {
    throw new CrosslineError('demo_failed', {
      detail: 'A demo already runs in this data folder: stop it, or name another folder with --data.',
    })
  }
  stops.push(() => lock.release())
  return folder
}

// The lock is ours, so nodes that still run belong to a demo that was killed.
async function stopOrphans(homes: ReadonlyMap<string, NodeFiles>, say: DemoStart['say']): Promise<void> {
  const found = await Promise.all([...homes.values()].map(stopOrphan))
  const count = found.filter(Boolean).length
  if (count > 0) say(`Stopped ${count} ${count === 1 ? 'node' : 'nodes'} that an earlier demo left behind.`)
}

interface Place {
  folder: string
  certs: string
  adminUrl: string
  dnsAddress: string
  start: DemoStart
}

/** Database with its clients, and the settings of the node. */
async function prepareHotline(
  place: Place,
  id: string,
  { port, files }: { port: number; files: NodeFiles },
): Promise<DemoHotline> {
  const databaseUrl = await ensureDatabase(place.adminUrl, `crossline_${id.replaceAll('-', '_')}`)
  const env = describeEnvironment(place, id, port)
  await writeWhole(env.DATABASE_URL_FILE as string, `${databaseUrl}\n`, 0o600)
  await writeWhole(files.env, renderEnvironment(env), 0o644)
  await registerClients(env, { id, certs: place.certs })
  const url = `https://localhost:${port}`
  const api = openApi(id, { url, certs: place.certs })
  place.start.stops.push(() => api.close())
  return { id, url, api, files, env, databaseUrl }
}

function describeEnvironment({ folder, certs, dnsAddress }: Place, id: string, port: number): Record<string, string> {
  const files = memberFiles(certs, id)
  const network = networkFiles(certs)
  return {
    MEMBER_ID: id,
    DATA_DIR: join(folder, id),
    DATABASE_URL_FILE: join(folder, id, 'database.url'),
    LISTEN_PORT: String(port),
    HEALTH_PORT: '0',
    TLS_CERT: files.node.certificate,
    TLS_KEY: files.node.key,
    TLS_CA: authorityFiles(certs).certificate,
    SIGN_KEY: files.sign,
    AUDIT_KEY: files.audit,
    ROOT_FILE: network.root,
    DIRECTORY_FILE: network.directory,
    GEO_COUNTRY_DB: geoFiles.country,
    GEO_ASN_DB: geoFiles.asn,
    DNS_SERVERS: dnsAddress,
    DNS_TIMEOUT_MS: '1000',
  }
}

function renderEnvironment(env: Record<string, string>): string {
  const lines = Object.entries(env).map(([name, value]) => `${name}='${value}'`)
  return `# Settings of this node, written anew at each start of the demo.\n${lines.join('\n')}\n`
}

async function registerClients(env: Record<string, string>, { id, certs }: { id: string; certs: string }): Promise<void> {
  const countries = developmentMembers.find((member) => member.id === id)?.countries ?? []
  await withRegistry(env, async (ctx) => {
    for (const role of clientRoles) {
      const certificate = new X509Certificate(await readFile(memberFiles(certs, id).clients[role].certificate))
      const scope = { countries: role === 'liaison' ? [...countries] : [], network_wide: false }
      await registerClient(ctx, { fingerprint: fingerprintOf(certificate), role, name: `${id}-${role}`, ...scope })
    }
  })
}

async function startNodes(hotlines: readonly DemoHotline[], { say, signal, stops }: DemoStart): Promise<void> {
  const nodes: NodeProcess[] = []
  // Together: a node waits for nobody when it stops.
  stops.push(() => Promise.all(nodes.map((node) => node.stop())))
  for (const { id, files } of hotlines) {
    const onEnd = () => say(`\n!! The node of ${id} has ended by itself: its last words are in ${files.log}.`)
    nodes.push(startNodeProcess(id, files, onEnd))
  }
  await Promise.all(hotlines.map((hotline, place) => waitUntilReady(hotline, nodes[place] as NodeProcess, signal)))
}

async function waitUntilReady({ id, api, files }: DemoHotline, node: NodeProcess, signal: AbortSignal): Promise<void> {
  const look = async () => (node.hasEnded() ? 'ended' : (await api.isReady()) ? 'ready' : undefined)
  const state = await waitFor(look, { patienceMs: readyPatienceMs, signal })
  if (state === 'ready') return
  const words = readLastWords(files)
  throw new CrosslineError('demo_failed', {
    detail: `The node of ${id} did not start${words ? ` (${words})` : ''}: see ${files.log}, then start the demo again.`,
  })
}
