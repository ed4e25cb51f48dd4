// How long a proof takes, and a page of what a liaison asks for: each documented filter, the first page and one deep in the log, for a liaison
// that few entries concern and for one that most do. Every answer includes the entry that it was asked, written and committed.
import type { EntryQuery } from '#schema/audit.ts'
import type { Caller } from '#steps/context.ts'
import { findEntries } from '#steps/find-entries.ts'
import { proveInclusion } from '#steps/prove-entry.ts'
import type { BenchLog } from './audit-log.ts'
import { caseOf } from './audit-log.ts'
import { sizeOf } from './audit-sealing.ts'
import { percentile, rounded } from './figures.ts'

const warmUps = 3
const limit = 100

function callerOf(country: string): Caller {
  const client = {
    fingerprint: `bench ${country}`,
    role: 'liaison',
    name: 'bench',
    countries: [country],
    networkWide: false,
  } as const
  return { client: { ...client, countries: [country] }, trace: '0'.repeat(32) }
}

interface Times {
  p50: number
  p95: number
}

async function time(samples: number, ask: () => Promise<unknown>): Promise<Times> {
  const times: number[] = []
  for (let n = -warmUps; n < samples; n++) {
    const from = performance.now()
    await ask()
    if (n >= 0) times.push(performance.now() - from)
  }
  return { p50: rounded(percentile(times, 0.5)), p95: rounded(percentile(times, 0.95)) }
}

/** Milliseconds for the inclusion proof of a leaf anywhere, from tiles in PostgreSQL. */
export function measureProofs(log: BenchLog, samples: number): Promise<Times> {
  const size = sizeOf(log)
  const caller = callerOf('SE')
  return time(samples, () =>
    proveInclusion(log.ctx, { query: { index: String(draw(0, size)) } } as Parameters<typeof proveInclusion>[1], caller),
  )
}

const draw = (from: number, to: number): number => Math.floor(from + Math.random() * (to - from))
const pick = <T>(values: readonly T[]): T => values[draw(0, values.length)] as T

/** By liaison and filter: the first page and one from 85 to 95 per cent of the log, with the entries on the last page asked for. */
export async function measureQuestions(log: BenchLog, samples: number): Promise<Record<string, PageTimes>> {
  const found: Record<string, PageTimes> = {}
  for (const country of ['SE', 'GB']) {
    for (const [name, filter] of Object.entries(filtersOf(log))) {
      found[`${country}: ${name}`] = await measureFilter(log, { caller: callerOf(country), filter, samples })
    }
  }
  return found
}

export interface PageTimes {
  first: Times
  deep: Times
  rows: number
}

interface Asking {
  caller: Caller
  filter: () => EntryQuery
  samples: number
}

async function measureFilter(log: BenchLog, { caller, filter, samples }: Asking): Promise<PageTimes> {
  let rows = 0
  const ask = async (query: EntryQuery) => {
    const page = await findEntries(log.ctx, { purpose: 'benchmark', limit, ...query }, caller)
    rows = Math.max(rows, page.entries.length)
  }
  const first = await time(samples, () => ask(filter()))
  const deep = await time(samples, () => ask({ ...filter(), after: deepIn(log) }))
  return { first, deep, rows }
}

function deepIn(log: BenchLog): string {
  const size = sizeOf(log)
  return Buffer.from(`l${new Date().getUTCFullYear()}.${draw(size * 0.85, size * 0.95)}`).toString('base64url')
}

function filtersOf({ marks }: BenchLog): Record<string, () => EntryQuery> {
  const times = marks.map(({ at }) => at).sort((one, other) => one.getTime() - other.getTime())
  const at = (share: number) => times[Math.floor((times.length - 1) * share)]?.toISOString() ?? ''
  return {
    none: () => ({}),
    'since and until': () => ({ since: at(0.4), until: at(0.97) }),
    event: () => ({ event: 'handoff.sent' }),
    'event, rare': () => ({ event: 'hold.placed' }),
    member: () => ({ member: 'hotline-se' }),
    'member, another rare one': () => ({ member: 'hotline-jp' }),
    country: () => ({ country: 'SE' }),
    'country, another rare one': () => ({ country: 'JP' }),
    'country and event': () => ({ country: 'SE', event: 'handoff.receipt' }),
    'country and member': () => ({ country: 'SE', member: 'hotline-se' }),
    item: () => ({ item: pick(marks).item }),
    case: () => ({ case: caseOf(pick(marks).item) }),
  }
}
