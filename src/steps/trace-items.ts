// Steps 2 and 3: finds out where items are hosted and decides who gets them. The host is resolved, the URL is never requested.
// No transaction is open while the resolver is asked; evidence, decision, message and audit entries are then recorded together.
import { canonicalUrl } from '#domain/canonical-url.ts'
import { type CountryDecision, decideCountry, type RoutedAddress } from '#domain/routing-rules.ts'
import { classifyAddress } from '#domain/special-addresses.ts'
import { CrosslineError } from '#errors.ts'
import type { EvidenceAddress, HostingEvidence } from '#schema/hosting-evidence.ts'
import { maxEvidenceAddresses } from '#schema/hosting-evidence.ts'
import { isTransient } from '#storage/database.ts'
import { findSealedContents, findUntraced, postponeTraces, type UntracedItem } from '#storage/item-store.ts'
import type { StepContext } from './context.ts'
import { openKeys } from './open-lines.ts'
import { type RoutableItem, routeItems } from './route-items.ts'
import { openJson, type SubjectKey } from './subject-keys.ts'
import type { ItemContent } from './texts.ts'

/** How often a resolver that fails is asked again before the item waits for a person as untraceable: about 40 minutes in all. */
const maxTraceAttempts = 8
const firstDelayMs = 10_000
const maxDelayMs = 24 * 3_600_000

/** Traces and routes up to `limit` items that are due. Gives how many it took up; 0 means nothing is due. */
export async function traceItems(ctx: StepContext, limit: number): Promise<number> {
  // Who answers for a country is not known any more: items wait, visibly, as received.
  if (ctx.directoryAge() === 'expired') return 0
  const untraced = await findUntraced(ctx.db, { now: ctx.now(), limit, firstDelayMs, maxDelayMs })
  if (untraced.length === 0) return 0
  const read = await readContents(ctx, untraced)
  const traced = (await Promise.all(untraced.map((item) => traceSafely(ctx, item, read)))).filter((item) => item !== undefined)
  const [later, now] = [true, false].map((wanted) => traced.filter((item) => (item.decision.outcome === 'try_later') === wanted))
  await postpone(ctx, later?.map((item) => item.row) ?? [], 'dns_failed')
  await routeSafely(ctx, now ?? [])
  return untraced.length
}

/** An item that can't even be read is put off by itself: it never stops the others. */
async function traceSafely(ctx: StepContext, row: UntracedItem, read: ReadContents): Promise<RoutableItem | undefined> {
  try {
    return await traceItem(ctx, row, read)
  } catch (error) {
    ctx.log.error({ step: 'trace-item', item: row.id, err: error }, 'an item can not be traced')
    await postpone(ctx, [row], 'internal')
    return undefined
  }
}

/** All together; where that fails for a reason that will not pass, one by one, so that the culprit alone is put off. */
async function routeSafely(ctx: StepContext, items: readonly RoutableItem[]): Promise<void> {
  try {
    await routeItems(ctx, items)
  } catch (error) {
    if (isTransient(error) || (error instanceof CrosslineError && error.code === 'audit_unavailable')) throw error
    if (items.length > 1) {
      for (const item of items) await routeSafely(ctx, [item])
      return
    }
    ctx.log.error({ step: 'route-item', item: items[0]?.row.id, err: error }, 'an item can not be routed')
    await postpone(
      ctx,
      items.map((item) => item.row),
      'internal',
    )
  }
}

async function postpone(ctx: StepContext, rows: readonly UntracedItem[], code: string): Promise<void> {
  for (const [attempts, some] of Map.groupBy(rows, (row) => row.trace_attempts)) {
    const delayMs = Math.min(firstDelayMs * 2 ** attempts, maxDelayMs)
    await postponeTraces(
      ctx.db,
      some.map((row) => row.id),
      new Date(ctx.now().getTime() + delayMs),
    )
    ctx.log.warn({ step: 'trace-item', code, items: some.length, attempt: attempts + 1, retryS: delayMs / 1000 }, 'trace put off')
  }
}

interface ReadContents {
  keys: Map<string, SubjectKey>
  sealed: Map<string, Buffer>
}

