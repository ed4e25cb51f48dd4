// Step 6: what a verified receipt means for the items of a batch, and what becomes of a batch that the peer refuses as a whole.
import { digest } from '#crypto/digests.ts'
import type { ReceiptClaims, ReceiptException } from '#crypto/receipt.ts'
import { inTransaction } from '#storage/database.ts'
import {
  insertQuarantined,
  recordReceipt as recordBatchReceipt,
  type WaitingMessage,
  withdrawBatch,
} from '#storage/message-store.ts'
import { recordReceiptTaken } from '#storage/peer-store.ts'
import { findHostingCountries, moveItems, type Trx } from '#storage/report-store.ts'
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
  // A chain that both can check: a gap means that one side was restored, or lies.
  if (previous && previous.digest !== claims.previous)
    noteSecurityEvent(ctx, { member: destination, code: 'receipt_chain', trace: batch.trace })
}

async function findNamedProof(trx: Trx, batchId: string, named: string): Promise<string> {
  const row = await trx.selectFrom('outbound_batch').select('proofs').where('id', '=', batchId).executeTakeFirstOrThrow()
  return row.proofs.find((proof) => digest(proof) === named) ?? ''
}

async function settleItems(ctx: StepContext, trx: Trx, { destination, batch, receipt, claims }: TakenReceipt): Promise<void> {
  const exceptions = new Map(claims.exceptions.map((exception) => [exception.index, exception]))
  const rejected = batch.messages.flatMap((message, index) => {
    const exception = exceptions.get(index)
    return exception?.status === 'rejected' ? [{ message, exception }] : []
  })
  const refused = new Set(rejected.map(({ message }) => message.message_id))
  const stored = batch.messages.filter((message) => message.kind === 'handoff' && !refused.has(message.message_id))
  const moved = await moveItems(
    trx,
    stored.map((message) => message.item_id),
    { from: ['sent'], to: 'delivered', owner: destination },
  )
  if (rejected.length > 0) await quarantine(trx, destination, rejected)
  const handoffs = batch.messages.flatMap((message, index) =>
    message.kind === 'handoff' ? [{ message, exception: exceptions.get(index) }] : [],
  )
  const others = handoffs.map(({ message }) => message.item_id).filter((id) => !moved.has(id))
  const countries = new Map([...moved, ...(await findHostingCountries(trx, others))])
  const peer = digest(receipt)
  await appendAudit(
    ctx,
    trx,
    handoffs.map(({ message, exception }) =>
      writeEntry(ctx, { destination, batch, message, exception, peer, country: countries.get(message.item_id) }),
    ),
  )
}

interface ReceiptedMessage {
  destination: string
  batch: SentBatch
  message: WaitingMessage
  exception: ReceiptException | undefined
  peer: string
  country: string | undefined
}

function writeEntry(ctx: StepContext, { destination, batch, message, exception, peer, country }: ReceiptedMessage): NewEntry {
  const status = exception?.status ?? 'stored'
  return {
    event: 'handoff.receipt',
    subject: batch.keys.get(message.message_id) as SubjectKey,
    from: destination,
    to: ctx.self,
    country,
    actor: { kind: 'peer', member: destination },
    payload: {
      item: { id: message.item_id },
      facts: {
        batch: batch.id,
        message: message.message_id,
        status,
        ...(exception?.code === undefined ? {} : { code: exception.code }),
      },
      trace: batch.trace,
    },
    peer,
  }
}

async function quarantine(
  trx: Trx,
  destination: string,
  rejected: readonly { message: WaitingMessage; exception: Pick<ReceiptException, 'code'> }[],
): Promise<void> {
  await insertQuarantined(
    trx,
    rejected.map(({ message, exception }) => ({
      destination,
      messageId: message.message_id,
      itemId: message.item_id,
      code: exception.code ?? 'rejected',
    })),
  )
  const handoffs = rejected.filter(({ message }) => message.kind === 'handoff').map(({ message }) => message.item_id)
  if (handoffs.length > 0) await moveItems(trx, handoffs, { from: ['sent'], to: 'needs_review', flag: 'rejected_by_peer' })
}

/** The peer refused the batch as a whole and stored nothing: its messages wait again, to go out in smaller batches. */
export async function splitBatch(ctx: StepContext, batchId: string): Promise<void> {
  await inTransaction(ctx.db, (trx) => withdrawBatch(trx, batchId, { requeue: true }))
}

/** The peer refuses even this one message alone: it waits for a person, and the others go on. */
export async function quarantineMessage(
  ctx: StepContext,
  { destination, batch, code }: { destination: string; batch: SentBatch; code: string },
): Promise<void> {
  await inTransaction(ctx.db, async (trx) => {
    await withdrawBatch(trx, batch.id, { requeue: false })
    await quarantine(
      trx,
      destination,
      batch.messages.map((message) => ({ message, exception: { code: code as never } })),
    )
    await appendAudit(
      ctx,
      trx,
      batch.messages
        .filter((message) => message.kind === 'handoff')
        .map((message) => ({
          event: 'handoff.refused' as const,
          subject: batch.keys.get(message.message_id) as SubjectKey,
          from: destination,
          to: ctx.self,
          actor: { kind: 'peer' as const, member: destination },
          payload: {
            item: { id: message.item_id },
            facts: { message: message.message_id, status: 'refused', code },
            trace: batch.trace,
          },
        })),
    )
  })
}
