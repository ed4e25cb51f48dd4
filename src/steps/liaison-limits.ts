// How much one liaison may ask: so many questions a minute (in memory), so many rows a day (by the database's own count of its questions).
import { CrosslineError } from '#errors.ts'

export interface LiaisonLimits {
  /** Questions that open entries: pages of the log, custodies, exports. */
  questions: Bucket
  /** Reads of checkpoints, tiles and proofs: hashes only, and many make up one tree. */
  hashes: Bucket
  rowsPerDay: number
}

/** Takes one out of a liaison's bucket; gives the seconds until the next one is there, 0 when it was. */
export type Bucket = (fingerprint: string) => number

/** A whole tree of a million leaves is 4,000 tiles. */
const hashesPerQuestion = 100

export function createLiaisonLimits(
  { questionsPerMinute, rowsPerDay }: { questionsPerMinute: number; rowsPerDay: number },
  now: () => Date,
): LiaisonLimits {
  return {
    questions: createBucket(questionsPerMinute, now),
    hashes: createBucket(questionsPerMinute * hashesPerQuestion, now),
    rowsPerDay,
  }
}

/** A token bucket for each certificate: full at first, and full again after a minute of rest. */
export function createBucket(perMinute: number, now: () => Date): Bucket {
  const held = new Map<string, { tokens: number; atMs: number }>()
  return (fingerprint) => {
    const nowMs = now().getTime()
    const { tokens: before, atMs } = held.get(fingerprint) ?? { tokens: perMinute, atMs: nowMs }
    // A clock that is set back gives nothing, and takes nothing away.
    const tokens = Math.min(perMinute, before + (Math.max(0, nowMs - atMs) * perMinute) / 60_000)
    held.set(fingerprint, { tokens: tokens >= 1 ? tokens - 1 : tokens, atMs: nowMs })
    return tokens >= 1 ? 0 : Math.ceil(((1 - tokens) * 60) / perMinute)
  }
}

/** Throws `rate_limited` with the seconds to wait. */
export function takeToken(bucket: Bucket, fingerprint: string): void {
  const retryAfterS = bucket(fingerprint)
  if (retryAfterS > 0) throw new CrosslineError('rate_limited', { retryAfterS })
}

/** The day (UTC) that rows count for. */
export const dayOf = (at: Date): string => at.toISOString().slice(0, 10)
