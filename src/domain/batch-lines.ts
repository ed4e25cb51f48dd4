// The body of `POST /batches` after inflation: the envelope's line and the messages' lines, taken apart and put together, byte for byte.
// Order as in protocol.md: line form, then count; the envelope is read by its own function, because root and size are checked before it.

import { CrosslineError } from '#errors.ts'
import { maxMessages } from '#schema/message.ts'
import { findFormFault, isMemberId, isUuidV7 } from './exact-forms.ts'
import { leafHash } from './merkle.ts'
import { parseStrictJson } from './strict-json.ts'

/** First line of a batch: which batch it is, who sends it, and to whom. */
export interface BatchEnvelope {
  batch: string
  from: string
  to: string
}

/** Lines are views into the body, without their newline; a leaf each, in the same order. */
export interface BatchLines {
  envelopeLine: Buffer
  lines: Buffer[]
  leaves: Buffer[]
}

const newline = 0x0a
const byteOrderMark = Buffer.of(0xef, 0xbb, 0xbf)

/**
 * Takes a body apart. The lines are not parsed: a line that is too long or no JSON is an exception of that message alone.
 * Throws `malformed_request` for the form of the lines or no message, `too_large` for more than 1,000.
 */
export function splitBatch(body: Buffer): BatchLines {
  checkLineForm(body)
  const [envelopeLine, ...lines] = cutLines(body)
  if (!envelopeLine || lines.length === 0) throw malformed('there is no message')
  return { envelopeLine, lines, leaves: lines.map(leafHash) }
}

function checkLineForm(body: Buffer): void {
  if (body.includes(0x0d)) throw malformed('it has a carriage return')
  if (body[0] === newline || body.includes('\n\n')) throw malformed('it has an empty line')
  if (body.subarray(0, 3).equals(byteOrderMark)) throw malformed('it begins with a byte order mark')
}

function cutLines(body: Buffer): Buffer[] {
  const lines: Buffer[] = []
  for (let start = 0; start < body.length; ) {
    if (lines.length > maxMessages) throw new CrosslineError('too_large', { detail: 'A batch holds at most 1,000 messages' })
    const end = body.indexOf(newline, start)
    lines.push(body.subarray(start, end === -1 ? body.length : end))
    start = end === -1 ? body.length : end + 1
  }
  return lines
}

/** Reads the envelope. Throws `malformed_request` when it is not I-JSON, `schema_invalid` when it is not exactly an envelope. */
export function parseEnvelope(line: Uint8Array): BatchEnvelope {
  const envelope = parseStrictJson(line)
  const fault = findFormFault(envelope, { required: { batch: isUuidV7, from: isMemberId, to: isMemberId } })
  if (fault) throw new CrosslineError('schema_invalid', { detail: `The envelope is not usable: ${fault}` })
  return envelope as BatchEnvelope
}

/** Puts a body together; the lines come without their newline and go in unchanged. */
export function joinBatch({ batch, from, to }: BatchEnvelope, lines: readonly Uint8Array[]): Buffer {
  const end = Buffer.of(newline)
  const parts: Uint8Array[] = [Buffer.from(JSON.stringify({ batch, from, to })), end]
  for (const line of lines) parts.push(line, end)
  return Buffer.concat(parts)
}

const malformed = (why: string): CrosslineError =>
  new CrosslineError('malformed_request', { detail: `The batch cannot be read: ${why}` })
