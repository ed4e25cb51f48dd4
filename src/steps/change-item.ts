// What accepting, refusing, assessing and acting change, whoever does it: the item's row, its records, and one audit entry (two when it closes).
import type { LifeCycleFacts, Outcome } from '#domain/item-life-cycle.ts'
import type { AuditEvent } from '#schema/audit.ts'
import type { Action, Assessment, Item, RefuseInput } from '#schema/report.ts'
import {
  findItemParts,
  type ItemRow,
  insertAction,
  insertAssessment,
  updateItem,
  updateOwnerReference,
  updateRefusalDetails,
} from '#storage/item-store.ts'
import type { Trx } from '#storage/report-store.ts'
import { type Actor, appendAudit, type NewEntry } from './append-audit.ts'
import { rememberCases } from './case-numbers.ts'
import type { StepContext } from './context.ts'
import { type SubjectKey, sealJson } from './subject-keys.ts'
import type { RefusalDetails } from './texts.ts'

export type Change =
  | { kind: 'accept'; reference: string }
  | { kind: 'refuse'; refusal: RefuseInput }
  | { kind: 'assess'; assessment: Assessment }
  | { kind: 'act'; action: Action; outcome: Outcome | undefined }

/** The item as the rules look at it; its row is locked. */
export async function readLifeCycle(trx: Trx, row: ItemRow): Promise<LifeCycleFacts> {
  const parts = await findItemParts(trx, [row.id])
  return {
    state: row.state as Item['state'],
    owner: row.owner,
    handedBy: row.handed_by,
    handedTo: row.handed_to,
    assessments: parts.assessments.map((each) => each.record as Assessment),
    actions: parts.actions.map((each) => each.record as Action),
  }
}

export interface Recording {
  row: ItemRow
  key: SubjectKey
  change: Change
  actor: Actor
  /** The member that did it: the owner. */
  member: string
  trace: string
  /** Digest of the peer's proof, when a peer told it. */
  peer?: string
  /** The message that told it. */
  message?: string
}

/** Writes a change that the rules allowed. The item's row is locked. False, and nothing is written, if the id of the record is taken. */
export async function recordChange(ctx: StepContext, trx: Trx, recording: Recording): Promise<boolean> {
  if (!(await insertRecord(trx, recording))) return false
  await writeChange(trx, recording, ctx.self)
  const { change, row } = recording
  if (change.kind === 'accept') await rememberCases(ctx, trx, [{ reference: change.reference, subject: row.id }])
  await appendAudit(ctx, trx, writeEntries(recording, ctx.self))
  return true
}

async function insertRecord(trx: Trx, { row, change, member }: Recording): Promise<boolean> {
  const common = { itemId: row.id, member }
  if (change.kind === 'assess') return insertAssessment(trx, { ...common, id: change.assessment.id, record: change.assessment })
  if (change.kind === 'act')
    return insertAction(trx, { ...common, id: change.action.id, action: change.action.action, record: change.action })
  return true
}

async function writeChange(trx: Trx, { row, key, change, member }: Recording, self: string): Promise<void> {
  switch (change.kind) {
    case 'accept':
      await updateOwnerReference(trx, row.id, sealJson(key, 'reference', change.reference))
      return updateItem(trx, row.id, { state: 'accepted', owner: member })
    case 'refuse':
      if (change.refusal.note !== undefined || change.refusal.evidence)
        await updateRefusalDetails(trx, row.id, sealJson(key, 'refusal', detailsOf(change.refusal)))
      // Ownership falls back to the one that handed over, and the item waits there for a person (invariant 7).
      return updateItem(trx, row.id, {
        state: 'refused',
        refusal: change.refusal.reason,
        owner: row.handed_to === member ? self : (row.handed_by ?? self),
      })
    case 'assess':
      return updateItem(trx, row.id, { state: 'assessed' })
    case 'act':
      return updateItem(trx, row.id, change.outcome ? { state: 'closed', outcome: change.outcome } : { state: row.state })
  }
}

function detailsOf({ note, evidence }: RefuseInput): RefusalDetails {
  return { ...(note === undefined ? {} : { note }), ...(evidence ? { evidence } : {}) }
}

const changeEvents: Record<Change['kind'], AuditEvent> = {
  accept: 'handoff.accepted',
  refuse: 'handoff.refused',
  assess: 'assessment.added',
  act: 'action.recorded',
}

function writeEntries({ row, key, change, actor, member, trace, peer, message }: Recording, self: string): NewEntry[] {
  const to = member === self ? undefined : self
  const common = { subject: key, from: member, to, country: row.hosting_country ?? undefined, actor, peer }
  const item = { id: row.id, report: row.report_id }
  const facts = { ...factsOf(change), ...(message === undefined ? {} : { message }) }
  const entries: NewEntry[] = [{ ...common, event: changeEvents[change.kind], payload: { item, facts, trace } }]
  if (change.kind === 'act' && change.outcome)
    entries.push({ ...common, event: 'item.closed', payload: { item, facts: { outcome: change.outcome }, trace } })
  return entries
}

/** Codes only: file numbers, notes and pseudonyms stay out of the log. */
function factsOf(change: Change): Record<string, unknown> {
  switch (change.kind) {
    case 'accept':
      return {}
    case 'refuse':
      return { reason: change.refusal.reason }
    case 'assess':
      return { assessment: change.assessment.id, classification: change.assessment.classification }
    case 'act':
      return { action: change.action.id, code: change.action.action, reason: change.action.reason ?? 'none' }
  }
}
