// What a witness makes of a checkpoint, given the last that it cosigned of the same log: C2SP tlog-witness as one pure decision.
import { CrosslineError } from '#errors.ts'
import { verifyConsistency } from './consistency.ts'

export interface TreeState {
  size: number
  root: Buffer
}

/** A checkpoint that the log has signed, with the size that the sender takes us to hold, and its proof from there. */
export interface Submission extends TreeState {
  old: number
  path: readonly Buffer[]
}

/**
 * grown, repeat: it may be cosigned. stale: the sender means another size than we hold. fork: another root at the size that we hold.
 * rollback: less than we hold. broken_proof: it does not follow on what we hold.
 */
export type Verdict = 'grown' | 'repeat' | 'stale' | 'fork' | 'rollback' | 'broken_proof'

/** `held` has size 0 before the first time. `old` is at most the submitted size: the caller has refused anything else. */
export function judgeSubmission(held: TreeState, { old, path, size, root }: Submission): Verdict {
  // What contradicts shows whatever the sender says that it expects.
  if (size === held.size && !root.equals(held.root)) return 'fork'
  if (size < held.size) return 'rollback'
  if (old !== held.size) return 'stale'
  // Every tree follows the empty one: the verifier refuses to be asked, and a proof would prove nothing.
  if (old === 0 || old === size) return path.length > 0 ? 'broken_proof' : old === size ? 'repeat' : 'grown'
  return isConsistent(held, { path, size, root }) ? 'grown' : 'broken_proof'
}

function isConsistent(held: TreeState, { path, size, root }: Omit<Submission, 'old'>): boolean {
  try {
    verifyConsistency({ first: held.size, firstRoot: held.root, second: size, secondRoot: root, path })
    return true
  } catch (error) {
    if (error instanceof CrosslineError && error.code === 'bad_evidence') return false
    throw error
  }
}
