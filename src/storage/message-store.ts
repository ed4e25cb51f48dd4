// Messages, the outbox and batches: what was said, what waits to be sent, what is in flight, and what was receipted.
import { sql } from 'kysely'
import { byteaArray, intArray, textArray, uuidArray } from './binary-array.ts'
import type { Db, Trx } from './report-store.ts'

/** A message as stored. `inboundBatch` and `inboundIndex` say where a peer's message stood. */
export interface NewMessage {
  author: string
  id: string
  leaf: Buffer
  itemId: string
  kind: string
  receiver: string
  sealed: Buffer
  bytes: number
}

/** Writes own messages and puts them into the outbox of their receivers, in the order given. */
export async function insertOutgoing(trx: Trx, messages: readonly NewMessage[]): Promise<void> {
  const columns = messageColumns(messages)
  await sql`
    with input as (
      select * from unnest(${columns.authors}::text[], ${columns.ids}::uuid[], ${columns.leaves}::bytea[], ${columns.items}::uuid[], ${columns.kinds}::text[],
        ${columns.receivers}::text[], ${columns.sealed}::bytea[], ${intArray(messages.map((message) => message.bytes))}::int[])
        with ordinality as t (author, id, leaf, item_id, kind, receiver, sealed, bytes, place)
    ), written as (
      insert into message (author, id, leaf, item_id, kind, receiver, sealed) select author, id, leaf, item_id, kind, receiver, sealed from input
    )
    insert into outbox (destination, author, message_id, item_id, kind, leaf, bytes) select receiver, author, id, item_id, kind, leaf, bytes from input order by place`.execute(
    trx,
  )
}

/** Writes messages of a peer with their place in its batch. */
export async function insertIncoming(
  trx: Trx,
  batchId: string,
  messages: readonly (NewMessage & { index: number })[],
): Promise<void> {
  const columns = messageColumns(messages)
  await sql`
    insert into message (author, id, leaf, item_id, kind, receiver, sealed, inbound_batch, inbound_index)
    select author, id, leaf, item_id, kind, receiver, sealed, ${batchId}::uuid, place from unnest(${columns.authors}::text[], ${columns.ids}::uuid[],
      ${columns.leaves}::bytea[], ${columns.items}::uuid[], ${columns.kinds}::text[], ${columns.receivers}::text[], ${columns.sealed}::bytea[],
      ${intArray(messages.map((message) => message.index))}::int[]) as t (author, id, leaf, item_id, kind, receiver, sealed, place)`.execute(
    trx,
  )
}

function messageColumns(messages: readonly NewMessage[]) {
  return {
    authors: textArray(messages.map((message) => message.author)),
    ids: uuidArray(messages.map((message) => message.id)),
    leaves: byteaArray(messages.map((message) => message.leaf)),
    items: uuidArray(messages.map((message) => message.itemId)),
    kinds: textArray(messages.map((message) => message.kind)),
    receivers: textArray(messages.map((message) => message.receiver)),
    sealed: byteaArray(messages.map((message) => message.sealed)),
  }
}

/** Digest and time of the messages of one author that are known. */
export async function findKnownMessages(
  db: Db,
  author: string,
  ids: readonly string[],
): Promise<Map<string, { leaf: Buffer; storedAt: Date }>> {
  const found = await sql<{ id: string; leaf: Buffer; stored_at: Date }>`
    select id, leaf, stored_at from message where author = ${author} and id = any(${uuidArray(ids)}::uuid[])`.execute(db)
  return new Map(found.rows.map((row) => [row.id, { leaf: row.leaf, storedAt: row.stored_at }]))
}

/** A message in the outbox. */
export interface WaitingMessage {
  seq: number
  message_id: string
  item_id: string
  kind: string
  bytes: number
  leaf: Buffer
}

/** The next messages for a destination, in the order in which they were committed. */
export async function findWaiting(trx: Trx, destination: string, limit: number): Promise<WaitingMessage[]> {
  const found = await sql<WaitingMessage>`
    select seq, message_id, item_id, kind, bytes, leaf from outbox where destination = ${destination} and batch_id is null order by seq limit ${limit}`.execute(
    trx,
  )
  return found.rows
}

/** The sealed lines of own messages, by id. */
export async function findSealedLines(db: Db, author: string, ids: readonly string[]): Promise<Map<string, Buffer>> {
  const found = await sql<{ id: string; sealed: Buffer }>`
    select id, sealed from message where author = ${author} and id = any(${uuidArray(ids)}::uuid[]) and sealed is not null`.execute(
    db,
  )
  return new Map(found.rows.map((row) => [row.id, row.sealed]))
}

export interface NewBatch {
  id: string
  destination: string
  root: Buffer
  leaves: Buffer
  size: number
  trace: string
  /** The first one; none when the batch is never to be sent. */
  proof: string | undefined
}

/** Cuts a batch: writes it and takes its messages out of the waiting ones. */
export async function insertOutboundBatch(trx: Trx, batch: NewBatch, seqs: readonly number[]): Promise<void> {
  const places = `{${seqs.join(',')}}`
  await trx
    .insertInto('outbound_batch')
    .values({
      id: batch.id,
      destination: batch.destination,
      root: batch.root,
      leaves: batch.leaves,
      size: batch.size,
      trace: batch.trace,
      proofs: batch.proof === undefined ? [] : [batch.proof],
      seqs: places,
    })
    .execute()
  await sql`update outbox set batch_id = ${batch.id}, batch_index = t.place - 1
    from unnest(${places}::bigint[]) with ordinality as t (seq, place) where outbox.seq = t.seq`.execute(trx)
}

