// Step 1: takes a report from a hotline's own system. All of it is stored with its audit entry, or nothing; twice is as once.
import { randomUUIDv7 } from 'node:crypto'
import { keyedHash } from '#crypto/sealed-text.ts'
import { toJcs } from '#domain/audit-entry.ts'
import { canonicalUrl } from '#domain/canonical-url.ts'
import { refuseMedia, refuseTooLong } from '#domain/text-rules.ts'
import { CrosslineError } from '#errors.ts'
import type { Item, ItemInput, Report, ReportInput } from '#schema/report.ts'
import { claimIdempotencyKey } from '#storage/client-store.ts'
import { inTransactionOrAgain } from '#storage/database.ts'
import { insertItems, type NewItem } from '#storage/item-store.ts'
import { findReportRow, findTakenIds, insertReports, type NewReport, type Trx } from '#storage/report-store.ts'
import { appendAudit } from './append-audit.ts'
import { rememberCases } from './case-numbers.ts'
import type { Caller, StepContext } from './context.ts'
import { refuseUnsealed } from './sealing.ts'
import { getReport, showReport } from './show-items.ts'
import { hideIdempotencyKey, makeSubjectKey, type SubjectKey, sealJson } from './subject-keys.ts'
import type { ItemContent, ReportTexts } from './texts.ts'

/** A report as checked and prepared, before anything is written. */
interface PreparedReport {
  row: NewReport
  texts: ReportTexts
  key: SubjectKey & { wrapped: Buffer }
  items: { row: NewItem; content: ItemContent; key: Buffer }[]
}

/** Stores a report and its items in state `received`. `created` is false when this very report was stored before. */
export async function acceptReport(
  ctx: StepContext,
  input: ReportInput,
  caller: Caller,
): Promise<{ report: Report; created: boolean }> {
  refuseUnsealed(ctx)
  checkTexts(ctx, input)
  const prepared = prepareReport(ctx, input)
  const stored = await inTransactionOrAgain(ctx.db, (trx) => storeOnce(ctx, trx, { prepared, caller }))
  if (stored.id !== prepared.row.id || !stored.createdAt) return { report: await getReport(ctx, stored.id), created: false }
  rememberItems(ctx, prepared)
  ctx.log.info({ step: 'accept-report', trace: caller.trace, report: stored.id, items: prepared.items.length }, 'report accepted')
  ctx.wake('trace')
  return { report: showPrepared(ctx.self, prepared, stored.createdAt), created: true }
}

/** The tracer comes for them at once. Only after the commit: nothing may be known that is not stored. */
function rememberItems(ctx: StepContext, { items }: PreparedReport): void {
  for (const { row, content, key } of items) {
    ctx.recent.keys.set(row.id, key)
    ctx.recent.contents.set(row.id, content)
  }
}

function checkTexts(ctx: StepContext, input: ReportInput): void {
  for (const name of ['reference', 'memo'] as const) if (input[name] !== undefined) refuseMedia(input[name], `/${name}`)
  if (input.memo !== undefined) refuseTooLong(input.memo, '/memo')
  if (input.referrer !== undefined) readUrl(input.referrer, '/referrer')
  if (Date.parse(input.receivedAt) > ctx.now().getTime() + 24 * 3_600_000) {
    throw new CrosslineError('schema_invalid', {
      pointer: '/receivedAt',
      detail: 'The time is more than a day ahead of the clock of this node.',
    })
  }
  checkItemIds(input)
}

function checkItemIds({ id: report, items, sourceItem }: ReportInput): void {
  const seen = new Set<string>()
  for (const [place, { id }] of items.entries()) {
    if (id === undefined) continue
    if (id === report)
      throw new CrosslineError('schema_invalid', { pointer: `/items/${place}/id`, detail: 'The id is the one of the report.' })
    if (seen.has(id))
      throw new CrosslineError('schema_invalid', { pointer: `/items/${place}/id`, detail: 'The id stands twice in the report.' })
    seen.add(id)
  }
  if (sourceItem !== undefined && !seen.has(sourceItem)) {
    throw new CrosslineError('schema_invalid', { pointer: '/sourceItem', detail: 'No item of the report has this id.' })
  }
}

function readUrl(text: string, pointer: string): string {
  try {
    return canonicalUrl(text).url
  } catch (error) {
    if (error instanceof CrosslineError)
      throw new CrosslineError(error.code, { pointer, ...(error.detail === undefined ? {} : { detail: error.detail }) })
    throw error
  }
}

function prepareReport(ctx: StepContext, input: ReportInput): PreparedReport {
  const id = input.id ?? randomUUIDv7()
  const key = makeSubjectKey(ctx, id)
  const { reference, referrer, memo, accessCredentials } = input
  const texts: ReportTexts = {
    reference,
    ...(referrer ? { referrer } : {}),
    ...(memo ? { memo } : {}),
    ...(accessCredentials ? { accessCredentials } : {}),
  }
  const row: NewReport = {
    id,
    origin: ctx.self,
    received_at: new Date(input.receivedAt),
    source: input.source,
    source_item: input.sourceItem ?? null,
    site_type: input.siteType,
    commerciality: input.commerciality,
    payment_methods: input.paymentMethods ?? [],
    handling: input.handling ?? 'lea',
    sealed: sealJson(key, 'report', texts),
    content_digest: keyedHash(ctx.keys.contentKey, toJcs(input)),
  }
  return { row, texts, key, items: input.items.map((item, position) => prepareItem(ctx, item, { reportId: id, position })) }
}

