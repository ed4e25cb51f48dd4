// What liaisons are shown of the sealed log. Promise: row-level security decides what is in scope, not a WHERE that may be forgotten; a page is
// in the order of the log, and costs the same at any place of a log of any length.
import { type Kysely, type RawBuilder, sql, type Transaction } from 'kysely'
import { CrosslineError } from '#errors.ts'
import { byteaArray, uuidArray } from './binary-array.ts'
import type { Tables } from './tables.ts'

/** Whose entries a liaison may see: its countries, and what their hotlines handed over or took. */
export interface AuditScope {
  networkWide: boolean
  countries: readonly string[]
  members: readonly string[]
}

/** A place in the log: the shard, and the leaf index in it. */
export interface LeafPlace {
  year: number
  index: number
}

export interface AuditFilter {
  since?: Date
  until?: Date
  event?: string
  member?: string
  country?: string
  /** Only entries of these items, reports or queries. */
  refs?: readonly Buffer[]
  /** Only what stands behind this place; undefined: from the first entry on. */
  after?: LeafPlace | undefined
  /** Only what stands before this place: the year and size of a checkpoint, under which the answer then stays the same. */
  before: LeafPlace
  limit: number
}

export interface FoundEntry extends LeafPlace {
  id: number
  event: string
  recorded_at: Date
  country: string | null
  entry: Buffer
  leaf: Buffer
  subject: string | null
  sealed: Buffer | null
  wrapped: Buffer | null
}

/** Sealed entries in scope, in the order of the log. Throws `internal` when one that was sealed is gone. */
export async function findAuditEntries(trx: Transaction<Tables>, scope: AuditScope, filter: AuditFilter): Promise<FoundEntry[]> {
  const range = await findRange(trx, filter)
  const question = range && buildQuestion(scope, { ...filter, ...range })
  if (!question) return []
  await becomeReader(trx, scope)
  const { rows } = await question.execute(trx)
  await becomeService(trx)
  if (rows.some((row) => row.id === null)) throw new CrosslineError('internal', { detail: 'A sealed entry is missing' })
  return openable(trx, rows)
}

/**
 * From here on the transaction reads as a liaison of this scope does, until `becomeService` or its end. The planner can't know how many rows
 * the policy lets through, and would rather collect and sort them all than walk an index to the end of a page: that choice is taken from it.
 * Nor may it start other processes for a page: their start alone takes longer.
 */
export async function becomeReader(trx: Transaction<Tables>, scope: AuditScope): Promise<void> {
  await sql`select set_config('crossline.network_wide', ${scope.networkWide ? 'on' : 'off'}, true),
    set_config('crossline.countries', ${scope.countries.join(',')}, true), set_config('crossline.members', ${scope.members.join(',')}, true),
    set_config('enable_sort', 'off', true), set_config('enable_incremental_sort', 'off', true),
    set_config('enable_bitmapscan', 'off', true), set_config('max_parallel_workers_per_gather', '0', true)`.execute(trx)
  await sql`set local role crossline_reader`.execute(trx)
}

async function becomeService(trx: Transaction<Tables>): Promise<void> {
  await sql`set local role none`.execute(trx)
  await sql`select set_config('enable_sort', 'on', true), set_config('enable_incremental_sort', 'on', true),
    set_config('enable_bitmapscan', 'on', true)`.execute(trx)
}

type EntryRow = Omit<FoundEntry, 'subject' | 'sealed' | 'wrapped'>

/** The question for one page as SQL; undefined for a liaison in whose scope nothing can be. */
export function buildQuestion(scope: AuditScope, filter: AuditFilter): RawBuilder<EntryRow> | undefined {
  return filter.refs ? entriesOfRefs(filter, filter.refs) : entriesByPlace(scope, filter)
}

const shown = sql`e.id, e.event, e.recorded_at, e.country, e.entry, e.leaf`

// An item has a handful of entries: all of them are looked up, then those in the range put in order. Not in one query: the planner takes
// a range of places in a log of one year for next to nothing, and would go through all of it for entries of the item.
function entriesOfRefs(filter: AuditFilter, refs: readonly Buffer[]): RawBuilder<EntryRow> {
  const { event, country, member } = filter
  return sql<EntryRow>`with found as materialized (
      select l.year, l.leaf_index, ${shown} from audit_entry e join audit_leaf l on l.entry_id = e.id
      where e.item_ref = any(${byteaArray(refs)}::bytea[]) and ${recorded(filter, sql`e`)}
        ${event ? sql`and e.event = ${event}` : sql``} ${country ? sql`and e.country = ${country}` : sql``}
        ${member ? sql`and (e.from_member = ${member} or e.to_member = ${member})` : sql``}
    )
    select year, leaf_index as index, id, event, recorded_at, country, entry, leaf from found
    where ${between(filter, sql`found`)} order by year, leaf_index limit ${filter.limit}`
}

