// Secrets come from files only. A file that others may read is refused, and a new one appears whole, for its owner alone, or not at all.

import { randomBytes } from 'node:crypto'
import { link, lstat, mkdir, open, stat, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { CrosslineError } from '#errors.ts'

const maxBytes = 65_536

/** The text of a secret's file. Throws `invalid_config` when it cannot be read, is too large, or when group or others have any right to it. */
export async function readSecretFile(path: string): Promise<string> {
  const file = await open(path, 'r').catch((cause) => refuse(`The secret file ${path} cannot be opened`, cause))
  try {
    const { mode, size } = await file.stat()
    if ((mode & 0o077) !== 0) refuse(`The secret file ${path} may be used by others than its owner: chmod 600`)
    if (size > maxBytes) refuse(`The file ${path} is too large for a secret`)
    return await file.readFile('utf8').catch((cause) => refuse(`The secret file ${path} cannot be read`, cause))
  } finally {
    await file.close()
  }
}

/**
 * Makes the file with mode 0600 unless there is one; true when this call made it. Of several processes at once exactly one makes it,
 * and no reader ever sees half of it: a linked name is complete, and `link` fails where the name is taken.
 */
export async function createSecretFile(path: string, text: string): Promise<boolean> {
  // A secret that is there may lie on a read-only mount: nothing is written then.
  if (await isThere(path)) return false
  await makeFolder(dirname(path), 0o700).catch((cause) => refuse(`The folder of ${path} cannot be made`, cause))
  const draft = `${path}.${randomBytes(8).toString('hex')}.new`
  await writeDurably(draft, text)
  try {
    await link(draft, path)
    return true
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return false
    return refuse(`The secret file ${path} cannot be made`, cause)
  } finally {
    await unlink(draft)
    await syncFolder(dirname(path))
  }
}

/** Makes a folder and those above it, unless they are there. Node's own `recursive` never comes back where nothing can be made, as in /proc. */
export async function makeFolder(path: string, mode: number): Promise<void> {
  if (await isFolder(path)) return
  if (dirname(path) !== path) await makeFolder(dirname(path), mode)
  await mkdir(path, { mode }).catch(async (cause: unknown) => {
    // Another call may have been quicker.
    if (!(await isFolder(path))) throw cause
  })
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )
}

async function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) =>
      error.code === 'ENOENT' ? false : refuse(`The secret file ${path} cannot be looked up`, error),
  )
}

async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', 0o600).catch((cause) => refuse(`The secret file ${path} cannot be made`, cause))
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

function refuse(detail: string, cause?: unknown): never {
  throw new CrosslineError('invalid_config', { detail, cause })
}
