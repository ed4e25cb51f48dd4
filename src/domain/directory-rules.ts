// Which root or directory may follow the one that is held, and how old a view is. Pure: the caller verified the signatures before
// (crypto/directory-documents.ts) and acts on the answer. The attacks are those of The Update Framework.
import type { Directory, Root } from '#schema/directory.ts'
import { instantOf } from './directory-contents.ts'

/** A root or directory whose signatures were verified. */
export interface VerifiedDocument<T extends Root | Directory> {
  document: T
  /** Number of the root, version of the directory. */
  number: number
  /** SHA-256 of the bytes as served. */
  hash: string
  /** SHA-256 of the signed payload: the same for two servings that differ only in how they were signed or wrapped. */
  payloadHash: string
  /** The bytes as served, never serialised again. */
  bytes: Buffer
}

/** Why a document is not followed. */
export type FollowRefusal =
  /** Lower than what is held: an old state, served again. */
  | 'rollback'
  /** Its life is over: what a frozen mirror serves. */
  | 'expired'
  /** Issued more than 5 minutes ahead of our clock. */
  | 'issued_in_future'
  /** It follows on another directory than the one that is held. */
  | 'wrong_previous'
  /** Roots between are missing: each must be followed in turn. */
  | 'gap'
  /** The root is over: no directory counts under it. */
  | 'root_expired'

/**
 * accept: take it. already_held: nothing to do. equivocation: the officers signed two contents under one number; keep ours, raise an
 * alarm, keep theirs as evidence. needs_person: so far ahead that it could be an attack that leaves no number for later versions.
 */
export type FollowDecision =
  | { kind: 'accept' | 'already_held' | 'equivocation' | 'needs_person' }
  | { kind: 'refused'; reason: FollowRefusal }

/** Versions that may be skipped without a person. */
export const maxVersionsAhead = 1000
const maxClockSkewMs = 5 * 60 * 1000

/** Whether a root follows the held one. Its threshold under the held root's keys and its own was verified before. */
export function decideRoot(held: VerifiedDocument<Root>, candidate: VerifiedDocument<Root>): FollowDecision {
  const known = compareWithHeld(held, candidate)
  if (known) return known
  return candidate.number === held.number + 1 ? { kind: 'accept' } : { kind: 'refused', reason: 'gap' }
}

/** False when the root is over: then no directory counts under it. Roots on the way to a newer one may be over. */
export function isRootAlive(root: Root, now: Date): boolean {
  return now.getTime() < instantOf(root.expires)
}

/** What the decision about a directory rests on. */
export interface DirectoryQuestion {
  /** What is held; undefined at the very first start. */
  held: VerifiedDocument<Directory> | undefined
  candidate: VerifiedDocument<Directory>
  now: Date
  /** Hashes of other servings of the held directory, verified with the same payload: `previous` may name one of them. */
  servings?: readonly string[]
  /** Whether a person brought it: then it may be far ahead. */
  isAllowedAhead?: boolean
}

/** Whether a directory follows the held one. */
export function decideDirectory({
  held,
  candidate,
  now,
  servings = [],
  isAllowedAhead = false,
}: DirectoryQuestion): FollowDecision {
  const known = held && compareWithHeld(held, candidate)
  if (known) return known
  const untimely = findUntimeliness(candidate.document, now)
  if (untimely) return { kind: 'refused', reason: untimely }
  if (!held) return { kind: 'accept' }
  if (candidate.number === held.number + 1 && ![held.hash, ...servings].includes(candidate.document.previous ?? '')) {
    return { kind: 'refused', reason: 'wrong_previous' }
  }
  const isFar = candidate.number > held.number + maxVersionsAhead && !isAllowedAhead
  return { kind: isFar ? 'needs_person' : 'accept' }
}

function compareWithHeld<T extends Root | Directory>(
  held: VerifiedDocument<T>,
  candidate: VerifiedDocument<T>,
): FollowDecision | undefined {
  if (candidate.number < held.number) return { kind: 'refused', reason: 'rollback' }
  if (candidate.number > held.number) return undefined
  // Any mirror can wrap the same payload anew (order of signatures, one more of a stranger, white space): that convicts nobody.
  const isSame = candidate.hash === held.hash || candidate.payloadHash === held.payloadHash
  return { kind: isSame ? 'already_held' : 'equivocation' }
}

function findUntimeliness({ issuedAt, expires }: Directory, now: Date): FollowRefusal | undefined {
  if (now.getTime() >= instantOf(expires)) return 'expired'
  if (instantOf(issuedAt) > now.getTime() + maxClockSkewMs) return 'issued_in_future'
  return undefined
}

/** fresh: trust it. stale: alarm, traffic goes on, no new members or keys. expired: stop, loudly. */
export type DirectoryAge = 'fresh' | 'stale' | 'expired'
const freshForMs = 3600 * 1000

/**
 * Age of the view that a node acts on. `refreshedAt` is when the network last showed that this is the newest: a clock that went
 * back makes it stale, never fresh for ever.
 */
export function directoryAge(directory: Directory, refreshedAt: Date, now: Date): DirectoryAge {
  if (now.getTime() >= instantOf(directory.expires)) return 'expired'
  const ageMs = now.getTime() - refreshedAt.getTime()
  return ageMs < freshForMs && ageMs > -maxClockSkewMs ? 'fresh' : 'stale'
}
