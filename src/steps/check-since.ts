// Compares an older checkpoint that somebody kept with the log as it is shown now: it must be a prefix. That is what shows a log that was
// rolled back, or that tells different people different things.
import type { Policy } from '#domain/tlog-policy.ts'
import type { Fault, Faults } from '#domain/verdict.ts'
import type { Verification } from '#domain/verification.ts'
import { isFault } from '#domain/verified-tiles.ts'
import { checkNote } from './check-note.ts'
import type { OpenYear } from './open-years.ts'

/** Adds what is wrong to `faults`. Whether the old checkpoint had enough witnesses is not asked: whoever kept it trusts it. */
export function checkSince(
  note: Buffer,
  { policy, faults, years }: { policy: Policy; faults: Faults; years: readonly OpenYear[] },
): Verification['since'] {
  const add = (fault: Omit<Fault, 'stage'>) => void faults.add({ stage: 'consistency', ...fault })
  const old = checkNote(note, policy, (says) => add({ kind: 'unreadable', says: `The older checkpoint can’t be read. ${says}` }))
  if (!old) return 'not proven'
  const { checkpoint } = old
  for (const fault of old.faults) if (fault.stage === 'signature') add({ ...fault, says: `The older checkpoint: ${fault.says}` })
  const year = years.find(({ origin }) => origin === checkpoint.origin)
  const fault = year
    ? compare(checkpoint, year)
    : ({ kind: 'incomplete', says: 'The bundle says nothing about the log of the older checkpoint.' } as const)
  if (!fault) return 'extended'
  add({ ...fault, log: checkpoint.origin })
  return 'not proven'
}

function compare(old: { size: number; root: Buffer }, { size, tree }: OpenYear): Omit<Fault, 'stage'> | undefined {
  // Every tree begins with the empty one.
  if (old.size === 0) return { kind: 'incomplete', says: 'The older checkpoint is of the empty log: it proves nothing.' }
  if (old.size > size)
    return {
      kind: 'incomplete',
      says: 'The bundle shows the log as it was before the older checkpoint. Ask for a newer one; if there is none, the log was rolled back.',
    }
  const root = tree.rootAt(old.size)
  if (isFault(root)) {
    return root.kind === 'missing'
      ? { kind: 'incomplete', says: 'The bundle does not hold the hashes that lead from the older checkpoint to its own.' }
      : { kind: 'tampered', says: 'The hashes of the tree do not lead to the root that the checkpoint signs.' }
  }
  if (root.equals(old.root)) return undefined
  return {
    kind: 'tampered',
    says: 'The log is not the one that the older checkpoint saw: it was changed behind it, or it tells two stories.',
  }
}
