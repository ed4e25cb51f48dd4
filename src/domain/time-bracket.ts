// Between which moments an entry can have been written, by what witnesses state: they had signed the log without it, then with it. The entry's
// own date is a claim; one outside of these moments, with the tolerance, is a lie. Promise: one look for each entry, and no memory.
import { meetsQuorum, type Policy } from './tlog-policy.ts'

/** A clock may be this far off before a time counts as a lie. */
export const toleranceMs = 60_000

/** A checkpoint by its size, and the moment when enough witnesses had signed it. */
export interface WitnessedSize {
  size: number
  moment: Date
}

/** The checkpoint that a whole log is verified under. */
export interface LastNote {
  size: number
  /** Its very first cosignature: nothing that it holds can be later. */
  first: Date | undefined
  /** When enough witnesses had signed it, if they had. */
  moment: Date | undefined
}

/** What compares as text with the date of an entry. */
export interface Bracket {
  notBefore: string
  notAfter: string
  /** Whether a checkpoint without the entry bounds it. */
  hasEarlier: boolean
  /** Between both moments; undefined where one of them is missing. */
  seconds: number | undefined
}

export interface Brackets {
  /** The checkpoints around the next entries, ascending; taken one by one as entries come. */
  bring(notes: Iterable<WitnessedSize>): void
  /** For an entry at this place; places ascend between two calls of `bring`. */
  around(index: number): Bracket
  /** Takes what was brought and no entry needed, so that all of it was looked at. */
  end(): void
}

/** An entry may wait for a minute: while one waits longer, a node keeps no cosignature (gather-cosignatures.ts). Clocks differ by another. */
export const sealingMs = 60_000 + toleranceMs

const always = { notBefore: '', notAfter: '~' }
const lastMoment = Date.UTC(9999, 11, 31, 23, 59, 59, 999)

// A witness may state any time: what no entry can bear is bounded to what it can.
const textOf = (ms: number): string => new Date(Math.min(Math.max(ms, 0), lastMoment)).toISOString()

/** When the policy was first met, by the times that its witnesses state: the earliest of them that are enough. Nothing where none are needed. */
export function quorumMoment(policy: Policy, witnesses: readonly { name: string; at: Date }[]): Date | undefined {
  const signed = new Set<string>()
  if (meetsQuorum(policy, signed)) return undefined
  for (const { name, at } of witnesses.toSorted((one, other) => one.at.getTime() - other.at.getTime()))
    if (meetsQuorum(policy, signed.add(name))) return at
  return undefined
}

/** Brackets for the entries of one log, whose last checkpoint bounds all that it holds. */
export function createBrackets(last: LastNote): Brackets {
  let notes: Iterator<WitnessedSize> = noNotes()
  let earlier: WitnessedSize | undefined
  let later: WitnessedSize | undefined
  let from = 0
  let until = 0
  let bracket = describeBracket(undefined, undefined, undefined)
  const next = () => {
    const { value, done } = notes.next()
    return done ? undefined : value
  }
  const move = (index: number) => {
    while (later && later.size <= index) {
      earlier = later
      later = next()
    }
    const isHeld = index < last.size
    bracket = describeBracket(earlier, later ?? (isHeld ? atLast(last) : undefined), isHeld ? last.first : undefined)
    from = earlier?.size ?? 0
    until = Math.min(later?.size ?? Number.POSITIVE_INFINITY, isHeld ? last.size : Number.POSITIVE_INFINITY)
  }
  const end = () => {
    while (later) later = next()
  }
  return {
    bring: (given) => {
      end()
      notes = given[Symbol.iterator]()
      earlier = undefined
      later = next()
      from = until = 0
    },
    around: (index) => {
      if (index >= until) move(index)
      // Out of their order nothing is told of them but that.
      return index < from ? describeBracket(undefined, undefined, undefined) : bracket
    },
    end,
  }
}

function* noNotes(): Generator<WitnessedSize> {}

const atLast = ({ size, moment }: LastNote): WitnessedSize | undefined => moment && { size, moment }

function describeBracket(earlier: WitnessedSize | undefined, later: WitnessedSize | undefined, first: Date | undefined): Bracket {
  const ends = [later?.moment, first].flatMap((moment) => moment?.getTime() ?? [])
  const seconds = earlier && later && Math.max(0, (later.moment.getTime() - earlier.moment.getTime()) / 1000)
  return {
    notBefore: earlier ? textOf(earlier.moment.getTime() - sealingMs) : always.notBefore,
    notAfter: ends.length > 0 ? textOf(Math.min(...ends) + toleranceMs) : always.notAfter,
    hasEarlier: earlier !== undefined,
    seconds,
  }
}
