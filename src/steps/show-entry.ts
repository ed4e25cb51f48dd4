// A sealed entry as a liaison gets it: the bytes, what it may see of their commitments, and how far the entry is proven.
import { originOf } from '#domain/network-policy.ts'
import type { EntryView, ReadUnder } from '#schema/audit.ts'
import type { FoundEntry, LeafPlace } from '#storage/liaison-store.ts'
import { findWitnessedSizes } from '#storage/proof-store.ts'
import { findLatestCheckpoint } from '#storage/tree-store.ts'
import type { Actor, Opening } from './append-audit.ts'
import type { Caller, StepContext } from './context.ts'
import { openJson, openSubjectKey } from './subject-keys.ts'

/** The newest checkpoint, and the place that it ends at. */
export interface SealedEnd {
  checkpoint: ReadUnder
  place: LeafPlace
}

/** Up to where the log is signed now; undefined before the first checkpoint. */
export async function findSealedEnd(ctx: Pick<StepContext, 'db'>): Promise<SealedEnd | undefined> {
  const newest = await findLatestCheckpoint(ctx.db)
  if (!newest) return undefined
  const { year, origin, size, root, signedAt } = newest
  return {
    checkpoint: { origin, size, root: root.toString('base64url'), signedAt: signedAt.toISOString() },
    place: { year, index: size },
  }
}

export interface Shown {
  found: readonly FoundEntry[]
  end: SealedEnd | undefined
  caller: Caller
}

/** How each of the entries found is shown. The log's checkpoints and cosignatures are looked up once for all of them. */
export async function makeViews(ctx: StepContext, { found, end, caller }: Shown): Promise<(entry: FoundEntry) => EntryView> {
  const years = [...new Set(found.map(({ year }) => year))]
  const shards = new Map(await Promise.all(years.map(async (year) => [year, await readShard(ctx, year, end)] as const)))
  return (entry) => ({
    log: originOf(ctx.self, entry.year),
    year: entry.year,
    index: entry.index,
    recordedAt: entry.recorded_at.toISOString(),
    leaf: entry.leaf.toString('base64url'),
    country: entry.country,
    entry: entry.entry.toString(),
    disclosed: disclose(ctx, entry, caller),
    proof: prove(entry, shards.get(entry.year) as Shard),
  })
}

interface Shard {
  size: number
  /** For each witness, the largest size that it cosigned. */
  witnessed: number[]
}

async function readShard(ctx: StepContext, year: number, end: SealedEnd | undefined): Promise<Shard> {
  const size = end?.place.year === year ? end.place.index : ((await findLatestCheckpoint(ctx.db, year))?.size ?? 0)
  return { size, witnessed: await findWitnessedSizes(ctx.db, { year, size }, ctx.witnesses()) }
}

function prove({ index }: FoundEntry, { size, witnessed }: Shard): EntryView['proof'] {
  return { sealed: true, witnessed: witnessed.filter((each) => each > index).length, of: witnessed.length, size }
}

const askings = ['audit.queried', 'audit.exported']

/** What another liaison asked, and why, stays closed: that it asked is all that the log shows. */
export function disclose(
  ctx: Pick<StepContext, 'keys'>,
  { subject, sealed, wrapped, event }: FoundEntry,
  { client }: { client: { fingerprint: string | undefined } },
): Opening {
  if (!subject || !sealed || !wrapped) return {}
  const opening = openJson(openSubjectKey(ctx, subject, wrapped), 'audit', sealed) as Opening
  const actor = opening.actor?.value as Actor | undefined
  const isAnothers = askings.includes(event) && !(actor?.kind === 'client' && actor.fingerprint === client.fingerprint)
  return isAnothers ? {} : opening
}
