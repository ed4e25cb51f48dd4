// What was erased and what is held, in a file outside the database: a database that is restored from an older copy does not know it.
// Append-only, ids and codes only. A line is on the disk before what it says is committed, and its MAC chains it to all lines before it.
import { createHmac, timingSafeEqual } from 'node:crypto'
import { closeSync, existsSync, fstatSync, fsyncSync, ftruncateSync, mkdirSync, openSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { CrosslineError } from '#errors.ts'
import type { ErasureRecord } from '#schema/erasure.ts'
import { isErasureRecord } from '#schema/validators.ts'
import { syncFolder } from './atomic-file.ts'
import { waitExclusive } from './process-lock.ts'

export interface ErasureJournal {
  /** Every record, oldest first. Throws `broken_file` at a line that was changed, moved, added or taken out. */
  read(): Generator<ErasureRecord>
  /** Adds records and returns when they are on the disk. Processes take turns. Throws `broken_file`. */
  append(records: readonly ErasureRecord[]): Promise<void>
  /** True when a transaction failed after its record was written: whether it took effect is for the next replay to find out. */
  isUnsettled: boolean
}

interface Place {
  /** Bytes up to the end of the last whole line. */
  end: number
  mac: string
}

const start: Place = { end: 0, mac: '' }
const lockPatienceMs = 10_000
const chunkBytes = 65_536

/** Opens the journal of a folder, which need not exist. `key` is the node's own for this use. */
export function openErasureJournal({ folder, key }: { folder: string; key: Buffer }): ErasureJournal {
  const path = join(folder, 'erasures')
  let known = start
  return {
    isUnsettled: false,
    *read() {
      if (!existsSync(path)) return
      const file = openSync(path, 'r')
      try {
        for (const { record } of readFrom(file, key, start)) yield record
      } finally {
        closeSync(file)
      }
    },
    async append(records) {
      mkdirSync(folder, { recursive: true, mode: 0o700 })
      const lock = await waitExclusive(`${path}.lock`, lockPatienceMs)
      const isNew = !existsSync(path)
      const file = openSync(path, 'a+', 0o600)
      try {
        if (fstatSync(file).size < known.end) throw damaged()
        for (const { place } of readFrom(file, key, known)) known = place
        known = writeAfter(file, key, { known, records })
        if (isNew) syncFolder(folder)
      } finally {
        closeSync(file)
        lock.release()
      }
    },
  }
}

/** What a crash left half written is cut off: it was never committed. */
function writeAfter(file: number, key: Buffer, { known, records }: { known: Place; records: readonly ErasureRecord[] }): Place {
  let place = known
  let text = ''
  for (const record of records) {
    const json = JSON.stringify(record)
    const mac = macOf(key, place.mac, json)
    const line = `${mac} ${json}\n`
    text += line
    place = { end: place.end + Buffer.byteLength(line), mac }
  }
  if (fstatSync(file).size > known.end) ftruncateSync(file, known.end)
  try {
    const bytes = Buffer.from(text)
    for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written)
    fsyncSync(file)
    return place
  } catch (error) {
    ftruncateSync(file, known.end)
    throw error
  }
}

function* readFrom(file: number, key: Buffer, from: Place): Generator<{ record: ErasureRecord; place: Place }> {
  let place = from
  for (const line of readLines(file, from.end)) {
    const [mac = '', json = ''] = [line.slice(0, 43), line.slice(44)]
    const wanted = macOf(key, place.mac, json)
    if (!isEqual(mac, wanted) || line[43] !== ' ') throw damaged()
    place = { end: place.end + Buffer.byteLength(line) + 1, mac }
    const record: unknown = JSON.parse(json)
    if (!isErasureRecord(record)) throw damaged()
    yield { record, place }
  }
}

/** Whole lines only. */
function* readLines(file: number, from: number): Generator<string> {
  const chunk = Buffer.alloc(chunkBytes)
  let rest = ''
  for (let at = from; ; ) {
    const bytes = readSync(file, chunk, 0, chunkBytes, at)
    if (bytes === 0) return
    at += bytes
    const lines = (rest + chunk.toString('latin1', 0, bytes)).split('\n')
    rest = lines.pop() as string
    yield* lines
  }
}

function macOf(key: Buffer, before: string, json: string): string {
  return createHmac('sha256', key).update(`${before}\n${json}`).digest('base64url')
}

function isEqual(given: string, wanted: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(wanted)]
  return a.length === b.length && timingSafeEqual(a, b)
}

const damaged = () =>
  new CrosslineError('broken_file', {
    detail:
      'The journal of erasures (DATA_DIR/audit/erasures) was changed, or is of another master key. Put a good copy back. Without one, move it aside: it is made anew from the database, and what a restored database does not know as erased is then known to nobody.',
  })
