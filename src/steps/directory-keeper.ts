// Holds the verified directory: loads it at start, follows newer ones from a file or a peer, keeps what contradicts it as evidence.
// Who served the bytes never matters; signatures, thresholds and the rules of domain/directory-rules.ts decide.

import { digest } from '#crypto/digests.ts'
import { verifyDirectory, verifyFirstRoot, verifyNextRoot } from '#crypto/directory-documents.ts'
import {
  type DirectoryAge,
  decideDirectory,
  decideRoot,
  directoryAge,
  isRootAlive,
  type VerifiedDocument,
} from '#domain/directory-rules.ts'
import { type HeldDirectory, holdDirectory } from '#domain/held-directory.ts'
import { CrosslineError } from '#errors.ts'
import type { Logger } from '#log.ts'
import type { Directory, Root } from '#schema/directory.ts'
import { findDocument, findLatestDocument, insertDocument, recordConflict } from '#storage/directory-store.ts'
import { countSecurityEvent } from '#storage/peer-store.ts'
import type { Db } from '#storage/report-store.ts'

export interface DirectoryKeeper {
  /** The directory held now. Throws `bad_directory` before the first one is there. */
  current(): HeldDirectory
  age(): DirectoryAge
  /** When the network last confirmed that this is the newest. */
  refreshedAt(): Date
  /** Takes a root if it follows; true if it is held now. */
  considerRoot(bytes: Buffer, from: string): Promise<boolean>
  /** Takes a directory if it follows; true if it is the one held now. */
  considerDirectory(bytes: Buffer, from: string): Promise<boolean>
  rootNumber(): number
}

export interface KeeperParts {
  db: Db
  /** Fingerprints of the first root that may be trusted. */
  pins: readonly string[]
  now: () => Date
  log: Logger
  /** Called after another directory is held. */
  onChange: (held: HeldDirectory) => void
}

/** Opens with what the database holds, verified again from the pinned root on. */
export async function openDirectoryKeeper(parts: KeeperParts): Promise<DirectoryKeeper> {
  const { db, now, log } = parts
  let root = await loadRoot(parts)
  let directory = root && (await loadDirectory(db, root))
  let held = root && directory ? hold(root, directory) : undefined
  let refreshedAt = now()

  function replace(next: VerifiedDocument<Directory>, under: VerifiedDocument<Root>): void {
    directory = next
    held = hold(under, next)
    log.info({ step: 'directory', version: held.version, members: held.document.members.length }, 'directory held')
    parts.onChange(held)
  }

  async function considerRoot(bytes: Buffer, from: string): Promise<boolean> {
    if (root && digest(bytes) === root.hash) return true
    if (!root) {
      root = await verifyFirstRoot(bytes, parts.pins)
      await keep(db, root, { kind: 'root', from })
      return true
    }
    if ((await findDocument(db, 'root', peekNumber(bytes)))?.hash === digest(bytes)) return true
    const candidate = await verifyNextRoot(bytes, root.document)
    const decision = decideRoot(root, candidate)
    if (decision.kind === 'equivocation') await keepConflict(parts, 'root', { held: root, candidate, from })
    if (decision.kind !== 'accept') return decision.kind === 'already_held'
    await keep(db, candidate, { kind: 'root', from })
    root = candidate
    log.info({ step: 'directory', root: root.number }, 'root held')
    return true
  }

  async function considerDirectory(bytes: Buffer, from: string): Promise<boolean> {
    if (!root) throw new CrosslineError('bad_directory', { detail: 'There is no root yet to verify a directory with.' })
    if (directory && digest(bytes) === directory.hash) {
      refreshedAt = now()
      return true
    }
    const candidate = await verifyDirectory(bytes, root.document)
    const decision = isRootAlive(root.document, now())
      ? decideDirectory({ held: directory, candidate, now: now() })
      : { kind: 'refused' as const, reason: 'root_expired' }
    if (decision.kind === 'equivocation' && directory)
      await keepConflict(parts, 'directory', { held: directory, candidate, from })
    if (decision.kind === 'refused' || decision.kind === 'needs_person') {
      log.warn(
        {
          step: 'directory',
          version: candidate.number,
          peer: from,
          decision: decision.kind,
          reason: 'reason' in decision ? decision.reason : undefined,
        },
        'directory not followed',
      )
    }
    if (decision.kind === 'already_held') refreshedAt = now()
    if (decision.kind !== 'accept') return decision.kind === 'already_held'
    await keep(db, candidate, { kind: 'directory', from })
    refreshedAt = now()
    replace(candidate, root)
    return true
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
    rootNumber: () => root?.number ?? 0,
  }
}

function hold(root: VerifiedDocument<Root>, { document, number, hash, bytes }: VerifiedDocument<Directory>): HeldDirectory {
  return holdDirectory({ document, version: number, hash, bytes, root: root.document })
}

/** The chain of roots from the pinned one: what the database says is believed only as far as it verifies. */
async function loadRoot({ db, pins }: KeeperParts): Promise<VerifiedDocument<Root> | undefined> {
  const latest = await findLatestDocument(db, 'root')
  if (!latest) return undefined
  const rows = await db
    .selectFrom('directory_document')
    .select(['number', 'bytes'])
    .where('kind', '=', 'root')
    .orderBy('number')
    .execute()
  let root: VerifiedDocument<Root> | undefined
  for (const { bytes } of rows) root = root ? await verifyNextRoot(bytes, root.document) : await verifyFirstRoot(bytes, pins)
  return root
}

async function loadDirectory(db: Db, root: VerifiedDocument<Root>): Promise<VerifiedDocument<Directory> | undefined> {
  const latest = await findLatestDocument(db, 'directory')
  return latest && verifyDirectory(latest.bytes, root.document)
}

async function keep(
  db: Db,
  document: VerifiedDocument<Root | Directory>,
  { kind, from }: { kind: 'root' | 'directory'; from: string },
): Promise<void> {
  const { number, hash, bytes } = document
  await insertDocument(db, { kind, number, hash, bytes, receivedFrom: from })
}

interface Contradiction {
  held: VerifiedDocument<Root | Directory>
  candidate: VerifiedDocument<Root | Directory>
  from: string
}

async function keepConflict(
  { db, log, now }: KeeperParts,
  kind: 'root' | 'directory',
  { held, candidate, from }: Contradiction,
): Promise<void> {
  const { number, hash, bytes } = candidate
  const isNew = await recordConflict(db, {
    kind,
    number,
    heldHash: held.hash,
    otherHash: hash,
    otherBytes: bytes,
    receivedFrom: from,
  })
  if (!isNew) return
  const code = 'equivocation'
  log.error(
    { step: 'directory', code, kind, number, peer: from },
    'the office signed two contents under one number: the old one stays, the other is kept as evidence',
  )
  await countSecurityEvent(db, { at: now(), fingerprint: '', member: from === 'file' ? '' : from, code, trace: '0'.repeat(32) })
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
