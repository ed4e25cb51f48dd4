// The only way to a peer: TLS 1.3 with our certificate, its certificate pinned by the fingerprints of the directory, bounded in time and
// size, no redirects, no session resumption (a resumed session would skip the pin check).
import { hash } from 'node:crypto'
import { checkServerIdentity, type PeerCertificate } from 'node:tls'
import { errors, Pool } from 'undici'

/** What a connection presents and trusts. */
export interface ClientTls {
  ca: string | Buffer | (string | Buffer)[]
  cert: string | Buffer
  key: string | Buffer
}

/** Where a peer answers, and how it is known there. */
export interface PeerPlace {
  /** Origin of the peer's endpoint, from the directory. */
  url: string
  /** base64url SHA-256 of every certificate that the peer may present now. */
  fingerprints: readonly string[]
}

export interface PeerCall extends PeerPlace {
  method: 'GET' | 'POST'
  path: string
  headers: Record<string, string>
  body?: Buffer
  timeoutMs: number
  maxBytes: number
}

export type Unreachable = 'refused' | 'timeout' | 'not_found' | 'tls' | 'pin' | 'closed' | 'too_large'
export type PeerAnswer =
  | { kind: 'answered'; status: number; headers: Record<string, string | string[] | undefined>; body: Buffer }
  | { kind: 'unreachable'; reason: Unreachable }

export interface PeerClient {
  /** Never throws for what a peer or the network does. */
  call(call: PeerCall): Promise<PeerAnswer>
  /** Closes every connection: our certificate changed. Calls under way fail as `closed`. */
  reset(): void
  /** Closes what leads anywhere else. Calls under way come to their end where every certificate of theirs still counts, else fail as `closed`. */
  keepOnly(places: readonly PeerPlace[]): void
  /** For good: calls under way and later ones fail as `closed`. */
  close(): Promise<void>
}

const pinMismatch = 'CROSSLINE_PIN'

/** `maxWaitMs` bounds every call, whatever the call itself allows. */
export function createPeerClient(tls: () => ClientTls, { maxWaitMs = 120_000 } = {}): PeerClient {
  let pools = new Map<string, { pool: Pool; place: PeerPlace }>()
  let isClosed = false

  function poolFor(place: PeerPlace): Pool {
    const name = nameOf(place)
    const held = pools.get(name)
    if (held) return held.pool
    const pool = openPool(place.url, place.fingerprints, tls())
    pools.set(name, { pool, place })
    return pool
  }

  async function call(request: PeerCall): Promise<PeerAnswer> {
    if (isClosed) return { kind: 'unreachable', reason: 'closed' }
    const timeout = AbortSignal.timeout(Math.min(request.timeoutMs, maxWaitMs))
    try {
      const { method, path, headers, body = null } = request
      const answer = await poolFor(request).request({ method, path, headers, body, signal: timeout })
      const bytes = await readBounded(answer.body, request.maxBytes)
      if (!bytes) return { kind: 'unreachable', reason: 'too_large' }
      return { kind: 'answered', status: answer.statusCode, headers: answer.headers, body: bytes }
    } catch (error) {
      return { kind: 'unreachable', reason: timeout.aborted ? 'timeout' : reasonOf(error) }
    }
  }

  function reset(): void {
    const old = pools
    pools = new Map()
    for (const { pool } of old.values()) pool.destroy().catch(() => {})
  }

  function keepOnly(places: readonly PeerPlace[]): void {
    const names = new Set(places.map(nameOf))
    for (const [name, { pool, place }] of pools) {
      if (names.has(name)) continue
      pools.delete(name)
      const ending = places.some((other) => isWithin(place, other)) ? pool.close() : pool.destroy()
      ending.catch(() => {})
    }
  }

  async function close(): Promise<void> {
    isClosed = true
    const open = [...pools.values()]
    pools.clear()
    await Promise.all(open.map(({ pool }) => pool.destroy()))
  }
  return { call, reset, keepOnly, close }
}

const nameOf = ({ url, fingerprints }: PeerPlace): string => `${url} ${[...fingerprints].sort().join(' ')}`

const isWithin = (place: PeerPlace, other: PeerPlace): boolean =>
  place.url === other.url && place.fingerprints.every((fingerprint) => other.fingerprints.includes(fingerprint))

function openPool(url: string, fingerprints: readonly string[], tls: ClientTls): Pool {
  return new Pool(url, {
    // One for the batch in flight, one beside it for pings and directories.
    connections: 2,
    pipelining: 1,
    allowH2: false,
    keepAliveTimeout: 60_000,
    headersTimeout: 60_000,
    bodyTimeout: 60_000,
    connect: {
      ...tls,
      minVersion: 'TLSv1.3',
      maxCachedSessions: 0,
      timeout: 10_000,
      checkServerIdentity: (host: string, certificate: PeerCertificate) =>
        checkServerIdentity(host, certificate) ?? checkPin(certificate, fingerprints),
    },
  })
}

/** The name alone is not enough: any authority could issue for it. */
function checkPin(certificate: PeerCertificate, fingerprints: readonly string[]): Error | undefined {
  if (fingerprints.includes(hash('sha256', certificate.raw, 'base64url'))) return undefined
  return Object.assign(new Error('the certificate is not the one of the directory'), { code: pinMismatch })
}

async function readBounded(body: AsyncIterable<Buffer>, maxBytes: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of body) {
    size += chunk.length
    if (size > maxBytes) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function reasonOf(error: unknown): Unreachable {
  const code = String((error as { code?: unknown } | null)?.code ?? '')
  if (code === pinMismatch) return 'pin'
  if (code === 'ECONNREFUSED' || code === 'EHOSTUNREACH' || code === 'ENETUNREACH') return 'refused'
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'not_found'
  if (
    error instanceof errors.ConnectTimeoutError ||
    error instanceof errors.HeadersTimeoutError ||
    error instanceof errors.BodyTimeoutError
  )
    return 'timeout'
  if (
    code.startsWith('ERR_SSL') ||
    code.startsWith('ERR_TLS') ||
    code.includes('CERT') ||
    code === 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' ||
    code === 'EPROTO'
  )
    return 'tls'
  return 'closed'
}
