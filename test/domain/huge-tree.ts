// A tree of up to 2^53 - 1 leaves that nobody could hold: all leaves are the same but one, so every node can be computed at once.

import type { TreeNode } from '#domain/tiles.ts'
import { leafOf, nodeOf } from './rfc-6962.ts'

const same = [leafOf(Buffer.from('same'))]
for (let level = 1; level <= 53; level++) same.push(nodeOf(same[level - 1]!, same[level - 1]!))
export const oddLeaf = leafOf(Buffer.from('odd'))

/** Gives the hash of any full subtree of a tree whose leaf `odd` differs from all others. */
export function hugeTree(odd: number): (node: TreeNode) => Buffer {
  const read = ({ level, index }: TreeNode): Buffer => {
    if (Math.floor(odd / 2 ** level) !== index) return same[level]!
    if (level === 0) return oddLeaf
    return nodeOf(read({ level: level - 1, index: index * 2 }), read({ level: level - 1, index: index * 2 + 1 }))
  }
  return read
}

/** MTH of the first `size` leaves by the definition: the left half is full, the right one is the same question again. */
export function hugeRoot(size: number, read: (node: TreeNode) => Buffer, begin = 0): Buffer {
  let level = 0
  while (2 ** (level + 1) <= size) level++
  const left = read({ level, index: begin / 2 ** level })
  return size === 2 ** level ? left : nodeOf(left, hugeRoot(size - 2 ** level, read, begin + 2 ** level))
}
