// One call to a peer with its proof, and what the answer means: only a signed answer counts, everything else is the network's.
import { hash } from 'node:crypto'
import type { PeerPlace } from '#clients/peer-client.ts'
import { digest } from '#crypto/digests.ts'
import { signProof } from '#crypto/proof.ts'
import { verifyError } from '#crypto/signed-error.ts'
import { CrosslineError } from '#errors.ts'
import type { Member } from '#schema/directory.ts'
import type { StepContext } from './context.ts'

/** As much of a step's context as a call needs: no database, so that the doctor can call while there is none. */
export type CallingContext = Pick<
  StepContext,
  'self' | 'signingKey' | 'certificateFingerprint' | 'directory' | 'directoryAge' | 'peers' | 'now'
> &
  Partial<Pick<StepContext, 'directoryHint'>>

export interface OutboundCall {
  member: string
  method: 'GET' | 'POST'
  path: string
  body?: Buffer
  headers?: Record<string, string>
  trace: string
  timeoutMs?: number
  /** A proof that was signed and kept before; made here otherwise. */
  proof?: string
  /** Statuses beside 200 that are no refusal here: their bodies are the answer. Nothing about them is signed. */
  alsoAnswers?: readonly number[]
}

type AnswerHeaders = Record<string, string | string[] | undefined>

export type CallResult =
  | { kind: 'answered'; status: number; headers: AnswerHeaders; body: Buffer; proof: string }
  /** A signed refusal: it holds for the destination. */
  | { kind: 'refused'; status: number; code: string; retryAfterS: number | undefined }
  /** The network, or an unsigned error: it changes nothing but the timer. */
  | { kind: 'unreachable'; reason: string; retryAfterS?: number }

const maxAnswerBytes = 8 * 1024 * 1024

export async function callPeer(ctx: CallingContext, call: OutboundCall): Promise<CallResult> {
  const peer = ctx.directory().findMember(call.member)
  const place = peer && findPlace(peer)
  if (!peer || !place || !ctx.directory().mayExchange(ctx.self, peer.id))
    return { kind: 'unreachable', reason: 'not_in_directory' }
  // Nothing but a newer directory is asked for under one that has expired.
  if (ctx.directoryAge() === 'expired' && !call.path.startsWith('/federation/v1/directory'))
    return { kind: 'unreachable', reason: 'directory_expired' }
  const proof = call.proof ?? (await proveCall(ctx, call))
  const answer = await ctx.peers.call({
    ...place,
    method: call.method,
    path: call.path,
    headers: { ...call.headers, 'crossline-proof': proof, 'crossline-trace': call.trace },
    ...(call.body === undefined ? {} : { body: call.body }),
    timeoutMs: call.timeoutMs ?? 30_000,
    maxBytes: maxAnswerBytes,
  })
  if (answer.kind === 'unreachable') return answer
  noteNewerDirectory(ctx, call, answer.headers['crossline-directory'])
  const { status, headers, body } = answer
  if (status === 200 || call.alsoAnswers?.includes(status)) return { kind: 'answered', status, headers, body, proof }
  return readRefusal(ctx, { peer: peer.id, status, headers, proof })
}

/** The peer says that it holds a newer directory than we named. Nothing signs that: it is a reason to ask for it, no more. */
function noteNewerDirectory(ctx: CallingContext, { member, trace }: OutboundCall, named: string | string[] | undefined): void {
  const version = Number(/^([1-9][0-9]{0,14}):[A-Za-z0-9_-]{43}$/.exec(String(named))?.[1] ?? 0)
  if (version > ctx.directory().version) ctx.directoryHint?.({ member, version, isConflict: false, trace })
}

/** The proof of a call, fresh: a jti is used once. `batch` is there on /batches only. */
export function proveCall(
  ctx: CallingContext,
  call: Pick<OutboundCall, 'member' | 'method' | 'path' | 'body'> & { batch?: { root: string; size: number } },
): Promise<string> {
  const directory = ctx.directory()
  return signProof(ctx.signingKey(), {
    iss: ctx.self,
    aud: call.member,
    method: call.method,
    path: call.path,
    bodyDigest: hash('sha256', call.body ?? '', 'base64url'),
    certificateFingerprint: ctx.certificateFingerprint(),
    directory: `${directory.version}:${directory.hash}`,
    ...(call.batch === undefined ? {} : { batch: call.batch }),
    now: ctx.now(),
  })
}

/** Where a member's node answers now, and with which certificates; undefined if it has no endpoint. */
export function findPlace({ endpoints, certificates }: Member): PeerPlace | undefined {
  const url = endpoints.find(({ use }) => use === 'federation')?.url
  const usable = certificates.filter(({ state }) => state === 'current' || state === 'next')
  return url === undefined ? undefined : { url, fingerprints: usable.map(({ fingerprint }) => fingerprint) }
}

interface Refusal {
  peer: string
  status: number
  headers: AnswerHeaders
  proof: string
}

async function readRefusal(ctx: CallingContext, { peer, status, headers, proof }: Refusal): Promise<CallResult> {
  try {
    const claims = await verifyError(headers['crossline-error'], {
      issuer: peer,
      audience: ctx.self,
      proof: digest(proof),
      status,
      findKey: (kid) =>
        ctx
          .directory()
          .signingKeys(peer)
          .find((key) => key.kid === kid),
    })
    return { kind: 'refused', status, code: claims.code, retryAfterS: claims.retryAfter }
  } catch (error) {
    if (!(error instanceof CrosslineError)) throw error
    const asked = Number(headers['retry-after'])
    return {
      kind: 'unreachable',
      reason: `http_${status}`,
      ...(Number.isSafeInteger(asked) && asked > 0 ? { retryAfterS: asked } : {}),
    }
  }
}
