// Where the embedded server's files may live and as whom it runs. PostgreSQL refuses to run as root, so under root it runs as `postgres`
// or `nobody`; when that user can't enter the data folder, the files are placed aside and a pointer is left in the data folder.
import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { CrosslineError } from '#errors.ts'
import { writeFileAtomically } from './atomic-file.ts'

/** A user that is not root. Undefined where we are not root ourselves: then the server runs as we do. */
export type ServerUser = { uid: number; gid: number } | undefined

export interface Place {
  /** Holds pgdata, the password, the server's log and, if need be, a copy of its programs. */
  directory: string
  user: ServerUser
}

// PostgreSQL cuts paths at 1,024 bytes; what it adds below the data folder is shorter than 100.
const longestPathBytes = 900
const pointerName = 'placed-aside'

/** Makes the data folder if it is missing and gives its real path. Throws invalid_config when it can't be used. */
export function openDataFolder(dataDir: string): string {
  try {
    makeFolder(dataDir)
    const path = realpathSync(dataDir)
    refuseStranger(path)
    return path
  } catch (error) {
    if (error instanceof CrosslineError) throw error
    throw new CrosslineError('invalid_config', { detail: `The data folder ${dataDir} can't be made or opened.`, cause: error })
  }
}

// Not `recursive`: where nothing can be made, as in /proc, Node never comes back from it.
function makeFolder(path: string): void {
  if (isFolder(path)) return
  if (dirname(path) !== path) makeFolder(dirname(path))
  try {
    mkdirSync(path)
    // Whatever the umask: another user must be able to pass through, though not to look around.
    chmodSync(path, 0o711)
  } catch (error) {
    // Another process may have been quicker.
    if (!isFolder(path)) throw error
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
}

/** Where the locks of a data folder lie: in it, unless its path is longer than SQLite can take (512 bytes). */
export function chooseLockFolder(folder: string, asideRoot = defaultAsideRoot()): string {
  if (Buffer.byteLength(folder) <= 450) return folder
  openDataFolder(asideRoot)
  return openDataFolder(join(asideRoot, `locks-${createHash('sha256').update(folder).digest('hex').slice(0, 16)}`))
}

/** Decides, once for the life of the data: the data folder itself, or a folder aside. Call it under the start lock. */
export async function choosePlace(folder: string, asideRoot = defaultAsideRoot()): Promise<Place> {
  const pointer = join(folder, pointerName)
  const directory = existsSync(pointer) ? readFileSync(pointer, 'utf8').trim() : folder
  if (!existsSync(directory)) throw new CrosslineError('invalid_config', { detail: `${pointer} names a folder that is gone.` })
  refuseStranger(directory)
  const user = serverUserFor(join(directory, 'pgdata'))
  if (await canServe(directory, user)) return { directory, user }
  if (existsSync(join(directory, 'pgdata'))) {
    throw new CrosslineError('invalid_config', { detail: `The user of the database server can't enter ${directory} any more.` })
  }
  const aside = await makeAside(asideRoot, user)
  writeFileAtomically(pointer, `${aside}\n`)
  return { directory: aside, user }
}

async function canServe(directory: string, user: ServerUser): Promise<boolean> {
  return Buffer.byteLength(directory) <= longestPathBytes && (await canEnter(directory, user))
}

async function makeAside(root: string, user: ServerUser): Promise<string> {
  const aside = join(root, `postgres-${randomBytes(8).toString('hex')}`)
  openDataFolder(root)
  openDataFolder(aside)
  if (await canServe(aside, user)) return aside
  throw new CrosslineError('invalid_config', {
    detail: `The database server runs as another user than root, and that user can enter neither the data folder nor ${root}. Choose another DATA_DIR, or set DATABASE_URL.`,
  })
}

function defaultAsideRoot(): string {
  return isRoot() ? '/var/lib/crossline' : join(homedir(), '.local', 'share', 'crossline')
}

function isRoot(): boolean {
  return process.geteuid?.() === 0
}

// In a folder where everybody may write, such as /tmp, somebody else may have made ours in advance, to feed us a password or programs.
function refuseStranger(directory: string): void {
  const shared = (statSync(dirname(directory)).mode & 0o002) !== 0
  if (shared && process.geteuid && statSync(directory).uid !== process.geteuid()) {
    throw new CrosslineError('invalid_config', { detail: `The folder ${directory} belongs to another user.` })
  }
}

// An existing cluster decides: PostgreSQL refuses a data directory that isn't its own user's.
function serverUserFor(pgdata: string): ServerUser {
  if (!isRoot()) return undefined
  if (existsSync(pgdata)) {
    const { uid, gid } = statSync(pgdata)
    if (uid !== 0) return { uid, gid }
  }
  const accounts = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
  for (const name of ['postgres', '_postgres', 'nobody']) {
    const [, , uid, gid] = accounts.find((fields) => fields[0] === name) ?? []
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid) >>> 0, gid: Number(gid) >>> 0 }
  }
  throw new CrosslineError('invalid_config', {
    detail: 'Run as another user than root, or add a user `postgres`: PostgreSQL refuses to run as root.',
  })
}

// Asks the kernel, as that user, because modes, groups and access lists all count.
async function canEnter(directory: string, user: ServerUser): Promise<boolean> {
  if (user === undefined) return true
  return (await runAs(user, '/bin/sh', ['-c', 'cd -- "$1"', 'sh', directory])).code === 0
}

/** Runs a program as the server's user, with an environment of its own, and never throws for its exit. */
export function runAs(user: ServerUser, file: string, args: string[]): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    execFile(file, args, { ...user, cwd: '/', env: serverEnvironment, timeout: 120_000 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1
      resolve({ code, output: `${stdout}${stderr}` })
    })
  })
}

/** Nothing of our own environment reaches the server: it may hold secrets, or settings that change what PostgreSQL does. */
export const serverEnvironment = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' }
