// A liaison's question as an entry of the log: written and committed before the answer goes out, whatever the answer is.
import { randomUUIDv7 } from 'node:crypto'
import { digest } from '#crypto/digests.ts'
import { toJcs } from '#domain/audit-entry.ts'
import { CrosslineError } from '#errors.ts'
import { inTransaction } from '#storage/database.ts'
import { type AuditScope, countUse, findRowsShown } from '#storage/liaison-store.ts'
import { insertSubjectKeys, type Trx } from '#storage/report-store.ts'
import { appendAudit } from './append-audit.ts'
import { rememberCases } from './case-numbers.ts'
import type { Caller, StepContext } from './context.ts'
import { dayOf, takeToken } from './liaison-limits.ts'
import { makeSubjectKey } from './subject-keys.ts'

/** Why somebody asks, and what: all but purpose and file number is digested. */
export interface Question {
  purpose?: string | undefined
  caseReference?: string | undefined
  [filter: string]: unknown
}

/** Throws `rate_limited`, `quota_exceeded` or `purpose_required`: before anything is looked for. */
export async function admitQuestion(ctx: StepContext, question: Question, { client }: Caller): Promise<void> {
  takeToken(ctx.liaison.questions, client.fingerprint)
  if (!question.purpose?.trim()) throw new CrosslineError('purpose_required', { pointer: '/purpose' })
  await checkRowsLeft(ctx, client.fingerprint)
}

/** Throws `quota_exceeded` once a liaison has been shown as many rows as a day allows; the page that passes the limit is the last. */
async function checkRowsLeft(ctx: Pick<StepContext, 'db' | 'now' | 'liaison'>, fingerprint: string): Promise<void> {
  const now = ctx.now()
  if ((await findRowsShown(ctx.db, fingerprint, dayOf(now))) < ctx.liaison.rowsPerDay) return
  const midnight = Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate() + 1)
  throw new CrosslineError('quota_exceeded', { retryAfterS: Math.ceil((midnight - now.getTime()) / 1000) })
}

/** Looks for the answer and records the question in one transaction: no entry, no answer. */
export async function answerQuestion<T>(
  ctx: StepContext,
  { question, caller }: { question: Question; caller: Caller },
  find: (trx: Trx, scope: AuditScope) => Promise<T[]>,
): Promise<T[]> {
  const found = await inTransaction(ctx.db, async (trx) => {
    const rows = await find(trx, scopeOf(ctx, caller))
    await recordQuestion(ctx, trx, { question, caller, rows: rows.length })
    return rows
  })
  const { trace, client } = caller
  ctx.log.info({ step: 'record-query', trace, rows: found.length, countries: client.countries }, 'audit log queried')
  return found
}

/** Writes the entry `audit.queried`, and counts the rows. */
async function recordQuestion(
  ctx: StepContext,
  trx: Trx,
  { question, caller, rows }: { question: Question; caller: Caller; rows: number },
): Promise<void> {
  const { purpose = '', caseReference } = question
  const { fingerprint } = caller.client
  const key = makeSubjectKey(ctx, randomUUIDv7())
  await insertSubjectKeys(trx, [{ subject: key.subject, wrapped: key.wrapped }])
  await appendAudit(ctx, trx, [
    {
      event: 'audit.queried',
      subject: key,
      actor: { kind: 'client', fingerprint },
      payload: {
        query: { filter: digest(toJcs({ ...question, purpose: '', caseReference: '' })), rows },
        purpose: { purpose: purpose.trim(), ...(caseReference === undefined ? {} : { case: caseReference }) },
        trace: caller.trace,
      },
    },
  ])
  if (caseReference !== undefined) await rememberCases(ctx, trx, [{ reference: caseReference, subject: key.subject }])
  await countUse(trx, { fingerprint, day: dayOf(ctx.now()), rows })
}

/** A country's liaison sees what is hosted there and what its hotlines hand over or take. */
export function scopeOf(ctx: Pick<StepContext, 'directory'>, { client }: Caller): AuditScope {
  const members = ctx
    .directory()
    .document.members.filter((member) => member.countries.some((country) => client.countries.includes(country)))
  return { networkWide: client.networkWide, countries: client.countries, members: members.map((member) => member.id) }
}
