// The server's process: finds one that runs on a data directory (ours or an orphan's), starts one that outlives us, stops one.
// Promise: at most one postmaster works on a data directory, whatever was killed before.
import { type ChildProcess, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { closeSync, existsSync, openSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'
import { CrosslineError } from '#errors.ts'
import { codeOf } from './admin-client.ts'
import { type Place, runAs, serverEnvironment } from './embedded-place.ts'

export interface Postmaster {
  pid: number
  port: number
}

const startTimeoutMs = 60_000
const recoveryTimeoutMs = 15 * 60_000 // replaying the log after a crash may take minutes, and says so
const refusalTimeoutMs = 5_000 // a wrong password stays wrong; but it may be another server's port that ours is about to give up
const watchEveryMs = 1_000
const rotateLogBytes = 10 * 1024 * 1024

/** The superuser's address on a port. */
export function adminUrlOf(port: number, password: string): string {
  return `postgres://crossline_admin:${password}@127.0.0.1:${port}/postgres`
}

/** The postmaster that already runs on this data directory and answers with our password, once it is ready. */
export async function findPostmaster(place: Place, password: string): Promise<Postmaster | undefined> {
  const found = readPidFile(place)
  if (!found || !isAlive(found.pid)) return undefined
  if (!(await isOurs(found.pid, place))) {
    disownPidFile(place)
    return undefined
  }
  const state = await waitUntilReady({ place, password, port: found.port, hasEnded: () => !isAlive(found.pid) })
  return state === 'ready' ? found : undefined
}

/** Starts a postmaster on a random free port and waits until it takes connections. */
export async function startPostmaster(place: Place, native: string, password: string): Promise<Postmaster> {
  const deadline = Date.now() + startTimeoutMs
  for (;;) {
    const port = choosePort()
    const { child, logAt } = spawnPostmaster(place, native, port)
    const state = await waitUntilReady({
      place,
      password,
      port,
      hasEnded: () => hasExited(child),
    })
    if (state === 'ready' && child.pid !== undefined) return { pid: child.pid, port }
    const said = readFileSync(logFileOf(place)).subarray(logAt).toString()
    // The port went to somebody else in between, or backends of a killed postmaster are still letting go of its memory.
    const passes = /Address already in use|could not create any TCP\/IP sockets|shared memory block/.test(said)
    if (!passes || Date.now() > deadline) throw startFailure(said, place)
    await sleep(200)
  }
}

/** Fast shutdown: open transactions are rolled back, everything committed is on disk. Resolves when the process is gone. */
export async function stopPostmaster(pid: number): Promise<void> {
  for (const [signal, patienceMs] of [
    ['SIGINT', 60_000],
    ['SIGQUIT', 10_000],
  ] as const) {
    if (!signalIfAlive(pid, signal)) return
    const deadline = Date.now() + patienceMs
    while (Date.now() < deadline) {
      if (!isAlive(pid)) return
      await sleep(15)
    }
  }
  throw new CrosslineError('database_unavailable', { detail: 'The embedded database does not stop.' })
}

/** Why the server or initdb did not start, in words for the operator. */
export function startFailure(said: string, place: Place): CrosslineError {
  const reason = /No space left on device|Disk quota exceeded/.test(said)
    ? 'The disk is full'
    : /Permission denied|Read-only file system/.test(said)
      ? "Its folder can't be written"
      : 'It gave up'
  return new CrosslineError('database_unavailable', {
    detail: `The embedded database did not start. ${reason}: see ${logFileOf(place)}.`,
  })
}

/** The server's own log. Errors with statements or values never reach it (serverSettings). */
export function logFileOf(place: Place): string {
  return join(place.directory, 'server.log')
}

// log_min_messages=log leaves out ERROR on purpose: an error's text may repeat a value, e.g. a URL that was no valid uuid.
const serverSettings = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '', // their paths may have 107 bytes at most, and data folders are longer
  max_connections: '200',
  fsync: 'on',
  full_page_writes: 'on',
  password_encryption: 'scram-sha-256',
  logging_collector: 'off',
  log_destination: 'stderr',
  log_min_messages: 'log',
  log_min_error_statement: 'panic',
  log_statement: 'none',
  log_error_verbosity: 'terse',
  log_checkpoints: 'off',
  log_autovacuum_min_duration: '-1',
  log_timezone: 'UTC',
  timezone: 'UTC',
}

// Detached, so that Ctrl-C in our terminal reaches us alone and the node can finish its work before the database goes.
function spawnPostmaster(place: Place, native: string, port: number): { child: ChildProcess; logAt: number } {
  const logFile = logFileOf(place)
  if (existsSync(logFile) && statSync(logFile).size > rotateLogBytes) renameSync(logFile, `${logFile}.1`)
  const log = openSync(logFile, 'a', 0o600)
  const logAt = statSync(logFile).size
  const settings = Object.entries({ ...serverSettings, port }).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const child = spawn(join(native, 'bin', 'postgres'), ['-D', pgdataOf(place), ...settings], {
    ...place.user,
    cwd: '/',
    env: serverEnvironment,
    detached: true,
    stdio: ['ignore', log, log],
  })
  child.on('error', () => undefined) // seen as a process without a pid
  child.unref()
  closeSync(log)
  return { child, logAt }
}

function hasExited(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null
}

interface Waiting {
  place: Place
  password: string
  port: number
  hasEnded: () => boolean
}

async function waitUntilReady({ place, password, port, hasEnded }: Waiting): Promise<'ready' | 'ended'> {
  const started = Date.now()
  for (;;) {
    if (hasEnded()) return 'ended'
    const answer = await probe(port, password)
    if (answer === pgdataOf(place)) return 'ready'
    if (Date.now() - started > patienceMs(answer)) {
      throw new CrosslineError('database_unavailable', {
        detail: `The embedded database runs but does not answer: see ${logFileOf(place)}.`,
        facts: { reason: answer.startsWith('/') ? 'another server' : answer },
      })
    }
    await sleep(20)
  }
}

function patienceMs(answer: string): number {
  if (answer === '57P03') return recoveryTimeoutMs
  return answer === '28P01' ? refusalTimeoutMs : startTimeoutMs
}

// The data directory that the server on this port works on, or the code of why it doesn't say. A copied data folder has the same
// password, so the password alone does not tell whose server it is.
async function probe(port: number, password: string): Promise<string> {
  const client = new Client({ connectionString: adminUrlOf(port, password), connectionTimeoutMillis: 5_000 })
  client.on('error', () => undefined)
  try {
    await client.connect()
    const { rows } = await client.query<{ at: string }>("select current_setting('data_directory') as at")
    return rows[0]?.at ?? 'unknown'
  } catch (error) {
    return codeOf(error)
  } finally {
    await client.end().catch(() => undefined)
  }
}

// Below the range from which systems give ports to outgoing connections. Taken is no matter: the server says so and another is tried.
function choosePort(): number {
  return randomInt(10_240, 32_768)
}

/** The data directory proper: the one with the name that PostgreSQL's manual gives it. */
export function pgdataOf(place: Place): string {
  return join(place.directory, 'pgdata')
}

// postmaster.pid: the process id, the data directory, the start time, the port, …, one per line.
function readPidFile(place: Place): Postmaster | undefined {
  const file = join(pgdataOf(place), 'postmaster.pid')
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : []
  const pid = Number(lines[0])
  const port = Number(lines[3])
  return Number.isInteger(pid) && pid > 1 && Number.isInteger(port) && port > 0 ? { pid, port } : undefined
}

// After a restart of a container the number may belong to any process, and PostgreSQL then refuses to start. Only the number is replaced:
// the rest of the file lets PostgreSQL find backends of the killed server that are still alive.
function disownPidFile(place: Place): void {
  const file = join(pgdataOf(place), 'postmaster.pid')
  const [, ...rest] = readFileSync(file, 'utf8').split('\n')
  const noProcess = 2 ** 31 - 1
  writeFileSync(file, [noProcess, ...rest].join('\n'))
}

/** Calls back once, when a postmaster that should be running is gone. The function that it gives ends the watch. */
export function watchPostmaster(pid: number, onGone: () => void): () => void {
  const timer = setInterval(() => {
    if (isAlive(pid)) return
    clearInterval(timer)
    onGone()
  }, watchEveryMs)
  timer.unref()
  return () => clearInterval(timer)
}

function isAlive(pid: number): boolean {
  return signalIfAlive(pid, 0)
}

function signalIfAlive(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal)
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}

// The command line of a postmaster names its data directory; that of a zombie is empty.
async function isOurs(pid: number, place: Place): Promise<boolean> {
  if (existsSync('/proc/self/cmdline')) return readArguments(pid).includes(pgdataOf(place))
  const { output } = await runAs(undefined, '/bin/ps', ['-ww', '-o', 'command=', '-p', String(pid)])
  return output.includes(` -D ${pgdataOf(place)} -c `)
}

function readArguments(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
  } catch {
    return []
  }
}
