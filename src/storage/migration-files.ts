// The migrations folder: numbered, up-only SQL files, `NNN-name.sql`, whose first line says why. Those named `NNN-name.superuser.sql`
// need a superuser (event triggers). Promise: what is read is well-formed and in order, or invalid_config names the file at fault.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CrosslineError } from '#errors.ts'

export interface MigrationFile {
  /** The file's name without `.sql`. */
  name: string
  needsSuperuser: boolean
  sql: string
  /** SHA-256 of the file. */
  digest: Buffer
}

const fileName = /^\d{3}-[a-z0-9-]+(\.superuser)?\.sql$/

/** All migrations in order. Files that don't begin with a digit, such as schema.sql, are something else. */
export function readMigrationFiles(folder: string): MigrationFile[] {
  const names = listSqlFiles(folder)
  if (names.length === 0) throw new CrosslineError('invalid_config', { detail: `There are no migrations in ${folder}.` })
  names.forEach((name, at) => {
    if (!fileName.test(name))
      throw new CrosslineError('invalid_config', { detail: `A migration is named NNN-name.sql; ${name} is not.` })
    if (name.slice(0, 3) === names[at - 1]?.slice(0, 3))
      throw new CrosslineError('invalid_config', { detail: `Two migrations have the number of ${name}.` })
  })
  return names.map((name) => readMigrationFile(folder, name))
}

function listSqlFiles(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => /^\d.*\.sql$/.test(name))
      .sort()
  } catch (cause) {
    throw new CrosslineError('invalid_config', { detail: `The migrations folder ${folder} can't be read.`, cause })
  }
}

function readMigrationFile(folder: string, name: string): MigrationFile {
  const bytes = readFileSync(join(folder, name))
  const sql = bytes.toString('utf8')
  if (!/^-- \S/.test(sql))
    throw new CrosslineError('invalid_config', { detail: `The first line of ${name} must be a comment that says why.` })
  const digest = createHash('sha256').update(bytes).digest()
  return { name: name.slice(0, -'.sql'.length), needsSuperuser: name.endsWith('.superuser.sql'), sql, digest }
}
