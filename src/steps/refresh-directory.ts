// Looks for a newer root and directory in the operator's files and at peers. One reachable source is enough, and none is trusted.
import { randomBytes } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { CrosslineError } from '#errors.ts'
import { callPeer } from './call-peer.ts'
import type { StepContext } from './context.ts'
import type { DirectoryKeeper } from './directory-keeper.ts'

export interface DirectoryFiles {
  root: string | undefined
  directory: string | undefined
}

/** Reads the operator's files. A file that is absent or doesn't verify is told and changes nothing. */
export async function readDirectoryFiles(keeper: DirectoryKeeper, files: DirectoryFiles): Promise<void> {
  if (files.root !== undefined) await keeper.considerRoot(await readWhole(files.root), 'file')
  if (files.directory !== undefined) await keeper.considerDirectory(await readWhole(files.directory), 'file')
}

const rereadMs = 600_000

/** The same, but a file that has not changed since it was last read is not looked at again. */
export function watchDirectoryFiles(keeper: DirectoryKeeper, { root, directory }: DirectoryFiles): () => Promise<void> {
  const seen = new Map<string, string>()
  let forgetAt = 0
  async function isChanged(path: string | undefined): Promise<boolean> {
    if (path === undefined) return false
    const { mtimeMs, size, ino } = await stat(path)
    const stamp = `${mtimeMs}:${size}:${ino}`
    if (seen.get(path) === stamp) return false
    seen.set(path, stamp)
    return true
  }
  return async () => {
    // What was refused for the moment only (a clock that was wrong) is looked at again.
    if (Date.now() >= forgetAt) seen.clear()
    if (seen.size === 0) forgetAt = Date.now() + rereadMs
    const [isNewRoot, isNewDirectory] = [await isChanged(root), await isChanged(directory)]
    if (isNewRoot || isNewDirectory) await readDirectoryFiles(keeper, { root, directory })
  }
}

async function readWhole(path: string): Promise<Buffer> {
  return readFile(path).catch((cause: unknown) => {
    throw new CrosslineError('broken_file', { detail: 'A directory file can not be read.', cause })
  })
}

/** Asks one peer for roots that follow and for its directory. True if it answered with one that verifies. */
export async function mirrorDirectory(ctx: StepContext, keeper: DirectoryKeeper, member: string): Promise<boolean> {
  try {
    await followRoots(ctx, keeper, member)
    const bytes = await fetchDocument(ctx, member, '/federation/v1/directory')
    return bytes !== undefined && (await keeper.considerDirectory(bytes, member))
  } catch (error) {
    if (!(error instanceof CrosslineError)) throw error
    ctx.log.warn({ step: 'directory', peer: member, code: error.code }, 'a peer served a directory that does not verify')
    return false
  }
}

const maxRootsAtOnce = 16

async function followRoots(ctx: StepContext, keeper: DirectoryKeeper, member: string): Promise<void> {
  for (let followed = 0; followed < maxRootsAtOnce; followed++) {
    const bytes = await fetchDocument(ctx, member, `/federation/v1/directory/roots/${keeper.rootNumber() + 1}`)
    if (!bytes || !(await keeper.considerRoot(bytes, member))) return
  }
}

async function fetchDocument(ctx: StepContext, member: string, path: string): Promise<Buffer | undefined> {
  const answer = await callPeer(ctx, { member, method: 'GET', path, trace: randomBytes(16).toString('hex'), timeoutMs: 10_000 })
  return answer.kind === 'answered' ? answer.body : undefined
}
