// The database for whoever has none: a real PostgreSQL server out of an npm package, on 127.0.0.1, shared by all processes that open the
// same data folder and stopped by the last of them. Promise: after any kill -9, of us or of the server, the next start works.
import { randomBytes } from 'node:crypto'
import { appendFileSync, chownSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { escapeIdentifier } from 'pg'
import { CrosslineError } from '#errors.ts'
import { codeOf, withClient, withDatabase } from './admin-client.ts'
import { writeFileAtomically } from './atomic-file.ts'
import { prepareBinaries } from './embedded-binaries.ts'
import { chooseLockFolder, choosePlace, openDataFolder, type Place, runAs } from './embedded-place.ts'
import {
  adminUrlOf,
  findPostmaster,
  logFileOf,
  type Postmaster,
  pgdataOf,
  startFailure,
  startPostmaster,
  stopPostmaster,
  watchPostmaster,
} from './postmaster.ts'
import { type ProcessLock, tryExclusive, tryShared, waitExclusive } from './process-lock.ts'
import { type StorageLog, silentLog } from './storage-log.ts'

export interface EmbeddedServer {
  /** The superuser's address, with its password. Never logged. */
  adminUrl: string
  port: number
  pid: number
  /** False when a server was found running: another process's, or an orphan, which is adopted. */
  startedHere: boolean
  /** Where the files are: the data folder, or the place aside that it points to. */
  directory: string
  /** Resolves when the server has gone although nobody let go of it: it was killed. */
  gone: Promise<void>
  /** Lets go; the last process to let go shuts the server down and waits for its end. May be called twice. */
  stop(): Promise<void>
}

export interface EmbeddedServerOptions {
  dataDir: string
  log?: StorageLog
  /** Instead of the installed package and the usual place aside. */
  packageDir?: string
  asideRoot?: string
}

const majorVersion = '18'
const lockTimeoutMs = 180_000

/** Starts the server, or joins the one that runs on this data folder. Throws invalid_config or database_unavailable. */
export async function startEmbeddedServer(options: EmbeddedServerOptions): Promise<EmbeddedServer> {
  const folder = openDataFolder(options.dataDir)
  // One at a time decides; the others wait and then find a server. Users share the second lock; who can take it alone is the last.
  const locks = chooseLockFolder(folder, options.asideRoot)
  const starting = await waitExclusive(join(locks, 'start.lock'), lockTimeoutMs)
  try {
    const place = await choosePlace(folder, options.asideRoot)
    const password = readPassword(place)
    const running = await findPostmaster(place, password)
    const postmaster = running ?? (await startCluster(place, password, options))
    const using = tryShared(join(locks, 'users.lock'))
    if (!using) throw new CrosslineError('database_unavailable', { detail: 'Another process is stopping the embedded database.' })
    report(options.log ?? silentLog, { folder, place, postmaster, found: running !== undefined })
    return describe({ locks, place, postmaster, password, using, startedHere: !running })
  } finally {
    starting.release()
  }
}

/** Makes the database if it is missing and gives its address. Text sorts by code point, whatever the server's locale. */
export async function ensureDatabase(adminUrl: string, name: string): Promise<string> {
  await withClient(adminUrl, async (client) => {
    const { rowCount } = await client.query('select from pg_database where datname = $1', [name])
    if (rowCount) return
    const create = `create database ${escapeIdentifier(name)} template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C'`
    // Two processes may make it at the same moment: who comes second finds it made.
    await client.query(create).catch((error) => {
      if (!['42P04', '23505'].includes(codeOf(error))) throw error
    })
  })
  return withDatabase(adminUrl, name)
}

interface Running {
  locks: string
  place: Place
  postmaster: Postmaster
  password: string
  using: ProcessLock
  startedHere: boolean
}

function describe({ locks, place, postmaster, password, using, startedHere }: Running): EmbeddedServer {
  let stopping: Promise<void> | undefined
  let endWatch: () => void = () => {}
  const gone = new Promise<void>((resolve) => {
    endWatch = watchPostmaster(postmaster.pid, resolve)
  })
  return {
    adminUrl: adminUrlOf(postmaster.port, password),
    port: postmaster.port,
    pid: postmaster.pid,
    startedHere,
    directory: place.directory,
    gone,
    stop: () => {
      endWatch()
      stopping ??= letGo({ locks, place, password, using })
      return stopping
    },
  }
}

async function letGo({ locks, place, password, using }: Pick<Running, 'locks' | 'place' | 'password' | 'using'>): Promise<void> {
  const starting = await waitExclusive(join(locks, 'start.lock'), lockTimeoutMs)
  try {
    using.release()
    const last = tryExclusive(join(locks, 'users.lock'))
    if (!last) return
    try {
      const running = await findPostmaster(place, password)
      if (running) await stopPostmaster(running.pid)
    } finally {
      last.release()
    }
  } finally {
    starting.release()
  }
}

async function startCluster(place: Place, password: string, { packageDir }: EmbeddedServerOptions): Promise<Postmaster> {
  const native = await prepareBinaries(place, packageDir)
  if (existsSync(pgdataOf(place))) checkVersion(place)
  else await createCluster(place, native, password)
  return await startPostmaster(place, native, password)
}

function checkVersion(place: Place): void {
  const version = readFileSync(join(pgdataOf(place), 'PG_VERSION'), 'utf8').trim()
  if (version === majorVersion) return
  throw new CrosslineError('invalid_config', {
    detail: `${pgdataOf(place)} was made by PostgreSQL ${version}; this program brings PostgreSQL ${majorVersion}. Dump it with the old program and load it with the new one.`,
  })
}

// initdb works under another name and the finished directory takes its own at the end, so a kill in the middle leaves no half cluster.
async function createCluster(place: Place, native: string, password: string): Promise<void> {
  const next = `${pgdataOf(place)}.new`
  const passwordFile = `${next}.pw`
  try {
    rmSync(next, { recursive: true, force: true })
    mkdirSync(next, { mode: 0o700 })
    writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 })
    if (place.user) for (const path of [next, passwordFile]) chownSync(path, place.user.uid, place.user.gid)
    const made = await runAs(place.user, join(native, 'bin', 'initdb'), initdbArguments(next, passwordFile))
    if (made.code !== 0) {
      appendFileSync(logFileOf(place), made.output, { mode: 0o600 })
      throw startFailure(made.output, place)
    }
    renameSync(next, pgdataOf(place))
  } catch (error) {
    rmSync(next, { recursive: true, force: true })
    throw error instanceof CrosslineError ? error : startFailure(String(error), place)
  } finally {
    rmSync(passwordFile, { force: true })
  }
}

