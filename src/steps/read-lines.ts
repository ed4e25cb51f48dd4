// Cuts the pieces of a member into stretches of whole lines as text. Promise: at most a piece and one line are in memory; bytes that are no
// UTF-8, a line that is too long and a last line without its end are refused.
import { isAscii } from 'node:buffer'
import { CrosslineError } from '#errors.ts'

const newline = 0x0a
const maxLine = 1 << 20
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Stretches of one or more lines, each with its newline. Throws `broken_file`. */
export function* readLines(pieces: Iterable<Buffer>): Generator<string> {
  let rest: Buffer = Buffer.alloc(0)
  for (const piece of pieces) {
    const end = piece.lastIndexOf(newline) + 1
    if (end > 0) yield decode(Buffer.concat([rest, piece.subarray(0, end)]))
    rest = end > 0 ? Buffer.from(piece.subarray(end)) : Buffer.concat([rest, piece])
    if (rest.length > maxLine) throw refusal('a line is too long')
  }
  if (rest.length > 0) throw refusal('the last line has no end')
}

function decode(bytes: Buffer): string {
  if (isAscii(bytes)) return bytes.toString('latin1')
  try {
    return utf8.decode(bytes)
  } catch {
    throw refusal('it is not UTF-8')
  }
}

const refusal = (why: string): CrosslineError =>
  new CrosslineError('broken_file', { detail: `A list in the bundle can’t be read: ${why}.` })
