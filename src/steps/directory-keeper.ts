// Holds the verified directory: loads it at start, follows newer ones from a file or a peer, keeps what contradicts it as evidence.
// Who served the bytes never matters; signatures, thresholds and the rules of domain/directory-rules.ts decide.

import { digest } from '#crypto/digests.ts'
import { verifyDirectory, verifyFirstRoot, verifyNextRoot } from '#crypto/directory-documents.ts'
import {
  type DirectoryAge,
  decideDirectory,
  decideRoot,
  directoryAge,
  type FollowDecision,
  isRootAlive,
  type VerifiedDocument,
} from '#domain/directory-rules.ts'
import { type HeldDirectory, holdDirectory } from '#domain/held-directory.ts'
import { CrosslineError } from '#errors.ts'
import type { Logger } from '#log.ts'
import type { Directory, Root } from '#schema/directory.ts'
import { findDocument, findLatestDocument, findRoots, findServings, recordServing } from '#storage/directory-store.ts'
import type { Db } from '#storage/report-store.ts'
import { keepConflict, keepDocument, operatorFile } from './keep-document.ts'

export interface DirectoryKeeper {
  /** The directory held now. Throws `bad_directory` before the first one is there. */
  current(): HeldDirectory
  age(): DirectoryAge
  /** When the network last showed that this is the newest: a peer's answer, else the moment when the officers issued it. */
  refreshedAt(): Date
  /** Takes a root if it follows; true if it is held now. */
  considerRoot(bytes: Buffer, from: string): Promise<boolean>
  /** Takes a directory if it follows. `from` is a member, or `operatorFile`, which stands for a person's decision. */
  considerDirectory(bytes: Buffer, from: string): Promise<FollowDecision>
  /** Takes note of how a source wraps the directory that is held: `previous` of the next one may name that wrapping. */
  considerServing(bytes: Buffer, from: string): Promise<void>
  rootNumber(): number
}

export interface KeeperParts {
  db: Db
  /** Fingerprints of the first root that may be trusted. */
  pins: readonly string[]
  now: () => Date
  log: Logger
  /** Called after another directory is held, with the one before. */
  onChange: (held: HeldDirectory, before: HeldDirectory | undefined) => void
}

type Verified<T extends Root | Directory> = VerifiedDocument<T>

