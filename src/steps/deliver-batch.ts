// Step 4: brings waiting messages to one peer. Cut a batch (transaction), call (no transaction), check the receipt, record it (transaction).
// Whatever happens in between, the same batch with the same id goes out again until its receipt is there: nothing lost, nothing doubled.
import { randomBytes, randomUUIDv7 } from 'node:crypto'
import { digest, encodeHash } from '#crypto/digests.ts'
import { isBeforeEnd } from '#crypto/evidence.ts'
import { openProof } from '#crypto/proof.ts'
import { type ReceiptClaims, verifyReceipt } from '#crypto/receipt.ts'
import { joinBatch } from '#domain/batch-lines.ts'
import type { EcMemberKey } from '#domain/held-directory.ts'
import { merkleRoot } from '#domain/merkle.ts'
import { nextRetry } from '#domain/retry-policy.ts'
import { parseStrictObject } from '#domain/strict-json.ts'
import { CrosslineError } from '#errors.ts'
import { maxMessages } from '#schema/message.ts'
import { inTransaction } from '#storage/database.ts'
import {
  addProof,
  findBatchInFlight,
  findBatchMessages,
  findWaiting,
  insertOutboundBatch,
  type WaitingMessage,
} from '#storage/message-store.ts'
import {
  claimPeer,
  findDueDestinations,
  type PeerState,
  recordPeerFailure,
  recordPeerSuccess,
  releasePeers,
  renewLease,
} from '#storage/peer-store.ts'
import { moveItems, type Trx } from '#storage/report-store.ts'
import { appendAudit } from './append-audit.ts'
import { type CallResult, callPeer, proveCall } from './call-peer.ts'
import type { StepContext } from './context.ts'
import { noteSecurityEvent } from './note-security-event.ts'
import { type OpenLines, openLines } from './open-lines.ts'
import { pingPeer } from './ping-peer.ts'
import { quarantineMessage, quarantineUnreadable, recordReceipt, splitBatch } from './record-receipt.ts'
import type { SubjectKey } from './subject-keys.ts'

const batchesPath = '/federation/v1/batches'
/** Sender's cut: bytes first, then count. Below the receiver's 4 MiB, so that envelope and newlines fit. */
const maxBatchBytes = 4_000_000
// As long as a call may take and a little more. A lease that outlives its holder only delays; a batch that two send is stored once.
const leaseMs = 10_000

/** What delivering to a peer came to. */
export type Delivery =
  | { kind: 'delivered'; messages: number }
  | { kind: 'nothing' }
  /** The peer refused the batch as a whole and stored nothing: its messages wait again, to go out in batches of at most `size`. */
  | { kind: 'split'; size: number }
  /** The peer refused one message alone: it waits for a person, and the next goes out alone. */
  | { kind: 'quarantined' }
  /** Nothing was lost: it is tried again at `retryAt`. */
  | { kind: 'try_later'; retryAt: Date; code: string }
  /** Another process serves this destination, or it is not due. */
  | { kind: 'busy' }

/** Destinations with something to send that are due and that no other process serves. */
export function findDestinations(ctx: StepContext, holder: string): Promise<string[]> {
  return findDueDestinations(ctx.db, { now: ctx.now(), holder, leaseMs })
}

/** Renews the lease while a delivery runs, so that no other process sends beside it. Never throws: a lease that is lost only costs a repetition. */
export async function keepLease(
  ctx: StepContext,
  { destination, holder }: { destination: string; holder: string },
): Promise<void> {
  const until = new Date(ctx.now().getTime() + leaseMs)
  await renewLease(ctx.db, { member: destination, holder, until }).catch((error: unknown) =>
    ctx.log.warn({ step: 'deliver-batch', peer: destination, err: error }, 'a lease could not be renewed'),
  )
}

/** Gives every lease of this process back, so that another one need not wait for its end. */
export function letGo(ctx: StepContext, holder: string): Promise<void> {
  return releasePeers(ctx.db, holder)
}

