// Step 3: who gets a traced item. Records evidence, route, the message for the outbox and the audit entries in one transaction.
import type { CountryDecision, Route } from '#domain/routing-rules.ts'
import { decideRoute } from '#domain/routing-rules.ts'
import type { AuditEvent } from '#schema/audit.ts'
import type { HostingEvidence } from '#schema/hosting-evidence.ts'
import type { HandedItem, HandoffBody } from '#schema/message.ts'
import type { ReportFacts } from '#schema/report.ts'
import { inTransaction } from '#storage/database.ts'
import { recordTraces, type TracedRow, type UntracedItem } from '#storage/item-store.ts'
import { insertOutgoing, type NewMessage } from '#storage/message-store.ts'
import { findReportRows, findWrappedKeys, type ReportRow } from '#storage/report-store.ts'
import { appendAudit, type NewEntry } from './append-audit.ts'
import type { StepContext } from './context.ts'
import { openJson, openSubjectKey, type SubjectKey, sealJson } from './subject-keys.ts'
import type { ItemContent, ReportTexts } from './texts.ts'
import { writeMessage } from './write-message.ts'

/** A traced item with all that its route and its handoff need. */
export interface RoutableItem {
  row: UntracedItem
  key: SubjectKey
  content: ItemContent
  decision: CountryDecision
  evidence: HostingEvidence
}

interface RoutedItem extends RoutableItem {
  route: Route
  state: 'routed' | 'needs_review' | 'orphaned' | 'untraceable'
  assignedCountry: string | null
  flags: string[]
  message: NewMessage | undefined
}

/** Routes items and records it all. An item that another process routed meanwhile is left as that process left it. */
export async function routeItems(ctx: StepContext, items: readonly RoutableItem[]): Promise<void> {
  if (items.length === 0) return
  const reports = await readReports(ctx, items)
  const routed = items.map((item) => routeItem(ctx, item, reports.get(item.row.report_id)))
  const recorded = await inTransaction(ctx.db, async (trx) => {
    const changed = await recordTraces(trx, routed.map(toRow))
    const mine = routed.filter((item) => changed.has(item.row.id))
    await appendAudit(
      ctx,
      trx,
      mine.flatMap((item) => writeEntries(ctx, item)),
    )
    const messages = mine.map((item) => item.message).filter((message) => message !== undefined)
    if (messages.length > 0) await insertOutgoing(trx, messages)
    return mine
  })
  for (const [rule, some] of Map.groupBy(recorded, (item) => item.route.rule)) {
    ctx.log.info(
      {
        step: 'route-item',
        rule,
        items: some.length,
        countries: countBy(some, (item) => item.evidence.decision.country ?? 'none'),
      },
      'items routed',
    )
  }
  if (recorded.some((item) => item.message)) ctx.wake('deliver')
}

function countBy<T>(values: readonly T[], name: (value: T) => string): Record<string, number> {
  return Object.fromEntries([...Map.groupBy(values, name)].map(([key, group]) => [key, group.length]))
}

/** The reports of these items as they travel: opened once each, credentials left out. */
async function readReports(ctx: StepContext, items: readonly RoutableItem[]): Promise<Map<string, ReportFacts>> {
  const ids = [...new Set(items.map((item) => item.row.report_id))]
  const [rows, keys] = await Promise.all([findReportRows(ctx.db, ids), findWrappedKeys(ctx.db, ids)])
  return new Map([...rows].map(([id, row]) => [id, toFacts(row, openTexts(ctx, row, keys.get(id)))]))
}

function openTexts(ctx: StepContext, row: ReportRow, wrapped: Buffer | undefined): ReportTexts {
  if (!wrapped || !row.sealed) return { reference: 'erased' }
  return openJson(openSubjectKey(ctx, row.id, wrapped), 'report', row.sealed) as ReportTexts
}

function toFacts(row: ReportRow, { reference, referrer, memo }: ReportTexts): ReportFacts {
  return {
    id: row.id,
    origin: row.origin,
    reference,
    receivedAt: row.received_at.toISOString(),
    source: row.source as ReportFacts['source'],
    ...(referrer === undefined ? {} : { referrer }),
    siteType: row.site_type as ReportFacts['siteType'],
    commerciality: row.commerciality as ReportFacts['commerciality'],
    paymentMethods: row.payment_methods as ReportFacts['paymentMethods'],
    ...(memo === undefined ? {} : { memo }),
    handling: row.handling as ReportFacts['handling'],
    ...(row.source_item === null ? {} : { sourceItem: row.source_item }),
  }
}

