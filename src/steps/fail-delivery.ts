// What a failed delivery means: the destination waits, the batch is taken apart, or one message is put aside for a person. Nothing is dropped.
import { nextRetry } from '#domain/retry-policy.ts'
import { type PeerState, recordPeerFailure } from '#storage/peer-store.ts'
import type { CallResult } from './call-peer.ts'
import type { StepContext } from './context.ts'
import type { OpenBatch } from './cut-batch.ts'
import { noteSecurityEvent } from './note-security-event.ts'
import { quarantineMessage, splitBatch } from './record-receipt.ts'

/** What becomes of a delivery that failed. */
export type PutOff =
  /** The peer refused the batch as a whole and stored nothing: its messages wait again, to go out in batches of at most `size`. */
  | { kind: 'split'; size: number }
  /** The peer refused one message alone: it waits for a person, and the next goes out alone. */
  | { kind: 'quarantined' }
  /** Nothing was lost: it is tried again at `retryAt`. */
  | { kind: 'try_later'; retryAt: Date; code: string }

/** Refusals that the destination will repeat until a person or the directory changes something. */
const holding = new Set([
  'malformed_proof',
  'certificate_mismatch',
  'unknown_key',
  'bad_signature',
  'wrong_audience',
  'not_a_member',
  'member_suspended',
  'version_unsupported',
  'batch_conflict',
  'unsupported_media_type',
  'unsupported_encoding',
  'method_not_allowed',
  // Ours: a receipt of a key that was revoked before. Only a person can tell what it is worth.
  'revoked_receipt',
])
const splitting = new Set(['malformed_request', 'schema_invalid', 'too_large', 'broken_compression'])
/** Refusals that say nothing about the messages: what they are answered by is another call, later. */
const passing = new Set(['expired_proof', 'clock_skew', 'replayed_proof', 'digest_mismatch', 'not_found', 'rate_limited'])
/** Statuses that are about the caller, the path or the moment, whatever the code. */
const callStatuses = new Set([401, 403, 404, 405, 408, 415, 426, 429])

/** A code that we don't know, of a later version say, may be about one message: taking the batch apart finds it, and the others go on. */
function isAboutMessages(failure: FailedDelivery['failure']): boolean {
  if (failure.kind !== 'refused') return false
  const { code, status } = failure
  const isUnknown = status < 500 && !callStatuses.has(status) && !holding.has(code) && !passing.has(code)
  return splitting.has(code) || isUnknown
}

/** After so many refused messages in a row it is more likely the peer than the messages: the next ones wait for the back-off. */
const maxQuarantinedInARow = 20

interface FailedDelivery {
  peer: PeerState
  failure: Exclude<CallResult, { kind: 'answered' }>
  batch?: OpenBatch
  /** Messages that the peer refused alone, one after the other, just before. */
  quarantined: number
}

/** What a failed call means for the destination and its messages. Nothing is lost: it waits again, or for a person. */
export async function failDelivery(ctx: StepContext, { peer, failure, batch, quarantined }: FailedDelivery): Promise<PutOff> {
  const code = failure.kind === 'refused' ? failure.code : failure.reason
  const held = holding.has(code)
  if (failure.kind === 'refused')
    noteSecurityEvent(ctx, { member: peer.member, code: `answered_${code}`, trace: batch?.trace ?? '0'.repeat(32) })
  // One of us may act on an old directory: it is looked for before the next try.
  if (held)
    ctx.directoryHint({ member: peer.member, version: ctx.directory().version, isConflict: false, trace: batch?.trace ?? '' })
  if (batch && isAboutMessages(failure)) {
    if (batch.messages.length > 1) return takeApart(ctx, batch)
    await quarantineMessage(ctx, { destination: peer.member, batch, code })
    ctx.log.warn({ step: 'deliver-batch', trace: batch.trace, peer: peer.member, batch: batch.id, code }, 'message put aside')
    if (quarantined + 1 < maxQuarantinedInARow) return { kind: 'quarantined' }
  }
  const retryAt = await putOff(ctx, peer, { code, held, askedS: failure.retryAfterS })
  ctx.log.warn(
    {
      step: 'deliver-batch',
      trace: batch?.trace,
      peer: peer.member,
      batch: batch?.id,
      code,
      held,
      failures: peer.failures + 1,
      retryAt: retryAt.toISOString(),
    },
    'delivery put off',
  )
  return { kind: 'try_later', retryAt, code }
}

/** The messages wait again, and go out in batches of half the size. */
export async function takeApart(ctx: StepContext, batch: OpenBatch): Promise<PutOff> {
  await splitBatch(ctx, batch.id)
  return { kind: 'split', size: Math.ceil(batch.messages.length / 2) }
}

async function putOff(
  ctx: StepContext,
  peer: PeerState,
  failure: { code: string; held: boolean; askedS: number | undefined },
): Promise<Date> {
  const now = ctx.now()
  const retry = nextRetry({
    failures: peer.failures + 1,
    failingForMs: now.getTime() - (peer.failing_since ?? now).getTime(),
    ...(failure.askedS === undefined ? {} : { askedS: failure.askedS }),
    random: Math.random(),
  })
  // Held, or given to a person: still looked at once a day, so that a mended peer is found again.
  const delayMs = retry.kind === 'person' ? 24 * 3_600_000 : failure.held ? Math.max(retry.delayMs, 60_000) : retry.delayMs
  const retryAt = new Date(now.getTime() + delayMs)
  await recordPeerFailure(ctx.db, {
    member: peer.member,
    error: failure.code,
    held: failure.held || retry.kind === 'person',
    now,
    retryAt,
  })
  return retryAt
}
