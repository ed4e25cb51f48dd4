// What a process remembers of the sealing of its log: the last checkpoint, what waits, whether it halted. Promise: what waits too long, or
// a halt that lasts, refuses new work from memory, without a query.
import { CrosslineError } from '#errors.ts'

/** A checkpoint of our own log that is committed. */
export interface OwnCheckpoint {
  origin: string
  size: number
  root: Buffer
}

/** Why the sealer stopped until a person looks; stable codes. */
export type HaltReason =
  | 'rollback' // the database is behind what was published, or tells it otherwise
  | 'broken_tree' // edge, tiles, leaves or checkpoints contradict one another
  | 'broken_entry' // an entry is gone, or its bytes are not those of its leaf
  | 'foreign_entry' // an entry of another log
  | 'straggler' // an entry of a year whose shard is closed
  | 'published_unreadable' // the published checkpoint can't be read, or nobody of ours wrote it
  | 'fork' // a witness holds another tree

export interface Halt {
  why: string
  /** By the database's clock. */
  at: Date
}

/** What one look at the database tells. */
export interface SealingFacts {
  checkpoint: OwnCheckpoint | null
  pending: number
  /** The entry that waits longest, by the database's clock. */
  oldest: { id: number; ageMs: number } | null
  halt: (Halt & { ageMs: number }) | null
}

export interface Sealing {
  readonly checkpoint: OwnCheckpoint | null
  readonly halt: Halt | null
  readonly pending: number
  /** Age of the oldest entry that waits, now. */
  oldestMs(): number
  /** How long it has been halted, now; 0 when it is not. */
  haltedMs(): number
  /** Takes over what a look at the database told. */
  learn(facts: SealingFacts): void
  /** A checkpoint of ours was committed; with `isEmpty` nothing waited behind it. */
  seal(checkpoint: OwnCheckpoint | null, isEmpty: boolean): void
  /** Stops at once, before the database knows of it. Until `recorded` no look at the database starts it again. */
  stop(halt: Halt): void
  recorded(): void
  readonly isRecorded: boolean
}

/** Entries that wait longer are told as an alarm. */
export const alarmMs = 5000
/** Entries that wait longer, or a halt that lasts longer, refuse new work. */
export const patienceMs = 60_000

/** Starts knowing nothing. `clock` never goes back: milliseconds since any moment. */
export function createSealing(clock: () => number = () => performance.now()): Sealing {
  let checkpoint: OwnCheckpoint | null = null
  let halt: Halt | null = null
  let haltedSince = 0
  let pending = 0
  let oldest = { id: 0, since: 0 }
  let isRecorded = true
  return {
    get checkpoint() {
      return checkpoint
    },
    get halt() {
      return halt
    },
    get pending() {
      return pending
    },
    oldestMs: () => (pending === 0 ? 0 : clock() - oldest.since),
    haltedMs: () => (halt === null ? 0 : clock() - haltedSince),
    learn: (facts) => {
      checkpoint = facts.checkpoint
      pending = facts.pending
      // The database's clock may be set back: what has been waiting here does not get younger by it.
      const since = clock() - (facts.oldest?.ageMs ?? 0)
      const id = facts.oldest?.id ?? 0
      oldest = { id, since: id === oldest.id ? Math.min(oldest.since, since) : since }
      if (!isRecorded) return
      const stopped = clock() - (facts.halt?.ageMs ?? 0)
      haltedSince = halt === null ? stopped : Math.min(haltedSince, stopped)
      halt = facts.halt
    },
    seal: (signed, isEmpty) => {
      checkpoint = signed ?? checkpoint
      if (isEmpty) pending = 0
    },
    stop: (why) => {
      if (halt === null) haltedSince = clock()
      halt = why
      isRecorded = false
    },
    recorded: () => {
      isRecorded = true
    },
    get isRecorded() {
      return isRecorded
    },
  }
}

/** Throws `audit_unavailable` while what would be recorded could not be proven for too long already. */
export function refuseUnsealed({ sealing }: { sealing: Sealing }): void {
  if (sealing.oldestMs() <= patienceMs && sealing.haltedMs() <= patienceMs) return
  throw new CrosslineError('audit_unavailable', {
    detail: 'The audit log is written but has not been sealed for over a minute.',
    retryAfterS: 30,
  })
}
