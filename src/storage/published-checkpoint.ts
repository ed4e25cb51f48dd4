// The last checkpoint of each year as files, outside the database: what a database that was set back can't take back with it.
// Promise: a file holds a whole note, old or new, flushed to the disk; of two processes that replace it, one comes after the other.
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { syncFolder, writeFileAtomically } from './atomic-file.ts'
import { tryExclusive } from './process-lock.ts'

const fileName = /^checkpoint-(\d{4})$/

/** The notes by year. Throws the error of the file system for one that is there and can't be read. */
export function readPublished(folder: string): Map<number, string> {
  const notes = new Map<number, string>()
  for (const name of listFolder(folder)) {
    const year = fileName.exec(name)?.[1]
    if (year !== undefined) notes.set(Number(year), readFileSync(join(folder, name), 'utf8'))
  }
  return notes
}

function listFolder(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

export interface Swap {
  year: number
  /** What the file must hold now; undefined: there must be none. */
  expected: string | undefined
  note: string
}

/** Replaces a note if it is the expected one. changed: it is another; busy: another process is at it. Then nothing was written. */
export function swapPublished(folder: string, { year, expected, note }: Swap): 'swapped' | 'changed' | 'busy' {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const lock = tryExclusive(join(folder, 'publish.lock'))
  if (!lock) return 'busy'
  try {
    if (readPublished(folder).get(year) !== expected) return 'changed'
    writeFileAtomically(join(folder, `checkpoint-${year}`), note)
    syncFolder(folder)
    return 'swapped'
  } finally {
    lock.release()
  }
}
