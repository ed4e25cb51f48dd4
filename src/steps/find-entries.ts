// Step 9: a liaison asks the audit log. The question is itself an entry, written and committed before the answer goes out.
import { randomUUIDv7 } from 'node:crypto'
import { digest } from '#crypto/digests.ts'
import { toJcs } from '#domain/audit-entry.ts'
import { CrosslineError } from '#errors.ts'
import type { EntryPage, EntryQuery, EntryView } from '#schema/audit.ts'
import { type AuditFilter, type AuditScope, type FoundEntry, findAuditEntries, findSettledEntry } from '#storage/audit-store.ts'
import { inTransaction } from '#storage/database.ts'
import { insertSubjectKeys } from '#storage/report-store.ts'
import { type Actor, appendAudit, type Opening, subjectRef } from './append-audit.ts'
import type { Caller, StepContext } from './context.ts'
import { readCursor, writeCursor } from './show-items.ts'
import { makeSubjectKey, openJson, openSubjectKey } from './subject-keys.ts'

const defaultLimit = 100
/** How long a question waits for writers that were at work before it; far longer than any of our transactions takes. */
const settleMs = 10_000

/** Entries that the liaison's countries are touched by. Throws `purpose_required`, `invalid_cursor`, `schema_invalid` for a reversed range. */
export async function findEntries(ctx: StepContext, query: EntryQuery, caller: Caller): Promise<EntryPage> {
  const purpose = query.purpose?.trim()
  if (!purpose) throw new CrosslineError('purpose_required', { pointer: '/purpose' })
  const filter = { ...readFilter(ctx, query), untilId: await getSettledEnd(ctx) }
  const found = await inTransaction(ctx.db, async (trx) => {
    const entries = await findAuditEntries(trx, scopeOf(ctx, caller), filter)
    const key = makeSubjectKey(ctx, randomUUIDv7())
    await insertSubjectKeys(trx, [{ subject: key.subject, wrapped: key.wrapped }])
    await appendAudit(ctx, trx, [
      {
        event: 'audit.queried',
        subject: key,
        actor: { kind: 'client', fingerprint: caller.client.fingerprint },
        payload: {
          query: { filter: digest(toJcs({ ...query, purpose: '', caseReference: '' })), rows: entries.length },
          purpose: { purpose, ...(query.caseReference === undefined ? {} : { case: query.caseReference }) },
          trace: caller.trace,
        },
      },
    ])
    return entries
  })
  ctx.log.info(
    { step: 'find-entries', trace: caller.trace, rows: found.length, countries: caller.client.countries },
    'audit log queried',
  )
  const last = found.at(-1)
  return {
    entries: found.map((entry) => showEntry(ctx, entry, caller)),
    next: found.length === filter.limit && last ? writeCursor(last.id) : null,
  }
}

async function getSettledEnd(ctx: StepContext): Promise<number> {
  const end = await findSettledEntry(ctx.db, settleMs)
  if (end === undefined) throw new CrosslineError('overloaded', { retryAfterS: 5 })
  return end
}

function readFilter(ctx: StepContext, query: EntryQuery): Omit<AuditFilter, 'untilId'> {
  const { since, until, event, member, country, item } = query
  if (since !== undefined && until !== undefined && since >= until) {
    throw new CrosslineError('schema_invalid', { pointer: '/until', detail: 'The range ends before it begins.' })
  }
  return {
    ...(since === undefined ? {} : { since: new Date(since) }),
    ...(until === undefined ? {} : { until: new Date(until) }),
    ...(event === undefined ? {} : { event }),
    ...(member === undefined ? {} : { member }),
    ...(country === undefined ? {} : { country }),
    ...(item === undefined ? {} : { ref: subjectRef(ctx, item) }),
    afterId: readCursor(query.after),
    limit: query.limit ?? defaultLimit,
  }
}

/** A country's liaison sees what is hosted there and what its hotlines hand over or take. */
function scopeOf(ctx: StepContext, { client }: Caller): AuditScope {
  const members = ctx
    .directory()
    .document.members.filter((member) => member.countries.some((country) => client.countries.includes(country)))
  return { networkWide: client.networkWide, countries: client.countries, members: members.map((member) => member.id) }
}

function showEntry(ctx: StepContext, found: FoundEntry, caller: Caller): EntryView {
  const { id, recorded_at, country, entry, leaf } = found
  return {
    id,
    recordedAt: recorded_at.toISOString(),
    leaf: leaf.toString('base64url'),
    country,
    entry: entry.toString(),
    disclosed: disclose(ctx, found, caller),
  }
}

/** What another liaison asked, and why, stays closed: that it asked is all that the log shows. */
function disclose(ctx: StepContext, { subject, sealed, wrapped, event }: FoundEntry, { client }: Caller): Opening {
  if (!subject || !sealed || !wrapped) return {}
  const opening = openJson(openSubjectKey(ctx, subject, wrapped), 'audit', sealed) as Opening
  const actor = opening.actor?.value as Actor | undefined
  const isAnothers = event === 'audit.queried' && !(actor?.kind === 'client' && actor.fingerprint === client.fingerprint)
  return isAnothers ? {} : opening
}
