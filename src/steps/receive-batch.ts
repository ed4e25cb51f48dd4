// Step 5: takes a batch from a peer. Verify, store, audit entries, receipt: one transaction, and only after COMMIT an answer.
// The same batch again gives the same receipt, byte for byte.
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { digest, encodeHash } from '#crypto/digests.ts'
import { type ReceiptException, signReceipt } from '#crypto/receipt.ts'
import { parseEnvelope, splitBatch } from '#domain/batch-lines.ts'
import { merkleRoot } from '#domain/merkle.ts'
import { CrosslineError } from '#errors.ts'
import { inTransactionOrAgain, isRefusedData } from '#storage/database.ts'
import { findInboundBatch, findKnownMessages, insertInboundBatch } from '#storage/message-store.ts'
import { lockReceiptChain, recordReceiptGiven } from '#storage/peer-store.ts'
import type { Trx } from '#storage/report-store.ts'
import type { AdmittedCall, StepContext } from './context.ts'
import { noteSecurityEvent } from './note-security-event.ts'
import { type ReadMessage, type RejectedLine, readMessage } from './read-message.ts'
import { refuseUnsealed } from './sealing.ts'
import { storeMessages } from './store-messages.ts'

const maxInflatedBytes = 16 * 1024 * 1024

export interface ReceivedBatch {
  id: string
  leaves: Buffer[]
  root: Buffer
  read: (ReadMessage | RejectedLine)[]
}

/** Stores a batch and gives its receipt, one of a peer after the other. The body's digest was checked against the proof before. */
export async function receiveBatch(
  ctx: StepContext,
  call: AdmittedCall,
  body: { bytes: Buffer; gzip: boolean },
): Promise<{ receipt: string }> {
  refuseUnsealed(ctx)
  // An honest peer has one batch on its way. A hostile one waits for itself, before its bytes are inflated and a connection is taken.
  return ctx.turns.batches.inTurn(call.member, () => takeBatch(ctx, call, body))
}

async function takeBatch(
  ctx: StepContext,
  call: AdmittedCall,
  body: { bytes: Buffer; gzip: boolean },
): Promise<{ receipt: string }> {
  const received = await readBatch(ctx, call, body)
  const { receipt, alarms } = await storeOrSplit(ctx, { call, received })
  // After the commit, and once for a batch: a transaction that is tried again must not alarm again.
  for (const code of alarms) noteSecurityEvent(ctx, { member: call.member, code, trace: call.trace })
  ctx.log.info(
    { step: 'receive-batch', trace: call.trace, peer: call.member, batch: received.id, messages: received.read.length },
    'batch stored',
  )
  return { receipt }
}

interface StoredBatch {
  receipt: string
  /** Codes of security events. */
  alarms: string[]
}

/**
 * What the database refuses of a message that our own checks let through must not block the sender for ever: answered as `schema_invalid`,
 * it makes the sender split the batch until the culprit is alone.
 */
async function storeOrSplit(ctx: StepContext, storing: { call: AdmittedCall; received: ReceivedBatch }): Promise<StoredBatch> {
  try {
    return await inTransactionOrAgain(ctx.db, (trx) => storeBatch(ctx, trx, storing))
  } catch (error) {
    if (!isRefusedData(error)) throw error
    ctx.log.error(
      { step: 'receive-batch', trace: storing.call.trace, peer: storing.call.member, err: error },
      'the database refuses a message',
    )
    throw new CrosslineError('schema_invalid', { detail: 'A message of the batch can not be stored.', cause: error })
  }
}

async function readBatch(
  ctx: StepContext,
  call: AdmittedCall,
  { bytes, gzip }: { bytes: Buffer; gzip: boolean },
): Promise<ReceivedBatch> {
  const { envelopeLine, lines, leaves } = splitBatch(gzip ? await inflate(bytes) : bytes)
  const root = merkleRoot(leaves)
  if (call.size !== lines.length || call.root !== encodeHash(root))
    throw new CrosslineError('digest_mismatch', { detail: 'Root or size are not the ones that were signed.' })
  const envelope = parseEnvelope(envelopeLine)
  if (envelope.from !== call.member || envelope.to !== ctx.self)
    throw new CrosslineError('schema_invalid', { detail: 'The envelope names other members than the proof.' })
  const read = await Promise.all(
    lines.map((line, index) => readMessage(ctx, { line, leaf: leaves[index] as Buffer, index, from: call.member })),
  )
  return { id: envelope.batch, leaves, root, read }
}

