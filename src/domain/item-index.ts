// Completeness: what an index.root entry proves about items, checked line by line. A line says how many entries an item has and which is
// the last; lines that are neighbours in the sorted tree say that no item lies between them.

import { findFormFault, isCount, isDigest, orNull } from './exact-forms.ts'
import { type IndexLeaf, indexKey, indexLeafHash } from './index-tree.ts'
import { rootFromInclusion } from './merkle.ts'
import { parseStrictObject } from './strict-json.ts'

/** What an index.root entry discloses; anything until it is compared. */
export interface IndexRoot {
  root: unknown
  size: unknown
}

/** The first line: which entry the others refer to, and how many items its tree has. */
export interface IndexClaim {
  index: number
  size: number
}

export interface IndexLine extends IndexLeaf {
  place: number
  path: Buffer[]
}

const isCountry = (value: unknown) => typeof value === 'string' && /^[A-Z]{2}$/.test(value)
const isPath = (value: unknown) => Array.isArray(value) && value.length <= 53 && value.every(isDigest)
const claimForm = { required: { index: isCount, size: isCount } }
const lineForm = {
  required: { country: orNull(isCountry), ref: isDigest, n: isCount, last: isDigest, place: isCount, path: isPath },
}

/** Reads the first line; nothing when it is none. */
export function parseIndexClaim(text: string): IndexClaim | undefined {
  const value = attempt(() => parseStrictObject(text))
  return value && !findFormFault(value, claimForm) ? (value as unknown as IndexClaim) : undefined
}

/** Reads a line about an item; nothing when it is none. */
export function parseIndexLine(text: string): IndexLine | undefined {
  const value = attempt(() => parseStrictObject(text))
  if (!value || findFormFault(value, lineForm) || value.n === 0) return undefined
  const { country, ref, n, last, place, path } = value as {
    country: string | null
    ref: string
    n: number
    last: string
    place: number
    path: string[]
  }
  return { country, ref: bytes(ref), n, last: bytes(last), place, path: path.map(bytes) }
}

/** The root that a line leads to; nothing for a path that no tree of this size has. */
export function rootOfIndexLine(line: IndexLine, size: number): Buffer | undefined {
  return attempt(() => rootFromInclusion({ leaf: indexLeafHash(line), index: line.place, size, path: line.path }))
}

export interface LineOrder {
  /** Takes the next line; false when it does not come after the one before it, as the sorted tree has them. */
  take(line: IndexLine): boolean
  /** Whether the lines prove that no item of the country is left out: one run without a gap, and who stands on either side. */
  provesCountry(size: number): boolean
}

/** Watches lines for the order of the tree, and for the run of one country. */
export function watchOrder(country: string | undefined): LineOrder {
  let before: IndexLine | undefined
  let begin: 'edge' | 'neighbour' | 'gap' | undefined
  let isOpen = false
  let isBroken = false
  const side = (line: IndexLine) => Buffer.compare(Buffer.from(line.country ?? '\0\0'), Buffer.from(country ?? '\0\0'))
  return {
    take: (line) => {
      const follows = before?.place === line.place - 1
      const isSorted = !before || (line.place > before.place && Buffer.compare(keyOf(before), keyOf(line)) < 0)
      if (side(line) >= 0 && begin === undefined) begin = line.place === 0 ? 'edge' : follows ? 'neighbour' : 'gap'
      else if (begin !== undefined && isOpen && !follows) isBroken = true
      isOpen = side(line) <= 0
      before = line
      return isSorted
    },
    provesCountry: (size) => {
      if (!before || isBroken || begin === 'gap') return size === 0
      return isOpen ? before.place === size - 1 : true
    },
  }
}

const keyOf = ({ country, ref }: IndexLine): Buffer => indexKey(country, ref)
const bytes = (digest: string): Buffer => Buffer.from(digest, 'base64url')

function attempt<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch {
    return undefined
  }
}
