// How a node comes to its directory at start, whom it trusts for it, and what changes at once when another is held.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Config, nameSetting } from '#config.ts'
import { digest } from '#crypto/digests.ts'
import { verifyDirectory, verifyFirstRoot } from '#crypto/directory-documents.ts'
import { createSecretFile } from '#crypto/secret-file.ts'
import type { HeldDirectory } from '#domain/held-directory.ts'
import { CrosslineError } from '#errors.ts'
import type { Server } from '#http/server.ts'
import { findPlace } from '#steps/call-peer.ts'
import type { StepContext } from '#steps/context.ts'
import { type DirectoryKeeper, type KeeperParts, openDirectoryKeeper } from '#steps/directory-keeper.ts'
import { readDirectoryFiles } from '#steps/refresh-directory.ts'
import { hasDirectory } from '#storage/directory-store.ts'
import { clearPeerTimers } from '#storage/peer-store.ts'

type DirectoryConfig = Pick<Config, 'dataDir' | 'directory'>
export type KeeperNeeds = Omit<KeeperParts, 'pins'>

/** What the database and the operator's files give together. Files that can't be used stop the start only where nothing is held. */
export async function openDirectory(config: DirectoryConfig, needs: KeeperNeeds): Promise<DirectoryKeeper> {
  const pins = await findTrustedRoots(config)
  const keeper = await nameSetting('ROOT_FINGERPRINT', openDirectoryKeeper({ ...needs, pins }))
  await readDirectoryFiles(keeper, config.directory).catch((error: unknown) => {
    if (!isHeld(keeper)) throw error
    needs.log.error({ step: 'directory', err: error }, 'the directory files can not be used: what was held before counts')
  })
  if (config.directory.pins.length === 0 && keeper.rootNumber() > 0) await keepAnchor(config, pins)
  return keeper
}

/**
 * Where no directory was ever held the operator's files must give one that lists this member, or the start ends before anything is migrated.
 * Later their files may be absent or broken: what is held counts.
 */
export async function checkFirstDirectory(config: DirectoryConfig & Pick<Config, 'member'>, url: string): Promise<void> {
  if (await hasDirectory(url)) return
  const { root, directory } = config.directory
  const pins = await findTrustedRoots(config)
  const { document } = await nameSetting(
    'ROOT_FILE',
    readFirst(root).then((bytes) => verifyFirstRoot(bytes, pins)),
  )
  const first = await nameSetting(
    'DIRECTORY_FILE',
    readFirst(directory).then((bytes) => verifyDirectory(bytes, document)),
  )
  if (!first.document.members.some(({ id }) => id === config.member))
    throw new CrosslineError('invalid_config', { detail: 'MEMBER_ID is no member of the network of DIRECTORY_FILE.' })
}

async function readFirst(path: string | undefined): Promise<Buffer> {
  if (path === undefined) throw new CrosslineError('invalid_config', { detail: 'It is needed at the first start.' })
  return readFile(path).catch((cause: unknown) => {
    throw new CrosslineError('broken_file', { detail: 'It names a file that cannot be read.', cause })
  })
}

/** What the database holds, verified from the trusted root on; the operator's files are not looked at and nothing is written. */
export async function openHeldDirectory(config: DirectoryConfig, needs: KeeperNeeds): Promise<DirectoryKeeper> {
  return openDirectoryKeeper({ ...needs, pins: await findTrustedRoots(config) })
}

/**
 * Fingerprints of the root that everything follows from: those of the configuration, else the one that this node met first, else that of
 * ROOT_FILE. The database has no say in it: whoever can write there could name a network of their own.
 */
async function findTrustedRoots(config: DirectoryConfig): Promise<string[]> {
  const { pins, root } = config.directory
  if (pins.length > 0) return pins
  const anchor = await readIfThere(anchorFile(config))
  if (anchor !== undefined) return [anchor.toString('utf8').trim()]
  const first = root === undefined ? undefined : await readIfThere(root)
  return first === undefined ? [] : [digest(first)]
}

const anchorFile = ({ dataDir }: DirectoryConfig): string => join(dataDir, 'root.fingerprint')

/** The first root that this node trusted stays its anchor when ROOT_FILE moves on to later ones. */
async function keepAnchor(config: DirectoryConfig, [anchor]: readonly string[]): Promise<void> {
  await createSecretFile(anchorFile(config), `${anchor}\n`).catch((cause: unknown) => {
    const detail = 'DATA_DIR can not keep the fingerprint of the first root: make it writable, or set ROOT_FINGERPRINT.'
    throw new CrosslineError('invalid_config', { detail, cause })
  })
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  return readFile(path).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined
    throw new CrosslineError('broken_file', { detail: 'ROOT_FILE, or root.fingerprint in DATA_DIR, can not be read.', cause })
  })
}

function isHeld(keeper: DirectoryKeeper): boolean {
  try {
    return keeper.current().version > 0
  } catch {
    return false
  }
}

export interface DirectoryChange {
  held: HeldDirectory
  before: HeldDirectory | undefined
  server: Pick<Server, 'closeSocketsOf'>
}

/** A changed directory takes effect at once: connections that no longer count are closed both ways, waiting peers are tried again. */
export async function applyDirectory(ctx: StepContext, { held, before, server }: DirectoryChange): Promise<void> {
  // Those of the directory before count too: a certificate or member may be gone without a trace.
  const members = [held, before].flatMap((each) => each?.document.members ?? [])
  const known = new Set(members.flatMap(({ certificates }) => certificates.map(({ fingerprint }) => fingerprint)))
  server.closeSocketsOf((fingerprint) => {
    const owner = held.findMemberByFingerprint(fingerprint, ctx.now())?.member.id
    return known.has(fingerprint) && (owner === undefined || !held.mayExchange(ctx.self, owner))
  })
  ctx.peers.keepOnly(held.peersOf(ctx.self).flatMap((peer) => findPlace(peer) ?? []))
  const ids = held.document.members.map(({ id }) => id)
  await clearPeerTimers(ctx.db, ids, ctx.now())
  ctx.wake('deliver')
  ctx.wake('trace')
}
