// Shows items and reports as the schema describes them: rows joined, texts opened, nothing that is not the caller's.
import { CrosslineError } from '#errors.ts'
import type { HostingEvidence } from '#schema/hosting-evidence.ts'
import type { Action, Assessment, Item, ItemPage, Report } from '#schema/report.ts'
import { findItemIdsOfReport, findItemParts, findQueue, findQueueEnd } from '#storage/item-store.ts'
import { type Db, findReportRow, findWrappedKeys, type ReportRow } from '#storage/report-store.ts'
import type { StepContext } from './context.ts'
import { openJson, openSubjectKey } from './subject-keys.ts'
import type { ItemContent, RefusalDetails, ReportTexts } from './texts.ts'

type Parts = Awaited<ReturnType<typeof findItemParts>>

/** Items in the order of the ids; an id that is not held is left out. */
async function showItems(ctx: StepContext, db: Db, ids: readonly string[]): Promise<Item[]> {
  const parts = await findItemParts(db, ids)
  const assessments = Map.groupBy(parts.assessments, (row) => row.item_id)
  const actions = Map.groupBy(parts.actions, (row) => row.item_id)
  const shown = new Map(
    parts.items.map((row) => [
      row.id,
      {
        ...showItem(ctx, row),
        assessments: (assessments.get(row.id) ?? []).map((each) => each.record as Assessment),
        actions: (actions.get(row.id) ?? []).map((each) => each.record as Action),
      },
    ]),
  )
  return ids.map((id) => shown.get(id)).filter((item) => item !== undefined)
}

function showItem(ctx: StepContext, row: Parts['items'][number]): Omit<Item, 'assessments' | 'actions'> {
  const key = row.wrapped ? openSubjectKey(ctx, row.id, row.wrapped) : undefined
  const content = key && row.sealed ? (openJson(key, 'content', row.sealed) as ItemContent) : undefined
  const refusal =
    key && row.refusal && row.refusal_details ? (openJson(key, 'refusal', row.refusal_details) as RefusalDetails) : undefined
  const destination = row.handed_to ?? (row.route_rule === 'home' ? ctx.self : undefined)
  return {
    id: row.id,
    report: row.report_id,
    origin: row.origin,
    url: content?.url ?? null,
    contentType: row.content_type as Item['contentType'],
    isSource: row.is_source,
    hashes: content?.hashes ?? {},
    hostingEvidence:
      key && row.evidence ? (openJson(key, 'evidence', row.evidence) as HostingEvidence) : (content?.hostingEvidence ?? null),
    hostingCountry: row.hosting_country,
    assignedCountry: row.assigned_country,
    owner: row.owner,
    ownerReference: key && row.owner_reference ? (openJson(key, 'reference', row.owner_reference) as string) : null,
    via: row.via,
    route: row.route_rule
      ? { rule: row.route_rule, ...(destination ? { member: destination } : {}), flags: row.route_flags }
      : null,
    state: row.state as Item['state'],
    outcome: row.outcome as Item['outcome'],
    refusal: row.refusal as Item['refusal'],
    refusalNote: refusal?.note ?? null,
    refusalEvidence: refusal?.evidence ?? null,
    createdAt: row.created_at.toISOString(),
    changedAt: row.changed_at.toISOString(),
    erasedAt: row.erased_at?.toISOString() ?? null,
  }
}

export async function getItem(ctx: StepContext, id: string): Promise<Item> {
  const [item] = await showItems(ctx, ctx.db, [id])
  if (!item) throw new CrosslineError('not_found')
  return item
}

export async function getReport(ctx: StepContext, id: string): Promise<Report> {
  const row = await findReportRow(ctx.db, id)
  if (!row) throw new CrosslineError('not_found')
  const wrapped = (await findWrappedKeys(ctx.db, [id])).get(id)
  const texts =
    wrapped && row.sealed ? (openJson(openSubjectKey(ctx, id, wrapped), 'report', row.sealed) as ReportTexts) : undefined
  return showReport(row, texts, await showItems(ctx, ctx.db, await findItemIdsOfReport(ctx.db, id)))
}

/** A report from its row, its opened texts and its items. The text of an erased report is gone; its facts stay. */
export function showReport(
  row: Omit<ReportRow, 'sealed' | 'content_digest'>,
  texts: ReportTexts | undefined,
  items: Item[],
): Report {
  const { accessCredentials, ...rest } = texts ?? { reference: 'erased' }
  return {
    id: row.id,
    origin: row.origin,
    receivedAt: row.received_at.toISOString(),
    source: row.source as Report['source'],
    siteType: row.site_type as Report['siteType'],
    commerciality: row.commerciality as Report['commerciality'],
    paymentMethods: row.payment_methods as Report['paymentMethods'],
    handling: row.handling as Report['handling'],
    ...(row.source_item ? { sourceItem: row.source_item } : {}),
    ...rest,
    ...(accessCredentials ? { accessCredentials } : {}),
    createdAt: row.created_at.toISOString(),
    erasedAt: row.erased_at?.toISOString() ?? null,
    items,
  }
}

/** How long a reader of a queue waits for writers that were at work before it; far longer than any of our transactions takes. */
const settleMs = 10_000

/** A page of a queue. One that holds items ends with a cursor, so that whoever reads on misses none and gets none twice. */
export async function findItems(ctx: StepContext, query: { state?: string; after?: string; limit: number }): Promise<ItemPage> {
  const after = readCursor(query.after)
  const until = await findQueueEnd(ctx.db, settleMs)
  if (until === undefined) throw new CrosslineError('overloaded', { retryAfterS: 5 })
  const found = await findQueue(ctx.db, { state: query.state, after, until, limit: query.limit })
  const items = await showItems(
    ctx,
    ctx.db,
    found.map((row) => row.id),
  )
  const last = found.at(-1)
  return { items, next: last ? writeCursor(last.state_seq) : null }
}

/** A cursor is a place in a queue, as opaque text: 0 without one. Throws `invalid_cursor`. */
function readCursor(cursor: string | undefined): number {
  if (cursor === undefined) return 0
  const place = Number(/^p(\d{1,15})$/.exec(Buffer.from(cursor, 'base64url').toString())?.[1] ?? Number.NaN)
  if (!Number.isSafeInteger(place) || writeCursor(place) !== cursor)
    throw new CrosslineError('invalid_cursor', { pointer: '/after' })
  return place
}

function writeCursor(place: number): string {
  return Buffer.from(`p${place}`).toString('base64url')
}
