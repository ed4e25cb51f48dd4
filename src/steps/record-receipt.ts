// Step 6: what a verified receipt means for the items of a batch, and what becomes of messages that can't be delivered: each is kept in
// `quarantine` for a person and leaves an audit entry, whatever its kind.
import { randomBytes, randomUUIDv7 } from 'node:crypto'
import { digest } from '#crypto/digests.ts'
import type { ReceiptClaims } from '#crypto/receipt.ts'
import { merkleRoot } from '#domain/merkle.ts'
import { inTransaction } from '#storage/database.ts'
import { findHostingCountries, moveItems } from '#storage/item-store.ts'
import {
  insertOutboundBatch,
  insertQuarantined,
  recordReceipt as recordBatchReceipt,
  type WaitingMessage,
  withdrawBatch,
} from '#storage/message-store.ts'
import { recordReceiptTaken } from '#storage/peer-store.ts'
import type { Trx } from '#storage/report-store.ts'
import { appendAudit, type NewEntry } from './append-audit.ts'
import type { StepContext } from './context.ts'
import { noteSecurityEvent } from './note-security-event.ts'
import type { SubjectKey } from './subject-keys.ts'

interface SentBatch {
  id: string
  trace: string
  messages: WaitingMessage[]
  keys: Map<string, SubjectKey>
}

export interface TakenReceipt {
  destination: string
  batch: SentBatch
  receipt: string
  claims: ReceiptClaims
}

/** Records a receipt once: items delivered, rejected ones waiting for a person, an audit entry for each. Twice is as once. */
export async function recordReceipt(ctx: StepContext, taken: TakenReceipt): Promise<void> {
  const { destination, batch, receipt, claims } = taken
  const previous = await inTransaction(ctx.db, async (trx) => {
    const proof = await findNamedProof(trx, batch.id, claims.proof)
    if (!(await recordBatchReceipt(trx, { batchId: batch.id, receipt, proof }))) return undefined
    await settleItems(ctx, trx, taken)
    return { digest: await recordReceiptTaken(trx, destination, digest(receipt)) }
  })
  if (!previous) return
  if (claims.exceptions.some((exception) => exception.code === 'id_conflict'))
    noteSecurityEvent(ctx, { member: destination, code: 'id_conflict', trace: batch.trace })
  // A chain that both can check: a gap means that one side was restored, or lies.
  if (previous.digest !== claims.previous)
    noteSecurityEvent(ctx, { member: destination, code: 'receipt_chain', trace: batch.trace })
}

async function findNamedProof(trx: Trx, batchId: string, named: string): Promise<string> {
  const row = await trx.selectFrom('outbound_batch').select('proofs').where('id', '=', batchId).executeTakeFirstOrThrow()
  return row.proofs.find((proof) => digest(proof) === named) ?? ''
}

async function settleItems(ctx: StepContext, trx: Trx, { destination, batch, receipt, claims }: TakenReceipt): Promise<void> {
  const exceptions = new Map(claims.exceptions.map((exception) => [exception.index, exception]))
  const settled = batch.messages.map((message, index) => ({ message, exception: exceptions.get(index) }))
  const rejected = settled.filter(({ exception }) => exception?.status === 'rejected')
  const handoffs = settled.filter(({ message }) => message.kind === 'handoff')
  const stored = handoffs.filter(({ exception }) => exception?.status !== 'rejected').map(({ message }) => message.item_id)
  const moved = await moveItems(trx, stored, { from: ['sent'], to: 'delivered', owner: destination })
  if (rejected.length > 0) await quarantine(trx, rejected, { destination, flag: 'rejected_by_peer' })
  // Every handoff, and whatever else is rejected: a statement that the peer didn't take must be found in the log as well.
  const told = settled.filter(({ message, exception }) => message.kind === 'handoff' || exception?.status === 'rejected')
  const others = told.map(({ message }) => message.item_id).filter((id) => !moved.has(id))
  const countries = new Map([...moved, ...(await findHostingCountries(trx, others))])
  const peer = digest(receipt)
  await appendAudit(
    ctx,
    trx,
    told.map(({ message, exception }) => ({
      ...describe(batch, message, countries),
      ...{ from: destination, to: ctx.self, actor: { kind: 'peer', member: destination }, peer },
      payload: payloadOf(batch, message, { status: exception?.status ?? 'stored', code: exception?.code }),
    })),
  )
}

