// Checks the signed note of a checkpoint against a policy, and says what is wrong as faults. Promise: every line of a key that the policy
// knows is verified; lines of other keys count for nothing.
import { verifySignature } from '#crypto/checkpoint-note.ts'
import { type Checkpoint, parseCheckpoint } from '#domain/checkpoint.ts'
import { parseNote, type SignedNote } from '#domain/signed-note.ts'
import { quorumMoment } from '#domain/time-bracket.ts'
import { describeQuorum, meetsQuorum, type Policy } from '#domain/tlog-policy.ts'
import type { Fault } from '#domain/verdict.ts'
import { CrosslineError } from '#errors.ts'

export interface CheckedNote {
  checkpoint: Checkpoint
  /** By their names in the policy; `at` is each witness's own clock. */
  witnesses: { name: string; at: Date }[]
  /** How many witnesses cosigned, how many the policy asks for at least, and of how many it knows. */
  witnessed: number
  needed: number
  of: number
  /** When enough witnesses had signed, by their own clocks; nothing where they never had, or none is needed. */
  moment: Date | undefined
  /** By a key of the log that the policy names; `unknown`: it names none that signed. */
  signed: 'well' | 'badly' | 'unknown'
  faults: Fault[]
}

/** Nothing when it is no checkpoint at all: then `why` is called with what it lacks. */
export function checkNote(bytes: Buffer, policy: Policy, why: (says: string) => void): CheckedNote | undefined {
  const text = bytes.toString('utf8')
  const parsed = attempt(() => readNote(text), why)
  if (!parsed) return undefined
  const { note, checkpoint } = parsed
  const faults: Fault[] = []
  const add = (fault: Omit<Fault, 'log'>) => faults.push({ ...fault, log: checkpoint.origin })
  const signed = checkLogSignature(note, { checkpoint, policy }, add)
  const witnesses = policy.witnesses.flatMap(({ name, key }) => {
    const at = attempt(
      () => verifySignature(note, key),
      () => add({ stage: 'signature', kind: 'tampered', says: 'A witness’s cosignature does not verify.' }),
    )
    return at instanceof Date ? [{ name, at }] : []
  })
  const k = countNames(policy, (name) => witnesses.some((witness) => witness.name === name))
  const of = countNames(policy, () => true)
  const { needed } = describeQuorum(policy)
  if (!meetsQuorum(policy, new Set(witnesses.map(({ name }) => name))))
    add({ stage: 'quorum', kind: 'incomplete', says: `Witnessed ${k} of ${of}: fewer than the policy asks for (${needed}).` })
  return { checkpoint, witnesses, witnessed: k, needed, of, moment: quorumMoment(policy, witnesses), signed, faults }
}

/** Witnesses of the policy, each once however many keys it has. */
const countNames = (policy: Policy, counts: (name: string) => boolean): number =>
  new Set(policy.witnesses.filter(({ name }) => counts(name)).map(({ key }) => key.name)).size

function readNote(text: string): { note: SignedNote; checkpoint: Checkpoint } {
  const note = parseNote(text)
  return { note, checkpoint: parseCheckpoint(note.text) }
}

function checkLogSignature(
  note: SignedNote,
  { checkpoint, policy }: { checkpoint: Checkpoint; policy: Policy },
  add: (fault: Omit<Fault, 'log'>) => void,
): CheckedNote['signed'] {
  const keys = policy.logs.filter(({ name }) => name === checkpoint.origin)
  if (keys.length === 0) {
    add({
      stage: 'signature',
      kind: 'incomplete',
      says: 'The policy names no key of this log: nothing can be verified with it.',
    })
    return 'unknown'
  }
  const signed = keys.map((key) =>
    attempt(
      () => verifySignature(note, key),
      () => add({ stage: 'signature', kind: 'tampered', says: 'The log’s signature does not verify.' }),
    ),
  )
  if (signed.includes(undefined)) return 'badly'
  if (signed.includes(true)) return 'well'
  add({
    stage: 'signature',
    kind: 'tampered',
    says: 'The checkpoint is not signed by the key of this log that the policy names.',
  })
  return 'unknown'
}

function attempt<T>(look: () => T, why: (says: string) => void): T | undefined {
  try {
    return look()
  } catch (error) {
    if (!(error instanceof CrosslineError)) throw error
    why(error.detail ?? error.message)
    return undefined
  }
}
