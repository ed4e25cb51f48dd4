// Checks the entries of one log in the order of their leaves, against the tree that its checkpoint signs: the same for a bundle and for a
// database. Each fault goes to `faults`; an entry that is good costs a few hashes and no memory.

import { hash } from 'node:crypto'
import { commitmentOf, type EntryText } from './entry-text.ts'
import type { ItemHeads } from './item-heads.ts'
import type { Bracket } from './time-bracket.ts'
import type { Fault, Faults } from './verdict.ts'
import { isFault, type VerifiedTree } from './verified-tiles.ts'

/** What must be there: every entry of the log, every entry of its items, or nothing in particular. */
export type Completeness = 'log' | 'items' | 'none'

export interface LogCheckOptions {
  /** Origin of the log. */
  log: string
  tree: VerifiedTree
  heads: ItemHeads
  faults: Faults
  complete: Completeness
  /** Between which moments the entry at a place was written, by what witnesses state. */
  around: (index: number) => Bracket
  counts: CheckCounts
}

/** How much was looked at. */
export interface CheckCounts {
  entries: number
  disclosed: number
  /** Entries whose `seen` is the root that the tree had then; the others could not be compared with what is there. */
  seen: number
  /** Entries whose predecessor is not there. */
  openStarts: number
  gaps: number
  /** Entries between two checkpoints that enough witnesses had signed: the last without the entry and the first with it. */
  bracketed: number
  /** Where these two are furthest apart. */
  widest: { seconds: number; log: string; index: number } | null
  /** Entries before which no such checkpoint is there. */
  noEarlier: number
  /** Checkpoints beside the entries that bound nothing: too few witnesses of the policy have signed, or a key that it does not name. */
  unusedNotes: number
}

export interface LogCheck {
  /** The next entry; `leaf` is the hash of its own bytes. */
  entry(index: number, entry: EntryText, leaf: Buffer): void
  /** What opens a commitment of the entry: the value as canonical JSON. */
  disclosure(index: number, entry: EntryText, opened: { name: string; salt: string; value: string }): void
  /** How many entries came. */
  readonly entries: number
  /** The place after the last of them. */
  readonly next: number
}

export const newCounts = (): CheckCounts => ({
  entries: 0,
  disclosed: 0,
  seen: 0,
  openStarts: 0,
  gaps: 0,
  bracketed: 0,
  widest: null,
  noEarlier: 0,
  unusedNotes: 0,
})

const emptyRoot = hash('sha256', '', 'base64url')
const width = 256
// Roots at earlier sizes, as text; many entries have seen the same checkpoint.
const maxKnownRoots = 4096

