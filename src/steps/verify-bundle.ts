// Verifies an audit bundle: offline, from its bytes and a policy alone. The order is that of audit.md: parse, quorum, signatures, root,
// inclusion, consistency, n and prev and the index, disclosures, times. Promise: size and root come from a verified checkpoint only, and
// nothing is called valid that was not recomputed.
import { randomInt } from 'node:crypto'
import type { BundleManifest } from '#domain/bundle-manifest.ts'
import { createItemHeads, type ItemHeads } from '#domain/item-heads.ts'
import { newCounts } from '#domain/log-check.ts'
import { parsePolicy } from '#domain/tlog-policy.ts'
import { collectFaults, type Faults } from '#domain/verdict.ts'
import type { Verification, VerifiedLog } from '#domain/verification.ts'
import { CrosslineError } from '#errors.ts'
import { checkMembers, comparePolicy, readManifest } from './check-members.ts'
import { checkSince } from './check-since.ts'
import { type OpenYear, openYears } from './open-years.ts'
import { type BundleSource, type OpenBundle, openBundle } from './read-bundle.ts'
import { checkItems, type ReadIndex, readIndex } from './verify-index.ts'
import { verifyYear } from './verify-year.ts'

export interface VerifyOptions {
  /** The policy that decides, as its file: whose logs, which witnesses, how many. */
  policy: Buffer
  /** An older checkpoint of one of the logs: the signed note that somebody kept. */
  since?: Buffer | undefined
  /** Called now and then with the bytes done of all. */
  onProgress?: ((done: number, total: number) => void) | undefined
}

/** What one verification carries along. */
export interface Run {
  faults: Faults
  heads: ItemHeads
  counts: ReturnType<typeof newCounts>
  result: Verification
}

/** Never throws for what stands in bundle, policy or older checkpoint: what can't be read gets the verdict `unreadable`. */
export function verifyBundle(source: BundleSource, options: VerifyOptions): Verification {
  const counts = newCounts()
  const result: Verification = {
    verdict: 'unreadable',
    faults: [],
    faultCount: 0,
    logs: [],
    counts: { ...counts, items: 0 },
    manifest: undefined,
    complete: 'none',
    bundlePolicy: 'absent',
    since: options.since ? 'not proven' : 'not asked',
  }
  const run: Run = { faults: collectFaults(), heads: createHeads(), counts, result }
  try {
    verifyAll(source, options, run)
  } catch (error) {
    if (!(error instanceof CrosslineError)) throw error
    run.faults.add({ stage: 'read', kind: 'unreadable', says: error.detail ?? error.message })
  }
  return conclude(run)
}

/** Refs of a hostile bundle could be chosen to collide; not under a seed that it can't know. */
export const createHeads = (): ItemHeads => createItemHeads(randomInt(2 ** 31) * 2 + 1)

export function conclude({ faults, heads, counts, result }: Run): Verification {
  const verdict = faults.verdict()
  return {
    ...result,
    verdict,
    faults: faults.list(),
    faultCount: faults.count,
    counts: { ...counts, items: heads.size },
    complete: verdict === 'valid' ? result.complete : 'none',
    since: verdict === 'valid' || result.since !== 'extended' ? result.since : 'not proven',
  }
}

function verifyAll(source: BundleSource, options: VerifyOptions, run: Run): void {
  const { faults, heads, result } = run
  const policy = parsePolicy(options.policy.toString('utf8'))
  const bundle = openBundle(source)
  if (bundle.members.size === 0) throw new CrosslineError('broken_file', { detail: 'Not a bundle: there is nothing in it.' })
  const onBytes = countBytes(source.size, options.onProgress)
  const manifest = readManifest(bundle, faults)
  result.manifest = manifest
  result.bundlePolicy = comparePolicy(bundle, options.policy)
  const digests = checkMembers(bundle, manifest, { faults, onBytes })
  const years = openYears(bundle, { policy, faults, member: manifest?.member })
  // All index lines before any entry: an item's entries stand in several years, what the index says of it in one.
  const indexes = years.map((year) => openIndex(bundle, year, { manifest, run }))
  years.forEach((year, n) => {
    year.entries = verifyYear(year, indexes[n], { ...run, bundle, policy, manifest, digests, onBytes })
    result.logs.push(describeLog(year))
  })
  if (options.since) result.since = checkSince(options.since, { policy, faults, years })
  checkItems(manifest?.complete ?? 'none', { heads, faults })
  if (manifest) checkClaims(manifest, indexes, run)
}

/** Without what only the verification itself needs. */
export function describeLog({ origin, size, root, witnesses, witnessed, needed, of, entries }: OpenYear): VerifiedLog {
  return { origin, size, root, witnesses, witnessed, needed, of, entries }
}

function countBytes(total: number, onProgress: VerifyOptions['onProgress']): (count: number) => void {
  let done = 0
  return (count) => {
    done += count
    onProgress?.(done, total)
  }
}

function openIndex(
  bundle: OpenBundle,
  { year, origin }: OpenYear,
  { manifest, run }: { manifest: BundleManifest | undefined; run: Run },
): ReadIndex | undefined {
  const place = bundle.members.get(`${year}/index.ndjson`)
  if (!place) return undefined
  const country = manifest?.complete === 'country' ? countryOf(manifest) : undefined
  return readIndex(bundle, place, { ...run, log: origin, country })
}

function countryOf({ filter }: BundleManifest): string {
  const country = (filter as { country?: unknown } | null)?.country
  if (typeof country === 'string') return country
  throw new CrosslineError('broken_file', { detail: 'The bundle claims to hold a whole country and does not say which.' })
}

/** What the bundle says of itself, where that can be looked at. */
function checkClaims(
  { complete, entries }: BundleManifest,
  indexes: (ReadIndex | undefined)[],
  { faults, counts, result }: Run,
): void {
  const add = (says: string, kind: 'incomplete' | 'tampered' = 'incomplete') => faults.add({ stage: 'chain', kind, says })
  if (entries !== counts.entries)
    add('The bundle does not hold as many entries as its manifest says.', entries > counts.entries ? 'incomplete' : 'tampered')
  const given = indexes.filter((index) => index !== undefined)
  if (complete === 'item' && !given.some(({ lines }) => lines > 0))
    add('The bundle claims to hold all of an item, and no index shows it.')
  if (complete === 'country' && !given.some(({ order, claim }) => order.provesCountry(claim.size)))
    add('The bundle claims to hold a whole country, and the index does not show that no item is missing.')
  result.complete = complete
}