/** A batch with its lines opened, ready to be sent. */
interface OpenBatch {
  id: string
  root: Buffer
  proofs: string[]
  trace: string
  messages: WaitingMessage[]
  /** Undefined when one of them can't be read any more: the batch can be asked for, but not sent again. */
  lines: Buffer[] | undefined
  keys: Map<string, SubjectKey>
  /** Cut before this attempt: the peer may hold it already. */
  isRepeated: boolean
}

export interface DeliveryOrder {
  destination: string
  holder: string
  /** The most messages in a newly cut batch (1 after a failure, halves after too_large). */
  limit: number
  /** Messages that the peer refused alone, one after the other, just before. */
  quarantined: number
}

/** Delivers the next batch to a destination. Whatever fails on the way is recorded as a failure of the destination, so that it is seen. */
export async function deliverBatch(ctx: StepContext, order: DeliveryOrder): Promise<Delivery> {
  const { destination, holder } = order
  const peer = await claimPeer(ctx.db, { member: destination, holder, now: ctx.now(), leaseMs })
  if (!peer) return { kind: 'busy' }
  try {
    return await deliverNext(ctx, peer, order)
  } catch (error) {
    ctx.log.error({ step: 'deliver-batch', peer: destination, err: error }, 'delivery failed')
    const reason = error instanceof CrosslineError && error.code === 'audit_unavailable' ? error.code : 'internal'
    return failDelivery(ctx, { peer, failure: { kind: 'unreachable', reason }, order })
  }
}

async function deliverNext(ctx: StepContext, peer: PeerState, order: DeliveryOrder): Promise<Delivery> {
  const destination = peer.member
  const probe = peer.failures > 0 ? await pingPeer(ctx, destination) : undefined
  if (probe && probe.kind !== 'answered') return failDelivery(ctx, { peer, failure: probe, order })
  const batch = (await readInFlight(ctx, destination)) ?? (await cutBatch(ctx, destination, peer.failures > 0 ? 1 : order.limit))
  if (!batch) return { kind: 'nothing' }
  return sendBatch(ctx, peer, { batch, order })
}

async function readInFlight(ctx: StepContext, destination: string): Promise<OpenBatch | undefined> {
  const inFlight = await findBatchInFlight(ctx.db, destination)
  if (!inFlight) return undefined
  const messages = await findBatchMessages(ctx.db, inFlight.id)
  const { lines, keys, unreadable } = await openLines(ctx, ctx.db, messages)
  return { ...inFlight, messages, lines: unreadable.length === 0 ? lines : undefined, keys, isRepeated: true }
}

/** Takes the next messages out of the outbox into a batch, with its first proof, and records that they are sent: all before the network. */
async function cutBatch(ctx: StepContext, destination: string, limit: number): Promise<OpenBatch | undefined> {
  return inTransaction(ctx.db, async (trx) => {
    const { messages, lines, keys } = await openWaiting(ctx, trx, { destination, limit: Math.min(limit, maxMessages) })
    if (messages.length === 0) return undefined
    const id = randomUUIDv7()
    const root = merkleRoot(messages.map((message) => message.leaf))
    const trace = randomBytes(16).toString('hex')
    const body = joinBatch({ batch: id, from: ctx.self, to: destination }, lines)
    const proof = await proveBatch(ctx, { destination, body, root, size: messages.length })
    const leaves = Buffer.concat(messages.map((message) => message.leaf))
    await insertOutboundBatch(
      trx,
      { id, destination, root, leaves, size: messages.length, trace, proof },
      messages.map((message) => message.seq),
    )
    await recordSent(ctx, trx, { batch: { id, trace, messages, keys }, destination })
    return { id, root, proofs: [proof], trace, messages, lines, keys, isRepeated: false }
  })
}

/** Most messages that are put aside because we can't read any of those that wait. */
const maxUnreadable = 20

