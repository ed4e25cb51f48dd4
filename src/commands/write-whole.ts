// Writes a file so that a reader sees the old one or the new one, never half of it.
import { randomBytes } from 'node:crypto'
import { type FileHandle, open, rename, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { makeFolder } from '#crypto/secret-file.ts'

/** Replaces or makes the file, durably, with exactly this mode; its folder is made for the owner alone. */
export async function writeWhole(path: string, content: string | Uint8Array, mode: number): Promise<void> {
  await makeFolder(dirname(path), 0o700)
  const draft = `${path}.${randomBytes(8).toString('hex')}.new`
  try {
    const file = await open(draft, 'wx', mode)
    await fillFile(file, content, mode)
    await rename(draft, path)
  } catch (cause) {
    await unlink(draft).catch(() => undefined)
    throw cause
  }
}

/** Writes a file that was just made, durably, with exactly this mode whatever the umask, and closes it. */
export async function fillFile(file: FileHandle, content: string | Uint8Array, mode: number): Promise<void> {
  try {
    await file.writeFile(content)
    await file.chmod(mode)
    await file.sync()
  } finally {
    await file.close()
  }
}