const gunzipInfo = promisify(gunzip) as (bytes: Buffer, options: { maxOutputLength: number; info: true }) => Promise<unknown>

/** Bounded, and to the last byte: what follows the last gzip member was not meant for us. */
async function inflate(bytes: Buffer): Promise<Buffer> {
  const result = await gunzipInfo(bytes, { maxOutputLength: maxInflatedBytes, info: true }).catch((error: { code?: string }) => {
    throw new CrosslineError(error.code === 'ERR_BUFFER_TOO_LARGE' ? 'too_large' : 'broken_compression')
  })
  const { buffer, engine } = result as { buffer: Buffer; engine: { bytesWritten: number } }
  if (engine.bytesWritten !== bytes.length)
    throw new CrosslineError('broken_compression', { detail: 'Bytes follow the last gzip member.' })
  return buffer
}

async function storeBatch(
  ctx: StepContext,
  trx: Trx,
  { call, received }: { call: AdmittedCall; received: ReceivedBatch },
): Promise<StoredBatch> {
  // The lock on the peer's row first: two copies of one batch at the same moment come one after the other.
  const previous = await lockReceiptChain(trx, call.member)
  const held = await findInboundBatch(trx, call.member, received.id)
  if (held) {
    if (held.root.equals(received.root)) return { receipt: held.receipt, alarms: [] }
    throw new CrosslineError('batch_conflict')
  }
  const { exceptions, contradictions } = await storeNew(ctx, trx, { call, received })
  const own = ctx.checkpoint()
  const receipt = await signReceipt(ctx.signingKey(), {
    iss: ctx.self,
    aud: call.member,
    batch: received.id,
    root: encodeHash(received.root),
    size: received.read.length,
    proof: call.proofDigest,
    exceptions,
    previous,
    checkpoint: own && { origin: own.origin, size: own.size, root: encodeHash(own.root) },
    now: ctx.now(),
  })
  const { id, root, leaves } = received
  await insertInboundBatch(trx, {
    sender: call.member,
    id,
    root,
    leaves: Buffer.concat(leaves),
    size: leaves.length,
    proof: call.proof,
    receipt,
  })
  await recordReceiptGiven(trx, call.member, digest(receipt))
  return { receipt, alarms: alarmsOf(exceptions, contradictions) }
}

function alarmsOf(exceptions: readonly ReceiptException[], contradictions: number): string[] {
  const hasConflict = exceptions.some(({ code }) => code === 'id_conflict')
  return [...(hasConflict ? ['id_conflict'] : []), ...(contradictions > 0 ? ['report_conflict'] : [])]
}

/** Tells duplicates and conflicts from new messages, stores the new ones, and lists every message that was not newly stored. */
async function storeNew(
  ctx: StepContext,
  trx: Trx,
  { call, received }: { call: AdmittedCall; received: ReceivedBatch },
): Promise<{ exceptions: ReceiptException[]; contradictions: number }> {
  const exceptions: ReceiptException[] = []
  const messages = received.read.filter((each): each is ReadMessage => each.kind === 'message')
  for (const each of received.read) if (each.kind === 'rejected') exceptions.push(toException(each))
  const known = await findKnownMessages(
    trx,
    call.member,
    messages.map((each) => each.message.id),
  )
  const fresh: ReadMessage[] = []
  for (const each of messages) {
    const first = known.get(each.message.id)
    if (!first) {
      fresh.push(each)
      known.set(each.message.id, { leaf: each.leaf, storedAt: ctx.now() })
    } else if (first.leaf.equals(each.leaf)) {
      exceptions.push({
        index: each.index,
        id: each.message.id,
        status: 'duplicate',
        at: Math.floor(first.storedAt.getTime() / 1000),
      })
    } else {
      exceptions.push({ index: each.index, id: each.message.id, status: 'rejected', code: 'id_conflict' })
    }
  }
  const { rejected, contradictions } = await storeMessages(ctx, trx, { call, batchId: received.id, messages: fresh })
  return { exceptions: [...exceptions, ...rejected.map(toException)].sort((a, b) => a.index - b.index), contradictions }
}

function toException({ index, id, code, member }: RejectedLine): ReceiptException {
  return { index, id, status: 'rejected', code, ...(member === undefined ? {} : { member }) }
}

/** A receipt that got lost on its way; `not_found` means that the batch was never committed. */
export async function findReceipt(ctx: StepContext, call: AdmittedCall, batchId: string): Promise<{ receipt: string }> {
  const held = await findInboundBatch(ctx.db, call.member, batchId)
  if (!held) throw new CrosslineError('not_found')
  return { receipt: held.receipt }
}
