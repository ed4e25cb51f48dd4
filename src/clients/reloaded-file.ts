// A file that is replaced while the node runs: the value made of it changes only when the new file has been read and accepted whole.
// Promise: a broken, half-written or vanished file leaves the old value in use and is reported once.
import { type FSWatcher, unwatchFile, watch, watchFile } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CrosslineError } from '#errors.ts'

export type ReloadOutcome = 'loaded' | 'unchanged' | 'kept'

export interface ReloadedFile<T> {
  current(): T
  /** Looks at the file now. `kept`: it changed, but what is there now can't be used. Never throws. */
  reload(): Promise<ReloadOutcome>
  close(): void
}

export interface ReloadedFileOptions<T> {
  path: string
  /** Makes the value and checks it; throws `CrosslineError('broken_file')` if it can't be used. */
  load(bytes: Buffer): Promise<T> | T
  onReload?: (() => void) | undefined
  onProblem?: ((problem: CrosslineError) => void) | undefined
  /** How often the file is looked at where the system does not tell of changes, in milliseconds. */
  pollMs?: number | undefined
  /** How long a file must rest before it is read, in milliseconds. */
  settleMs?: number | undefined
}

/** Reads the file and watches it. Throws `broken_file` if there is no usable file to begin with. */
export async function openReloadedFile<T>(options: ReloadedFileOptions<T>): Promise<ReloadedFile<T>> {
  const { path, load, settleMs = 200 } = options
  let held = await readWhole(path, load)
  let reported: string | undefined
  let queue: Promise<unknown> = Promise.resolve()
  let closed = false

  async function attempt(): Promise<ReloadOutcome> {
    const seen = await fingerprint(path)
    if (closed || seen === held.fingerprint) return 'unchanged'
    try {
      const next = await readWhole(path, load)
      if (closed) return 'unchanged'
      held = next
      reported = undefined
      options.onReload?.()
      return 'loaded'
    } catch (error) {
      if (reported !== seen && !closed) options.onProblem?.(asProblem(error))
      reported = seen
      return 'kept'
    }
  }

  function reload(): Promise<ReloadOutcome> {
    const turn = queue.then(attempt)
    queue = turn
    return turn
  }

  const onChange = () => void rest(path, settleMs).then(reload)
  const stopWatching = watchPath(path, options.pollMs ?? 5000, onChange)
  const close = () => {
    closed = true
    stopWatching()
  }
  return { current: () => held.value, reload, close }
}

/** Reads until the file was the same before and after, so that two halves of two files are never taken for one. */
async function readWhole<T>(
  path: string,
  load: ReloadedFileOptions<T>['load'],
  triesLeft = 3,
): Promise<{ value: T; fingerprint: string }> {
  const before = await fingerprint(path)
  const bytes = await readBytes(path)
  if (before === (await fingerprint(path))) return { value: await load(bytes), fingerprint: before }
  if (triesLeft <= 1) throw brokenFile('unreadable', 'The file changes while it is read.')
  return readWhole(path, load, triesLeft - 1)
}

async function readBytes(path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (cause) {
    throw brokenFile('unreadable', 'The file is not there or may not be read.', cause)
  }
}

async function fingerprint(path: string): Promise<string> {
  const facts = await stat(path, { bigint: true }).catch(() => undefined)
  return facts === undefined ? 'missing' : [facts.dev, facts.ino, facts.size, facts.mtimeNs].join(':')
}

async function rest(path: string, settleMs: number): Promise<void> {
  let before = ''
  for (let looks = 0; looks < 50; looks += 1) {
    const now = await fingerprint(path)
    if (now === before) return
    before = now
    await sleep(settleMs, undefined, { ref: false })
  }
}

/** The folder is watched, because a replaced file is another file; polling covers network drives and swapped links. */
function watchPath(path: string, pollMs: number, onChange: () => void): () => void {
  let watcher: FSWatcher | undefined
  try {
    watcher = watch(dirname(path), { persistent: false }, (_, name) => {
      if (name === null || name === basename(path)) onChange()
    })
    watcher.on('error', () => watcher?.close())
  } catch {
    // Out of watches, or a file system without them: polling remains.
  }
  watchFile(path, { persistent: false, interval: pollMs }, onChange)
  return () => {
    watcher?.close()
    unwatchFile(path, onChange)
  }
}

/** `trouble` is a stable word for the kind of damage, for logs and metrics. */
export function brokenFile(trouble: string, detail: string, cause?: unknown): CrosslineError {
  return new CrosslineError('broken_file', { detail, facts: { trouble }, cause })
}

function asProblem(error: unknown): CrosslineError {
  return error instanceof CrosslineError ? error : brokenFile('unreadable', 'The file cannot be used.', error)
}
