// Locks between processes that die with their holder: a kill -9 leaves nothing to clean up. Node has no flock, but SQLite takes real
// file locks (fcntl), so an empty database file serves as the lock; nothing is ever written to it.
import { closeSync, openSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { CrosslineError } from '#errors.ts'

/** A lock that this process holds. `release` may be called twice. */
export interface ProcessLock {
  release(): void
}

const sqliteBusy = 5
// The garbage collector closes a database that nobody refers to, and with it would go the lock.
const held = new Set<DatabaseSync>()

/** Takes the lock alone, or gives nothing when any other process (or this one) holds it. */
export function tryExclusive(file: string): ProcessLock | undefined {
  return tryLock(file, (lock) => lock.exec('BEGIN EXCLUSIVE'))
}

/** Takes the lock beside other sharers, or gives nothing when somebody holds it alone. */
export function tryShared(file: string): ProcessLock | undefined {
  return tryLock(file, (lock) => {
    lock.exec('BEGIN')
    lock.prepare('SELECT count(*) FROM sqlite_schema').get()
  })
}

/** Waits for the lock; throws database_unavailable after `timeoutMs`. */
export async function waitExclusive(file: string, timeoutMs: number): Promise<ProcessLock> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    const lock = tryExclusive(file)
    if (lock) return lock
    if (Date.now() > deadline) {
      throw new CrosslineError('database_unavailable', {
        detail: 'Another process has been starting or stopping the embedded database for too long.',
      })
    }
    await sleep(25)
  }
}

function tryLock(file: string, take: (lock: DatabaseSync) => void): ProcessLock | undefined {
  const lock = openLockFile(file)
  try {
    take(lock)
  } catch (error) {
    lock.close()
    if ((error as { errcode?: number }).errcode === sqliteBusy) return undefined
    throw unusable(error)
  }
  held.add(lock)
  return {
    release() {
      if (held.delete(lock)) lock.close()
    },
  }
}

function openLockFile(file: string): DatabaseSync {
  try {
    closeSync(openSync(file, 'a', 0o600))
    return new DatabaseSync(file, { timeout: 0 })
  } catch (error) {
    throw unusable(error)
  }
}

function unusable(cause: unknown): CrosslineError {
  return new CrosslineError('invalid_config', {
    detail: "The data folder can't be locked: is it writable, on a file system with locks, and this user's own?",
    cause,
  })
}
