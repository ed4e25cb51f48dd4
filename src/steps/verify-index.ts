// Reads the index lines of a bundle before its entries, so that each entry is compared as it comes; afterwards tells what did not come.
// Promise: that an item's tail, or a whole item of a country, was left out does not go unseen when the bundle claims completeness.

import type { ItemHeads } from '#domain/item-heads.ts'
import {
  type IndexClaim,
  type IndexLine,
  type IndexRoot,
  type LineOrder,
  parseIndexClaim,
  parseIndexLine,
  rootOfIndexLine,
  watchOrder,
} from '#domain/item-index.ts'
import type { Fault, Faults } from '#domain/verdict.ts'
import type { Complete } from '#domain/verification.ts'
import { CrosslineError } from '#errors.ts'
import { type MemberPlace, type OpenBundle, readPieces } from './read-bundle.ts'
import { readLines } from './read-lines.ts'

export interface ReadIndex {
  claim: IndexClaim
  /** Of the tree that every line leads to; undefined without a line. */
  root: Buffer | undefined
  lines: number
  order: LineOrder
}

interface Reading {
  log: string
  heads: ItemHeads
  faults: Faults
  /** Of an export of a whole country: lines of others are its neighbours, and nothing is expected of them. */
  country: string | undefined
}

/** Reads all lines. Throws `broken_file` for what is no list of them. */
export function readIndex(bundle: OpenBundle, member: MemberPlace, { log, heads, faults, country }: Reading): ReadIndex {
  let index: ReadIndex | undefined
  const add = (fault: Omit<Fault, 'log' | 'stage'>) => faults.add({ ...fault, stage: 'chain', log })
  for (const text of readLines(readPieces(bundle, member))) {
    for (const line of text.slice(0, -1).split('\n')) {
      if (index) takeLine(index, parseIndexLine(line) ?? refuse(), { heads, add, country })
      else index = { claim: parseIndexClaim(line) ?? refuse(), root: undefined, lines: 0, order: watchOrder(country) }
    }
  }
  return index ?? refuse()
}

type Add = (fault: Omit<Fault, 'log' | 'stage'>) => void

function takeLine(
  index: ReadIndex,
  line: IndexLine,
  { heads, add, country }: { heads: ItemHeads; add: Add; country: string | undefined },
): void {
  const root = rootOfIndexLine(line, index.claim.size)
  if (!root || (index.root && !root.equals(index.root)))
    add({
      kind: 'tampered',
      index: index.claim.index,
      says: 'What the bundle says of an item does not lead to the index that the log states.',
    })
  index.root ??= root
  index.lines++
  if (!index.order.take(line))
    add({ kind: 'tampered', index: index.claim.index, says: 'The items of the index do not come in their order.' })
  const isNeighbour = country !== undefined && line.country !== country
  if (!isNeighbour && !heads.expect(line))
    add({ kind: 'tampered', index: index.claim.index, says: 'The index names an item twice.' })
}

/** After the entries: the index.root entry that the lines lead to must be among them. */
export function checkIndexRoot(
  { claim, root }: ReadIndex,
  found: IndexRoot | undefined,
  { log, faults }: { log: string; faults: Faults },
): void {
  const add = (fault: Omit<Fault, 'log' | 'stage' | 'index'>) => faults.add({ ...fault, stage: 'chain', index: claim.index, log })
  if (!found)
    add({ kind: 'incomplete', says: 'The index.root entry that the completeness rests on is missing, or not disclosed.' })
  else if (found.size !== claim.size || (root !== undefined && found.root !== root.toString('base64url')))
    add({ kind: 'tampered', says: 'The index that the bundle shows is not the one that the log states.' })
}

/** After all entries of all years: every item that the index names has come, to its last entry, where the bundle claims to hold that. */
export function checkItems(complete: Complete, { heads, faults }: { heads: ItemHeads; faults: Faults }): void {
  const { missing, other } = heads.unmet()
  const add = (kind: 'tampered' | 'incomplete', says: string) => faults.add({ stage: 'chain', kind, says })
  if (other > 0) add('tampered', `Of ${other} items the last entry is another than the index states.`)
  if (missing > 0 && complete !== 'none')
    add(
      'incomplete',
      `Of ${missing} items the index states more entries than the bundle holds: the end of their history is missing.`,
    )
}

function refuse(): never {
  throw new CrosslineError('broken_file', { detail: 'A line of the index does not have its exact form.' })
}
