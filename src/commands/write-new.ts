// Writes files that must not be there yet, all of them or none: what a person has is never replaced.
import { open, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { makeFolder } from '#crypto/secret-file.ts'
import { CrosslineError } from '#errors.ts'
import { fillFile } from './write-whole.ts'

export interface NewFile {
  path: string
  content: string | Uint8Array
  mode: number
}

/** Makes the files; gives what takes them away again. Throws `invalid_config`, with none of them made, when one is there already. */
export async function writeNew(files: readonly NewFile[]): Promise<() => Promise<void>> {
  const made: string[] = []
  const undo = async () => void (await Promise.all(made.splice(0).map((path) => unlink(path).catch(() => undefined))))
  try {
    for (const file of files) await writeOne(file, made)
  } catch (error) {
    await undo()
    throw error
  }
  return undo
}

async function openNew(path: string, mode: number) {
  await makeFolder(dirname(path), 0o777)
  return open(path, 'wx', mode)
}

async function writeOne({ path, content, mode }: NewFile, made: string[]): Promise<void> {
  const file = await openNew(path, mode).catch((cause: NodeJS.ErrnoException) => {
    const detail =
      cause.code === 'EEXIST'
        ? `${path} is there already and stays as it is: choose another --name or --out.`
        : `${path} can not be made: is --out a folder that you may write to?`
    throw new CrosslineError('invalid_config', { detail, cause })
  })
  made.push(path)
  await fillFile(file, content, mode)
}
