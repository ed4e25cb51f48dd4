// The checkpoints beside entries that say when these were written: each against the log's key, the policy and the tree, one by one as they
// are needed. Promise: one that is forged, or of another tree, is told; one that too few witnesses signed is counted and bounds nothing.
import { parseBracketLine } from '#domain/bundle-bracket.ts'
import type { CheckCounts } from '#domain/log-check.ts'
import type { WitnessedSize } from '#domain/time-bracket.ts'
import type { Policy } from '#domain/tlog-policy.ts'
import type { Fault, Faults } from '#domain/verdict.ts'
import { isFault, type VerifiedTree } from '#domain/verified-tiles.ts'
import { CrosslineError } from '#errors.ts'
import { type CheckedNote, checkNote } from './check-note.ts'
import { type MemberPlace, type OpenBundle, readPieces } from './read-bundle.ts'
import { readLines } from './read-lines.ts'

export interface BracketCheck {
  /** Origin of the log, and its tree as it is verified. */
  log: string
  tree: VerifiedTree
  policy: Policy
  faults: Faults
  counts: CheckCounts
}

/** Takes signed notes; gives those that bound anything. What is none goes to `refuse`. */
export function* checkBrackets(
  notes: Iterable<string>,
  check: BracketCheck,
  refuse: (says: string) => void,
): Generator<WitnessedSize> {
  let before = -1
  for (const note of notes) {
    const checked = checkNote(Buffer.from(note), check.policy, refuse)
    if (!checked) continue
    const { size } = checked.checkpoint
    const fault = findFault(checked, check, before)
    before = size
    if (fault) check.faults.add({ ...fault, log: check.log })
    else if (checked.signed === 'well' && checked.moment) yield { size, moment: checked.moment }
    else check.counts.unusedNotes++
  }
}

/** Those of a chunk in a bundle, read as they are needed. Throws `broken_file`. */
export function readBrackets(bundle: OpenBundle, member: MemberPlace, check: BracketCheck): Generator<WitnessedSize> {
  return checkBrackets(readNotes(bundle, member), check, refuse)
}

function* readNotes(bundle: OpenBundle, member: MemberPlace): Generator<string> {
  for (const text of readLines(readPieces(bundle, member)))
    for (const line of text.slice(0, -1).split('\n')) yield parseBracketLine(line) ?? refuse()
}

function findFault(checked: CheckedNote, { log, tree }: BracketCheck, before: number): Omit<Fault, 'log'> | undefined {
  const { checkpoint, signed, faults } = checked
  if (checkpoint.origin !== log)
    return { stage: 'read', kind: 'tampered', says: 'A checkpoint beside the entries is that of another log.' }
  // A key that the policy does not name is nobody's: the log may have had another key then.
  const forged = faults.find(({ stage }) => stage === 'signature')
  if (forged && signed !== 'unknown') return { ...forged, says: `A checkpoint beside the entries: ${forged.says}` }
  if (signed === 'well' && contradicts(checkpoint, tree))
    return {
      stage: 'consistency',
      kind: 'tampered',
      says: 'A checkpoint beside the entries is not one of this log: it was changed behind it, or it tells two stories.',
    }
  if (checkpoint.size > before) return undefined
  return { stage: 'time', kind: 'tampered', says: 'The checkpoints beside the entries do not come in the order of their sizes.' }
}

/** Nothing contradicts where the hashes that lead there are not at hand. */
function contradicts({ size, root }: CheckedNote['checkpoint'], tree: VerifiedTree): boolean {
  // Every tree begins with the empty one, whose root the form of a checkpoint asks for.
  if (size === 0) return false
  if (size > tree.size) return true
  const own = tree.rootAt(size)
  return !isFault(own) && !own.equals(root)
}

function refuse(): never {
  throw new CrosslineError('broken_file', {
    detail: 'A line of the checkpoints beside the entries does not have its exact form.',
  })
}
