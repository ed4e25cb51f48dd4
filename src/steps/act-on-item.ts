// Step 7: what the owner's own system does with an item: accept, refuse, assess, act. The change, its audit entry and the messages to
// every hotline that held the item commit together.
import { randomUUIDv7 } from 'node:crypto'
import { keyedHash } from '#crypto/sealed-text.ts'
import { toJcs } from '#domain/audit-entry.ts'
import { type LifeCycleFacts, verifyAction, verifyAssessment, verifyEvent } from '#domain/item-life-cycle.ts'
import { refuseMedia } from '#domain/text-rules.ts'
import { CrosslineError } from '#errors.ts'
import type { AcceptInput, Action, ActionInput, Assessment, AssessmentInput, Item, RefuseInput } from '#schema/report.ts'
import { claimIdempotencyKey } from '#storage/client-store.ts'
import { inTransaction } from '#storage/database.ts'
import { type ItemRow, lockItemRows } from '#storage/item-store.ts'
import { findHandoffLeaf, insertOutgoing, type NewMessage } from '#storage/message-store.ts'
import { findReportRow, findWrappedKeys, type Trx } from '#storage/report-store.ts'
import { type Change, readLifeCycle, recordChange } from './change-item.ts'
import type { Caller, StepContext } from './context.ts'
import { getItem } from './show-items.ts'
import { hideIdempotencyKey, openJson, openSubjectKey, type SubjectKey } from './subject-keys.ts'
import { writeMessage } from './write-message.ts'

/** What an act does once the rules allow it. */
interface Decided {
  change: Change
  kind: 'accept' | 'refuse' | 'assessment' | 'action'
  body: object
}

interface Act {
  itemId: string
  /** Name and input, for the idempotency key. */
  name: string
  input: object
  caller: Caller
  /** Decides by the rules; undefined when the very same was done before. */
  decide: (facts: LifeCycleFacts & { reference: string | null; refusal: string | null }) => Decided | undefined
}

export function acceptItem(
  ctx: StepContext,
  itemId: string,
  { input, caller }: { input: AcceptInput; caller: Caller },
): Promise<Item> {
  refuseMedia(input.reference, '/reference')
  return act(ctx, {
    itemId,
    name: 'accept',
    input,
    caller,
    decide: (facts) => {
      if (facts.state === 'accepted' && facts.owner === ctx.self && facts.reference === input.reference) return undefined
      verifyEvent(facts, 'accept', ctx.self)
      return { change: { kind: 'accept', reference: input.reference }, kind: 'accept', body: { reference: input.reference } }
    },
  })
}

export function refuseItem(
  ctx: StepContext,
  itemId: string,
  { input, caller }: { input: RefuseInput; caller: Caller },
): Promise<Item> {
  if (input.note !== undefined) refuseMedia(input.note, '/note')
  return act(ctx, {
    itemId,
    name: 'refuse',
    input,
    caller,
    decide: (facts) => {
      if (facts.state === 'refused' && facts.owner === facts.handedBy && facts.refusal === input.reason) return undefined
      verifyEvent(facts, 'refuse', ctx.self)
      return { change: { kind: 'refuse', refusal: input }, kind: 'refuse', body: input }
    },
  })
}

export function assessItem(
  ctx: StepContext,
  itemId: string,
  { input, caller }: { input: AssessmentInput; caller: Caller },
): Promise<Item> {
  return act(ctx, {
    itemId,
    name: 'assessments',
    input,
    caller,
    decide: (facts) => {
      const assessment: Assessment = {
        id: input.id ?? randomUUIDv7(),
        classification: input.classification,
        gender: input.gender ?? 'not_determined',
        ageGroup: input.ageGroup ?? 'not_determined',
        flags: input.flags ?? [],
        analyst: input.analyst,
        member: ctx.self,
        madeAt: ctx.now().toISOString(),
      }
      if (isRepeated(facts.assessments as Assessment[], assessment, 'madeAt')) return undefined
      verifyAssessment(facts, ctx.self)
      return { change: { kind: 'assess', assessment }, kind: 'assessment', body: assessment }
    },
  })
}

export function recordAction(
  ctx: StepContext,
  itemId: string,
  { input, caller }: { input: ActionInput; caller: Caller },
): Promise<Item> {
  return act(ctx, {
    itemId,
    name: 'actions',
    input,
    caller,
    decide: (facts) => {
      const { id, ...rest } = input
      const action: Action = { id: id ?? randomUUIDv7(), ...rest, member: ctx.self, takenAt: ctx.now().toISOString() }
      if (isRepeated(facts.actions as Action[], action, 'takenAt')) return undefined
      return { change: { kind: 'act', action, outcome: verifyAction(facts, action, ctx.self) }, kind: 'action', body: action }
    },
  })
}

