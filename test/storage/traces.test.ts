// Two processes may trace the same item at the same moment: the first that records wins, whole.
import { randomBytes, randomUUIDv7 } from 'node:crypto'
import t from 'tap'
import { inTransaction } from '#storage/database.ts'
import { findItemParts, insertItems, recordTraces, type TracedRow } from '#storage/item-store.ts'
import { insertReports } from '#storage/report-store.ts'
import { createTestDatabase } from '../database.ts'

const reportId = randomUUIDv7()
const report = {
  id: reportId,
  origin: 'hotline-gb',
  received_at: new Date(),
  source: 'public_form',
  source_item: null,
  site_type: 'website',
  commerciality: 'not_determined',
  payment_methods: [],
  handling: 'lea',
  sealed: randomBytes(40),
  content_digest: randomBytes(32),
}
const item = (id: string) => ({
  id,
  reportId,
  position: 0,
  contentType: 'website',
  isSource: false,
  urlKey: null,
  state: 'received' as const,
  owner: 'hotline-gb',
  handedBy: null,
  via: [],
  hostingCountry: null,
  assignedCountry: null,
  routeRule: null,
  sealed: randomBytes(40),
  wrappedKey: randomBytes(60),
})
const traced = (id: string, country: string): TracedRow => ({
  id,
  state: 'orphaned',
  hostingCountry: country,
  assignedCountry: null,
  handedTo: null,
  routeRule: 'orphaned',
  routeFlags: [],
  evidence: Buffer.from(country),
})

t.test('a trace that comes second changes neither the route nor the evidence of the first', async (t) => {
  const { database } = await createTestDatabase(t)
  const [first, second] = [randomUUIDv7(), randomUUIDv7()]
  await inTransaction(database, async (trx) => {
    await insertReports(trx, [report], [{ subject: reportId, wrapped: randomBytes(60) }])
    await insertItems(trx, [item(first), item(second)])
  })
  const record = (...rows: TracedRow[]) => inTransaction(database, (trx) => recordTraces(trx, rows))
  t.same(await record(traced(first, 'SE')), new Set([first]))
  t.same(await record(traced(first, 'GB'), traced(second, 'GB')), new Set([second]), 'only what was still to be traced')
  const { items } = await findItemParts(database, [first, second])
  const held = new Map(items.map((each) => [each.id, [each.hosting_country, each.evidence?.toString()]]))
  t.same(held.get(first), ['SE', 'SE'])
  t.same(held.get(second), ['GB', 'GB'])
})