function routeItem(ctx: StepContext, item: RoutableItem, report: ReportFacts | undefined): RoutedItem {
  const { country } = item.decision
  // The last 32 bits of a UUIDv7 are random: they share a round_robin route out evenly without a counter.
  const turn = Number.parseInt(item.row.id.slice(-8), 16)
  const responsible = country === null ? undefined : ctx.directory().responsibleMember(country, ctx.now(), turn)
  const route = decideRoute({ decision: item.decision, self: ctx.self, home: ctx.homeCountries, responsible })
  if (route.kind !== 'handoff' || country === null || !report)
    return { ...item, route, ...sideState(route, country), flags: [...item.decision.flags], message: undefined }
  const assignedCountry =
    route.rule === 'default' ? (ctx.directory().coveredCountries(route.member, ctx.now())[0] ?? country) : country
  const message = writeHandoff(ctx, item, { report, to: route.member, country, assignedCountry })
  // A line that no peer takes waits for a person instead of being lost on the way.
  if (!message)
    return {
      ...item,
      route: { kind: 'needs_review', rule: route.rule },
      state: 'needs_review',
      assignedCountry,
      flags: [...item.decision.flags, 'too_large'],
      message,
    }
  return { ...item, route, state: 'routed', assignedCountry, flags: [...item.decision.flags], message }
}

function sideState(route: Route, country: string | null): Pick<RoutedItem, 'state' | 'assignedCountry'> {
  if (route.kind === 'home') return { state: 'routed', assignedCountry: country }
  if (route.kind === 'orphaned' || route.kind === 'untraceable') return { state: route.kind, assignedCountry: null }
  return { state: 'needs_review', assignedCountry: null }
}

function writeHandoff(
  ctx: StepContext,
  item: RoutableItem,
  to: { report: ReportFacts; to: string; country: string; assignedCountry: string },
): NewMessage | undefined {
  const { url, hashes, statedCountry } = item.content
  const handed: HandedItem = {
    id: item.row.id,
    ...(url === undefined ? {} : { url }),
    contentType: item.row.content_type as HandedItem['contentType'],
    isSource: item.row.is_source,
    hashes: hashes ?? {},
    ...(statedCountry === undefined ? {} : { statedCountry }),
    hostingEvidence: item.evidence,
    hostingCountry: to.country,
    assignedCountry: to.assignedCountry,
    via: [ctx.self],
  }
  const body: HandoffBody = { report: to.report, item: handed }
  return writeMessage(ctx, { kind: 'handoff', item: item.key, to: to.to, handling: to.report.handling, body })
}

function toRow(item: RoutedItem): TracedRow {
  return {
    id: item.row.id,
    state: item.state,
    hostingCountry: item.decision.country,
    assignedCountry: item.assignedCountry,
    handedTo: item.message?.receiver ?? null,
    routeRule: item.route.rule,
    routeFlags: item.flags,
    evidence: sealJson(item.key, 'evidence', item.evidence),
  }
}

const routeEvents: Record<RoutedItem['state'], AuditEvent> = {
  routed: 'item.routed',
  orphaned: 'item.orphaned',
  untraceable: 'item.untraceable',
  needs_review: 'item.trace_conflict',
}

function writeEntries(ctx: StepContext, item: RoutedItem): NewEntry[] {
  const { decision, route, message } = item
  const common = { subject: item.key, actor: { kind: 'node' } as const, country: decision.country ?? undefined }
  const about = { id: item.row.id, report: item.row.report_id }
  const trace = {
    rule: decision.rule,
    confidence: decision.confidence ?? 'none',
    addresses: item.evidence.addresses.length,
    flags: item.flags,
    country: decision.country ?? 'none',
  }
  const traced: NewEntry = { ...common, event: 'item.traced', from: ctx.self, payload: { item: about, facts: trace } }
  const outcome = { rule: route.rule, state: item.state, flags: item.flags, ...(message ? { message: message.id } : {}) }
  const entries: NewEntry[] = [
    traced,
    {
      ...common,
      event: routeEvents[item.state],
      from: ctx.self,
      to: message?.receiver,
      payload: { item: about, facts: outcome },
    },
  ]
  if (item.state === 'routed' && item.flags.includes('conflict'))
    entries.splice(1, 0, { ...traced, event: 'item.trace_conflict' })
  return entries
}
