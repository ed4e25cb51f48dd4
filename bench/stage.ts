// What the floor and our nodes share: one embedded PostgreSQL server in a folder of its own, development certificates, child processes.
// Promise: whatever happens, the processes are stopped by their ids, the server too, and the folder is gone.
import { type ChildProcess, fork } from 'node:child_process'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { makeDevelopmentCertificates } from '#commands/certs-dev.ts'
import { authorityFiles, memberFiles } from '#commands/dev-files.ts'
import { type EmbeddedServer, startEmbeddedServer } from '#storage/embedded-server.ts'

export const sender = 'hotline-gb'
export const receiver = 'hotline-se'

export interface Stage {
  folder: string
  server: EmbeddedServer
  /** Starts a module of ours as a process of its own; it ends with the stage at the latest. */
  startProcess(module: URL, options?: ProcessOptions): ChildProcess
  close(): Promise<void>
}

export interface ProcessOptions {
  args?: readonly string[]
  env?: Record<string, string>
  execArgv?: readonly string[]
}

/** PEM, as node:tls takes it. */
export interface TlsPems {
  ca: string
  cert: string
  key: string
}

const patienceMs = 15_000

export async function openStage(): Promise<Stage> {
  const folder = await mkdtemp(join(tmpdir(), 'crossline-bench-'))
  // The database server may run as another user, who must be able to pass through.
  await chmod(folder, 0o711)
  const server = await startEmbeddedServer({ dataDir: join(folder, 'database') })
  const hosts = ['localhost', '127.0.0.1', '::1']
  const members = [sender, receiver].map((id) => ({ id, name: id, countries: [id.slice(-2).toUpperCase()], hosts }))
  await makeDevelopmentCertificates({ folder: certificatesOf(folder), members })
  const children: ChildProcess[] = []
  return {
    folder,
    server,
    startProcess(module, { args = [], env = {}, execArgv = [] } = {}) {
      const child = fork(module, args, {
        env: { PATH: '/usr/bin:/bin', ...env },
        execArgv: [...execArgv],
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      })
      children.push(child)
      return child
    },
    async close() {
      await Promise.all(children.map(stopProcess))
      await server.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

export const certificatesOf = (folder: string): string => join(folder, 'certs')

export async function readTls(folder: string, files: { certificate: string; key: string }): Promise<TlsPems> {
  const paths = [authorityFiles(certificatesOf(folder)).certificate, files.certificate, files.key]
  const [ca, cert, key] = (await Promise.all(paths.map((path) => readFile(path, 'utf8')))) as [string, string, string]
  return { ca, cert, key }
}

export function filesOf(folder: string, member: string): ReturnType<typeof memberFiles> {
  return memberFiles(certificatesOf(folder), member)
}

async function stopProcess(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise<void>((done) => child.once('exit', () => done()))
  child.kill('SIGTERM')
  const late = new AbortController()
  await Promise.race([
    ended,
    sleep(patienceMs, undefined, { signal: late.signal }).then(
      () => child.kill('SIGKILL'),
      () => undefined,
    ),
  ])
  late.abort()
  await ended
}