function prepareItem(ctx: StepContext, item: ItemInput, { reportId, position }: { reportId: string; position: number }) {
  if (item.url === undefined && item.statedCountry === undefined) {
    throw new CrosslineError('schema_invalid', {
      pointer: `/items/${position}/url`,
      detail: 'An item without a URL must state its country.',
    })
  }
  const url = item.url === undefined ? undefined : readUrl(item.url, `/items/${position}/url`)
  const { hashes, statedCountry } = item
  const content: ItemContent = {
    ...(url === undefined ? {} : { url }),
    ...(hashes ? { hashes } : {}),
    ...(statedCountry ? { statedCountry } : {}),
  }
  const key = makeSubjectKey(ctx, item.id ?? randomUUIDv7())
  const row: NewItem = {
    id: key.subject,
    reportId,
    position,
    contentType: item.contentType,
    isSource: item.isSource ?? false,
    urlKey: url === undefined ? null : keyedHash(ctx.keys.urlKey, url),
    state: 'received',
    owner: ctx.self,
    handedBy: null,
    via: [],
    hostingCountry: null,
    assignedCountry: null,
    routeRule: null,
    sealed: sealJson(key, 'content', content),
    wrappedKey: key.wrapped,
  }
  return { row, content, key: key.key }
}

interface Stored {
  id: string
  /** When this call stored it; absent if it was stored before. */
  createdAt?: Date
}

async function storeOnce(
  ctx: StepContext,
  trx: Trx,
  { prepared, caller }: { prepared: PreparedReport; caller: Caller },
): Promise<Stored> {
  const repeated = await claimKey(ctx, trx, { prepared, caller })
  if (repeated) return repeated
  const items = prepared.items.map((item) => item.row)
  const taken = await findTakenIds(trx, [prepared.row.id, ...items.map((item) => item.id)])
  if (taken.get(prepared.row.id) === 'report') return findSameReport(trx, prepared)
  refuseTaken(prepared, taken)
  const createdAt = await insertReports(trx, [prepared.row], [prepared.key])
  await rememberCases(ctx, trx, [{ reference: prepared.texts.reference, subject: prepared.row.id }])
  await insertItems(trx, items)
  await appendAudit(ctx, trx, [
    {
      event: 'report.submitted',
      subject: prepared.key,
      from: ctx.self,
      actor: { kind: 'client', fingerprint: caller.client.fingerprint },
      payload: {
        report: { id: prepared.row.id, items: prepared.items.length },
        facts: { handling: prepared.row.handling, source: prepared.row.source },
        trace: caller.trace,
      },
    },
  ])
  return { id: prepared.row.id, createdAt }
}

async function claimKey(
  ctx: StepContext,
  trx: Trx,
  { prepared: { row }, caller: { client, idempotencyKey } }: { prepared: PreparedReport; caller: Caller },
): Promise<Stored | undefined> {
  if (idempotencyKey === undefined) return undefined
  const first = await claimIdempotencyKey(trx, {
    client: client.fingerprint,
    key: hideIdempotencyKey(ctx, idempotencyKey),
    requestDigest: row.content_digest,
    resource: row.id,
  })
  if (!first) return undefined
  if (!first.requestDigest.equals(row.content_digest)) throw new CrosslineError('idempotency_conflict')
  return { id: first.resource }
}

async function findSameReport(trx: Trx, { row }: PreparedReport): Promise<Stored> {
  const held = await findReportRow(trx, row.id)
  if (!held?.content_digest.equals(row.content_digest)) throw new CrosslineError('id_conflict', { pointer: '/id' })
  return { id: row.id }
}

/** An id names one thing at a node: its texts are sealed under one key, and its entries are one chain. */
function refuseTaken({ row, items }: PreparedReport, taken: ReadonlyMap<string, unknown>): void {
  if (taken.has(row.id)) throw new CrosslineError('id_conflict', { pointer: '/id' })
  const place = items.findIndex((item) => taken.has(item.row.id))
  if (place >= 0) throw new CrosslineError('id_conflict', { pointer: `/items/${place}/id` })
}

function showPrepared(self: string, { row, texts, items }: PreparedReport, createdAt: Date): Report {
  return showReport(
    { ...row, created_at: createdAt, erased_at: null },
    texts,
    items.map((item) => showNew(item, self, createdAt)),
  )
}

function showNew({ row, content }: PreparedReport['items'][number], self: string, createdAt: Date): Item {
  return {
    id: row.id,
    report: row.reportId,
    origin: self,
    url: content.url ?? null,
    contentType: row.contentType as Item['contentType'],
    isSource: row.isSource,
    hashes: content.hashes ?? {},
    hostingEvidence: null,
    hostingCountry: null,
    assignedCountry: null,
    owner: self,
    ownerReference: null,
    via: [],
    route: null,
    assessments: [],
    actions: [],
    state: 'received',
    outcome: null,
    refusal: null,
    refusalNote: null,
    refusalEvidence: null,
    createdAt: createdAt.toISOString(),
    changedAt: createdAt.toISOString(),
    erasedAt: null,
  }
}