/** The next messages that can be read. The others are put aside, unless none of many can be: then it is our key or database that is wrong. */
async function openWaiting(
  ctx: StepContext,
  trx: Trx,
  { destination, limit }: { destination: string; limit: number },
): Promise<Pick<OpenLines, 'messages' | 'lines' | 'keys'>> {
  const waiting = fitBytes(await findWaiting(trx, destination, Math.max(limit, maxUnreadable + 1)))
  const { messages, lines, keys, unreadable } = await openLines(ctx, trx, waiting)
  if (messages.length === 0 && unreadable.length > maxUnreadable)
    throw new CrosslineError('internal', { detail: 'None of the waiting messages can be read. Is this the right master key?' })
  await quarantineUnreadable(ctx, trx, { destination, messages: unreadable, keys })
  return { messages: messages.slice(0, limit), lines: lines.slice(0, limit), keys }
}

function fitBytes(messages: readonly WaitingMessage[]): WaitingMessage[] {
  let bytes = 0
  const over = messages.findIndex((message) => {
    bytes += message.bytes + 1
    return bytes > maxBatchBytes
  })
  return messages.slice(0, over === -1 ? messages.length : Math.max(over, 1))
}

function proveBatch(ctx: StepContext, batch: { destination: string; body: Buffer; root: Buffer; size: number }): Promise<string> {
  const { destination, body, root, size } = batch
  return proveCall(ctx, { member: destination, method: 'POST', path: batchesPath, body, batch: { root: encodeHash(root), size } })
}

async function recordSent(
  ctx: StepContext,
  trx: Trx,
  { batch, destination }: { batch: Pick<OpenBatch, 'id' | 'trace' | 'messages' | 'keys'>; destination: string },
): Promise<void> {
  const handoffs = batch.messages.filter((message) => message.kind === 'handoff')
  if (handoffs.length === 0) return
  const moved = await moveItems(
    trx,
    handoffs.map((message) => message.item_id),
    { from: ['routed'], to: 'sent' },
  )
  await appendAudit(
    ctx,
    trx,
    handoffs
      .filter((message) => moved.has(message.item_id))
      .map((message) => ({
        event: 'handoff.sent' as const,
        subject: batch.keys.get(message.message_id) as SubjectKey,
        from: ctx.self,
        to: destination,
        country: moved.get(message.item_id),
        actor: { kind: 'node' as const },
        payload: {
          item: { id: message.item_id },
          facts: { batch: batch.id, message: message.message_id, leaf: encodeHash(message.leaf) },
          trace: batch.trace,
        },
      })),
  )
}

async function sendBatch(
  ctx: StepContext,
  peer: PeerState,
  { batch, order }: { batch: OpenBatch; order: DeliveryOrder },
): Promise<Delivery> {
  const destination = peer.member
  const held = batch.isRepeated ? await askForReceipt(ctx, destination, batch) : undefined
  if (!held && !batch.lines) return takeApart(ctx, batch)
  const answer = held ?? (await postBatch(ctx, destination, batch))
  if (answer.kind !== 'answered') return failDelivery(ctx, { peer, failure: answer, batch, order })
  const checked = await checkReceipt(ctx, { destination, batch, body: answer.body })
  if (checked.kind === 'bad')
    return failDelivery(ctx, { peer, failure: { kind: 'unreachable', reason: checked.code }, batch, order })
  await recordReceipt(ctx, { destination, batch, receipt: checked.receipt, claims: checked.claims })
  await recordPeerSuccess(ctx.db, { member: destination, now: ctx.now() })
  ctx.log.info(
    {
      step: 'deliver-batch',
      trace: batch.trace,
      peer: destination,
      batch: batch.id,
      messages: batch.messages.length,
      exceptions: checked.claims.exceptions.length,
    },
    'batch receipted',
  )
  return { kind: 'delivered', messages: batch.messages.length }
}

/** A receipt may have got lost on its way: asking is cheaper than sending again. Undefined when the peer never committed the batch. */
async function askForReceipt(ctx: StepContext, destination: string, batch: OpenBatch): Promise<CallResult | undefined> {
  const answer = await callPeer(ctx, {
    member: destination,
    method: 'GET',
    path: `/federation/v1/receipts/${batch.id}`,
    trace: batch.trace,
  })
  return answer.kind === 'refused' && answer.code === 'not_found' ? undefined : answer
}

