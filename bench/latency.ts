// The latency of single items at a steady rate: from the moment of submitting to the moment at which another connection sees the item
// committed in the peer's database. Asked every millisecond, so what is measured is never less than the truth.
import { setTimeout as sleep } from 'node:timers/promises'
import { Pool } from 'pg'
import { type BenchItem, makeItem } from './items.ts'

export interface Pace {
  perSecond: number
  seconds: number
  receiverUrl: string
  /** Table of the peer's items. */
  table: 'item' | 'crossline.item'
  /** Resolves when it is handed in, which may be before or after it arrived. */
  submit(item: BenchItem): Promise<void>
}

export interface Percentiles {
  p50Ms: number
  p99Ms: number
}

const patienceMs = 10_000

export async function measureLatency({ perSecond, seconds, receiverUrl, table, submit }: Pace): Promise<Percentiles> {
  const pool = new Pool({ connectionString: receiverUrl, max: 4 })
  try {
    const submitting: Promise<void>[] = []
    const arriving: Promise<number>[] = []
    const startedAt = performance.now()
    for (let n = 0; n < perSecond * seconds; n++) {
      await sleep(Math.max(0, startedAt + (n * 1000) / perSecond - performance.now()))
      const item = makeItem(n)
      const submittedAt = performance.now()
      submitting.push(submit(item))
      arriving.push(waitFor(pool, { table, id: item.id, submittedAt }))
    }
    const [times] = await Promise.all([Promise.all(arriving), Promise.all(submitting)])
    return percentilesOf(times)
  } finally {
    await pool.end()
  }
}

async function waitFor(
  pool: Pool,
  { table, id, submittedAt }: { table: string; id: string; submittedAt: number },
): Promise<number> {
  while (performance.now() - submittedAt < patienceMs) {
    const { rowCount } = await pool.query({ name: table, text: `select from ${table} where id = $1`, values: [id] })
    if (rowCount) return performance.now() - submittedAt
    await sleep(1)
  }
  throw new Error('a single item did not arrive in time')
}

function percentilesOf(times: readonly number[]): Percentiles {
  const sorted = times.toSorted((a, b) => a - b)
  const at = (share: number) =>
    Math.round((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0) * 10) / 10
  return { p50Ms: at(0.5), p99Ms: at(0.99) }
}
