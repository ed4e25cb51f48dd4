// Reads the entries of one log out of a bundle, in order, and hands each to the checks. Promise: every byte of every line is part of what
// is checked or of the digest that the manifest gives; a million entries need no more memory than a thousand.
import { createHash } from 'node:crypto'
import { type BundleLine, readBundleLine } from '#domain/bundle-line.ts'
import type { IndexRoot } from '#domain/item-index.ts'
import type { LogCheck } from '#domain/log-check.ts'
import { leafHash } from '#domain/merkle.ts'
import { CrosslineError } from '#errors.ts'
import type { TableCheck } from './check-table.ts'
import { type MemberPlace, type OpenBundle, readPieces } from './read-bundle.ts'
import { readLines } from './read-lines.ts'

export interface EntryReading {
  bundle: OpenBundle
  check: LogCheck
  /** Place of the index.root entry that the completeness of this log refers to. */
  indexAt: number | undefined
  /** The table beside the entries, where the bundle has tables. */
  table: TableCheck | undefined
  /** Called after each stretch with the bytes of it. */
  onBytes: (count: number) => void
}

export interface ReadEntries {
  sha256: string
  /** Place of the first of them. */
  first: number | undefined
  /** The index.root entry, if it was among them. */
  indexRoot: IndexRoot | undefined
}

/** Checks the entries of one member. Throws `broken_file`. */
export function verifyEntries(member: MemberPlace, reading: EntryReading): ReadEntries {
  const digest = createHash('sha256')
  let first: number | undefined
  let indexRoot: IndexRoot | undefined
  for (const text of readLines(hashed(readPieces(reading.bundle, member), digest, reading.onBytes))) {
    for (let at = 0; at < text.length; ) {
      const line = readBundleLine(text, at)
      if (!line) throw refusal()
      verifyLine(text, line, reading.check)
      first ??= line.index
      if (line.index === reading.indexAt) indexRoot = readIndexRoot(text, line)
      at = line.end
    }
    reading.table?.add(text)
  }
  return { sha256: digest.digest('base64url'), first, indexRoot }
}

function verifyLine(text: string, { index, entry, from, to, disclosed }: BundleLine, check: LogCheck): void {
  check.entry(index, entry, hashQuoted(text.slice(from, to)))
  for (const { name, salt, from, to } of disclosed) check.disclosure(index, entry, { name, salt, value: text.slice(from, to) })
}

/** What the entry says of the index, if it is an index.root entry that discloses it; checked elsewhere like every disclosed value. */
function readIndexRoot(text: string, { entry, disclosed }: BundleLine): IndexRoot | undefined {
  const disclosedAs = (name: string) => {
    const span = disclosed.find((each) => each.name === name)
    return span && (JSON.parse(text.slice(span.from, span.to)) as unknown)
  }
  return entry.event === 'index.root' ? { root: disclosedAs('root'), size: disclosedAs('size') } : undefined
}

const backslash = 0x5c
let scratch = Buffer.alloc(8192)

// The entry inside its JSON string: ASCII, and a backslash stands only before a quotation mark (entry-text.ts).
function hashQuoted(quoted: string): Buffer {
  if (scratch.length < quoted.length) scratch = Buffer.alloc(quoted.length)
  const length = scratch.write(quoted, 0, 'latin1')
  const bytes = scratch
  let to = bytes.indexOf(backslash)
  for (let at = to; at < length; at++) {
    const byte = bytes[at] as number
    if (byte !== backslash) bytes[to++] = byte
  }
  return leafHash(bytes.subarray(0, to))
}

function* hashed(
  pieces: Iterable<Buffer>,
  digest: { update(bytes: Buffer): unknown },
  onBytes: (count: number) => void,
): Generator<Buffer> {
  for (const piece of pieces) {
    digest.update(piece)
    yield piece
    onBytes(piece.length)
  }
}

const refusal = (): CrosslineError =>
  new CrosslineError('broken_file', { detail: 'A line of the entries does not have its exact form.' })