type Countries = Map<string, string | undefined>

function describe(
  batch: Pick<SentBatch, 'keys'>,
  message: WaitingMessage,
  countries: Countries,
): Pick<NewEntry, 'event' | 'subject' | 'country'> {
  const subject = batch.keys.get(message.message_id) as SubjectKey
  return { event: 'handoff.receipt', subject, country: countries.get(message.item_id) }
}

function payloadOf(
  batch: Pick<SentBatch, 'id' | 'trace'>,
  message: WaitingMessage,
  { status, code }: { status: string; code: string | undefined },
): NewEntry['payload'] {
  const facts = { batch: batch.id, message: message.message_id, kind: message.kind, status }
  return { item: { id: message.item_id }, facts: code === undefined ? facts : { ...facts, code }, trace: batch.trace }
}

async function quarantine(
  trx: Trx,
  rejected: readonly { message: WaitingMessage; exception: { code?: string } | undefined }[],
  { destination, flag }: { destination: string; flag: 'rejected_by_peer' | 'unreadable' },
): Promise<void> {
  await insertQuarantined(
    trx,
    rejected.map(({ message, exception }) => ({
      destination,
      messageId: message.message_id,
      itemId: message.item_id,
      code: exception?.code ?? 'rejected',
    })),
  )
  const handoffs = rejected.filter(({ message }) => message.kind === 'handoff').map(({ message }) => message.item_id)
  if (handoffs.length > 0) await moveItems(trx, handoffs, { from: ['routed', 'sent'], to: 'needs_review', flag })
}

/** The peer refused the batch as a whole and stored nothing: its messages wait again, to go out in smaller batches. */
export async function splitBatch(ctx: StepContext, batchId: string): Promise<void> {
  await inTransaction(ctx.db, (trx) => withdrawBatch(trx, batchId, { requeue: true }))
}

interface RefusedMessage {
  destination: string
  batch: SentBatch
  code: string
}

/** The peer refuses even this one message alone: it waits for a person, and the others go on. */
export async function quarantineMessage(ctx: StepContext, refused: RefusedMessage): Promise<void> {
  const { destination, batch } = refused
  await inTransaction(ctx.db, async (trx) => {
    await withdrawBatch(trx, batch.id, { requeue: false })
    const by = { kind: 'peer', member: destination } as const
    await putAside(ctx, trx, { ...refused, status: 'refused', from: destination, to: ctx.self, by })
  })
}

/** We ourselves can't read these waiting messages any more: they wait for a person as a batch that was never sent. */
export async function quarantineUnreadable(
  ctx: StepContext,
  trx: Trx,
  { destination, messages, keys }: Pick<SentBatch, 'messages' | 'keys'> & { destination: string },
): Promise<void> {
  if (messages.length === 0) return
  const batch = { id: randomUUIDv7(), trace: randomBytes(16).toString('hex'), messages, keys }
  const leaves = messages.map((message) => message.leaf)
  await insertOutboundBatch(
    trx,
    { ...batch, destination, root: merkleRoot(leaves), leaves: Buffer.concat(leaves), size: leaves.length, proof: undefined },
    messages.map((message) => message.seq),
  )
  await withdrawBatch(trx, batch.id, { requeue: false })
  const by = { kind: 'node' } as const
  await putAside(ctx, trx, { destination, batch, code: 'internal', status: 'unreadable', from: ctx.self, to: destination, by })
}

interface PutAside extends RefusedMessage {
  status: 'refused' | 'unreadable'
  from: string
  to: string
  by: NewEntry['actor']
}

async function putAside(ctx: StepContext, trx: Trx, { destination, batch, code, status, from, to, by }: PutAside): Promise<void> {
  await quarantine(
    trx,
    batch.messages.map((message) => ({ message, exception: { code } })),
    { destination, flag: status === 'refused' ? 'rejected_by_peer' : 'unreadable' },
  )
  const countries = await findHostingCountries(
    trx,
    batch.messages.map((message) => message.item_id),
  )
  await appendAudit(
    ctx,
    trx,
    batch.messages.map((message) => ({
      ...describe(batch, message, countries),
      ...{ from, to, actor: by },
      payload: payloadOf(batch, message, { status, code }),
    })),
  )
}
