// The file of one export. Promise: it has its name only when it is whole and on the disk, and nobody but this user reads it.
import { createReadStream } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Readable } from 'node:stream'
import { isUuidV7 } from '#domain/exact-forms.ts'

const suffix = '.tar'
const unfinished = '.tar.new'

export const exportFile = (folder: string, id: string): string => join(folder, `${id}${suffix}`)

/** A file that is being written, under another name than it will have. */
export interface NewFile {
  write(bytes: Uint8Array): Promise<void>
  /** Flushes it to the disk and gives it its name. */
  finish(): Promise<void>
  /** Leaves nothing behind. */
  discard(): Promise<void>
}

/** Begins a file, anew if a killed process left half of it. Throws what the file system says. */
export async function createFile(path: string): Promise<NewFile> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const next = `${path}.new`
  await rm(next, { force: true })
  const file = await open(next, 'wx', 0o600)
  return {
    write: (bytes) => writeAll(file, bytes),
    finish: async () => {
      await file.sync()
      await file.close()
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
  const names = await readdir(folder).catch(() => [])
  return [...new Set(names.map((name) => name.replace(/\.tar(\.new)?$/, '')))].filter(isUuidV7)
}

export async function removeExportFiles(folder: string, id: string): Promise<void> {
  for (const end of [suffix, unfinished]) await rm(join(folder, `${id}${end}`), { force: true })
}
