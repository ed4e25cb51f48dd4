// Step 4: brings waiting messages to one peer. Cut a batch (transaction), call (no transaction), check the receipt, record it (transaction).
// Whatever happens in between, the same batch with the same id goes out again until its receipt is there: nothing lost, nothing doubled.
import { joinBatch } from '#domain/batch-lines.ts'
import { CrosslineError } from '#errors.ts'
import { addProof } from '#storage/message-store.ts'
import {
  claimPeer,
  findDueDestinations,
  type PeerState,
  recordPeerSuccess,
  releasePeers,
  renewLease,
} from '#storage/peer-store.ts'
import { type CallResult, callPeer } from './call-peer.ts'
import { checkReceipt } from './check-receipt.ts'
import type { StepContext } from './context.ts'
import { batchesPath, cutBatch, type OpenBatch, proveBatch, readInFlight } from './cut-batch.ts'
import { failDelivery, type PutOff, takeApart } from './fail-delivery.ts'
import { pingPeer } from './ping-peer.ts'
import { recordReceipt } from './record-receipt.ts'

// As long as a call may take and a little more. A lease that outlives its holder only delays; a batch that two send is stored once.
const leaseMs = 10_000

/** What delivering to a peer came to. */
export type Delivery =
  | PutOff
  | { kind: 'delivered'; messages: number }
  | { kind: 'nothing' }
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

interface DeliveryOrder {
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
    return failDelivery(ctx, { peer, failure: { kind: 'unreachable', reason }, quarantined: order.quarantined })
  }
}

async function deliverNext(ctx: StepContext, peer: PeerState, order: DeliveryOrder): Promise<Delivery> {
  const destination = peer.member
  const probe = peer.failures > 0 ? await pingPeer(ctx, destination) : undefined
  if (probe && probe.kind !== 'answered') return failDelivery(ctx, { peer, failure: probe, quarantined: order.quarantined })
  const batch = (await readInFlight(ctx, destination)) ?? (await cutBatch(ctx, destination, peer.failures > 0 ? 1 : order.limit))
  if (!batch) return { kind: 'nothing' }
  return sendBatch(ctx, peer, { batch, quarantined: order.quarantined })
}

async function sendBatch(
  ctx: StepContext,
  peer: PeerState,
  { batch, quarantined }: { batch: OpenBatch; quarantined: number },
): Promise<Delivery> {
  const destination = peer.member
  const held = batch.isRepeated ? await askForReceipt(ctx, destination, batch) : undefined
  if (!held && !batch.lines) return takeApart(ctx, batch)
  const answer = held ?? (await postBatch(ctx, destination, batch))
  if (answer.kind !== 'answered') return failDelivery(ctx, { peer, failure: answer, batch, quarantined })
  const checked = await checkReceipt(ctx, { destination, batch, body: answer.body })
  if (checked.kind === 'bad')
    return failDelivery(ctx, { peer, failure: { kind: 'unreachable', reason: checked.code }, batch, quarantined })
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