function entriesByPlace(scope: AuditScope, filter: AuditFilter): RawBuilder<EntryRow> | undefined {
  const arms = chooseArms(scope, filter)
  if (arms.length === 0) return undefined
  // The time range stands at the entries too: it leaves whole months unread.
  return sql<EntryRow>`
    select p.year, p.leaf_index as index, ${shown}
    from (select distinct year, leaf_index, entry_id, recorded_at from (${sql.join(arms, sql` union all `)}) arm
      order by year, leaf_index limit ${filter.limit}) p
    left join audit_entry e on e.id = p.entry_id and e.recorded_at = p.recorded_at and ${recorded(filter, sql`e`)}
    order by p.year, p.leaf_index`
}

const columnOrder = ['country', 'from_member', 'to_member', 'event'] as const
type Arm = readonly [(typeof columnOrder)[number], string]

// "Of this country, or from or to one of its members" is no range of any index. So one walk for each of them, each along its own index
// and no longer than a page; what several of them meet is shown once.
function chooseArms(scope: AuditScope, filter: AuditFilter): RawBuilder<unknown>[] {
  const ofEvent: Arm[] = filter.event === undefined ? [] : [['event', filter.event]]
  const places = placesToLook(scope, filter)
  if (places === 'everywhere') return [walk(filter, ofEvent)]
  const asked = askedFor(filter, places)
  const pairs =
    asked.length === 0 ? places.map((arm) => [arm]) : places.flatMap((arm) => asked.flatMap((other) => both(arm, other)))
  // Pairs have no index with an event: whoever asks for all three has entries of the pair looked through.
  return pairs.map((arms) => walk(filter, arms.length === 1 ? [...arms, ...ofEvent] : arms))
}

/** What narrows these places further, as alternatives; none when the places are all that was asked for. */
function askedFor({ country, member }: AuditFilter, places: readonly Arm[]): Arm[] {
  if (country !== undefined && !places.some(([column]) => column === 'country')) return [['country', country]]
  return member === undefined ? [] : fromOrTo(member)
}

/** Both at once, in the order of the columns of their index; nothing when one column would have to have two values. */
function both(one: Arm, other: Arm): Arm[][] {
  if (one[0] === other[0]) return one[1] === other[1] ? [[one]] : []
  return [[one, other].sort(([a], [b]) => columnOrder.indexOf(a) - columnOrder.indexOf(b))]
}

const fromOrTo = (member: string): Arm[] => [
  ['from_member', member],
  ['to_member', member],
]

function placesToLook({ networkWide, countries, members }: AuditScope, { country, member }: AuditFilter): Arm[] | 'everywhere' {
  if (country !== undefined && (networkWide || countries.includes(country))) return [['country', country]]
  if (networkWide) return member === undefined ? 'everywhere' : fromOrTo(member)
  // Of another country's entries only those are left that its members handed over or took.
  const own = country === undefined ? countries : []
  return [...own.map((each): Arm => ['country', each]), ...members.flatMap(fromOrTo)]
}

function walk(filter: AuditFilter, arms: readonly Arm[]): RawBuilder<unknown> {
  const { country, event, member } = filter
  return sql`(select year, leaf_index, entry_id, recorded_at from audit_place
    where ${betweenIn(filter, arms)} and ${recorded(filter, sql`audit_place`)}
      ${event && !arms.some(([column]) => column === 'event') ? sql`and event = ${event}` : sql``}
      ${country && !arms.some(([column]) => column === 'country') ? sql`and country = ${country}` : sql``}
      ${member ? sql`and (from_member = ${member} or to_member = ${member})` : sql``}
    order by ${sql.join([...columnsOf(arms), sql`year`, sql`leaf_index`])} limit ${filter.limit})`
}

const columnsOf = (arms: readonly Arm[]) => arms.map(([column]) => sql.ref(column))

// The values stand in the bounds instead of equations: only the index that begins with their columns has that order, so the planner,
// who can't know where in the log a value is rare, has nothing to choose.
function betweenIn(filter: AuditFilter, arms: readonly Arm[]): RawBuilder<unknown> {
  if (arms.length === 0) return between(filter, sql`audit_place`)
  const { year, index } = filter.after ?? { year: 0, index: -1 }
  const values = arms.map(([, value]) => sql`${value}::text`)
  const place = sql`(${sql.join(columnsOf(arms))}, year, leaf_index)`
  const present = columnsOf(arms).map((column) => sql`${column} is not null`)
  return sql`${sql.join(present, sql` and `)} and ${place} > (${sql.join(values)}, ${year}::int, ${index}::bigint)
    and ${place} < (${sql.join(values)}, ${filter.before.year}::int, ${filter.before.index}::bigint)`
}

function between({ after, before }: AuditFilter, table: RawBuilder<unknown>): RawBuilder<unknown> {
  const isBefore = sql`(${table}.year, ${table}.leaf_index) < (${before.year}::int, ${before.index}::bigint)`
  return after
    ? sql`(${table}.year, ${table}.leaf_index) > (${after.year}::int, ${after.index}::bigint) and ${isBefore}`
    : isBefore
}

