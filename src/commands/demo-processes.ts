// The nodes of the demo as processes of their own: started with an environment file and nothing else, stopped by their ids. Promise: no
// process is signalled that does not prove by its command line to be a node of this very data folder.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { CrosslineError } from '#errors.ts'

/** Where a node of the demo keeps what it has. */
export interface NodeFiles {
  env: string
  log: string
  pid: string
}

export interface NodeProcess {
  member: string
  pid: number
  hasEnded(): boolean
  /** SIGTERM, and SIGKILL if that is not enough; resolves when the process is gone. */
  stop(): Promise<void>
}

const program = resolve(import.meta.dirname, '..', '..', 'bin', 'crossline.js')
const termPatienceMs = 10_000
const killPatienceMs = 5_000
const pollMs = 25

export function nodeFilesOf(home: string): NodeFiles {
  return { env: join(home, 'node.env'), log: join(home, 'node.log'), pid: join(home, 'node.pid') }
}

/** Starts the node of a member. Its settings come from its file alone, so nothing of the caller's environment can change the demo. */
export function startNodeProcess(member: string, files: NodeFiles, onEnd: () => void): NodeProcess {
  const log = openSync(files.log, 'w', 0o600)
  // Detached: Ctrl-C in the terminal reaches the demo alone, which then stops its nodes in order.
  const child = spawn(process.execPath, [marker(files), program, 'node', 'start'], {
    detached: true,
    stdio: ['ignore', log, log],
    env: {},
  })
  closeSync(log)
  const { pid } = child
  if (pid === undefined)
    throw new CrosslineError('demo_failed', { detail: `The node of ${member} cannot be started as a process.` })
  writeFileSync(files.pid, `${pid}\n`)
  let isStopping = false
  child.once('exit', () => {
    rmSync(files.pid, { force: true })
    if (!isStopping) onEnd()
  })
  const stop = () => {
    isStopping = true
    return endProcess(pid, async () => !hasExited(child))
  }
  return { member, pid, hasEnded: () => hasExited(child), stop }
}

/** Stops the node that a killed demo left behind, if there is one. True if it was there. */
export async function stopOrphan(files: NodeFiles): Promise<boolean> {
  const pid = existsSync(files.pid) ? Number(readFileSync(files.pid, 'utf8')) : 0
  const isThere = () => isNodeOf(pid, files)
  const found = Number.isSafeInteger(pid) && pid > 1 && (await isThere())
  if (found) await endProcess(pid, isThere)
  rmSync(files.pid, { force: true })
  return found
}

/** What a node that ended at once said last, for a person; empty if it said nothing. */
export function readLastWords(files: NodeFiles): string {
  const lines = readFileSync(files.log, 'utf8').trim().split('\n')
  return lines.findLast((line) => line.startsWith('crossline: '))?.slice('crossline: '.length) ?? ''
}

// The path of the settings stands in the command line: it tells whose node a process is.
function marker({ env }: NodeFiles): string {
  return `--env-file=${env}`
}

async function endProcess(pid: number, isThere: () => Promise<boolean>): Promise<void> {
  for (const [signal, patienceMs] of [
    ['SIGTERM', termPatienceMs],
    ['SIGKILL', killPatienceMs],
  ] as const) {
    if (!(await isThere())) return
    sendSignal(pid, signal)
    for (const end = Date.now() + patienceMs; Date.now() < end; await sleep(pollMs)) if (!(await isThere())) return
  }
  throw new CrosslineError('demo_failed', { detail: `The process ${pid} of the demo does not end.` })
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

function hasExited(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

/** By the command line: a process id alone may by now be anybody's. That of a process that has ended is empty. */
async function isNodeOf(pid: number, files: NodeFiles): Promise<boolean> {
  if (existsSync('/proc/self/cmdline')) return readArguments(pid).includes(marker(files))
  const listed = await promisify(execFile)('/bin/ps', ['-ww', '-o', 'command=', '-p', String(pid)]).catch(() => ({ stdout: '' }))
  return listed.stdout.includes(` ${marker(files)} `)
}

function readArguments(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
  } catch {
    return []
  }
}
