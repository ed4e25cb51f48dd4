// Step 9: a liaison asks the audit log for sealed entries. The question is itself an entry, written and committed before the answer goes out.
import { CrosslineError } from '#errors.ts'
import type { EntryPage, EntryQuery } from '#schema/audit.ts'
import { type AuditFilter, findAuditEntries, findCaseSubjects, type LeafPlace } from '#storage/liaison-store.ts'
import { subjectRef } from './append-audit.ts'
import { hideCase } from './case-numbers.ts'
import type { Caller, StepContext } from './context.ts'
import { admitQuestion, answerQuestion } from './record-query.ts'
import { findSealedEnd, makeViews } from './show-entry.ts'

const defaultLimit = 100
/** More items than this under one file number are no case, but everything that a hotline does. */
const maxCaseSubjects = 10_000

/**
 * Sealed entries that the liaison's countries are touched by. Throws `purpose_required`, `invalid_cursor`, `not_found` for a member that the
 * directory never listed, `schema_invalid` for a reversed range, `rate_limited`, `quota_exceeded`.
 */
export async function findEntries(ctx: StepContext, query: EntryQuery, caller: Caller): Promise<EntryPage> {
  await admitQuestion(ctx, query, caller)
  const filter = await readFilter(ctx, query)
  const end = await findSealedEnd(ctx)
  const found = await answerQuestion(ctx, { question: query, caller }, (trx, scope) =>
    end ? findAuditEntries(trx, scope, { ...filter, before: end.place }) : Promise.resolve([]),
  )
  const show = await makeViews(ctx, { found, end, caller })
  const last = found.at(-1)
  return {
    entries: found.map(show),
    next: found.length === filter.limit && last ? writePlace(last) : null,
    checkpoint: end?.checkpoint ?? null,
  }
}

/** What reading a question needs. */
export type FilterContext = Pick<StepContext, 'db' | 'keys' | 'directory'>

/** What to look for, but not under which checkpoint. Exports ask with the same filters. Throws as `findEntries` does. */
export async function readFilter(ctx: FilterContext, query: EntryQuery): Promise<Omit<AuditFilter, 'before'>> {
  const { since, until, event, member, country, item, after } = query
  if (since !== undefined && until !== undefined && since >= until) {
    throw new CrosslineError('schema_invalid', { pointer: '/until', detail: 'The range ends before it begins.' })
  }
  if (member !== undefined && !ctx.directory().findMember(member)) {
    throw new CrosslineError('not_found', { pointer: '/member', detail: 'The directory lists no such member.' })
  }
  const refs = await readRefs(ctx, query)
  return {
    ...(since === undefined ? {} : { since: new Date(since) }),
    ...(until === undefined ? {} : { until: new Date(until) }),
    ...(event === undefined ? {} : { event }),
    ...(member === undefined ? {} : { member }),
    ...(country === undefined ? {} : { country }),
    ...(refs === undefined ? {} : { refs: item === undefined ? refs : refs.filter((ref) => ref.equals(subjectRef(ctx, item))) }),
    after: after === undefined ? undefined : readPlace(after),
    limit: query.limit ?? defaultLimit,
  }
}

/** What the filters `item` and `case` name, as pseudonyms; undefined without either. */
async function readRefs(ctx: FilterContext, query: EntryQuery): Promise<Buffer[] | undefined> {
  if (query.case === undefined) return query.item === undefined ? undefined : [subjectRef(ctx, query.item)]
  const subjects = await findCaseSubjects(ctx.db, hideCase(ctx, query.case), maxCaseSubjects + 1)
  if (subjects.length > maxCaseSubjects) {
    throw new CrosslineError('schema_invalid', {
      pointer: '/case',
      detail: 'Too much carries this file number: ask by time or item.',
    })
  }
  return subjects.map((subject) => subjectRef(ctx, subject))
}

/** A cursor is a place in the log, as opaque text. Throws `invalid_cursor`. */
function readPlace(cursor: string): LeafPlace {
  const [, year, index] = /^l(\d{4})\.(\d{1,16})$/.exec(Buffer.from(cursor, 'base64url').toString()) ?? []
  const place = { year: Number(year), index: Number(index) }
  if (!Number.isSafeInteger(place.index) || writePlace(place) !== cursor) {
    throw new CrosslineError('invalid_cursor', { pointer: '/after' })
  }
  return place
}

const writePlace = ({ year, index }: LeafPlace): string => Buffer.from(`l${year}.${index}`).toString('base64url')