function initdbArguments(pgdata: string, passwordFile: string): string[] {
  return [
    `--pgdata=${pgdata}`,
    `--pwfile=${passwordFile}`,
    '--username=crossline_admin',
    '--auth-host=scram-sha-256',
    '--auth-local=reject',
    '--encoding=UTF8',
    '--locale=C',
    '--data-checksums',
    '--no-instructions',
  ]
}

// Written before the cluster that it opens, so that no crash can leave a cluster whose password nobody knows.
function readPassword(place: Place): string {
  const file = join(place.directory, 'password')
  try {
    if (existsSync(file)) return checkedPassword(readFileSync(file, 'utf8').trim(), file)
    if (existsSync(pgdataOf(place)))
      throw new CrosslineError('invalid_config', { detail: `${file} is gone: restore it, the database opens with no other.` })
    const password = randomBytes(24).toString('hex')
    writeFileAtomically(file, `${password}\n`)
    return password
  } catch (error) {
    if (error instanceof CrosslineError) throw error
    throw new CrosslineError('invalid_config', {
      detail: `${file} can't be read or written: does the data folder belong to another user, or is the disk full?`,
    })
  }
}

function checkedPassword(password: string, file: string): string {
  if (/^[0-9a-f]{48}$/.test(password)) return password
  throw new CrosslineError('invalid_config', { detail: `${file} is damaged: restore it, the database opens with no other.` })
}

function report(
  log: StorageLog,
  { folder, place, postmaster, found }: { folder: string; place: Place; postmaster: Postmaster; found: boolean },
): void {
  if (place.directory !== folder) {
    log.warn(
      { directory: place.directory },
      "the database server's user can't use the data folder, so its files are placed aside",
    )
  }
  log.info(
    { port: postmaster.port, pid: postmaster.pid },
    found ? 'embedded database found running' : 'embedded database started',
  )
}