export interface BatchInFlight {
  id: string
  root: Buffer
  size: number
  proofs: string[]
  trace: string
}

export async function findBatchInFlight(db: Db, destination: string): Promise<BatchInFlight | undefined> {
  return db
    .selectFrom('outbound_batch')
    .select(['id', 'root', 'size', 'proofs', 'trace'])
    .where('destination', '=', destination)
    .where('receipt', 'is', null)
    .where('withdrawn_at', 'is', null)
    .executeTakeFirst()
}

/** The messages of a batch that was cut, in their order. */
export async function findBatchMessages(db: Db, batchId: string): Promise<WaitingMessage[]> {
  const found = await sql<WaitingMessage>`
    select seq, message_id, item_id, kind, bytes, leaf from outbox
    where seq = any((select seqs from outbound_batch where id = ${batchId})::bigint[]) order by batch_index`.execute(db)
  return found.rows
}

/** Remembers a proof before it is sent: the receipt may name any of them. */
export async function addProof(db: Db, batchId: string, proof: string): Promise<void> {
  await sql`update outbound_batch set proofs = array_append(proofs, ${proof}) where id = ${batchId} and receipt is null`.execute(
    db,
  )
}

/** Records a receipt; false if the batch has one already. Keeps the proof that it names. */
export async function recordReceipt(trx: Trx, receipt: { batchId: string; receipt: string; proof: string }): Promise<boolean> {
  const done = await trx
    .updateTable('outbound_batch')
    .set({ receipt: receipt.receipt, receipted_at: sql<Date>`now()`, proofs: [receipt.proof] })
    .where('id', '=', receipt.batchId)
    .where('receipt', 'is', null)
    .where('withdrawn_at', 'is', null)
    .executeTakeFirst()
  return done.numUpdatedRows > 0n
}

/** Takes back a batch that the peer refused as a whole and certainly has not stored; with `requeue` its messages wait again, in their old order. */
export async function withdrawBatch(trx: Trx, batchId: string, { requeue }: { requeue: boolean }): Promise<void> {
  await trx
    .updateTable('outbound_batch')
    .set({ withdrawn_at: sql<Date>`now()` })
    .where('id', '=', batchId)
    .where('receipt', 'is', null)
    .execute()
  if (!requeue) return
  await sql`update outbox set batch_id = null, batch_index = null
    where batch_id = ${batchId} and seq = any((select seqs from outbound_batch where id = ${batchId})::bigint[])`.execute(trx)
}

export async function insertQuarantined(
  trx: Trx,
  rows: readonly { destination: string; messageId: string; itemId: string; code: string }[],
): Promise<void> {
  await trx
    .insertInto('quarantine')
    .values(rows.map((row) => ({ destination: row.destination, message_id: row.messageId, item_id: row.itemId, code: row.code })))
    .execute()
}

export interface StoredInbound {
  root: Buffer
  receipt: string
}

export async function findInboundBatch(db: Db, sender: string, id: string): Promise<StoredInbound | undefined> {
  return db
    .selectFrom('inbound_batch')
    .select(['root', 'receipt'])
    .where('sender', '=', sender)
    .where('id', '=', id)
    .executeTakeFirst()
}

export async function insertInboundBatch(
  trx: Trx,
  batch: { sender: string; id: string; root: Buffer; leaves: Buffer; size: number; proof: string; receipt: string },
): Promise<void> {
  await trx.insertInto('inbound_batch').values(batch).execute()
}

/** Where one message stood and what proves it: for `evidence`. */
export async function findMessageProof(db: Db, messageId: string) {
  const found = await sql<{
    author: string
    id: string
    item_id: string
    receiver: string
    kind: string
    sealed: Buffer | null
    wrapped: Buffer | null
    index: number | null
    leaves: Buffer | null
    size: number | null
    proof: string | null
    receipt: string | null
  }>`
    select m.author, m.id, m.item_id, m.receiver, m.kind, m.sealed, k.wrapped, coalesce(m.inbound_index, o.batch_index) as index,
      coalesce(i.leaves, b.leaves) as leaves, coalesce(i.size, b.size) as size, coalesce(i.proof, b.proofs[1]) as proof, coalesce(i.receipt, b.receipt) as receipt
    from message m left join subject_key k on k.subject = m.item_id
    left join inbound_batch i on i.sender = m.author and i.id = m.inbound_batch
    left join outbox o on o.message_id = m.id and o.author = m.author and o.destination = m.receiver
    left join outbound_batch b on b.id = o.batch_id
    where m.id = ${messageId}`.execute(db)
  return found.rows[0]
}

/** Digest of the handoff that brought an item here: what the owner's statements follow on. */
export async function findHandoffLeaf(db: Db, itemId: string): Promise<Buffer | undefined> {
  const row = await db
    .selectFrom('message')
    .select('leaf')
    .where('item_id', '=', itemId)
    .where('kind', '=', 'handoff')
    .orderBy('stored_at', 'desc')
    .limit(1)
    .executeTakeFirst()
  return row?.leaf
}
