// C2SP tlog-proof: one text that proves offline that an entry is in a log: its index, its inclusion path and a cosigned checkpoint.
// Form only. Whoever reads it verifies the note (crypto/checkpoint-note.ts), then the path (merkle.ts) against that note's size and root.

import { CrosslineError } from '#errors.ts'
import { parseCheckpoint } from './checkpoint.ts'
import { parseBase64, parseDecimal, parseHash } from './exact-text.ts'
import { parseNote } from './signed-note.ts'

export interface TlogProof {
  index: number
  /** From the leaf's sibling up to the root's child. */
  path: Buffer[]
  /** The signed checkpoint, byte for byte. */
  note: string
  /** Not proven by anything: never trust it for itself. */
  extra?: Buffer
}

const header = 'c2sp.org/tlog-proof@v1'
// A tree of 2^53 - 1 leaves is 53 levels high.
const maxPath = 53

/** The text of a proof. Throws `bad_evidence` or `bad_checkpoint` for what could not be read back. */
export function formatTlogProof({ index, path, note, extra }: TlogProof): string {
  const extraLines = extra === undefined ? [] : [`extra ${extra.toString('base64')}`]
  const lines = [header, ...extraLines, `index ${index}`, ...path.map((hash) => hash.toString('base64')), '', note]
  const text = lines.join('\n')
  parseTlogProof(text)
  return text
}

/** Reads a proof. Throws `bad_evidence` for another form or an index that its checkpoint has not, `bad_checkpoint` for its note. */
export function parseTlogProof(text: string): TlogProof {
  // Neither a hash line nor a number can be empty, so the first empty line ends the proof's own part.
  const end = text.indexOf('\n\n')
  if (end < 0) throw refusal('it has no checkpoint')
  const [first, ...lines] = text.slice(0, end).split('\n')
  if (first !== header) throw refusal('it does not begin as one')
  const extra = lines[0]?.startsWith('extra ') ? parseExtra(lines.shift() as string) : undefined
  const index = parseIndex(lines.shift() ?? '')
  const note = text.slice(end + 2)
  if (index >= parseCheckpoint(parseNote(note).text).size) throw refusal('the index is not in the tree of its checkpoint')
  return { index, path: parsePath(lines), note, ...(extra ? { extra } : {}) }
}

function parseExtra(line: string): Buffer {
  const extra = parseBase64(line.slice('extra '.length))
  if (!extra || extra.length === 0) throw refusal('the extra data are not base64, or empty')
  return extra
}

function parseIndex(line: string): number {
  const index = line.startsWith('index ') ? parseDecimal(line.slice('index '.length)) : undefined
  if (index === undefined) throw refusal('there is no index from 0 to 2^53 - 1')
  return index
}

function parsePath(lines: readonly string[]): Buffer[] {
  if (lines.length > maxPath) throw refusal('the path is too long')
  return lines.map((line) => {
    const hash = parseHash(line)
    if (!hash) throw refusal('a line of the path is not a hash')
    return hash
  })
}

const refusal = (why: string): CrosslineError =>
  new CrosslineError('bad_evidence', { detail: `Not a proof of a transparency log: ${why}` })
