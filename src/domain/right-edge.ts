// All that must be kept of a tree to let it grow: the hashes of the full subtrees along its right edge, largest first, at most 53.
// They stand for the ones in the binary form of the size.

import { CrosslineError } from '#errors.ts'
import { merkleRoot, nodeHash } from './merkle.ts'

export interface RightEdge {
  /** Leaves in the tree. */
  size: number
  /** 32 bytes each, largest subtree first. */
  hashes: Buffer[]
}

/** The edge after more leaf hashes; the given one stays as it is. Throws `bad_evidence` for an edge that no tree has. */
export function growEdge(edge: RightEdge, leaves: readonly Buffer[]): RightEdge {
  refuseImpossible(edge)
  if (!Number.isSafeInteger(edge.size + leaves.length)) throw refusal('the tree would be too large')
  if (leaves.some((leaf) => leaf.length !== 32)) throw refusal('a leaf hash has not 32 bytes')
  const hashes = [...edge.hashes]
  leaves.forEach((leaf, n) => {
    hashes.push(closeSubtrees(hashes, leaf, edge.size + n))
  })
  return { size: edge.size + leaves.length, hashes }
}

/** The root of the whole tree. Throws `bad_evidence` for an edge that no tree has. */
export function rootOfEdge(edge: RightEdge): Buffer {
  refuseImpossible(edge)
  return edge.hashes.length === 0 ? merkleRoot([]) : edge.hashes.reduceRight((right, left) => nodeHash(left, right))
}

// A leaf completes a subtree for each one at the end of the size before it, as adding 1 carries.
function closeSubtrees(hashes: Buffer[], leaf: Buffer, size: number): Buffer {
  let node = leaf
  for (let rest = size; rest % 2 === 1; rest = (rest - 1) / 2) node = nodeHash(hashes.pop() as Buffer, node)
  return node
}

function refuseImpossible({ size, hashes }: RightEdge): void {
  if (!Number.isSafeInteger(size) || size < 0) throw refusal('the size is not a number from 0 to 2^53 - 1')
  let subtrees = 0
  for (let rest = size; rest > 0; rest = Math.floor(rest / 2)) subtrees += rest % 2
  if (hashes.length !== subtrees || hashes.some((hash) => hash.length !== 32)) throw refusal('its hashes do not fit its size')
}

const refusal = (why: string): CrosslineError =>
  new CrosslineError('bad_evidence', { detail: `Not the right edge of a tree: ${why}` })
