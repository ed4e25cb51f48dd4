// What a peer tells of an item that it owns (accept, refuse, assessment, action), by the same rules as an own act. What breaks them is
// rejected, recorded by the exception, and changes nothing.
import { type LifeCycleFacts, verifyAction, verifyAssessment, verifyEvent } from '#domain/item-life-cycle.ts'
import { CrosslineError } from '#errors.ts'
import type { AcceptBody, RefuseBody } from '#schema/message.ts'
import type { ExceptionCode } from '#schema/receipt.ts'
import type { Action, Assessment } from '#schema/report.ts'
import { lockItemRows } from '#storage/item-store.ts'
import { insertIncoming } from '#storage/message-store.ts'
import { findWrappedKeys, type Trx } from '#storage/report-store.ts'
import { type Change, readLifeCycle, recordChange } from './change-item.ts'
import type { AdmittedCall, StepContext } from './context.ts'
import { keepMessage, type ReadMessage } from './read-message.ts'
import { openSubjectKey } from './subject-keys.ts'

export interface Update {
  call: AdmittedCall
  batchId: string
  read: ReadMessage
}

/** Applies an update and stores its message; or gives the code under which it is rejected. */
export async function applyUpdate(
  ctx: StepContext,
  trx: Trx,
  { call, batchId, read }: Update,
): Promise<ExceptionCode | undefined> {
  const { message } = read
  const row = (await lockItemRows(trx, [message.item])).get(message.item)
  const wrapped = (await findWrappedKeys(trx, [message.item])).get(message.item)
  if (!row || !wrapped) return 'wrong_state'
  const change = decideChange(await readLifeCycle(trx, row), read)
  if (typeof change === 'string') return change
  const key = openSubjectKey(ctx, row.id, wrapped)
  const isRecorded = await recordChange(ctx, trx, {
    row,
    key,
    change,
    actor: { kind: 'peer', member: call.member },
    member: call.member,
    trace: call.trace,
    peer: call.proofDigest,
    message: message.id,
  })
  if (!isRecorded) return 'id_conflict'
  await insertIncoming(trx, batchId, [{ ...keepMessage(read, key), index: read.index }])
  return undefined
}

function decideChange(facts: LifeCycleFacts, { message }: ReadMessage): Change | ExceptionCode {
  try {
    return readChange(facts, message.kind, { body: message.body, author: message.author })
  } catch (error) {
    if (!(error instanceof CrosslineError)) throw error
    return error.code === 'not_owner' || error.code === 'wrong_state' ? error.code : 'schema_invalid'
  }
}

function readChange(
  facts: LifeCycleFacts,
  kind: string,
  { body, author }: { body: object; author: string },
): Change | ExceptionCode {
  if (kind === 'accept') {
    verifyEvent(facts, 'accept', author)
    return { kind: 'accept', reference: (body as AcceptBody).reference }
  }
  if (kind === 'refuse') {
    verifyEvent(facts, 'refuse', author)
    return { kind: 'refuse', refusal: body as RefuseBody }
  }
  if (kind === 'assessment') {
    const assessment = body as Assessment
    verifyAssessment(facts, author)
    return assessment.member === author ? { kind: 'assess', assessment } : 'schema_invalid'
  }
  const action = body as Action
  return action.member === author ? { kind: 'act', action, outcome: verifyAction(facts, action, author) } : 'schema_invalid'
}
