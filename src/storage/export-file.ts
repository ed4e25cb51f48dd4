// The file of one export. Promise: it has its name only when it is whole and on the disk, and nobody but this user reads it. Two that write
// the same export never write into one file.
import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Readable } from 'node:stream'
import { isUuidV7 } from '#domain/exact-forms.ts'

const suffix = '.tar'
/** … and of each that is being written, by whoever writes it. */
const unfinished = /\.tar(\.[0-9a-f]{16})?\.new$/

export const exportFile = (folder: string, id: string): string => join(folder, `${id}${suffix}`)

/** A file that is being written, under a name that nobody else has. */
export interface NewFile {
  write(bytes: Uint8Array): Promise<void>
  /** Flushes it to the disk and gives it its name. `check` is asked in between: when it throws, the file gets no name. */
  finish(check?: () => Promise<void>): Promise<void>
  /** Leaves nothing behind. */
  discard(): Promise<void>
}

/** Begins a file. Throws what the file system says. */
export async function createFile(path: string): Promise<NewFile> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const next = `${path}.${randomBytes(8).toString('hex')}.new`
  const file = await open(next, 'wx', 0o600)
  return {
    write: (bytes) => writeAll(file, bytes),
    finish: async (check) => {
      await file.sync()
      await file.close()
      await check?.()
      await rename(next, path)
      await syncFolder(dirname(path))
    },
    discard: async () => {
      await file.close().catch(() => undefined)
      await rm(next, { force: true }).catch(() => undefined)
    },
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at)).bytesWritten
}

// Without it a power cut may leave a row that says done beside a folder without the name.
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  await folder.sync().finally(() => folder.close())
}

/** Bytes of a finished file; undefined when it is not there. */
export async function sizeOfFile(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.size
}

/** Reads from the first byte to the last, both included. */
export const readFileRange = (path: string, { first, last }: { first: number; last: number }): Readable =>
  createReadStream(path, { start: first, end: last })

/** The exports that have a file, finished or not. */
export async function listExportFiles(folder: string): Promise<string[]> {
  const ids = (await namesIn(folder)).map((name) => name.replace(unfinished, suffix).replace(/\.tar$/, ''))
  return [...new Set(ids)].filter(isUuidV7)
}

export async function removeExportFiles(folder: string, id: string): Promise<void> {
  await rm(exportFile(folder, id), { force: true })
  await removeUnfinished(folder, id)
}

/** Removes what others began of an export and left; who still writes there notices at the end that it has no file. */
export async function removeUnfinished(folder: string, id: string): Promise<void> {
  const left = (await namesIn(folder)).filter((name) => unfinished.test(name) && name.replace(unfinished, '') === id)
  for (const name of left) await rm(join(folder, name), { force: true })
}

const namesIn = (folder: string): Promise<string[]> => readdir(folder).catch(() => [])
