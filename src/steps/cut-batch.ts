// Takes the next messages for a peer out of the outbox and makes a batch of them, with its first proof: in one transaction, before the network.
// What can't be read any more is put aside and never stops what comes after it.
import { randomBytes, randomUUIDv7 } from 'node:crypto'
import { encodeHash } from '#crypto/digests.ts'
import { joinBatch } from '#domain/batch-lines.ts'
import { merkleRoot } from '#domain/merkle.ts'
import { CrosslineError } from '#errors.ts'
import { maxMessages } from '#schema/message.ts'
import { inTransaction } from '#storage/database.ts'
import { moveItems } from '#storage/item-store.ts'
import {
  findBatchInFlight,
  findBatchMessages,
  findWaiting,
  insertOutboundBatch,
  type WaitingMessage,
} from '#storage/message-store.ts'
import type { Trx } from '#storage/report-store.ts'
import { appendAudit } from './append-audit.ts'
import { proveCall } from './call-peer.ts'
import type { StepContext } from './context.ts'
import { type OpenLines, openLines } from './open-lines.ts'
import { quarantineUnreadable } from './record-receipt.ts'
import type { SubjectKey } from './subject-keys.ts'

export const batchesPath = '/federation/v1/batches'
/** Sender's cut: bytes first, then count. Below the receiver's 4 MiB, so that envelope and newlines fit. */
const maxBatchBytes = 4_000_000

/** A batch with its lines opened, ready to be sent. */
export interface OpenBatch {
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

/** The batch that is on its way and has no receipt yet. */
export async function readInFlight(ctx: StepContext, destination: string): Promise<OpenBatch | undefined> {
  const inFlight = await findBatchInFlight(ctx.db, destination)
  if (!inFlight) return undefined
  const messages = await findBatchMessages(ctx.db, inFlight.id)
  const { lines, keys, unreadable } = await openLines(ctx, ctx.db, messages)
  return { ...inFlight, messages, lines: unreadable.length === 0 ? lines : undefined, keys, isRepeated: true }
}

/** Takes the next messages out of the outbox into a batch, with its first proof, and records that they are sent: all before the network. */
export async function cutBatch(ctx: StepContext, destination: string, limit: number): Promise<OpenBatch | undefined> {
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

/** The proof of the call that brings a batch: it signs the root of the messages. */
export function proveBatch(
  ctx: StepContext,
  batch: { destination: string; body: Buffer; root: Buffer; size: number },
): Promise<string> {
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
