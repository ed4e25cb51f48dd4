// One line of a bundle's entries: canonical JSON with the entry's exact bytes as a string inside, and what opens its commitments.
// Read in place, so that what is hashed is what stands in the file.

import { type EntryText, matchEntry, timePattern } from './entry-text.ts'
import { skipJcs } from './jcs-text.ts'

/** Salt and value of one commitment; the value is the text from `from` to `to`. */
export interface DisclosedSpan {
  name: string
  /** base64url, 32 bytes. */
  salt: string
  from: number
  to: number
}

export interface BundleLine {
  index: number
  entry: EntryText
  /** Where the entry stands, inside its JSON string: each quotation mark with a backslash before it. */
  from: number
  to: number
  disclosed: readonly DisclosedSpan[]
  recordedAt: string
  /** Where the next line begins. */
  end: number
}

const none: readonly DisclosedSpan[] = []
const empty = '{"disclosed":{},"entry":"'
const beginning = '{"disclosed":{'
const middle = '},"entry":"'
const salted = /"([a-z]{2,20})":{"salt":"([A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])","value":/y
const ending = new RegExp(`","index":(0|[1-9][0-9]{0,15}),"recordedAt":"(${timePattern})"}\\n`, 'y')

/** Reads the line that begins at `at`; nothing when it is not one in its exact form. */
export function readBundleLine(text: string, at: number): BundleLine | undefined {
  const opened = readDisclosed(text, at)
  if (!opened) return undefined
  const found = matchEntry(text, opened.end, true)
  if (!found) return undefined
  ending.lastIndex = found.end
  const [, index, recordedAt = ''] = ending.exec(text) ?? []
  if (index === undefined || !Number.isSafeInteger(Number(index))) return undefined
  const { entry, end } = found
  return {
    index: Number(index),
    entry,
    from: opened.end,
    to: end,
    disclosed: opened.disclosed,
    recordedAt,
    end: ending.lastIndex,
  }
}

function readDisclosed(text: string, at: number): { disclosed: readonly DisclosedSpan[]; end: number } | undefined {
  if (text.startsWith(empty, at)) return { disclosed: none, end: at + empty.length }
  if (!text.startsWith(beginning, at)) return undefined
  const disclosed: DisclosedSpan[] = []
  let end = at + beginning.length - 1
  do {
    const span = readSpan(text, end + 1)
    // Names ascend as in all canonical JSON, so none comes twice.
    if (!span || span.name <= (disclosed.at(-1)?.name ?? '')) return undefined
    disclosed.push(span)
    end = span.to + 1
  } while (text[end] === ',')
  return text.startsWith(middle, end) ? { disclosed, end: end + middle.length } : undefined
}

function readSpan(text: string, at: number): DisclosedSpan | undefined {
  salted.lastIndex = at
  const [, name, salt = ''] = salted.exec(text) ?? []
  if (name === undefined) return undefined
  const from = salted.lastIndex
  const to = endOfValue(text, from)
  return to !== undefined && text[to] === '}' ? { name, salt, from, to } : undefined
}

function endOfValue(text: string, at: number): number | undefined {
  try {
    return skipJcs(text, at)
  } catch {
    return undefined
  }
}
