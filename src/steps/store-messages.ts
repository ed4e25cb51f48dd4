// Stores new messages of one batch: handoffs together, one statement per table; updates one by one by the rules of the life cycle.
import { keyedHash } from '#crypto/sealed-text.ts'
import { toJcs } from '#domain/audit-entry.ts'
import type { HandoffBody } from '#schema/message.ts'
import type { ExceptionCode } from '#schema/receipt.ts'
import type { ReportFacts } from '#schema/report.ts'
import { insertItems, type NewItem } from '#storage/item-store.ts'
import { insertIncoming } from '#storage/message-store.ts'
import { findReportRows, findTakenIds, insertReports, type NewReport, type TakenBy, type Trx } from '#storage/report-store.ts'
import { appendAudit, type NewEntry } from './append-audit.ts'
import { applyUpdate } from './apply-update.ts'
import { rememberCases } from './case-numbers.ts'
import type { AdmittedCall, StepContext } from './context.ts'
import { keepMessage, type ReadMessage, type RejectedLine } from './read-message.ts'
import { makeSubjectKey, type SubjectKey, sealJson } from './subject-keys.ts'
import type { ItemContent } from './texts.ts'

export interface Storing {
  call: AdmittedCall
  batchId: string
  messages: readonly ReadMessage[]
}

export interface StoredMessages {
  rejected: RejectedLine[]
  /** Handoffs that tell a report otherwise than the first did: its facts stay the first ones, and somebody must know. */
  contradictions: number
}

/** Stores what may be stored and gives the rest as rejections. */
export async function storeMessages(ctx: StepContext, trx: Trx, { call, batchId, messages }: Storing): Promise<StoredMessages> {
  const handoffs = messages.filter((each) => each.message.kind === 'handoff')
  const { rejected, contradictions } = await storeHandoffs(ctx, trx, { call, batchId, messages: handoffs })
  for (const each of messages) {
    if (each.message.kind === 'handoff') continue
    const code = await applyUpdate(ctx, trx, { call, batchId, read: each })
    if (code) rejected.push(reject(each, code))
  }
  return { rejected, contradictions }
}

function reject({ index, message }: ReadMessage, code: ExceptionCode): RejectedLine {
  return { kind: 'rejected', index, id: message.id, code }
}

interface Handoff {
  read: ReadMessage
  body: HandoffBody
  key: SubjectKey & { wrapped: Buffer }
}

async function storeHandoffs(ctx: StepContext, trx: Trx, { call, batchId, messages }: Storing): Promise<StoredMessages> {
  if (messages.length === 0) return { rejected: [], contradictions: 0 }
  const { fit, rejected, reports } = await chooseHandoffs(trx, messages)
  const handoffs = fit.map((read) => ({ read, body: bodyOf(read), key: makeSubjectKey(ctx, read.message.item) }))
  const contradictions = await storeReports(ctx, trx, { handoffs, held: reports })
  if (fit.length === 0) return { rejected, contradictions }
  await insertItems(
    trx,
    handoffs.map((handoff) => toItem(ctx, call, handoff)),
  )
  await insertIncoming(
    trx,
    batchId,
    handoffs.map((handoff) => ({ ...keepMessage(handoff.read, handoff.key), index: handoff.read.index })),
  )
  await appendAudit(
    ctx,
    trx,
    handoffs.map((handoff) => toEntry(ctx, { call, batchId, handoff })),
  )
  return { rejected, contradictions }
}

const bodyOf = (read: ReadMessage) => read.message.body as unknown as HandoffBody

type HeldReports = Awaited<ReturnType<typeof findReportRows>>

async function chooseHandoffs(
  trx: Trx,
  messages: readonly ReadMessage[],
): Promise<{ fit: ReadMessage[]; rejected: RejectedLine[]; reports: HeldReports }> {
  const reportIds = [...new Set(messages.map((each) => bodyOf(each).report.id))]
  const taken = await findTakenIds(trx, [...reportIds, ...messages.map((each) => each.message.item)])
  const reports = await findReportRows(trx, reportIds)
  const origins = new Map([...reports].map(([id, row]) => [id, row.origin]))
  const fit: ReadMessage[] = []
  const rejected: RejectedLine[] = []
  for (const each of messages) {
    const { report, item } = bodyOf(each)
    const code = judgeIds(bodyOf(each), { taken, origins })
    if (code) {
      rejected.push(reject(each, code))
      continue
    }
    fit.push(each)
    taken.set(item.id, 'item').set(report.id, 'report')
    origins.set(report.id, report.origin)
  }
  return { fit, rejected, reports }
}