function recorded({ since, until }: AuditFilter, table: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`${since ? sql`${table}.recorded_at >= ${since}` : sql`true`} and ${until ? sql`${table}.recorded_at < ${until}` : sql`true`}`
}

/** Leaves of one stretch, as migrations/008 counts them. */
const stretchLeaves = 1024

/** The part of the log in which everything stands that was recorded in the time range; undefined when nothing was. */
async function findRange(
  db: Kysely<Tables>,
  { since, until, after, before }: AuditFilter,
): Promise<Pick<AuditFilter, 'after' | 'before'> | undefined> {
  const first = since && (await findStretch(db, 'first', since))
  const last = until && (await findStretch(db, 'last', until))
  if ((since && !first) || (until && !last)) return undefined
  const begin = first && { year: first.year, index: first.n * stretchLeaves - 1 }
  const end = last && { year: last.year, index: (last.n + 1) * stretchLeaves }
  return {
    after: begin && (!after || isBefore(after, begin)) ? begin : after,
    before: end && isBefore(end, before) ? end : before,
  }
}

const isBefore = (one: LeafPlace, other: LeafPlace): boolean =>
  one.year < other.year || (one.year === other.year && one.index < other.index)

/** The first stretch that holds anything recorded at this time or later, or the last one that holds anything recorded before it. */
async function findStretch(
  db: Kysely<Tables>,
  which: 'first' | 'last',
  time: Date,
): Promise<{ year: number; n: number } | undefined> {
  const stretches = db.selectFrom('audit_stretch').select(['year', 'n']).limit(1)
  const found =
    which === 'first'
      ? stretches.where('latest', '>=', time).orderBy('year').orderBy('n')
      : stretches.where('earliest', '<', time).orderBy('year', 'desc').orderBy('n', 'desc')
  return found.executeTakeFirst()
}

async function openable(db: Kysely<Tables>, entries: readonly EntryRow[]): Promise<FoundEntry[]> {
  if (entries.length === 0) return []
  const payloads = await db
    .selectFrom('audit_payload')
    .leftJoin('subject_key', 'subject_key.subject', 'audit_payload.subject')
    .select(['entry_id', 'audit_payload.subject', 'sealed', 'wrapped'])
    .where(
      'entry_id',
      'in',
      entries.map((each) => each.id),
    )
    .execute()
  const byEntry = new Map(payloads.map((each) => [each.entry_id, each]))
  return entries.map((entry) => {
    const payload = byEntry.get(entry.id)
    return { ...entry, subject: payload?.subject ?? null, sealed: payload?.sealed ?? null, wrapped: payload?.wrapped ?? null }
  })
}

/** Remembers which reports, items or queries carry a file number; `caseKey` is its keyed hash. Twice is as once. */
export async function insertCases(
  trx: Transaction<Tables>,
  cases: readonly { caseKey: Buffer; subject: string }[],
): Promise<void> {
  if (cases.length === 0) return
  await sql`insert into audit_case (case_key, subject)
    select distinct * from unnest(${byteaArray(cases.map((each) => each.caseKey))}::bytea[], ${uuidArray(cases.map((each) => each.subject))}::uuid[])
    on conflict do nothing`.execute(trx)
}

/** How many sealed entries an item has in all, whoever may see them. */
export async function countEntriesOfRef(db: Kysely<Tables>, ref: Buffer, before: LeafPlace): Promise<number> {
  const found = await sql<{ count: number }>`
    select count(*) as count from audit_entry e join audit_leaf l on l.entry_id = e.id
    where e.item_ref = ${ref} and (l.year, l.leaf_index) < (${before.year}::int, ${before.index}::bigint)`.execute(db)
  return found.rows[0]?.count ?? 0
}

/** What carries a file number: those that were remembered, and the items of such reports; at most `limit`. */
export async function findCaseSubjects(db: Kysely<Tables>, caseKey: Buffer, limit: number): Promise<string[]> {
  const found = await sql<{ subject: string }>`
    with carriers as (select subject from audit_case where case_key = ${caseKey})
    select subject from carriers union select item.id from item join carriers on item.report_id = carriers.subject
    limit ${limit}`.execute(db)
  return found.rows.map((row) => row.subject)
}

/** How many rows a liaison has been shown on this day (UTC). */
export async function findRowsShown(db: Kysely<Tables>, fingerprint: string, day: string): Promise<number> {
  const use = await db
    .selectFrom('liaison_use')
    .select('rows')
    .where('fingerprint', '=', fingerprint)
    .where('day', '=', day)
    .executeTakeFirst()
  return use?.rows ?? 0
}

/** Counts one question and the rows that answer it. */
export async function countUse(trx: Transaction<Tables>, use: { fingerprint: string; day: string; rows: number }): Promise<void> {
  await sql`insert into liaison_use as u (fingerprint, day, queries, rows) values (${use.fingerprint}, ${use.day}, 1, ${use.rows})
    on conflict (fingerprint, day) do update set queries = u.queries + 1, rows = u.rows + excluded.rows`.execute(trx)
}
