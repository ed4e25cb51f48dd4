// The server of an independent peer: takes batches as a node does, remembers what it committed, and misbehaves when a test tells it to.
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { TLSSocket } from 'node:tls'
import { gunzipSync } from 'node:zlib'
import type { Teardown } from './database.ts'
import {
  type Claims,
  type Clock,
  type Identity,
  leafOf,
  proofTyp,
  type ReadDirectory,
  randomId,
  readToken,
  rootOf,
  seconds,
  sha256,
  signClaims,
} from './peer.ts'

/** A call of the node as the peer saw it, its proof checked. */
export interface SeenCall {
  method: string
  path: string
  body: Buffer
  proof: string
  claims: Claims
  /** Of a batch: its id and its lines without the envelope. */
  batch?: { id: string; lines: Buffer[] }
}

/** Answers instead of the peer's good behaviour; true when it did, so that a test can misbehave on some calls only. */
export type Misbehaviour = (call: SeenCall, response: ServerResponse, peer: PeerServer) => boolean | Promise<boolean>

export interface PeerServer {
  identity: Identity
  port: number
  calls: SeenCall[]
  /** Digest of each message that was committed, by id. */
  committed: Map<string, string>
  /** Messages in the order in which they were committed. */
  messages: Record<string, unknown>[]
  /** How often a committed message came again in another batch. */
  repeated: number
  /** The most batches that were open at once. */
  mostAtOnce: number
  /** What was wrong with a call of the node; it must stay empty. */
  faults: string[]
  misbehave: Misbehaviour | undefined
  /** Claims of the receipt of a batch, not yet signed. */
  claimsFor(call: SeenCall, change?: Claims): Claims
  /** Commits a batch and gives its receipt. */
  commit(call: SeenCall): string
  sign(typ: string, claims: Claims): string
  refuse(call: SeenCall, response: ServerResponse, refusal: { code: string; status: number; retryAfter?: number }): true
  /** Closes, and opens again with another certificate if one is given. */
  close(): Promise<void>
  open(as?: Pick<Identity, 'cert' | 'key'>): Promise<void>
}

export interface PeerServerPlace {
  identity: Identity
  port: number
  clock: Clock
  directory: () => ReadDirectory
  /** The node that calls. */
  node: string
}

/** Starts the server of a peer; it ends with the test. */
export async function startPeerServer(t: Teardown, place: PeerServerPlace): Promise<PeerServer> {
  const { identity, clock, directory, node } = place
  const receipts = new Map<string, string>()
  let previous: string | null = null
  let atOnce = 0
  let server = createServer()

  const peer: PeerServer = {
    identity,
    port: place.port,
    calls: [],
    committed: new Map(),
    messages: [],
    repeated: 0,
    mostAtOnce: 0,
    faults: [],
    misbehave: undefined,
    sign: (typ, claims) => signClaims(identity, typ, claims),
    claimsFor: ({ batch, proof }, change = {}) => ({
      iss: identity.id,
      aud: node,
      iat: seconds(clock),
      jti: randomId(),
      batch: batch?.id,
      root: rootOf(batch?.lines ?? []),
      size: batch?.lines.length,
      proof: sha256(proof),
      exceptions: [],
      previous,
      checkpoint: null,
      ...change,
    }),
    commit: (call) => {
      const { id, lines } = call.batch as NonNullable<SeenCall['batch']>
      const held = receipts.get(id)
      if (held !== undefined) return held
      const exceptions = lines.flatMap((line, index) => commitLine(peer, line, { index, at: seconds(clock) }))
      const receipt = peer.sign('crossline-receipt+jwt', peer.claimsFor(call, { exceptions }))
      previous = sha256(receipt)
      receipts.set(id, receipt)
      return receipt
    },
    refuse: ({ proof }, response, { code, status, retryAfter }) => {
      const claims = { iss: identity.id, aud: node, iat: seconds(clock), proof: sha256(proof), code, status }
      const wait = retryAfter === undefined ? {} : { retryAfter }
      response.writeHead(status, { 'crossline-error': peer.sign('crossline-error+jwt', { ...claims, ...wait }) })
      response.end(
        JSON.stringify({ type: `urn:crossline:problem:${code}`, code, status, title: 'refused', trace: '0'.repeat(32) }),
      )
      return true
    },
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
    open: async (as = identity) => {
      server = createServer(
        { cert: as.cert, key: as.key, ca: identity.ca, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3' },
        (request, response) => void answer(request, response).catch((error) => fail(error, response)),
      )
      server.listen(place.port, '127.0.0.1')
      await once(server, 'listening')
    },
  }

  function fail(error: unknown, response: ServerResponse): void {
    peer.faults.push(error instanceof Error ? error.message : String(error))
    response.destroy()
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const isBatch = request.url === '/federation/v1/batches'
    if (isBatch) peer.mostAtOnce = Math.max(peer.mostAtOnce, ++atOnce)
    if (isBatch) response.once('close', () => atOnce--)
    const call = await readCall(request, { directory: directory(), node, self: identity.id, clock })
    peer.calls.push(call)
    if (await peer.misbehave?.(call, response, peer)) return
    answerWell(call, response)
  }

  function answerWell(call: SeenCall, response: ServerResponse): void {
    const send = (value: object) => response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value))
    if (call.path === '/federation/v1/batches') send({ receipt: peer.commit(call) })
    else if (call.path === '/federation/v1/ping') {
      const { nonce } = JSON.parse(call.body.toString())
      send({ pong: peer.sign('crossline-pong+jwt', { iss: identity.id, aud: node, iat: seconds(clock), nonce }) })
    } else {
      const receipt = receipts.get(call.path.split('/').at(-1) ?? '')
      if (receipt) send({ receipt })
      else peer.refuse(call, response, { code: 'not_found', status: 404 })
    }
  }

  await peer.open()
  t.teardown(() => peer.close())
  return peer
}

