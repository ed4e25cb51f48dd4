// The real server with real certificates on a real socket; behind it steps that keep what they were given in memory.
import { once } from 'node:events'
import type { IncomingHttpHeaders } from 'node:http'
import { request as httpsRequest, type RequestOptions } from 'node:https'
import type { AddressInfo } from 'node:net'
import { Writable } from 'node:stream'
import { type Authority, createAuthority, issueIdentity } from '#crypto/certificate-authority.ts'
import { parseStrictJson } from '#domain/strict-json.ts'
import { CrosslineError, type ErrorCode } from '#errors.ts'
import { answerExamples, bodyExamples } from '#http/examples.ts'
import { createMetrics } from '#http/metrics.ts'
import { buildServer, type ServerLimits } from '#http/server.ts'
import type { FederationCall, RefusedCall, Steps } from '#http/steps-table.ts'
import { createLogger } from '#log.ts'
import type { Item, ItemPage, Report, ReportInput } from '#schema/report.ts'
import type { Status } from '#schema/status.ts'
import type { ApiClient, Caller } from '#steps/context.ts'

export interface Identity {
  cert: string
  key: string
  fingerprint: string
}

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  text: string
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into any answer
  json: any
}

export interface Asking {
  as?: Identity | undefined
  body?: unknown
  headers?: Record<string, string | string[]>
  agent?: RequestOptions['agent']
}

export const ids = {
  report: '019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071',
  item: '019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6072',
  batch: '019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6073',
}

/** A fresh copy of the example of this operation's body. */
export function bodyOf(operation: string): Record<string, unknown> {
  return structuredClone(bodyExamples[operation]) as Record<string, unknown>
}

export async function makeIdentity(
  authority: Authority,
  label: string,
  times: { notBefore?: Date; notAfter?: Date } = {},
): Promise<Identity> {
  const issued = await issueIdentity(authority, { kind: 'client', member: 'aurora', label, days: 2, ...times })
  return { cert: issued.certificatePem, key: issued.privateKeyPem, fingerprint: issued.fingerprint }
}

export async function makeNodeIdentity(authority: Authority, member: string): Promise<Identity> {
  const issued = await issueIdentity(authority, {
    kind: 'node',
    member,
    days: 2,
    dnsNames: ['localhost'],
    ipAddresses: ['127.0.0.1'],
  })
  return { cert: issued.certificatePem, key: issued.privateKeyPem, fingerprint: issued.fingerprint }
}

/** What reached the steps. */
export interface Seen {
  reports: ReportInput[]
  callers: Caller[]
  calls: FederationCall[]
  signed: RefusedCall[]
  refusals: { code: ErrorCode }[]
  bodies: Buffer[]
  queries: unknown[]
}

async function noSuch(): Promise<never> {
  throw new CrosslineError('not_found')
}

function memorySteps(seen: Seen, clients: Map<string, ApiClient>): Steps {
  const item = answerExamples['getItem'] as Item
  const change = async (_id: string, _input: unknown, caller: Caller) => {
    seen.callers.push(caller)
    return item
  }
  return {
    parseJson: (bytes) => parseStrictJson(bytes),
    acceptReport: async (input, caller) => {
      const created = seen.reports.length === 0
      seen.reports.push(input)
      seen.callers.push(caller)
      return { report: answerExamples['getReport'] as Report, created }
    },
    getReport: async () => answerExamples['getReport'] as Report,
    getItem: async () => item,
    findItems: async (query) => {
      seen.queries.push(query)
      return answerExamples['findItems'] as ItemPage
    },
    acceptItem: change,
    refuseItem: change,
    assessItem: change,
    recordAction: change,
    findEntries: async (query) => {
      seen.queries.push(query)
      return { entries: [], next: null, checkpoint: null }
    },
    showCustody: noSuch,
    findNote: noSuch,
    findTile: noSuch,
    proveInclusion: noSuch,
    proveInclusionAsText: noSuch,
    proveConsistency: noSuch,
    proveConsistencyAsText: noSuch,
    requestExport: noSuch,
    showExport: noSuch,
    openBundle: noSuch,
    findStatus: async () => answerExamples['findStatus'] as Status,
    findClient: async (fingerprint) => clients.get(fingerprint),
    admitCall: async (call) => {
      seen.calls.push(call)
      const [proof = ''] = call.proofs
      if (call.proofs.length !== 1) throw new CrosslineError('malformed_proof')
      return { member: 'borealis', proof, proofDigest: '', bodyDigest: '', root: undefined, size: undefined, trace: call.trace }
    },
    admitMember: () => ({ member: 'borealis' }),
    checkBody: (call, body) => {
      seen.bodies.push(body)
      if (call.proof === 'other-bytes') throw new CrosslineError('digest_mismatch')
    },
    receiveBatch: async () => ({ receipt: 'a.b.c' }),
    witnessCheckpoint: async () => ({ kind: 'conflict', size: 7, held: 'a note' }),
    findOwnCheckpoint: async () => 'a note',
    findReceipt: async () => {
      throw new CrosslineError('not_found')
    },
    answerPing: async () => ({ pong: 'a.b.c' }),
    stateCapabilities: async () => ({ capabilities: 'a.b.c' }),
    findDirectory: async () => Buffer.from('{"payload":"e30","signatures":[]}'),
    findRoot: async () => Buffer.from('{"payload":"e30","signatures":[]}'),
    signError: async (refused) => {
      seen.signed.push(refused)
      return 'signed.error.token'
    },
    recordRefusal: ({ code }) => void seen.refusals.push({ code }),
    readiness: async () => ({ ready: true, checks: { database: 'ok' } }),
  }
}

