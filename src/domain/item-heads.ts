// The last entry of each item while a log is read in order, and what an index says that it should be: about 160 bytes for an item in
// flat memory, whatever the number of its entries. Refs are looked up by their own bytes, mixed with a seed that no file can know.

import type { IndexLeaf } from './index-tree.ts'

/** How an entry stands to the one before it of the same item. */
export type Following = 'follows' | 'begins' | 'begins_late' | 'skips' | 'contradicts'

export interface ItemHeads {
  /** Items known. */
  readonly size: number
  /** Takes the next entry of an item; digests are base64url. */
  advance(entry: { ref: string; n: number; prev: string | undefined; leaf: Buffer }): Following
  /** What an index says of an item: compared with the entry when it comes. False for an item that was said already. */
  expect(leaf: IndexLeaf): boolean
  /** Items whose entry that the index names did not come, or came with another leaf. */
  unmet(): { missing: number; other: number }
}

const unset = 0
const met = 1
const other = 2

/** Starts empty. `seed` makes the places of refs unforeseeable: a random odd number below 2^32. */
export function createItemHeads(seed: number): ItemHeads {
  let capacity = 1024
  let size = 0
  let slots = new Int32Array(capacity * 2).fill(-1)
  let refs = Buffer.alloc(capacity * 32)
  let leaves = Buffer.alloc(capacity * 32)
  let lasts = Buffer.alloc(capacity * 32)
  let ns = new Float64Array(capacity)
  let wanted = new Float64Array(capacity)
  let states = new Uint8Array(capacity)
  const scratch = Buffer.alloc(32)

  const place = (ref: Buffer, from: number): number => {
    const mixed = Math.imul(ref.readInt32LE(from) ^ seed, seed) ^ Math.imul(ref.readInt32LE(from + 4) ^ (seed >>> 7), 0x85ebca6b)
    return (mixed ^ (mixed >>> 15)) >>> 0
  }
  const slotOf = (ref: Buffer): number => {
    const mask = slots.length - 1
    for (let at = place(ref, 0) & mask; ; at = (at + 1) & mask) {
      const slot = slots[at] as number
      if (slot < 0) return add(ref, at)
      if (refs.compare(ref, 0, 32, slot * 32, slot * 32 + 32) === 0) return slot
    }
  }
  const add = (ref: Buffer, at: number): number => {
    if (size === capacity) {
      grow()
      return slotOf(ref)
    }
    refs.set(ref, size * 32)
    slots[at] = size
    return size++
  }
  const grow = (): void => {
    capacity *= 2
    refs = doubled(refs)
    leaves = doubled(leaves)
    lasts = doubled(lasts)
    ns = doubledNumbers(ns)
    wanted = doubledNumbers(wanted)
    states = Buffer.concat([states, new Uint8Array(states.length)])
    slots = new Int32Array(capacity * 2).fill(-1)
    const mask = slots.length - 1
    for (let slot = 0; slot < size; slot++) {
      let at = place(refs, slot * 32) & mask
      while ((slots[at] as number) >= 0) at = (at + 1) & mask
      slots[at] = slot
    }
  }
  const advance: ItemHeads['advance'] = ({ ref, n, prev, leaf }) => {
    scratch.write(ref, 0, 32, 'base64url')
    const slot = slotOf(scratch)
    const before = ns[slot] as number
    const following = follow(slot, { n, before, prev })
    ns[slot] = n
    leaves.set(leaf, slot * 32)
    if (n === wanted[slot]) states[slot] = lasts.compare(leaf, 0, 32, slot * 32, slot * 32 + 32) === 0 ? met : other
    return following
  }
  const follow = (slot: number, { n, before, prev }: { n: number; before: number; prev: string | undefined }): Following => {
    if (before === 0) return n === 1 ? 'begins' : 'begins_late'
    if (n <= before) return 'contradicts'
    if (n > before + 1) return 'skips'
    scratch.write(prev ?? '', 0, 32, 'base64url')
    return leaves.compare(scratch, 0, 32, slot * 32, slot * 32 + 32) === 0 ? 'follows' : 'contradicts'
  }
  const countStates = (): ReturnType<ItemHeads['unmet']> => {
    const found: ReturnType<ItemHeads['unmet']> = { missing: 0, other: 0 }
    for (let slot = 0; slot < size; slot++) {
      if (wanted[slot] === 0 || states[slot] === met) continue
      if (states[slot] === unset) found.missing++
      else found.other++
    }
    return found
  }
  return {
    get size() {
      return size
    },
    advance,
    expect: ({ ref, n, last }) => {
      const slot = slotOf(ref)
      if (wanted[slot] !== 0) return false
      wanted[slot] = n
      lasts.set(last, slot * 32)
      return true
    },
    unmet: countStates,
  }
}

const doubled = (bytes: Buffer<ArrayBuffer>): Buffer<ArrayBuffer> => Buffer.concat([bytes, Buffer.alloc(bytes.length)])

function doubledNumbers(numbers: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const grown = new Float64Array(numbers.length * 2)
  grown.set(numbers)
  return grown
}
