// Walks over text that must be RFC 8785 (JCS) already, without building values: one look at each character, nothing repaired.
// With it a commitment is checked over the very bytes that stand in a file. Numbers are integers below 2^53, as everywhere here.

import { CrosslineError } from '#errors.ts'

const maxDepth = 32
const integer = /-?(?:0|[1-9][0-9]{0,15})/y
const word = /true|false|null/y
// RFC 8785 §3.2.2.2: the short escape where there is one, else \u00 in lower case; nothing else is escaped. U+0000 is not I-JSON here.
// biome-ignore lint/suspicious/noControlCharactersInRegex: a raw control character is what must not stand in a string
const string = /"(?:[^"\\\u0000-\u001f]|\\["\\bfnrt]|\\u00(?:0[1-7be-f]|1[0-9a-f]))*"/y
// Member names need no escape at all (strict-json.ts says why).
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const name = /"([^"\\\u0000-\u001f]*)"/y

/** Where the value that begins at `at` ends, in a text that was decoded from UTF-8. Throws `malformed_request` when it is not in canonical form. */
export function skipJcs(text: string, at: number, depth = 0): number {
  const first = text[at]
  if (first === '"') return skip(string, text, at)
  if (first === '{') return skipObject(text, at, depth + 1)
  if (first === '[') return skipArray(text, at, depth + 1)
  return first === 't' || first === 'f' || first === 'n' ? skip(word, text, at) : skipInteger(text, at)
}

function skipInteger(text: string, at: number): number {
  const end = skip(integer, text, at)
  const spelled = text.slice(at, end)
  if (spelled === '-0' || !Number.isSafeInteger(Number(spelled))) throw refusal()
  return end
}

function skipArray(text: string, start: number, depth: number): number {
  refuseDepth(depth)
  if (text[start + 1] === ']') return start + 2
  let at = start
  do at = skipJcs(text, at + 1, depth)
  while (text[at] === ',')
  return expect(text, at, ']')
}

function skipObject(text: string, start: number, depth: number): number {
  refuseDepth(depth)
  if (text[start + 1] === '}') return start + 2
  let at = start
  let before: string | undefined
  do {
    const end = skip(name, text, at + 1)
    const member = text.slice(at + 2, end - 1)
    // By UTF-16 code units, as JavaScript compares strings: equal names are refused by the same rule.
    if (before !== undefined && member <= before) throw refusal()
    before = member
    at = skipJcs(text, expect(text, end, ':'), depth)
  } while (text[at] === ',')
  return expect(text, at, '}')
}

function skip(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at
  if (!pattern.test(text)) throw refusal()
  return pattern.lastIndex
}

function expect(text: string, at: number, character: string): number {
  if (text[at] !== character) throw refusal()
  return at + 1
}

function refuseDepth(depth: number): void {
  if (depth > maxDepth) throw refusal()
}

const refusal = (): CrosslineError => new CrosslineError('malformed_request', { detail: 'The text is not canonical JSON' })