/** The same id with the same content was recorded before; with other content it is a conflict. */
function isRepeated<T extends { id: string }>(held: readonly T[], record: T, time: keyof T): boolean {
  const first = held.find((each) => each.id === record.id)
  if (!first) return false
  if (toJcs({ ...first, [time]: '' }) === toJcs({ ...record, [time]: '' })) return true
  throw new CrosslineError('id_conflict', { pointer: '/id' })
}

async function act(ctx: StepContext, { itemId, name, input, caller, decide }: Act): Promise<Item> {
  const sent = await inTransaction(ctx.db, async (trx) => {
    if (await isKeyUsed(ctx, trx, { itemId, name, input, caller })) return undefined
    const { row, key, facts } = await lockItem(ctx, trx, itemId)
    const decided = decide(facts)
    if (!decided) return undefined
    const isRecorded = await recordChange(ctx, trx, {
      row,
      key,
      change: decided.change,
      actor: { kind: 'client', fingerprint: caller.client.fingerprint },
      member: ctx.self,
      trace: caller.trace,
    })
    if (!isRecorded) throw new CrosslineError('id_conflict', { pointer: '/id' })
    return tellOthers(ctx, trx, { row, key, decided })
  })
  if (sent) ctx.log.info({ step: 'act-on-item', trace: caller.trace, item: itemId, act: name, messages: sent }, 'item changed')
  if (sent) ctx.wake('deliver')
  return getItem(ctx, itemId)
}

async function isKeyUsed(ctx: StepContext, trx: Trx, { itemId, name, input, caller }: Omit<Act, 'decide'>): Promise<boolean> {
  if (caller.idempotencyKey === undefined) return false
  const requestDigest = keyedHash(ctx.keys.contentKey, toJcs({ itemId, name, input }))
  const first = await claimIdempotencyKey(trx, {
    client: caller.client.fingerprint,
    key: hideIdempotencyKey(ctx, caller.idempotencyKey),
    requestDigest,
    resource: itemId,
  })
  if (first && !first.requestDigest.equals(requestDigest)) throw new CrosslineError('idempotency_conflict')
  return first !== undefined
}

async function lockItem(ctx: StepContext, trx: Trx, itemId: string) {
  const row = (await lockItemRows(trx, [itemId])).get(itemId)
  const wrapped = (await findWrappedKeys(trx, [itemId])).get(itemId)
  if (!row) throw new CrosslineError('not_found')
  if (!wrapped) throw new CrosslineError('erased')
  const key = openSubjectKey(ctx, itemId, wrapped)
  const content = await trx.selectFrom('item_content').select('owner_reference').where('item_id', '=', itemId).executeTakeFirst()
  const reference = content?.owner_reference ? (openJson(key, 'reference', content.owner_reference) as string) : null
  return { row, key, facts: { ...(await readLifeCycle(trx, row)), reference, refusal: row.refusal } }
}

/** A hotline that left the network hears of nothing more: what is written for it would wait for ever. */
function findHearers(ctx: StepContext, via: readonly string[]): string[] {
  return via.filter((member) => ctx.directory().findMember(member)?.status !== 'left')
}

/** A refusal goes to the one that handed over; everything else to every hotline that held the item. Gives how many messages were written. */
async function tellOthers(
  ctx: StepContext,
  trx: Trx,
  { row, key, decided }: { row: ItemRow; key: SubjectKey; decided: Decided },
): Promise<number> {
  const receivers = decided.kind === 'refuse' ? [row.handed_by].filter((member) => member !== null) : findHearers(ctx, row.via)
  if (receivers.length === 0) return 0
  const report = await findReportRow(trx, row.report_id)
  const leaf = await findHandoffLeaf(trx, row.id)
  const facts = {
    kind: decided.kind,
    item: key,
    handling: (report?.handling ?? 'lea') as 'lea',
    body: decided.body,
    refs: leaf ? [leaf.toString('base64url')] : [],
  }
  const messages = receivers.filter((to) => to !== ctx.self).map((to) => writeMessage(ctx, { ...facts, to }))
  if (messages.includes(undefined))
    throw new CrosslineError('too_large', { detail: 'What you state does not fit into one message.' })
  await insertOutgoing(trx, messages as NewMessage[])
  return messages.length
}
