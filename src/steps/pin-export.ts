// What an export stands on: one checkpoint, those of the years before, the policy that they verify under, and the index of items.
import { describeQuorum } from '#domain/tlog-policy.ts'
import { CrosslineError } from '#errors.ts'
import { findYears } from '#storage/export-store.ts'
import { findSealedIndex, type SealedIndex } from '#storage/index-store.ts'
import type { AuditFilter, AuditScope, LeafPlace } from '#storage/liaison-store.ts'
import { findCheckpointAt, findLatestCheckpoint, type StoredCheckpoint } from '#storage/tree-store.ts'
import { findCosignatures, findCosignedSizes } from '#storage/witness-store.ts'
import { countWitnesses, findAuditPolicy, type PolicyContext } from './audit-policy.ts'
import type { StepContext } from './context.ts'
import { withCosignatures } from './witness-checkpoint.ts'

export type PinContext = PolicyContext & Pick<StepContext, 'db'>

/** One signed checkpoint with the cosignatures that it has by now. */
export interface PinnedCheckpoint {
  year: number
  size: number
  note: string
}

export interface Pin {
  /** Nothing from this place on is exported. */
  end: LeafPlace
  /** The checkpoint of each year up to the pinned one. */
  checkpoints: PinnedCheckpoint[]
  index: SealedIndex | undefined
}

/** What building a bundle needs. */
export type ExportContext = PinContext & Pick<StepContext, 'keys'>

/** What is exported, for whom, under which checkpoint. */
export interface ExportPlan {
  scope: AuditScope
  filter: Omit<AuditFilter, 'before' | 'after' | 'limit'>
  format: 'ndjson' | 'csv'
  /** Fingerprint of the liaison's certificate: what others asked stays closed to it, and without one what anybody asked. */
  client: string | undefined
  pin: Pin
  maxRows: number
  /** Called between two chunks; what it throws ends the export. */
  onProgress(progress: { rows: number; total: number; bytes: number }): Promise<void>
}

/** Which checkpoint, and which index; kept, so that an export that was broken off stands on the same. */
export interface PinChoice {
  year: number
  size: number
  index_id: string | null
}

/** Checkpoints that are looked at for a quorum; the log is cosigned every few seconds. */
const maxLooked = 50

/** The newest checkpoint with a quorum, else the newest, unless one is `held` already; undefined before the first. */
export async function choosePin(
  ctx: PinContext,
  held?: { year: number; size: number } | undefined,
): Promise<PinChoice | undefined> {
  const newest = held ?? (await findLatestCheckpoint(ctx.db))
  if (!newest) return undefined
  const { year, size } = held ?? (await findWitnessed(ctx, newest.year)) ?? newest
  const index = await findSealedIndex(ctx.db, { year, index: size })
  return { year, size, index_id: index?.id ?? null }
}

async function findWitnessed(ctx: PinContext, newest: number): Promise<{ year: number; size: number } | undefined> {
  const years = (await findYears(ctx.db, newest)).reverse()
  for (const year of years.slice(0, 2)) {
    const { policy } = findAuditPolicy(ctx, year)
    for (const size of await findCosignedSizes(ctx.db, { year, witnesses: describeQuorum(policy).needed, limit: maxLooked })) {
      if (countWitnesses(policy, await findLines(ctx, { year, size })).quorum) return { year, size }
    }
  }
  return undefined
}

/** Reads what was chosen. Throws `internal` when the log has lost it. */
export async function openPin(ctx: PinContext, { year, size, index_id }: PinChoice): Promise<Pin> {
  const end = { year, index: size }
  const years = await findYears(ctx.db, year)
  const checkpoints = await Promise.all(
    years.map(async (each) => {
      const found = each === year ? await findCheckpointAt(ctx.db, year, size) : await findLatestCheckpoint(ctx.db, each)
      if (!found) throw new CrosslineError('internal', { detail: 'A checkpoint of the log is not there.' })
      return withLines(ctx, found)
    }),
  )
  return { end, checkpoints, index: index_id === null ? undefined : await findSealedIndex(ctx.db, end, index_id) }
}

async function withLines(ctx: PinContext, { year, size, note }: StoredCheckpoint): Promise<PinnedCheckpoint> {
  return { year, size, note: withCosignatures(note, await findLines(ctx, { year, size })) }
}

async function findLines(ctx: PinContext, { year, size }: { year: number; size: number }): Promise<string[]> {
  return (await findCosignatures(ctx.db, year, size)).map(({ line }) => line)
}