async function postBatch(ctx: StepContext, destination: string, batch: OpenBatch): Promise<CallResult> {
  const body = joinBatch({ batch: batch.id, from: ctx.self, to: destination }, batch.lines ?? [])
  const proof = batch.isRepeated ? await freshProof(ctx, { destination, batch, body }) : (batch.proofs[0] as string)
  const headers = { 'content-type': 'application/x-ndjson' }
  return callPeer(ctx, { member: destination, method: 'POST', path: batchesPath, body, headers, trace: batch.trace, proof })
}

/** The receipt may name any proof that was sent, so each is kept before it goes out. */
async function freshProof(
  ctx: StepContext,
  { destination, batch, body }: { destination: string; batch: OpenBatch; body: Buffer },
): Promise<string> {
  const proof = await proveBatch(ctx, { destination, body, root: batch.root, size: batch.messages.length })
  await addProof(ctx.db, batch.id, proof)
  batch.proofs.push(proof)
  return proof
}

type CheckedReceipt =
  | { kind: 'good'; receipt: string; claims: ReceiptClaims }
  | { kind: 'bad'; code: 'bad_receipt' | 'revoked_receipt' }

/** The key may have been retired or revoked since the peer signed: it gives the same bytes for ever, so the date of the receipt decides. */
async function checkReceipt(
  ctx: StepContext,
  { destination, batch, body }: { destination: string; batch: OpenBatch; body: Buffer },
): Promise<CheckedReceipt> {
  let key: EcMemberKey | undefined
  try {
    const { receipt } = parseStrictObject(body)
    const claims = await verifyReceipt(receipt, {
      issuer: destination,
      audience: ctx.self,
      batch: batch.id,
      root: encodeHash(batch.root),
      size: batch.messages.length,
      proofs: batch.proofs.map(digest),
      ids: batch.messages.map((message) => message.message_id),
      findKey: (kid) => (key = ctx.directory().findSigningKey(destination, kid)),
    })
    if (!key || isOfItsLife(key, claims, batch)) return { kind: 'good', receipt: receipt as string, claims }
  } catch (error) {
    if (!(error instanceof CrosslineError)) throw error
    key = undefined
  }
  const code = key?.revokedAt === undefined ? 'bad_receipt' : 'revoked_receipt'
  noteSecurityEvent(ctx, { member: destination, code, trace: batch.trace })
  return { kind: 'bad', code }
}

/** Most that a peer's clock may be behind ours, seconds: a proof that is more ahead is refused. */
const maxSkewS = 60

// Whoever holds a key that ended may date what he signs as he likes, but not before the proof that it names.
function isOfItsLife(key: EcMemberKey, { iat, proof }: ReceiptClaims, batch: OpenBatch): boolean {
  if (key.retiredAt === undefined && key.revokedAt === undefined) return true
  const named = batch.proofs.find((sent) => digest(sent) === proof)
  return named !== undefined && isBeforeEnd(key, iat) && iat >= openProof(named, true).claims.iat - maxSkewS
}

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

/** A code that we don't know, of a later version say, may be about one message: taking the batch apart finds it, and the others go on. */
function isAboutMessages(failure: FailedDelivery['failure']): boolean {
  if (failure.kind !== 'refused') return false
  const { code, status } = failure
  const isUnknown = status < 500 && status !== 429 && !holding.has(code) && !passing.has(code)
  return splitting.has(code) || isUnknown
}

/** After so many refused messages in a row it is more likely the peer than the messages: the next ones wait for the back-off. */
const maxQuarantinedInARow = 20

interface FailedDelivery {
  peer: PeerState
  failure: Exclude<CallResult, { kind: 'answered' }>
  batch?: OpenBatch
  order: DeliveryOrder
}

async function failDelivery(ctx: StepContext, { peer, failure, batch, order }: FailedDelivery): Promise<Delivery> {
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
    if (order.quarantined + 1 < maxQuarantinedInARow) return { kind: 'quarantined' }
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
async function takeApart(ctx: StepContext, batch: OpenBatch): Promise<Delivery> {
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
