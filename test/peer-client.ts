// How an independent peer calls a node: real TLS, any proof, and a reader of refusals that believes only what is signed.
import { once } from 'node:events'
import type { IncomingHttpHeaders } from 'node:http'
import { type Agent, request as httpsRequest } from 'node:https'
import {
  type Claims,
  type Clock,
  followPath,
  type Identity,
  leafOf,
  proofClaims,
  proofTyp,
  type ReadDirectory,
  readToken,
  rootOf,
  sha256,
  signClaims,
} from './peer.ts'
import type { Batch } from './peer-messages.ts'

export interface PeerAnswer {
  status: number
  headers: IncomingHttpHeaders
  bytes: Buffer
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into whatever came back
  json: any
  /** The proofs that went out with it. */
  proofs: string[]
}

/** One call; what is left out is as it should be. */
export interface Call {
  method?: string
  path?: string
  body?: Buffer | string
  /** Lines of a batch, whose root the proof then signs. */
  lines?: readonly Buffer[]
  headers?: Record<string, string | string[]>
  /** Bends the claims before they are signed. */
  claims?: (claims: Claims) => Claims
  header?: object
  /** Replaces the proof altogether; undefined in the array: none. */
  proofs?: (proof: string) => string[]
  agent?: Agent
  as?: Pick<Identity, 'cert' | 'key'>
}

export interface PeerClient {
  identity: Identity
  call(call: Call): Promise<PeerAnswer>
  ping(call?: Call): Promise<PeerAnswer>
  get(path: string, call?: Call): Promise<PeerAnswer>
  deliver(batch: Batch, call?: Call): Promise<PeerAnswer>
  readReceipt(answer: PeerAnswer, batch: Batch): Claims
  /** The signed error of an answer, checked against the call that it answers. */
  readError(answer: PeerAnswer): Claims
}

export interface PeerPlace {
  identity: Identity
  /** The node that is called. */
  node: { id: string; port: number }
  directory: () => ReadDirectory
  clock: Clock
}

export function openPeer({ identity, node, directory, clock }: PeerPlace): PeerClient {
  const from = () => ({ directory: directory(), id: node.id })

  async function call(asked: Call): Promise<PeerAnswer> {
    const { method = 'POST', path = '/federation/v1/ping', body = '', lines, claims = (same) => same, header } = asked
    const facts = { aud: node.id, method, path, body, clock, directory: directory(), ...(lines ? { lines } : {}) }
    const proof = signClaims(identity, proofTyp, claims(proofClaims(identity, facts)), header)
    const proofs = asked.proofs ? asked.proofs(proof) : [proof]
    const headers = { ...(proofs.length > 0 ? { 'crossline-proof': proofs } : {}), ...asked.headers }
    return send({
      method,
      path,
      body,
      headers,
      proofs,
      port: node.port,
      as: asked.as ?? identity,
      ca: identity.ca,
      agent: asked.agent,
    })
  }

  return {
    identity,
    call,
    ping: (asked = {}) =>
      call({ body: JSON.stringify({ nonce: 'n'.repeat(22) }), headers: { 'content-type': 'application/json' }, ...asked }),
    get: (path, asked = {}) => call({ method: 'GET', path, ...asked }),
    deliver: (batch, asked = {}) =>
      call({
        path: '/federation/v1/batches',
        body: batch.body,
        lines: batch.lines,
        ...asked,
        headers: { 'content-type': 'application/x-ndjson', ...asked.headers },
      }),
    readReceipt: (answer, batch) => {
      const claims = readToken(answer.json?.receipt, 'crossline-receipt+jwt', from())
      const wanted = { aud: identity.id, batch: batch.id, root: rootOf(batch.lines), size: batch.lines.length }
      for (const [name, value] of Object.entries(wanted)) if (claims[name] !== value) throw new Error(`the receipt's ${name}`)
      return claims
    },
    readError: (answer) => {
      const claims = readToken(answer.headers['crossline-error'], 'crossline-error+jwt', from())
      const proof = answer.proofs.length === 1 ? sha256(answer.proofs[0] as string) : undefined
      if (claims['proof'] !== proof) throw new Error('it answers another call')
      if (claims['status'] !== answer.status || claims['code'] !== answer.json?.code) throw new Error('it is not the document')
      return claims
    },
  }
}

interface Sending {
  method: string
  path: string
  body: Buffer | string
  headers: Record<string, string | string[]>
  proofs: string[]
  port: number
  as: Pick<Identity, 'cert' | 'key'>
  ca: string
  agent: Agent | undefined
}

async function send({ body, proofs, as, agent, ...options }: Sending): Promise<PeerAnswer> {
  const bytes = Buffer.from(body)
  const request = httpsRequest({
    host: '127.0.0.1',
    servername: 'localhost',
    cert: as.cert,
    key: as.key,
    agent: agent ?? false,
    ...options,
    headers: {
      ...(options.method === 'GET' && bytes.length === 0 ? {} : { 'content-length': String(bytes.length) }),
      ...options.headers,
    },
  })
  const answered = once(request, 'response')
  // A node that refuses early closes while the rest is still being written; before an answer it is a failure.
  request.on('error', () => {})
  request.end(bytes)
  const [response] = await answered
  const parts: Buffer[] = []
  for await (const part of response) parts.push(part)
  const all = Buffer.concat(parts)
  return { status: response.statusCode, headers: response.headers, bytes: all, json: parseIfJson(all), proofs }
}

function parseIfJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString())
  } catch {
    return undefined
  }
}

/** Checks evidence with nothing but the directory's keys, as a court's expert would. Throws for what does not hold. */
export function checkEvidence(
  evidence: { message: string; index: number; size: number; path: string[]; proof: string; receipt: string },
  directory: ReadDirectory,
): { proof: Claims; receipt: Claims } {
  const { author, to } = JSON.parse(evidence.message)
  const proof = readToken(evidence.proof, proofTyp, { directory, id: author })
  const receipt = readToken(evidence.receipt, 'crossline-receipt+jwt', { directory, id: to })
  const root = followRoot(evidence)
  const facts: [unknown, unknown][] = [
    [proof['aud'], to],
    [proof['htm'], 'POST'],
    [proof['htu'], '/federation/v1/batches'],
    [proof['root'], root],
    [proof['size'], evidence.size],
    [receipt['aud'], author],
    [receipt['root'], root],
    [receipt['proof'], sha256(evidence.proof)],
  ]
  if (facts.some(([is, wanted]) => is !== wanted)) throw new Error('the evidence contradicts itself')
  const exceptions = receipt['exceptions'] as { index: number; status: string }[]
  if (exceptions.some(({ index, status }) => index === evidence.index && status === 'rejected')) throw new Error('rejected')
  return { proof, receipt }
}

function followRoot(evidence: { message: string; index: number; size: number; path: string[] }): string {
  return followPath(leafOf(Buffer.from(evidence.message)), evidence)
}