/** An item that is here can't be handed over again, a report's id belongs to its first origin, and no id names two things. */
function judgeIds(
  { report, item }: HandoffBody,
  { taken, origins }: { taken: ReadonlyMap<string, TakenBy>; origins: ReadonlyMap<string, string> },
): ExceptionCode | undefined {
  if ((taken.get(report.id) ?? 'report') !== 'report') return 'id_conflict'
  if ((origins.get(report.id) ?? report.origin) !== report.origin) return 'id_conflict'
  if (taken.get(item.id) === 'item') return 'wrong_state'
  return taken.has(item.id) ? 'id_conflict' : undefined
}

/** Stores the reports that are not held yet; gives how many handoffs tell theirs otherwise than it was told first. */
async function storeReports(
  ctx: StepContext,
  trx: Trx,
  { handoffs, held }: { handoffs: readonly Handoff[]; held: HeldReports },
): Promise<number> {
  const firsts = new Map<string, { text: string; report: ReportFacts; digest: Buffer }>()
  let contradictions = 0
  for (const { body } of handoffs) {
    const text = JSON.stringify(body.report)
    const first = firsts.get(body.report.id)
    if (first?.text === text) continue
    const digest = keyedHash(ctx.keys.contentKey, toJcs(body.report))
    // Of our own report the digest is over what our client sent, which is more than what travels.
    const row = held.get(body.report.id)
    const told = first?.digest ?? (row?.origin === ctx.self ? undefined : row?.content_digest)
    if (told && !told.equals(digest)) contradictions += 1
    if (!first) firsts.set(body.report.id, { text, report: body.report, digest: told ?? digest })
  }
  const fresh = [...firsts.values()].filter(({ report }) => !held.has(report.id))
  if (fresh.length > 0) await insertFresh(ctx, trx, fresh)
  return contradictions
}

async function insertFresh(ctx: StepContext, trx: Trx, fresh: readonly { report: ReportFacts; digest: Buffer }[]): Promise<void> {
  const keys = fresh.map(({ report }) => makeSubjectKey(ctx, report.id))
  const rows = fresh.map(({ report, digest }, place) => toReport(report, { digest, key: keys[place] as SubjectKey }))
  await insertReports(trx, rows, keys)
  await rememberCases(
    ctx,
    trx,
    fresh.map(({ report }) => ({ reference: report.reference, subject: report.id })),
  )
}

function toReport(report: ReportFacts, { digest, key }: { digest: Buffer; key: SubjectKey }): NewReport {
  const { reference, referrer, memo } = report
  const texts = { reference, ...(referrer === undefined ? {} : { referrer }), ...(memo === undefined ? {} : { memo }) }
  return {
    id: report.id,
    origin: report.origin,
    received_at: new Date(report.receivedAt),
    source: report.source,
    source_item: report.sourceItem ?? null,
    site_type: report.siteType,
    commerciality: report.commerciality,
    payment_methods: report.paymentMethods,
    handling: report.handling,
    sealed: sealJson(key, 'report', texts),
    content_digest: digest,
  }
}

function toItem(ctx: StepContext, call: AdmittedCall, { body, key }: Handoff): NewItem {
  const { item, report } = body
  const { url } = item
  return {
    id: item.id,
    reportId: report.id,
    position: 0,
    contentType: item.contentType,
    isSource: item.isSource,
    urlKey: url === undefined ? null : keyedHash(ctx.keys.urlKey, url),
    state: 'delivered',
    owner: ctx.self,
    handedBy: call.member,
    via: item.via,
    hostingCountry: item.hostingCountry,
    assignedCountry: item.assignedCountry,
    routeRule: 'handed_over',
    sealed: sealJson(key, 'content', toContent(item)),
    wrappedKey: key.wrapped,
  }
}

function toContent({ url, hashes, statedCountry, hostingEvidence }: HandoffBody['item']): ItemContent {
  return {
    ...(url === undefined ? {} : { url }),
    hashes,
    ...(statedCountry === undefined ? {} : { statedCountry }),
    hostingEvidence,
  }
}

function toEntry(
  ctx: StepContext,
  { call, batchId, handoff }: { call: AdmittedCall; batchId: string; handoff: Handoff },
): NewEntry {
  const { read, body, key } = handoff
  return {
    event: 'handoff.received',
    subject: key,
    from: call.member,
    to: ctx.self,
    country: body.item.hostingCountry,
    actor: { kind: 'peer', member: call.member },
    payload: {
      item: { id: body.item.id, report: body.report.id },
      facts: { batch: batchId, message: read.message.id, leaf: read.leaf.toString('base64url') },
      trace: call.trace,
    },
    peer: call.proofDigest,
  }
}
