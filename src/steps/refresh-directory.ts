// Looks for a newer root and directory in the operator's files and at peers. One reachable source is enough, and none is trusted.
import { randomBytes } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { CrosslineError } from '#errors.ts'
import { clearTimerOfReached } from '#storage/peer-store.ts'
import { callPeer } from './call-peer.ts'
import type { StepContext } from './context.ts'
import type { DirectoryKeeper } from './directory-keeper.ts'
import { operatorFile } from './keep-document.ts'

export interface DirectoryFiles {
  root: string | undefined
  directory: string | undefined
}

/** Reads the operator's files: one that is absent or doesn't verify changes nothing, keeps nothing from the other, and is thrown last. */
export async function readDirectoryFiles(keeper: DirectoryKeeper, { root, directory }: DirectoryFiles): Promise<void> {
  const faults: unknown[] = []
  const read = async (path: string | undefined, consider: (bytes: Buffer, from: string) => Promise<unknown>) => {
    if (path === undefined) return
    await readWhole(path)
      .then((bytes) => consider(bytes, operatorFile))
      .catch((error: unknown) => faults.push(error))
  }
  await read(root, keeper.considerRoot)
  await read(directory, keeper.considerDirectory)
  if (faults.length > 0) throw faults[0]
}

const rereadMs = 600_000

/** The same, but a file that has not changed since it was last read is not looked at again. */
export function watchDirectoryFiles(keeper: DirectoryKeeper, { root, directory }: DirectoryFiles): () => Promise<void> {
  const seen = new Map<string, string>()
  let forgetAt = 0
  async function isChanged(path: string | undefined): Promise<boolean> {
    if (path === undefined) return false
    const stamp = await stampOf(path)
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

function stampOf(path: string): Promise<string> {
  return stat(path).then(
    ({ mtimeMs, ctimeMs, size, ino }) => `${mtimeMs}:${ctimeMs}:${size}:${ino}`,
    () => 'absent',
  )
}

async function readWhole(path: string): Promise<Buffer> {
  return readFile(path).catch((cause: unknown) => {
    throw new CrosslineError('broken_file', { detail: 'A directory file can not be read.', cause })
  })
}

const directoryPath = '/federation/v1/directory'

/** Asks one peer for roots that follow and for its directory. True if it answered with one that is held then. */
export async function mirrorDirectory(ctx: StepContext, keeper: DirectoryKeeper, member: string): Promise<boolean> {
  try {
    if ((await followRoots(ctx, keeper, member)) === 'unreachable') return false
    const bytes = await fetchDocument(ctx, member, directoryPath)
    const isFollowed = Buffer.isBuffer(bytes) && (await followDirectory(ctx, keeper, { bytes, member }))
    if (isFollowed) await noteReached(ctx, member)
    return isFollowed
  } catch (error) {
    if (!(error instanceof CrosslineError)) throw error
    ctx.log.warn({ step: 'directory', peer: member, code: error.code }, 'a peer served a directory that does not verify')
    return false
  }
}

/** How a peer fails that can't be reached: no answer of its own, and no wait that it asked for. */
const unreached = ['refused', 'timeout', 'not_found', 'tls', 'pin', 'closed']

/** It answers again, on its own certificate: what waits for it need not wait out its timer. */
async function noteReached(ctx: StepContext, member: string): Promise<void> {
  if (await clearTimerOfReached(ctx.db, { member, now: ctx.now(), unreached })) ctx.wake('deliver')
}

async function followDirectory(
  ctx: StepContext,
  keeper: DirectoryKeeper,
  { bytes, member }: { bytes: Buffer; member: string },
): Promise<boolean> {
  const decision = await keeper.considerDirectory(bytes, member)
  if (decision.kind === 'refused' && decision.reason === 'wrong_previous') {
    // Ours may be a copy that some mirror wrapped anew; it follows on the peer's, if that has the same signed content as ours.
    const before = await fetchDocument(ctx, member, `${directoryPath}/${keeper.current().version}`)
    if (!Buffer.isBuffer(before)) return false
    await keeper.considerServing(before, member)
    return (await keeper.considerDirectory(bytes, member)).kind === 'accept'
  }
  return decision.kind === 'accept' || decision.kind === 'already_held'
}

const maxRootsAtOnce = 16

async function followRoots(ctx: StepContext, keeper: DirectoryKeeper, member: string): Promise<'followed' | 'unreachable'> {
  for (let followed = 0; followed < maxRootsAtOnce; followed++) {
    const bytes = await fetchDocument(ctx, member, `${directoryPath}/roots/${keeper.rootNumber() + 1}`)
    if (bytes === 'unreachable') return bytes
    if (bytes === 'none' || !(await keeper.considerRoot(bytes, member))) break
  }
  return 'followed'
}

/** The document; `none` if the peer answers without it; `unreachable` if it does not answer, and need not be waited for again. */
async function fetchDocument(ctx: StepContext, member: string, path: string): Promise<Buffer | 'none' | 'unreachable'> {
  const answer = await callPeer(ctx, { member, method: 'GET', path, trace: randomBytes(16).toString('hex'), timeoutMs: 10_000 })
  if (answer.kind === 'answered') return answer.body
  return answer.kind === 'unreachable' && !answer.reason.startsWith('http_') ? 'unreachable' : 'none'
}
