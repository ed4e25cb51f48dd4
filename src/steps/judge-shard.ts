// How far the witnesses vouch for a shard as it is stored: the policy that counts, the newest checkpoint that has a quorum under it.
import type { CheckCounts } from '#domain/log-check.ts'
import { describePolicy, parseOrigin } from '#domain/network-policy.ts'
import type { WitnessedSize } from '#domain/time-bracket.ts'
import { describeQuorum, type Policy, parsePolicy } from '#domain/tlog-policy.ts'
import type { Faults } from '#domain/verdict.ts'
import { findBracketNotes } from '#storage/bracket-store.ts'
import type { StoredShard } from '#storage/fsck-store.ts'
import { findCheckpointAt } from '#storage/tree-store.ts'
import { findCosignatures, findCosignedSizes } from '#storage/witness-store.ts'
import { ownLogKeys, type PolicyContext, witnessesOf } from './audit-policy.ts'
import { checkBrackets } from './check-brackets.ts'
import { type CheckedNote, checkNote } from './check-note.ts'
import type { StepContext } from './context.ts'
import { lastNote, type OpenYear } from './open-years.ts'
import { withCosignatures } from './witness-checkpoint.ts'

export type JudgeContext = PolicyContext & Pick<StepContext, 'db' | 'auditKey'>

/** Checkpoints that are looked at for a quorum. */
const maxLooked = 50

/** The operator's policy, else every audit key of ours and the witnesses that the directory names. */
export function policyFor(ctx: JudgeContext, origin: string): Policy {
  if (ctx.auditPolicy !== undefined) return parsePolicy(ctx.auditPolicy)
  const witnesses = witnessesOf(ctx, [parseOrigin(origin)?.year ?? 0])
  return parsePolicy(describePolicy({ logs: ownLogKeys(ctx, origin), witnesses }))
}

export interface Judging {
  policy: Policy
  faults: Faults
}

/** A stored checkpoint with the cosignatures that it has by now; one that can't be read is a fault. */
export async function readStoredNote(
  { db }: JudgeContext,
  at: { year: number; size: number; note: string },
  { policy, faults }: Judging,
): Promise<CheckedNote | undefined> {
  const lines = await findCosignatures(db, at.year, at.size)
  const note = withCosignatures(
    at.note,
    lines.map(({ line }) => line),
  )
  return checkNote(Buffer.from(note), policy, (says) => faults.add({ stage: 'read', kind: 'tampered', says }))
}

/** The newest checkpoint with a quorum. A cosignature that does not verify is a fault wherever it stands. */
export async function findWitnessed(
  ctx: JudgeContext,
  { year }: StoredShard,
  judging: Judging,
): Promise<CheckedNote | undefined> {
  for (const size of await findCosignedSizes(ctx.db, {
    year,
    witnesses: describeQuorum(judging.policy).needed,
    limit: maxLooked,
  })) {
    const stored = await findCheckpointAt(ctx.db, year, size)
    const checked = stored && (await readStoredNote(ctx, { year, size, note: stored.note }, judging))
    if (!checked) continue
    for (const fault of checked.faults) if (fault.stage === 'signature') judging.faults.add(fault)
    if (!checked.faults.some(({ stage }) => stage === 'quorum')) return checked
  }
  return undefined
}

/** The checkpoints around the entries at these places, as a bundle would show them. */
export async function findBrackets(
  ctx: JudgeContext,
  indexes: readonly number[],
  { year, faults, counts }: { year: OpenYear; faults: Faults; counts: CheckCounts },
): Promise<Iterable<WitnessedSize>> {
  const { origin, tree, size } = year
  const policy = policyFor(ctx, origin)
  const notes = await findBracketNotes(ctx.db, { year: Number(year.year), policy, indexes, before: size + 1 })
  return checkBrackets(notes, { log: origin, tree, policy, faults, counts }, (says) =>
    faults.add({ stage: 'read', kind: 'tampered', log: origin, says }),
  )
}

/** What a witnessed checkpoint says of its log beyond the newest one. */
export const pickWitness = (checked: CheckedNote): Pick<OpenYear, 'last' | 'witnesses' | 'witnessed'> => ({
  last: lastNote(checked),
  witnesses: checked.witnesses.map(({ name, at }) => ({ name, at: at.toISOString() })),
  witnessed: checked.witnessed,
})
