// The keys of our audit log, one for each year (C2SP tlog-policy: no key may stand for two logs). `{year}` in the name of the file makes
// them many; without it one file signs every year. Promise: there is a key for every year, if need be another year's.
import type { KeyObject } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { CrosslineError } from '#errors.ts'
import { type AuditKey, readAuditKey } from './keys.ts'

const place = '{year}'

/** `year`: of the log that it is for; undefined: for all. */
export interface YearlyKey extends AuditKey {
  year: number | undefined
}

export interface AuditKeys {
  /**
   * The key for the log of a year, else the one of the last year before it that has one, else of the first after it. A log under another
   * year's key still verifies by itself; one that stands still takes no reports.
   */
  forYear(year: number): YearlyKey
}

/** The file of one year. */
export const auditKeyFile = (path: string, year: number): string => path.replace(place, String(year))

/** The files that are there, oldest year first. */
export async function findAuditKeyFiles(path: string): Promise<{ year: number | undefined; path: string }[]> {
  if (!path.includes(place)) return [{ year: undefined, path }]
  const folder = dirname(path)
  const [before = '', after = ''] = basename(path).split(place)
  const names = await readdir(folder).catch((cause: unknown) => {
    throw new CrosslineError('invalid_config', { detail: 'The folder of the audit keys cannot be read', cause })
  })
  return names
    .filter((name) => name.startsWith(before) && name.endsWith(after))
    .map((name) => ({ name, year: name.slice(before.length, name.length - after.length) }))
    .filter(({ name, year }) => /^20[0-9]{2}$/.test(year) && name === `${before}${year}${after}`)
    .map(({ name, year }) => ({ year: Number(year), path: join(folder, name) }))
    .sort((one, other) => one.year - other.year)
}

/** Reads every key that is there. Throws `invalid_config` when there is none, or two years have the same. */
export async function readAuditKeys(path: string): Promise<AuditKeys> {
  const files = await findAuditKeyFiles(path)
  const keys = await Promise.all(files.map(async (file) => ({ ...(await readAuditKey(file.path)), year: file.year })))
  if (keys.length === 0) throw new CrosslineError('invalid_config', { detail: 'There is no audit key of any year' })
  if (new Set(keys.map(({ kid }) => kid)).size !== keys.length)
    throw new CrosslineError('invalid_config', { detail: 'Two years have the same audit key: each needs its own' })
  return { forYear: (year) => pick(keys, year) as YearlyKey }
}

/** The key for a year as the steps take it. */
export function signerOf(keys: AuditKeys, year: number): YearlyKey & { key: KeyObject } {
  const found = keys.forYear(year)
  return { ...found, key: found.privateKey }
}

function pick(keys: readonly YearlyKey[], wanted: number): YearlyKey | undefined {
  return keys.findLast(({ year = wanted }) => year <= wanted) ?? keys[0]
}
