// The command line as a process of its own, the way a person runs it.
import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

export interface Running {
  child: ChildProcess
  /** What it has printed so far. */
  output(): string
  /** Waits until it has printed something; fails when it ends without. */
  printed(text: string): Promise<void>
  ended: Promise<Ended>
}

const program = join(import.meta.dirname, '..', '..', 'bin', 'crossline.js')

/** Starts `crossline` with nothing in its environment but what is given: no variable of the test run's own. */
export function start(args: readonly string[], env: Record<string, string> = {}): Running {
  const child = spawn(process.execPath, [program, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const ended = new Promise<Ended>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
  const printed = (text: string) =>
    new Promise<void>((resolve, reject) => {
      const look = () => stdout.includes(text) && resolve()
      child.stdout.on('data', look)
      child.once('close', () => reject(new Error(`it ended without printing “${text}”: ${stderr}`)))
      look()
    })
  return { child, output: () => stdout, printed, ended }
}

export function run(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  return start(args, env).ended
}

export interface FoundProcess {
  pid: number
  line: string
}

/** All other processes whose command line names a folder (Linux only). */
export function findProcessesOf(folder: string): FoundProcess[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
  return pids.map((pid) => ({ pid: Number(pid), line: readCommandLine(pid) })).filter(({ line }) => line.includes(folder))
}

function readCommandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch {
    return ''
  }
}