/** Starts before the first entry. */
export function createLogCheck(options: LogCheckOptions): LogCheck {
  const { log, tree, heads, faults, counts } = options
  const rootAt = knownRoots(tree)
  let next = 0
  let entries = 0
  let isWhole = options.complete === 'log'
  let tileIndex = -1
  let leaves = Buffer.alloc(0)

  const add = (fault: Omit<Fault, 'log'>) => faults.add({ ...fault, log })
  const checkLeaf = (index: number, leaf: Buffer) => {
    if (Math.floor(index / width) !== tileIndex && !openTile(index)) return
    const at = (index % width) * 32
    if (leaf.compare(leaves, at, at + 32) !== 0)
      add({
        stage: 'inclusion',
        kind: 'tampered',
        index,
        says: 'The entry is not the one that was sealed at this place: it was altered, exchanged or inserted.',
      })
  }
  const openTile = (index: number): boolean => {
    const found = tree.leaves(Math.floor(index / width))
    if (isFault(found)) {
      add(tileFault(found.kind, index))
      return false
    }
    tileIndex = Math.floor(index / width)
    leaves = found as Buffer<ArrayBuffer>
    return true
  }
  const checkPlace = (index: number): boolean => {
    const isNext = options.complete === 'log' ? index === next : index >= next
    if (index >= tree.size)
      add({
        stage: 'inclusion',
        kind: 'tampered',
        index,
        says: 'The entry says that it stands outside the tree of the checkpoint.',
      })
    else if (index < next)
      add({ stage: 'inclusion', kind: 'tampered', index, says: 'The entries do not come in the order of their places.' })
    else if (!isNext) add({ stage: 'inclusion', kind: 'incomplete', index: next, says: 'The entry at this place is missing.' })
    if (!isNext) isWhole = false
    return index < tree.size
  }
  const checkChain = (index: number, entry: EntryText, leaf: Buffer) => {
    const following = heads.advance({ ref: entry.ref, n: entry.n, prev: entry.prev, leaf })
    if (following === 'follows' || following === 'begins') return
    if (following === 'contradicts')
      add({
        stage: 'chain',
        kind: 'tampered',
        index,
        says: 'The entry does not follow on the entry before it of the same item (n, prev).',
      })
    else if (following === 'skips') checkGap(index)
    else checkStart(index)
  }
  const checkGap = (index: number) => {
    counts.gaps++
    // Where entries are missing, it may be they that the item lacks.
    if (isWhole)
      add({
        stage: 'chain',
        kind: 'tampered',
        index,
        says: 'The log itself leaves out an entry of the item before this one (n).',
      })
    if (options.complete === 'items')
      add({ stage: 'chain', kind: 'incomplete', index, says: 'An entry of the item is missing before this one (n).' })
  }
  const checkStart = (index: number) => {
    counts.openStarts++
    if (options.complete === 'items')
      add({ stage: 'chain', kind: 'incomplete', index, says: 'The first entries of the item are missing before this one (n).' })
  }
  const checkSeen = (index: number, { seenSize, seenRoot }: EntryText) => {
    // Who had seen nothing says so with the empty tree.
    if (seenSize === 0 && seenRoot === emptyRoot) return
    const known = seenSize > 0 && seenSize <= index ? rootAt(seenSize) : undefined
    if (known === seenRoot) counts.seen++
    else if (known !== undefined || seenSize > index || seenSize === 0)
      add({
        stage: 'time',
        kind: 'tampered',
        index,
        says: 'The entry claims to have seen a checkpoint that the log did not have when it was written: it was dated back or moved.',
      })
  }
  const checkTime = (index: number, { at }: EntryText) => {
    const bracket = options.around(index)
    countBracket(index, bracket)
    if (at < bracket.notBefore)
      add({
        stage: 'time',
        kind: 'tampered',
        index,
        says: 'The entry is dated before the moment when witnesses had cosigned the log without it: it was dated back.',
      })
    else if (at > bracket.notAfter)
      add({
        stage: 'time',
        kind: 'tampered',
        index,
        says: 'The entry is dated after the moment when witnesses had already cosigned it.',
      })
  }
  const countBracket = (index: number, { hasEarlier, seconds }: Bracket) => {
    if (!hasEarlier) counts.noEarlier++
    if (seconds === undefined) return
    counts.bracketed++
    if (!counts.widest || seconds > counts.widest.seconds) counts.widest = { seconds, log, index }
  }
  const entry = (index: number, entry: EntryText, leaf: Buffer) => {
    entries++
    counts.entries++
    if (checkPlace(index)) checkLeaf(index, leaf)
    next = Math.max(next, index + 1)
    if (entry.log !== log) add({ stage: 'inclusion', kind: 'tampered', index, says: 'The entry belongs to another log.' })
    checkChain(index, entry, leaf)
    checkSeen(index, entry)
    checkTime(index, entry)
  }
  const disclosure: LogCheck['disclosure'] = (index, entry, opened) => {
    counts.disclosed++
    if (commitmentOf(entry, opened.name) !== openCommitment(opened.salt, opened.value))
      add({ stage: 'disclosure', kind: 'tampered', index, says: 'A disclosed value is not the one that the entry commits to.' })
  }
  return {
    entry,
    disclosure,
    get entries() {
      return entries
    },
    get next() {
      return next
    },
  }
}

/** What to say of a tile that is missing, or not the checkpoint's. */
export function tileFault(kind: 'missing' | 'foreign', index?: number): Omit<Fault, 'log'> {
  const place = index === undefined ? {} : { index }
  return kind === 'missing'
    ? {
        stage: 'root',
        kind: 'incomplete',
        ...place,
        says: 'Hashes that lead from the entries to the root of the checkpoint are missing.',
      }
    : {
        stage: 'root',
        kind: 'tampered',
        ...place,
        says: 'The hashes of the tree do not lead to the root that the checkpoint signs.',
      }
}

function knownRoots(tree: VerifiedTree): (size: number) => string | undefined {
  const known = new Map<number, string | undefined>()
  return (size) => {
    if (size > tree.size) return undefined
    if (known.has(size)) return known.get(size)
    const root = tree.rootAt(size)
    const text = isFault(root) ? undefined : root.toString('base64url')
    if (known.size >= maxKnownRoots) known.clear()
    known.set(size, text)
    return text
  }
}

let scratch = Buffer.alloc(4096)

/** SHA-256(salt ‖ value), base64url, of a value that is canonical JSON already. */
function openCommitment(salt: string, value: string): string {
  const most = 32 + value.length * 3
  if (scratch.length < most) scratch = Buffer.alloc(most)
  scratch.write(salt, 0, 32, 'base64url')
  return hash('sha256', scratch.subarray(0, 32 + scratch.write(value, 32)), 'base64url')
}
