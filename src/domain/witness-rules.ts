// What a witness makes of a checkpoint, given the last that it cosigned of the same log: C2SP tlog-witness as pure decisions, and which
// logs it follows how closely, so that no member can make it write without end.
import { CrosslineError } from '#errors.ts'
import { verifyConsistency } from './consistency.ts'
import { parseOrigin } from './network-policy.ts'

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

/** What has grown becomes an entry of our own log: of each log at most one in this time. */
const growthGapMs = 1000

/** Whether a log that has grown is to come again later. One that we have not seen is never too soon, nor any before `checkedAt`: our clock was set. */
export function isTooSoon({ size, checkedAt }: { size: number; checkedAt: Date }, now: Date): boolean {
  const sinceMs = now.getTime() - checkedAt.getTime()
  return size > 0 && sinceMs >= 0 && sinceMs < growthGapMs
}

/** Whether it is a log that a member has now: of the year by our clock, the one before or the one after. */
export function isCurrentLog(origin: string, { member, now }: { member: string; now: Date }): boolean {
  const parsed = parseOrigin(origin)
  return parsed?.member === member && Math.abs(parsed.year - now.getUTCFullYear()) <= 1
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
