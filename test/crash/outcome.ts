// What must be true after any crash: nothing lost, nothing doubled, on either side.
import { sql } from 'kysely'
import type { Test } from 'tap'
import { digest } from '#crypto/digests.ts'
import type { Database } from '#storage/database.ts'
import { checkAuditLog, readNodeKeys } from '../audit-check.ts'
import { eventually, reportOf } from '../network.ts'
import type { NodeProcess } from './node-process.ts'

export interface Exchange {
  sender: NodeProcess
  receiver: NodeProcess
  /** Every item that was ever submitted at the sender. */
  items: string[]
}

/** Submits a report at the sender whose items are hosted in the receiver's country. */
export async function submit(exchange: Exchange, count = 3): Promise<void> {
  const items = Array.from({ length: count }, (_, place) => ({ url: `https://content.example/${place}`, contentType: 'media' }))
  const answer = await exchange.sender.call('POST', '/v1/reports', reportOf(items))
  if (answer.status !== 201) throw new Error(`the report was answered with ${answer.status}`)
  exchange.items.push(...(answer.body.items as { id: string }[]).map(({ id }) => id))
}

export async function count(database: Database, query: string): Promise<number> {
  const found = await sql<{ count: number }>`select count(*)::int as count from ${sql.raw(query)}`.execute(database)
  return found.rows[0]?.count ?? 0
}

/** Waits until every batch has its receipt, and then looks at everything that a crash could have spoilt. */
export async function checkSettled(t: Test, exchange: Exchange): Promise<void> {
  const { sender, receiver, items } = exchange
  await eventually('every handoff is receipted', async () => {
    const delivered = await count(sender.database.database, "item where state = 'delivered'")
    return delivered === items.length
  })
  t.equal(await count(receiver.database.database, 'item'), items.length, 'each item is at the receiver once')
  t.equal(await count(receiver.database.database, "message where kind = 'handoff'"), items.length, 'each message too')
  t.equal(await count(sender.database.database, 'outbound_batch where receipt is null'), 0, 'no batch is left in flight')
  t.equal(await count(sender.database.database, 'quarantine'), 0, 'nothing waits for a person')
  t.same(
    await readReceipts(sender.database.database, 'outbound_batch', 'receipted_at'),
    await readChain(receiver),
    'the same receipts',
  )
  await checkEntries(t, exchange)
}

async function readReceipts(database: Database, table: string, order: string): Promise<string[]> {
  const found = await sql<{ receipt: string }>`select receipt from ${sql.table(table)} order by ${sql.ref(order)}`.execute(
    database,
  )
  return found.rows.map((row) => row.receipt)
}

/** The receiver's receipts in their order; throws when one does not name the one before. */
async function readChain(receiver: NodeProcess): Promise<string[]> {
  const receipts = await readReceipts(receiver.database.database, 'inbound_batch', 'stored_at')
  let previous: string | null = null
  for (const receipt of receipts) {
    const claims = JSON.parse(Buffer.from(receipt.split('.')[1] ?? '', 'base64url').toString()) as { previous: string | null }
    if (claims.previous !== previous) throw new Error('a receipt does not name the one before')
    previous = digest(receipt)
  }
  return receipts
}

async function checkEntries(t: Test, { sender, receiver, items }: Exchange): Promise<void> {
  const [here, there] = await Promise.all(
    [sender, receiver].map(async (node) => checkAuditLog(node.database.database, await readNodeKeys(node.masterKey))),
  )
  const wanted = { here: ['item.traced', 'item.routed', 'handoff.sent', 'handoff.receipt'], there: ['handoff.received'] }
  for (const item of items) {
    const found = { here: here?.about(item).map(({ event }) => event), there: there?.about(item).map(({ event }) => event) }
    if (JSON.stringify(found) !== JSON.stringify(wanted)) t.same(found, wanted, 'each event of an item stands in the logs once')
  }
  t.equal(here?.entries.filter(({ event }) => event === 'handoff.receipt').length, items.length, 'one receipt entry per item')
  t.equal(there?.entries.filter(({ event }) => event === 'handoff.received').length, items.length, 'one received entry per item')
}