function commitLine(peer: PeerServer, line: Buffer, { index, at }: { index: number; at: number }): object[] {
  const message = JSON.parse(line.toString())
  const digest = leafOf(line).toString('base64url')
  const held = peer.committed.get(message.id)
  if (held === undefined) {
    peer.committed.set(message.id, digest)
    peer.messages.push(message)
    return []
  }
  peer.repeated++
  return held === digest
    ? [{ index, id: message.id, status: 'duplicate', at }]
    : [{ index, id: message.id, status: 'rejected', code: 'id_conflict' }]
}

interface Reader {
  directory: ReadDirectory
  node: string
  self: string
  clock: Clock
}

/** Reads and checks a call as protocol.md asks a receiver to. Throws for what the node did wrong. */
async function readCall(request: IncomingMessage, { directory, node, self, clock }: Reader): Promise<SeenCall> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part)
  const body = Buffer.concat(parts)
  const { method = '', url: path = '' } = request
  const certificate = (request.socket as TLSSocket).getPeerX509Certificate()
  const [proof = '', ...more] = request.headersDistinct['crossline-proof'] ?? []
  const claims = readToken(proof, proofTyp, { directory, id: node })
  const iat = Number(claims['iat'])
  const wanted: [string, unknown][] = [
    ['aud', self],
    ['htm', method],
    ['htu', path],
    ['dig', sha256(body)],
    ['exp', iat + 120],
  ]
  for (const [name, value] of wanted) if (claims[name] !== value) throw new Error(`the proof's ${name} is wrong on ${path}`)
  if (more.length > 0) throw new Error('two proofs')
  if (Math.abs(iat - seconds(clock)) > 60) throw new Error('the proof is not fresh')
  if ((claims['cnf'] as Claims)['x5t#S256'] !== sha256(certificate?.raw ?? '')) throw new Error('another certificate')
  if (!/^[0-9a-f]{32}$/.test(String(request.headers['crossline-trace']))) throw new Error('no trace')
  if (path !== '/federation/v1/batches') return { method, path, body, proof, claims }
  const plain = request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body
  const [envelope = '', ...lines] = plain.toString('latin1').replace(/\n$/, '').split('\n')
  const { batch, from, to } = JSON.parse(envelope)
  const batchLines = lines.map((line) => Buffer.from(line, 'latin1'))
  if (from !== node || to !== self) throw new Error('the envelope is for others')
  if (claims['root'] !== rootOf(batchLines) || claims['size'] !== lines.length) throw new Error('root or size are wrong')
  return { method, path, body, proof, claims, batch: { id: batch, lines: batchLines } }
}
