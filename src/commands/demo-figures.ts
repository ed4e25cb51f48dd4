// The figures of a demo run, counted in the hotlines' databases: what this run added, not what earlier runs left.
import type { Item } from '#schema/report.ts'
import { withClient } from '#storage/admin-client.ts'
import type { DemoHotline } from './demo-network.ts'

export interface Figures {
  members: number
  nodes: number
  items: { total: number; byOutcome: Record<string, number> }
  /** Handoffs that another hotline has and has given a receipt for. */
  handoffs: number
  /** Batches for which the sender holds a verified receipt. */
  receipts: number
  auditEntries: Record<string, number>
  /** Bundles of one item's custody that the offline verifier found valid, and altered copies that it refused. */
  bundles: { valid: number; refused: number }
  seconds: number
  asExpected: boolean
  /** What was not as expected, in plain words. */
  differences: string[]
}

export interface Counts {
  receipts: number
  handoffs: number
  auditEntries: Record<string, number>
}

const countText = `select
  (select count(*) from crossline.outbound_batch where receipt is not null)::int as receipts,
  (select count(*) from crossline.message where kind = 'handoff' and inbound_batch is not null)::int as handoffs,
  (select count(*) from crossline.audit_entry)::int as entries`

/** Counts what the hotlines' databases hold now. */
export async function countRecords(hotlines: readonly DemoHotline[]): Promise<Counts> {
  const rows = await Promise.all(hotlines.map(countOne))
  return {
    receipts: sum(rows.map((row) => row.receipts)),
    handoffs: sum(rows.map((row) => row.handoffs)),
    auditEntries: Object.fromEntries(rows.map((row) => [row.id, row.entries])),
  }
}

async function countOne({
  id,
  databaseUrl,
}: DemoHotline): Promise<{ id: string; receipts: number; handoffs: number; entries: number }> {
  return withClient(databaseUrl, async (client) => {
    const { rows } = await client.query<{ receipts: number; handoffs: number; entries: number }>(countText)
    return { id, ...(rows[0] ?? { receipts: 0, handoffs: 0, entries: 0 }) }
  })
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

export function subtractCounts(after: Counts, before: Counts): Counts {
  const pairs = Object.entries(after.auditEntries).map(([id, count]) => [id, count - (before.auditEntries[id] ?? 0)])
  return {
    receipts: after.receipts - before.receipts,
    handoffs: after.handoffs - before.handoffs,
    auditEntries: Object.fromEntries(pairs),
  }
}

/** How many items came to which end at the hotline that took the report. */
export function countOutcomes(items: readonly Item[]): Record<string, number> {
  const groups = Map.groupBy(items, (item) =>
    item.state === 'routed' && item.route?.rule === 'home' ? 'home' : (item.outcome ?? item.state),
  )
  return Object.fromEntries([...groups].map(([outcome, some]) => [outcome, some.length]).sort())
}