const kept = new Map<string, { authority: Authority; node: Identity; roles: Record<ApiClient['role'], Identity> }>()

async function makeNetwork() {
  const known = kept.get('network')
  if (known !== undefined) return known
  const authority = await createAuthority({ name: 'Test authority' })
  const [node, hotline, liaison, operator] = await Promise.all([
    makeNodeIdentity(authority, 'aurora'),
    makeIdentity(authority, 'hotline'),
    makeIdentity(authority, 'liaison'),
    makeIdentity(authority, 'operator'),
  ])
  const made = { authority, node, roles: { hotline, liaison, operator } }
  kept.set('network', made)
  return made
}

/** Starts a server; `steps` overrides single steps. Close it with `close`. */
export async function startServer(options: { steps?: Partial<Steps>; limits?: Partial<ServerLimits>; now?: () => Date } = {}) {
  const { authority, node, roles } = await makeNetwork()
  const seen: Seen = { reports: [], callers: [], calls: [], signed: [], refusals: [], bodies: [], queries: [] }
  const clients = new Map<string, ApiClient>()
  for (const [role, { fingerprint }] of Object.entries(roles)) {
    clients.set(fingerprint, { fingerprint, role: role as ApiClient['role'], name: role, countries: [], networkWide: false })
  }
  const lines: string[] = []
  const log = createLogger({
    level: 'trace',
    destination: new Writable({
      write(chunk, _encoding, done) {
        lines.push(String(chunk))
        done()
      },
    }),
  })
  const metrics = createMetrics()
  const server = buildServer({
    steps: { ...memorySteps(seen, clients), ...options.steps },
    log,
    metrics,
    tls: { ca: authority.certificatePem, cert: node.cert, key: node.key },
    limits: { checkingIntervalMs: 50, closingTimeoutMs: 100, ...options.limits },
    ...(options.now === undefined ? {} : { now: options.now }),
  })
  await server.app.listen({ host: '127.0.0.1', port: 0, listenTextResolver: () => 'listening' })
  const { port } = server.app.server.address() as AddressInfo

  /** The options of a connection as this identity. */
  function connection(as: Identity | undefined = roles.hotline) {
    return { host: '127.0.0.1', port, ca: authority.certificatePem, servername: 'localhost', cert: as.cert, key: as.key }
  }

  async function ask(method: string, path: string, asking: Asking = {}): Promise<Answer> {
    const { body, headers = {}, agent = false } = asking
    const bytes = body === undefined || Buffer.isBuffer(body) ? body : JSON.stringify(body)
    const typed = bytes === undefined || 'content-type' in headers ? headers : { 'content-type': 'application/json', ...headers }
    const request = httpsRequest({ ...connection(asking.as), method, path, headers: typed, agent })
    const answered = once(request, 'response')
    // A server that refuses a body early closes while the rest is still being written.
    request.on('error', () => {})
    request.end(bytes)
    const [response] = await answered
    const parts: Buffer[] = []
    for await (const part of response) parts.push(part)
    const text = Buffer.concat(parts).toString()
    return {
      status: response.statusCode,
      headers: response.headers,
      text,
      json: text.startsWith('{') ? JSON.parse(text) : undefined,
    }
  }

  return {
    ...server,
    authority,
    node,
    roles,
    clients,
    seen,
    lines,
    metrics,
    port,
    connection,
    ask,
    close: () => server.app.close(),
  }
}