/** What is not in memory any more is read for all together; it is opened for each by itself. */
async function readContents(ctx: StepContext, rows: readonly UntracedItem[]): Promise<ReadContents> {
  const ids = rows.map((row) => row.id)
  const unread = ids.filter((id) => !ctx.recent.contents.get(id))
  return {
    keys: await openKeys(ctx, ctx.db, ids),
    sealed: unread.length > 0 ? await findSealedContents(ctx.db, unread) : new Map(),
  }
}

function openContent(
  ctx: StepContext,
  row: UntracedItem,
  { keys, sealed }: ReadContents,
): { key: SubjectKey; content: ItemContent } {
  const key = keys.get(row.id)
  if (!key) throw new Error('the key of an item that waits for its trace is gone')
  const known = ctx.recent.contents.get(row.id)
  if (known) return { key, content: known }
  const bytes = sealed.get(row.id)
  if (!bytes) throw new Error('the content of an item that waits for its trace is gone')
  return { key, content: openJson(key, 'content', bytes) as ItemContent }
}

async function traceItem(ctx: StepContext, row: UntracedItem, read: ReadContents): Promise<RoutableItem> {
  const { key, content } = openContent(ctx, row, read)
  const seen = await lookAtHost(ctx, content.url)
  const decision = decideCountry({
    kind: seen.kind,
    addresses: seen.addresses.map(({ evidence, cdnCountry }) => toRouted(evidence, cdnCountry)),
    dns: seen.dns,
    partial: seen.partial,
    truncated: seen.truncated,
    lastTry: row.trace_attempts + 1 >= maxTraceAttempts,
    stated: content.statedCountry ? { country: content.statedCountry.country, by: 'analyst' } : undefined,
    policy: ctx.policy,
  })
  return { row, key, content, decision, evidence: writeEvidence(ctx, seen, decision) }
}

interface SeenHost {
  kind: 'name' | 'ipv4' | 'ipv6' | 'onion' | 'none'
  host: string | null
  dns: HostingEvidence['dns']
  partial: boolean
  truncated: boolean
  addresses: { evidence: EvidenceAddress; cdnCountry: string | null }[]
}

async function lookAtHost(ctx: StepContext, url: string | undefined): Promise<SeenHost> {
  const nothing = { dns: 'not_needed' as const, partial: false, truncated: false, addresses: [] }
  if (url === undefined) return { kind: 'none', host: null, ...nothing }
  const { host, kind } = canonicalUrl(url)
  if (kind === 'onion') return { kind, host, ...nothing }
  if (kind !== 'name') return { kind, host, ...nothing, addresses: [locate(ctx, host)] }
  const resolved = await ctx.resolver.resolveHost(host)
  if (resolved.kind !== 'answered') return { kind, host, ...nothing, dns: resolved.kind }
  const { partial, truncated } = resolved
  return {
    kind,
    host,
    dns: 'answered',
    partial,
    truncated,
    addresses: resolved.addresses.slice(0, maxEvidenceAddresses).map((address) => locate(ctx, address)),
  }
}

/** Special ranges are told by code before any look-up: free databases answer even for documentation ranges. */
function locate(ctx: StepContext, text: string): SeenHost['addresses'][number] {
  const classified = classifyAddress(text)
  const { address, family } = classified
  const unknown = { country: null, countrySource: null, asn: null, organisation: null, cdn: false }
  if (classified.kind === 'special')
    return { evidence: { address, family, special: classified.range, ...unknown }, cdnCountry: null }
  const { country, asn, organisation } = ctx.geo.find(address)
  const network = ctx.cdn.findCdn({ address, asn })
  const countrySource = country === null ? null : ctx.geo.sources().country
  return {
    evidence: { address, family, country, countrySource, asn, organisation, cdn: network !== undefined },
    cdnCountry: network?.country ?? null,
  }
}

function toRouted({ address, special, country, cdn }: EvidenceAddress, cdnCountry: string | null): RoutedAddress {
  return { address, ...(special === undefined ? {} : { special }), country, cdn, cdnCountry }
}

function writeEvidence(ctx: StepContext, seen: SeenHost, { country, rule, confidence, flags }: CountryDecision): HostingEvidence {
  return {
    host: seen.host,
    addresses: seen.addresses.map(({ evidence }) => evidence),
    dns: seen.dns,
    resolver: 'configured',
    resolvedAt: ctx.now().toISOString(),
    flags,
    decision: { country, rule, confidence },
  }
}
