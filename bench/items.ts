// The items that both sides of the benchmark carry: 2,048 bytes of JSON each, synthetic, spread over a fixed number of hosts.
import { randomBytes, randomUUIDv7 } from 'node:crypto'

/** Bytes of one item as handed in. */
const itemBytes = 2048
export const hostCount = 200

export interface BenchItem {
  id: string
  url: string
  contentType: 'media'
}

export const hostOf = (n: number): string => `h${n % hostCount}.bench.example`

/** A new item whose JSON text has exactly `itemBytes` bytes. */
export function makeItem(n: number): BenchItem {
  const item: BenchItem = { id: randomUUIDv7(), url: `https://${hostOf(n)}/`, contentType: 'media' }
  const missing = itemBytes - JSON.stringify(item).length
  return { ...item, url: item.url + randomBytes(missing).toString('hex').slice(0, missing) }
}

export function makeItems(count: number): BenchItem[] {
  return Array.from({ length: count }, (_, n) => makeItem(n))
}