/** Opens with what the database holds, verified again from the pinned root on. Throws `bad_directory` for a root that is not trusted. */
export async function openDirectoryKeeper(parts: KeeperParts): Promise<DirectoryKeeper> {
  const { db, now, log } = parts
  const roots = await loadRoots(parts)
  let root = roots.at(-1)
  let loaded = await loadDirectory(parts, roots)
  let held = root && loaded ? hold(root, loaded.directory) : undefined
  let refreshedAt = issuedAtOf(held)

  function replace(directory: Verified<Directory>, under: Verified<Root>): void {
    const before = held
    loaded = { directory, under }
    held = hold(under, directory)
    log.info({ step: 'directory', version: held.version, members: held.document.members.length }, 'directory held')
    parts.onChange(held, before)
  }

  async function considerRoot(bytes: Buffer, from: string): Promise<boolean> {
    if (root && digest(bytes) === root.hash) return true
    const before = root
    const verify = (candidate: Buffer) =>
      before ? verifyNextRoot(candidate, before.document) : verifyFirstRoot(candidate, parts.pins)
    if (before && (await findDocument(db, 'root', peekNumber(bytes)))?.hash === digest(bytes)) return true
    const candidate = await verify(bytes)
    const decision = before ? decideRoot(before, candidate) : { kind: 'accept' as const }
    if (before && decision.kind === 'equivocation') await keepConflict(parts, 'root', { held: before, candidate, from })
    if (decision.kind !== 'accept') return decision.kind === 'already_held'
    root = await keepDocument(parts, candidate, { kind: 'root', from, rootNumber: null, verify })
    log.info({ step: 'directory', root: root.number }, 'root held')
    return true
  }

  async function considerDirectory(bytes: Buffer, from: string): Promise<FollowDecision> {
    const decision = await followDirectory(bytes, from)
    const isFollowed = decision.kind === 'accept' || decision.kind === 'already_held'
    // The operator's file says nothing about now: what it brings was the newest when it was issued.
    if (isFollowed && from !== operatorFile) refreshedAt = now()
    else if (decision.kind === 'accept') refreshedAt = issuedAtOf(held)
    return decision
  }

  async function followDirectory(bytes: Buffer, from: string): Promise<FollowDecision> {
    const under = root
    if (!under) throw new CrosslineError('bad_directory', { detail: 'There is no root yet to verify a directory with.' })
    if (loaded && digest(bytes) === loaded.directory.hash) return { kind: 'already_held' }
    const candidate = await verifyDirectory(bytes, under.document)
    const decision = await decide(candidate, { under, from })
    if (decision.kind !== 'accept') {
      await noteContradiction(candidate, { decision, from })
      return decision
    }
    const verify = (stored: Buffer) => verifyDirectory(stored, under.document)
    replace(await keepDocument(parts, candidate, { kind: 'directory', from, rootNumber: under.number, verify }), under)
    return decision
  }

  async function decide(
    candidate: Verified<Directory>,
    { under, from }: { under: Verified<Root>; from: string },
  ): Promise<FollowDecision> {
    if (!isRootAlive(under.document, now())) return { kind: 'refused', reason: 'root_expired' }
    const servings = loaded ? await findServings(db, loaded.directory.number) : []
    const question = { held: loaded?.directory, candidate, now: now(), servings, isAllowedAhead: from === operatorFile }
    return decideDirectory(question)
  }

  async function noteContradiction(
    candidate: Verified<Directory>,
    { decision, from }: { decision: FollowDecision; from: string },
  ): Promise<void> {
    const { kind } = decision
    if (loaded && kind === 'equivocation') await keepConflict(parts, 'directory', { held: loaded.directory, candidate, from })
    if (loaded && kind === 'already_held' && candidate.hash !== loaded.directory.hash)
      await recordServing(db, { version: candidate.number, source: from, hash: candidate.hash })
    if (kind !== 'refused' && kind !== 'needs_person') return
    const reason = kind === 'refused' ? decision.reason : undefined
    log.warn({ step: 'directory', version: candidate.number, peer: from, decision: kind, reason }, 'directory not followed')
  }

  async function considerServing(bytes: Buffer, from: string): Promise<void> {
    if (!loaded || digest(bytes) === loaded.directory.hash) return
    const { directory, under } = loaded
    const candidate = await verifyDirectory(bytes, under.document)
    if (candidate.number !== directory.number) return
    await noteContradiction(candidate, { decision: decideDirectory({ held: directory, candidate, now: now() }), from })
  }

  return {
    current: () => {
      if (!held) throw new CrosslineError('bad_directory', { detail: 'No directory is held. Set DIRECTORY_FILE and ROOT_FILE.' })
      return held
    },
    age: () => (held ? directoryAge(held.document, refreshedAt, now()) : 'expired'),
    refreshedAt: () => refreshedAt,
    considerRoot,
    considerDirectory,
    considerServing,
    rootNumber: () => root?.number ?? 0,
  }
}

function hold(root: Verified<Root>, { document, number, hash, bytes }: Verified<Directory>): HeldDirectory {
  return holdDirectory({ document, version: number, hash, bytes, root: root.document })
}

function issuedAtOf(held: HeldDirectory | undefined): Date {
  return new Date(held?.document.issuedAt ?? 0)
}

/** The chain of roots from the pinned one: what the database says is believed only as far as it verifies. */
async function loadRoots({ db, pins }: KeeperParts): Promise<Verified<Root>[]> {
  const chain: Verified<Root>[] = []
  for (const { bytes } of await findRoots(db)) {
    const before = chain.at(-1)
    chain.push(before ? await verifyNextRoot(bytes, before.document) : await verifyFirstRoot(bytes, pins))
  }
  return chain
}

interface LoadedDirectory {
  directory: Verified<Directory>
  /** The root that it was verified under when it was taken: a later one may name other keys before the next directory is there. */
  under: Verified<Root>
}

/** The newest directory that is kept; undefined, and told, if it does not verify: files and peers bring one that does. */
async function loadDirectory({ db, log }: KeeperParts, roots: readonly Verified<Root>[]): Promise<LoadedDirectory | undefined> {
  const latest = await findLatestDocument(db, 'directory')
  const under = roots.find(({ number }) => number === latest?.rootNumber)
  if (!latest) return undefined
  try {
    if (!under) throw new CrosslineError('bad_directory', { detail: 'The root of the kept directory is not there.' })
    return { directory: await verifyDirectory(latest.bytes, under.document), under }
  } catch (error) {
    log.error({ step: 'directory', version: latest.number, err: error }, 'the directory in the database does not verify')
    return undefined
  }
}

/** The number that unverified bytes claim, only to look whether the same bytes are held; 0 if they can't be read. */
function peekNumber(bytes: Buffer): number {
  try {
    const { payload } = JSON.parse(bytes.toString()) as { payload?: string }
    const { number } = JSON.parse(Buffer.from(payload ?? '', 'base64url').toString()) as { number?: number }
    return Number.isSafeInteger(number) ? (number as number) : 0
  } catch {
    return 0
  }
}
