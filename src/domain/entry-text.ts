// Reads the bytes of an audit entry as the one text that they can be: RFC 8785, every member in its place and in its exact form.
// One pattern does it, because a verifier reads millions. It knows the form of an event, not the list: old verifiers read new logs.

/** What a verifier needs of an entry. Digests are base64url. */
export interface EntryText {
  actor: string
  at: string
  event: string
  log: string
  n: number
  /** Members of the payload as they stand: `"name":"digest",…`. */
  payload: string
  prev: string | undefined
  ref: string
  seenRoot: string
  seenSize: number
}

const digest = '[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]'
const member = '[a-z0-9-]{2,40}'
const count = '(?:0|[1-9][0-9]{0,15})'
const uuid = '[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}'
/** RFC 3339, UTC, milliseconds: what compares as text compares as time. */
export const timePattern =
  '[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\\.[0-9]{3}Z'
const field = `"[a-z]{2,20}":"${digest}"`

const form = [
  `{"actor":"(${digest})","at":"(${timePattern})","event":"([a-z_]{1,40}(?:\\.[a-z_]{1,40}){1,3})"(?:,"from":"${member}")?,"id":"${uuid}"`,
  `,"log":"(${member}/audit/[0-9]{4})","n":([1-9][0-9]{0,15}),"payload":{((?:${field}(?:,${field})*)?)}(?:,"peer":"${digest}")?`,
  `(?:,"prev":"(${digest})")?,"ref":"(${digest})","seen":{"root":"(${digest})","size":(${count})}(?:,"to":"${member}")?,"v":1}`,
].join('')

const plain = new RegExp(form, 'y')
/** The same inside a JSON string: each quotation mark has a backslash before it, and nothing else in an entry is ever escaped. */
const quoted = new RegExp(form.replaceAll('"', '\\\\"'), 'y')

/** Where an entry ends in a text, and what it says; nothing when none begins at `at`. `isQuoted`: the text is the inside of a JSON string. */
export function matchEntry(text: string, at: number, isQuoted: boolean): { entry: EntryText; end: number } | undefined {
  const pattern = isQuoted ? quoted : plain
  pattern.lastIndex = at
  const found = pattern.exec(text)
  if (!found) return undefined
  const entry = readGroups(found)
  const { n, seenSize, prev } = entry
  // The first entry of an item follows none, and only the first.
  const isReal = Number.isSafeInteger(n) && Number.isSafeInteger(seenSize) && (n === 1) === (prev === undefined)
  return isReal && isSorted(entry.payload) ? { entry, end: pattern.lastIndex } : undefined
}

/** An entry's own bytes as text; nothing for anything but an entry in canonical form. */
export function parseEntryText(text: string): EntryText | undefined {
  const found = matchEntry(text, 0, false)
  return found?.end === text.length ? found.entry : undefined
}

/** The commitment that an entry makes under a name: `actor`, or a member of its payload. */
export function commitmentOf(entry: EntryText, name: string): string | undefined {
  if (name === 'actor') return entry.actor
  const quote = entry.payload.startsWith('\\') ? '\\"' : '"'
  const member = `${quote}${name}${quote}:${quote}`
  const at = entry.payload.indexOf(member)
  return at < 0 ? undefined : entry.payload.slice(at + member.length, at + member.length + 43)
}

function readGroups(found: RegExpExecArray): EntryText {
  const [, actor = '', at = '', event = '', log = '', n, payload = '', prev, ref = '', seenRoot = '', seenSize] = found
  return { actor, at, event, log, n: Number(n), payload, prev, ref, seenRoot, seenSize: Number(seenSize) }
}

// Each member is a name, 43 characters of a digest, and four quotation marks.
function isSorted(payload: string): boolean {
  const quote = payload.startsWith('\\') ? 2 : 1
  let before = ''
  for (let at = quote; at < payload.length; ) {
    const end = payload.indexOf(quote === 2 ? '\\' : '"', at)
    const name = payload.slice(at, end)
    if (name <= before) return false
    before = name
    at = end + 4 * quote + 43 + 2
  }
  return true
}
