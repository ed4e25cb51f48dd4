// What the tests of the database itself need: folders that go away, processes that can be killed, and PostgreSQL 15 where it is installed.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { CrosslineError } from '#errors.ts'
import { withClient } from '#storage/admin-client.ts'
import type { Teardown } from '../database.ts'

export const isRoot = process.geteuid?.() === 0

/** A folder that other users may pass through, gone after the test. */
export function makeFolder(t: Teardown, name = 'data'): string {
  const parent = mkdtempSync(join(tmpdir(), 'crossline-storage-'))
  chmodSync(parent, 0o711)
  t.teardown(() => rmSync(parent, { recursive: true, force: true }))
  return join(parent, name)
}

/** A migrations folder with these files. */
export function makeMigrations(t: Teardown, files: Record<string, string>): string {
  const folder = makeFolder(t, 'migrations')
  mkdirSync(folder)
  for (const [name, sql] of Object.entries(files)) writeFileSync(join(folder, name), sql)
  return folder
}

/** The table that the first migration of every folder makes. */
export const windowSql = `-- The window.
create table crossline.migration_window (
  id bigint generated always as identity primary key, name text not null, digest bytea,
  xid xid8 not null default pg_current_xact_id(), opened_at timestamptz not null default clock_timestamp()
);
`

export interface Started {
  child: ChildProcess
  adminUrl: string
  pid: number
  startedHere: boolean
  /** Lets go of the server in order, and waits for the end of the process. */
  end(): Promise<void>
}

/** Starts the embedded server in a process of its own. */
export async function startChild(t: Teardown, dataDir: string): Promise<Started> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'embedded-child.ts'), dataDir], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  for await (const line of createInterface({ input: child.stdout })) {
    const end = async () => {
      child.stdin.write('stop\n')
      await once(child, 'exit')
    }
    return { child, end, ...(JSON.parse(line) as { adminUrl: string; pid: number; startedHere: boolean }) }
  }
  throw new Error('the child ended without starting the server')
}

export async function kill(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}

/** Whether a process works; a zombie, which nobody has collected yet, does not. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return !existsSync('/proc/self/stat') || !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

export async function waitForEnd(pid: number): Promise<void> {
  while (isRunning(pid)) await sleep(20)
}

const oldPrograms = '/usr/lib/postgresql/15/bin'

/** False, or why the tests on PostgreSQL 15 can't run here. */
export const noPostgres15: string | false = !existsSync(oldPrograms)
  ? 'PostgreSQL 15 is not installed'
  : isRoot
    ? false
    : 'starting PostgreSQL 15 as its own user needs root'

/** PostgreSQL 15 on loopback, with trust for its superuser and every other login by password. */
export async function startPostgres15(t: Teardown): Promise<string> {
  const folder = makeFolder(t, 'old')
  const [uid, gid] = ['-u', '-g'].map((flag) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' })))
  const user = { uid: uid ?? 0, gid: gid ?? 0, cwd: '/', env: { LC_ALL: 'C' } }
  mkdirSync(folder)
  const passwordFile = `${folder}.pw`
  writeFileSync(passwordFile, 'old-password\n')
  execFileSync('chown', ['postgres', folder, passwordFile])
  execFileSync(
    join(oldPrograms, 'initdb'),
    ['-D', folder, '-U', 'boss', '-A', 'scram-sha-256', `--pwfile=${passwordFile}`, '-N', '-E', 'UTF8', '--locale=C'],
    {
      ...user,
      stdio: 'pipe',
    },
  )
  for (;;) {
    const port = 10_240 + Math.floor(Math.random() * 20_000)
    const server = spawn(join(oldPrograms, 'postgres'), ['-D', folder, '-p', String(port), '-h', '127.0.0.1', '-k', ''], {
      ...user,
      stdio: 'ignore',
    })
    t.teardown(async () => {
      if (server.exitCode !== null || server.signalCode !== null) return
      server.kill('SIGQUIT')
      await once(server, 'exit')
    })
    const url = `postgres://boss:old-password@127.0.0.1:${port}/postgres`
    while (server.exitCode === null) {
      if (await answers(url)) return url
      await sleep(50)
    }
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    return await withClient(url, async () => true)
  } catch (error) {
    if (error instanceof CrosslineError) return false
    throw error
  }
}

/** A process that has nothing to do with PostgreSQL, run by this user where we may choose. */
export function startStranger(t: Teardown, user: { uid: number; gid: number }): number {
  const stranger = spawn('/bin/sleep', ['120'], {
    cwd: '/',
    stdio: 'ignore',
    ...(isRoot ? { uid: user.uid, gid: user.gid } : {}),
  })
  t.teardown(() => stranger.kill('SIGKILL'))
  return stranger.pid ?? 0
}
