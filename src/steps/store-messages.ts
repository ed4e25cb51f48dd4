// Stores new messages of one batch: handoffs together, one statement per table; updates one by one by the rules of the life cycle.
import { keyedHash } from '#crypto/sealed-text.ts'
import type { HandoffBody } from '#schema/message.ts'
import type { ExceptionCode } from '#schema/receipt.ts'
import { insertIncoming } from '#storage/message-store.ts'
import {
  findItemRows,
  findReportRows,
  insertItems,
  insertReports,
  type NewItem,
  type NewReport,
  type Trx,
} from '#storage/report-store.ts'
import { appendAudit, type NewEntry } from './append-audit.ts'
import { applyUpdate } from './apply-update.ts'
import type { AdmittedCall, StepContext } from './context.ts'
import { keepMessage, type ReadMessage, type RejectedLine } from './read-message.ts'
import { makeSubjectKey, type SubjectKey, sealJson } from './subject-keys.ts'
import type { ItemContent } from './texts.ts'

export interface Storing {
  call: AdmittedCall
  batchId: string
  messages: readonly ReadMessage[]
}

/** Stores what may be stored and gives the rest as rejections. */
export async function storeMessages(ctx: StepContext, trx: Trx, { call, batchId, messages }: Storing): Promise<RejectedLine[]> {
  const handoffs = messages.filter((each) => each.message.kind === 'handoff')
  const rejected = await storeHandoffs(ctx, trx, { call, batchId, messages: handoffs })
  for (const each of messages) {
    if (each.message.kind === 'handoff') continue
    const code = await applyUpdate(ctx, trx, { call, batchId, read: each })
    if (code) rejected.push(reject(each, code))
  }
  return rejected
}

function reject({ index, message }: ReadMessage, code: ExceptionCode): RejectedLine {
  return { kind: 'rejected', index, id: message.id, code }
}

interface Handoff {
  read: ReadMessage
  body: HandoffBody
  key: SubjectKey & { wrapped: Buffer }
}

async function storeHandoffs(ctx: StepContext, trx: Trx, { call, batchId, messages }: Storing): Promise<RejectedLine[]> {
  if (messages.length === 0) return []
  const { fit, rejected } = await chooseHandoffs(trx, messages)
  if (fit.length === 0) return rejected
  const handoffs = fit.map((read) => ({ read, body: bodyOf(read), key: makeSubjectKey(ctx, read.message.item) }))
  await storeReports(ctx, trx, handoffs)
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
  return rejected
}

const bodyOf = (read: ReadMessage) => read.message.body as unknown as HandoffBody

/** An item that is here already can't be handed over again, and a report's id belongs to its first origin. */
async function chooseHandoffs(
  trx: Trx,
  messages: readonly ReadMessage[],
): Promise<{ fit: ReadMessage[]; rejected: RejectedLine[] }> {
  const items = await findItemRows(
    trx,
    messages.map((each) => each.message.item),
  )
  const reports = await findReportRows(trx, [...new Set(messages.map((each) => bodyOf(each).report.id))])
  const taken = new Set(items.keys())
  const origins = new Map([...reports].map(([id, row]) => [id, row.origin]))
  const fit: ReadMessage[] = []
  const rejected: RejectedLine[] = []
  for (const each of messages) {
    const { report } = bodyOf(each)
    if ((origins.get(report.id) ?? report.origin) !== report.origin) rejected.push(reject(each, 'id_conflict'))
    else if (taken.has(each.message.item)) rejected.push(reject(each, 'wrong_state'))
    else fit.push(each)
    taken.add(each.message.item)
    if (!origins.has(report.id)) origins.set(report.id, report.origin)
  }
  return { fit, rejected }
}

async function storeReports(ctx: StepContext, trx: Trx, handoffs: readonly Handoff[]): Promise<void> {
  const reports = new Map(handoffs.map(({ body }) => [body.report.id, body.report]))
  const keys = new Map([...reports.keys()].map((id) => [id, makeSubjectKey(ctx, id)]))
  const rows = [...reports.values()].map((report): NewReport => {
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
      sealed: sealJson(keys.get(report.id) as SubjectKey, 'report', texts),
      content_digest: keyedHash(ctx.keys.contentKey, JSON.stringify(report)),
    }
  })
  await insertReports(trx, rows, [...keys.values()])
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
