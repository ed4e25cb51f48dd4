// Reads I-JSON (RFC 7493) as protocol.md narrows it: fatal UTF-8, no BOM, no duplicate names at any depth (compared after unescaping),
// no lone surrogates, no U+0000, integers below 2^53 only, at most 32 levels. What it refuses is `malformed_request`, without a value from the input.

import { CrosslineError } from '#errors.ts'
import { isObject } from './exact-forms.ts'

/** How deep arrays and objects may nest. */
const maxDepth = 32

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

const quote = 0x22
const backslash = 0x5c
// A pattern, because V8 takes `includes` for free of effects and may move it into the loops that use its answer: a search of the whole
// text for every string in it (seen with Node 26.10: 290 ms instead of 3 for 2 MB, and growing with the square).
const unicodeEscape = /\\u/
// JSON.parse of Node 26.10 may read a name that is written with an escape as another one, which it has read before at that place and which
// begins like its raw text, so always holds a backslash (found by the test against a slow parser). No name with a backslash or a quotation
// mark is taken: what was misread is refused, never believed. Our own names need no escapes.
const misreadable = /["\\]/

/**
 * The value of one JSON text. A member called `__proto__` is an ordinary own member of the result.
 * Throws `malformed_request`.
 */
export function parseStrictJson(input: Uint8Array | string): unknown {
  const text = typeof input === 'string' ? checkUnicode(input) : decodeUtf8(input)
  const value = parseText(text)
  const names = countNames(text)
  // A raw U+0000 is a syntax error, so that and a lone surrogate can only come from a \u escape now.
  const suspicious = unicodeEscape.test(text)
  // JSON.parse keeps the last of two equal names: then the tree has fewer names than the text.
  if (countMembers(value, suspicious) !== names) throw refusal('a member name appears twice in one object')
  return value
}

/** The same for a text that must be one object. */
export function parseStrictObject(input: Uint8Array | string): Record<string, unknown> {
  const value = parseStrictJson(input)
  if (!isObject(value)) throw refusal('it is not an object')
  return value
}

// On the raw text: a raw half and an escaped half would join to a whole character in the value.
function checkUnicode(text: string): string {
  if (!text.isWellFormed()) throw refusal('a string holds a lone surrogate')
  return text
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes)
  } catch {
    throw refusal('it is not UTF-8')
  }
}

// The SyntaxError quotes the input, so it is not handed on as a cause.
function parseText(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw refusal('it is not JSON, or it begins with a byte order mark')
  }
}

/** Counts the member names of a text that JSON.parse has accepted (one colon outside strings each), and refuses depth, fractions, exponents and −0. */
function countNames(text: string): number {
  let names = 0
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case quote:
        at = endOfString(text, at)
        break
      case 0x3a: // :
        names++
        break
      case 0x7b: // {
      case 0x5b: // [
        if (++depth > maxDepth) throw refusal('it is nested too deeply')
        break
      case 0x7d: // }
      case 0x5d: // ]
        depth--
        break
      case 0x2e: // .
      case 0x45: // E
        throw refusal('a number is not a plain integer')
      case 0x65: // e: the end of true and false, or an exponent
        if (isDigitAt(text, at - 1)) throw refusal('a number is not a plain integer')
        break
      case 0x2d: // -
        if (text.charCodeAt(at + 1) === 0x30) throw refusal('a number is not a plain integer')
        break
    }
  }
  return names
}

function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1)
  while (isEscaped(text, end)) end = text.indexOf('"', end + 1)
  return end
}

// The runs of backslashes before two quotes never overlap, so the whole stays linear.
function isEscaped(text: string, at: number): boolean {
  let run = 0
  while (text.charCodeAt(at - 1 - run) === backslash) run++
  return run % 2 === 1
}

const isDigitAt = (text: string, at: number): boolean => {
  const code = text.charCodeAt(at)
  return code >= 0x30 && code <= 0x39
}

/** Counts the members of the parsed tree, and checks its numbers and, when asked to, its strings. Depth is bounded already. */
function countMembers(value: unknown, checkStrings: boolean): number {
  if (typeof value === 'string') {
    if (checkStrings) checkString(value)
    return 0
  }
  if (typeof value === 'number' && !Number.isSafeInteger(value)) throw refusal('a number is not an integer below 2^53')
  if (typeof value !== 'object' || value === null) return 0
  return Array.isArray(value) ? countInArray(value, checkStrings) : countInObject(value as Record<string, unknown>, checkStrings)
}

function countInArray(values: unknown[], checkStrings: boolean): number {
  let names = 0
  for (const value of values) names += countMembers(value, checkStrings)
  return names
}

function countInObject(value: Record<string, unknown>, checkStrings: boolean): number {
  let names = 0
  for (const name of Object.keys(value)) {
    if (misreadable.test(name)) throw refusal('a member name holds a quotation mark or a backslash')
    if (checkStrings) checkString(name)
    names += 1 + countMembers(value[name], checkStrings)
  }
  return names
}

function checkString(text: string): void {
  if (text.includes('\0')) throw refusal('a string holds U+0000')
  if (!text.isWellFormed()) throw refusal('a string holds a lone surrogate')
}

const refusal = (why: string): CrosslineError =>
  new CrosslineError('malformed_request', { detail: `The JSON cannot be used: ${why}` })
