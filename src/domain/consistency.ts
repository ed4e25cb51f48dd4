// The strict check that one tree only grew into another: RFC 9162 §2.1.4.2 (the proofs of RFC 6962 §2.1.2).

import { CrosslineError } from '#errors.ts'
import { nodeHash } from './merkle.ts'

/** Two states of a log and the hashes that lead from the first to the second. */
export interface Consistency {
  first: number
  firstRoot: Buffer
  second: number
  secondRoot: Buffer
  path: readonly Buffer[]
}

/**
 * Checks that the second tree begins with all leaves of the first. Throws `bad_evidence` for any other proof, and for a first
 * size of 0: every tree follows the empty one, so that would prove nothing.
 */
export function verifyConsistency(proof: Consistency): void {
  refuseImpossible(proof)
  const { firstRoot, secondRoot } = proof
  if (proof.first === proof.second) {
    if (proof.path.length > 0) throw refusal('the path is too long')
    if (!firstRoot.equals(secondRoot)) throw refusal('two trees of the same size differ')
    return
  }
  const roots = walk(proof)
  if (!roots.first.equals(firstRoot)) throw refusal('the path does not lead to the first root')
  if (!roots.second.equals(secondRoot)) throw refusal('the path does not lead to the second root')
}

// Both trees are climbed at once: `at` is the last leaf of the first tree, `last` that of the second.
function walk({ first: firstSize, firstRoot, second: secondSize, path }: Consistency): { first: Buffer; second: Buffer } {
  // Where the first tree is one full subtree of the second, the proof leaves out what the verifier holds: its root.
  const [start, ...rest] = isPowerOfTwo(firstSize) ? [firstRoot, ...path] : path
  if (!start) throw refusal('the path is too short')
  let at = firstSize - 1
  let last = secondSize - 1
  // Division, not shifts: sizes go up to 2^53.
  const up = () => {
    at = Math.floor(at / 2)
    last = Math.floor(last / 2)
  }
  while (at % 2 === 1) up()
  let first = start
  let second = start
  for (const hash of rest) {
    if (last === 0) throw refusal('the path is too long')
    if (at % 2 === 1 || at === last) {
      first = nodeHash(hash, first)
      second = nodeHash(hash, second)
      while (at % 2 === 0 && at !== 0) up()
    } else second = nodeHash(second, hash)
    up()
  }
  if (last !== 0) throw refusal('the path is too short')
  return { first, second }
}

function refuseImpossible({ first, firstRoot, second, secondRoot, path }: Consistency): void {
  if (!Number.isSafeInteger(first) || !Number.isSafeInteger(second)) throw refusal('a size is not a number up to 2^53 - 1')
  if (first < 1) throw refusal('from the empty tree nothing can be proven')
  if (first > second) throw refusal('the second tree is smaller')
  if ([firstRoot, secondRoot, ...path].some((hash) => hash.length !== 32)) throw refusal('a hash has not 32 bytes')
}

function isPowerOfTwo(size: number): boolean {
  let rest = size
  while (rest % 2 === 0) rest /= 2
  return rest === 1
}

const refusal = (why: string): CrosslineError =>
  new CrosslineError('bad_evidence', { detail: `Consistency does not verify: ${why}` })
