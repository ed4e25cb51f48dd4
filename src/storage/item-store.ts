// Items: taken in, traced, moved from state to state, found and shown, with what was found and done with them.
// Bulk in, one statement per table; texts come in sealed.
import { type Selectable, sql } from 'kysely'
import { booleanArray, byteaArray, intArray, textArray, uuidArray } from './binary-array.ts'
import type { Db, Trx } from './report-store.ts'
import { findSettledEnd } from './settled-end.ts'
import type { ItemTable } from './tables.ts'

export type ItemRow = Selectable<ItemTable>

/** A new item: as submitted (state received) or as handed over (state delivered, with its route). */
export interface NewItem {
  id: string
  reportId: string
  position: number
  contentType: string
  isSource: boolean
  urlKey: Buffer | null
  state: 'received' | 'delivered'
  owner: string
  handedBy: string | null
  via: readonly string[]
  hostingCountry: string | null
  assignedCountry: string | null
  routeRule: string | null
  sealed: Buffer
  wrappedKey: Buffer
}

/** Adds items with their sealed contents and keys. Throws a unique violation when an id is taken. */
export async function insertItems(trx: Trx, items: readonly NewItem[]): Promise<void> {
  const ids = uuidArray(items.map((item) => item.id))
  await sql`
    with content as (
      insert into item_content (item_id, sealed)
      select * from unnest(${ids}::uuid[], ${byteaArray(items.map((item) => item.sealed))}::bytea[])
    ), keys as (
      insert into subject_key (subject, wrapped) select * from unnest(${ids}::uuid[], ${byteaArray(items.map((item) => item.wrappedKey))}::bytea[])
    )
    insert into item (id, report_id, position, content_type, is_source, url_key, state, owner, handed_by, via, hosting_country, assigned_country, route_rule)
    select id, report_id, position, content_type, is_source, url_key, state, owner, handed_by,
      case when via = '' then '{}' else string_to_array(via, ',') end, hosting_country, assigned_country, route_rule
    from unnest(${ids}::uuid[], ${uuidArray(items.map((item) => item.reportId))}::uuid[], ${intArray(items.map((item) => item.position))}::int[],
      ${textArray(items.map((item) => item.contentType))}::text[], ${booleanArray(items.map((item) => item.isSource))}::boolean[],
      ${byteaArray(items.map((item) => item.urlKey))}::bytea[], ${textArray(items.map((item) => item.state))}::text[],
      ${textArray(items.map((item) => item.owner))}::text[], ${textArray(items.map((item) => item.handedBy))}::text[],
      ${textArray(items.map((item) => item.via.join(',')))}::text[], ${textArray(items.map((item) => item.hostingCountry))}::text[],
      ${textArray(items.map((item) => item.assignedCountry))}::text[], ${textArray(items.map((item) => item.routeRule))}::text[])
      with ordinality as t (id, report_id, position, content_type, is_source, url_key, state, owner, handed_by, via, hosting_country, assigned_country, route_rule, place)
    order by place`.execute(trx)
}

/** Items by their ids, locked for a change, in the order of their ids so that no two changes wait for each other in a circle. */
export async function lockItemRows(trx: Trx, ids: readonly string[]): Promise<Map<string, ItemRow>> {
  const found = await sql<ItemRow>`select * from item where id = any(${uuidArray(ids)}::uuid[]) order by id for update`.execute(
    trx,
  )
  return new Map(found.rows.map((row) => [row.id, row]))
}

export async function findItemIdsOfReport(db: Db, reportId: string): Promise<string[]> {
  const found = await db
    .selectFrom('item')
    .select('id')
    .where('report_id', '=', reportId)
    .orderBy('position')
    .orderBy('id')
    .execute()
  return found.map((row) => row.id)
}

const allStates =
  'received,traced,routed,sent,delivered,accepted,assessed,closed,needs_review,orphaned,untraceable,refused,on_hold,reopened'

/** One page of a queue, or of all of them, in the order in which items came into their states: each queue by its index. */
export async function findQueue(
  db: Db,
  query: { state: string | undefined; after: number; until: number; limit: number },
): Promise<{ id: string; state_seq: number }[]> {
  const found = await sql<{ id: string; state_seq: number }>`
    select each.id, each.state_seq from unnest(string_to_array(${query.state ?? allStates}, ',')) as wanted (state)
    cross join lateral (
      select id, state_seq from item where item.state = wanted.state and state_seq > ${query.after} and state_seq <= ${query.until} order by state_seq limit ${query.limit}
    ) each order by each.state_seq limit ${query.limit}`.execute(db)
  return found.rows
}

/** The end of all queues up to which no item can still appear; undefined when a writer at work takes longer than `patienceMs`. */
export async function findQueueEnd(db: Db, patienceMs: number): Promise<number | undefined> {
  const findLast = async () => {
    const found = await sql<{ last: number | null }>`
      select max(last) as last from unnest(string_to_array(${allStates}, ',')) as each (state)
      cross join lateral (select max(state_seq) as last from item where item.state = each.state) of_state`.execute(db)
    return found.rows[0]?.last ?? 0
  }
  return findSettledEnd(db, { table: 'item', findLast }, patienceMs)
}

/** Everything that belongs to these items, to show them whole. */
export async function findItemParts(db: Db, ids: readonly string[]) {
  const wanted = uuidArray(ids)
  const items = await sql<
    ItemRow & {
      origin: string
      sealed: Buffer | null
      evidence: Buffer | null
      owner_reference: Buffer | null
      refusal_details: Buffer | null
      wrapped: Buffer | null
    }
  >`
    select item.*, report.origin, c.sealed, e.sealed as evidence, c.owner_reference, c.refusal_details, k.wrapped from item
    join report on report.id = item.report_id
    left join item_content c on c.item_id = item.id left join item_evidence e on e.item_id = item.id left join subject_key k on k.subject = item.id
    where item.id = any(${wanted}::uuid[])`.execute(db)
  const assessments = await sql<{ item_id: string; record: unknown }>`
    select item_id, record from assessment where item_id = any(${wanted}::uuid[]) order by position`.execute(db)
  const actions = await sql<{ item_id: string; record: unknown }>`
    select item_id, record from action where item_id = any(${wanted}::uuid[]) order by position`.execute(db)
  return { items: items.rows, assessments: assessments.rows, actions: actions.rows }
}

/** An item that waits for its trace, with what the tracer needs. */
export interface UntracedItem {
  id: string
  report_id: string
  content_type: string
  is_source: boolean
  trace_attempts: number
}

/** Items that were received and are due. Not locked: whoever records first wins, the other finds the state changed. */
export async function findUntraced(
  db: Db,
  query: { now: Date; limit: number; firstDelayMs: number; maxDelayMs: number },
): Promise<UntracedItem[]> {
  // Further ahead than any delay: it was put off before the clock went back.
  const farthestMs = sql`least(${query.firstDelayMs} * 2.0 ^ least(trace_attempts, 30), ${query.maxDelayMs})`
  const found = await sql<UntracedItem>`
    select id, report_id, content_type, is_source, trace_attempts from item
    where state = 'received' and (trace_due_at <= ${query.now} or trace_due_at > ${query.now}::timestamptz + ${farthestMs} * interval '1 millisecond') order by state_seq limit ${query.limit}`.execute(
    db,
  )
  return found.rows
}

/** The sealed contents of items, by id. */
export async function findSealedContents(db: Db, ids: readonly string[]): Promise<Map<string, Buffer>> {
  const found = await sql<{ item_id: string; sealed: Buffer }>`
    select item_id, sealed from item_content where item_id = any(${uuidArray(ids)}::uuid[]) and sealed is not null`.execute(db)
  return new Map(found.rows.map((row) => [row.item_id, row.sealed]))
}

export interface TracedRow {
  id: string
  state: string
  hostingCountry: string | null
  assignedCountry: string | null
  handedTo: string | null
  routeRule: string
  routeFlags: readonly string[]
  evidence: Buffer
}

/** Records traces and routes of items that are still `received`; gives the ids that were. */
export async function recordTraces(trx: Trx, rows: readonly TracedRow[]): Promise<Set<string>> {
  const ids = uuidArray(rows.map((row) => row.id))
  const changed = await sql<{ id: string }>`
    update item set state = t.state, hosting_country = t.hosting_country, assigned_country = t.assigned_country, handed_to = t.handed_to, route_rule = t.route_rule,
      route_flags = case when t.route_flags = '' then '{}' else string_to_array(t.route_flags, ',') end,
      state_seq = nextval('state_seq'), changed_at = now()
    from unnest(${ids}::uuid[], ${textArray(rows.map((row) => row.state))}::text[], ${textArray(rows.map((row) => row.hostingCountry))}::text[],
      ${textArray(rows.map((row) => row.assignedCountry))}::text[], ${textArray(rows.map((row) => row.handedTo))}::text[],
      ${textArray(rows.map((row) => row.routeRule))}::text[], ${textArray(rows.map((row) => row.routeFlags.join(',')))}::text[])
      as t (id, state, hosting_country, assigned_country, handed_to, route_rule, route_flags)
    where item.id = t.id and item.state = 'received' returning item.id`.execute(trx)
  await sql`insert into item_evidence (item_id, sealed)
    select * from unnest(${ids}::uuid[], ${byteaArray(rows.map((row) => row.evidence))}::bytea[]) as t (id, evidence) where id = any(${uuidArray(changed.rows.map((row) => row.id))}::uuid[])
    on conflict (item_id) do update set sealed = excluded.sealed`.execute(trx)
  return new Set(changed.rows.map((row) => row.id))
}

/** Puts traces off, after a resolver that failed. */
export async function postponeTraces(db: Db, ids: readonly string[], dueAt: Date): Promise<void> {
  await sql`update item set trace_attempts = trace_attempts + 1, trace_due_at = ${dueAt} where id = any(${uuidArray(ids)}::uuid[]) and state = 'received'`.execute(
    db,
  )
}

/** Moves items from one state to another; gives those that were in it, with their hosting country. */
export async function moveItems(
  trx: Trx,
  ids: readonly string[],
  change: { from: readonly string[]; to: string; owner?: string; flag?: string },
): Promise<Map<string, string | undefined>> {
  const changed = await sql<HostedItem>`
    update item set state = ${change.to}, owner = coalesce(${change.owner ?? null}::text, owner), state_seq = nextval('state_seq'), changed_at = now(),
      route_flags = case when ${change.flag ?? null}::text is null then route_flags else array_append(route_flags, ${change.flag ?? null}::text) end
    where id = any(${uuidArray(ids)}::uuid[]) and state = any(${textArray(change.from)}::text[]) returning id, hosting_country`.execute(
    trx,
  )
  return toCountries(changed.rows)
}

/** Hosting country of each item: what decides which liaison sees an entry about it. */
export async function findHostingCountries(db: Db, ids: readonly string[]): Promise<Map<string, string | undefined>> {
  if (ids.length === 0) return new Map()
  const found = await sql<HostedItem>`select id, hosting_country from item where id = any(${uuidArray(ids)}::uuid[])`.execute(db)
  return toCountries(found.rows)
}

interface HostedItem {
  id: string
  hosting_country: string | null
}

function toCountries(rows: readonly HostedItem[]): Map<string, string | undefined> {
  return new Map(rows.map((row) => [row.id, row.hosting_country ?? undefined]))
}

/** Changes one item whose row is locked. */
export async function updateItem(
  trx: Trx,
  id: string,
  change: { state: string; owner?: string; outcome?: string | null; refusal?: string | null },
): Promise<void> {
  await trx
    .updateTable('item')
    .set({ ...change, state_seq: sql<number>`nextval('state_seq')`, changed_at: sql<Date>`now()` })
    .where('id', '=', id)
    .execute()
}

export async function updateOwnerReference(trx: Trx, id: string, sealed: Buffer): Promise<void> {
  await trx.updateTable('item_content').set({ owner_reference: sealed }).where('item_id', '=', id).execute()
}

export async function updateRefusalDetails(trx: Trx, id: string, sealed: Buffer): Promise<void> {
  await trx.updateTable('item_content').set({ refusal_details: sealed }).where('item_id', '=', id).execute()
}

/** Adds an assessment; false if its id is there already. */
export async function insertAssessment(
  trx: Trx,
  row: { id: string; itemId: string; member: string; record: unknown },
): Promise<boolean> {
  const done = await trx
    .insertInto('assessment')
    .values({ id: row.id, item_id: row.itemId, member: row.member, record: JSON.stringify(row.record) })
    .onConflict((conflict) => conflict.column('id').doNothing())
    .executeTakeFirst()
  return (done.numInsertedOrUpdatedRows ?? 0n) > 0n
}

/** Adds an action; false if its id is there already. */
export async function insertAction(
  trx: Trx,
  row: { id: string; itemId: string; member: string; action: string; record: unknown },
): Promise<boolean> {
  const done = await trx
    .insertInto('action')
    .values({ id: row.id, item_id: row.itemId, member: row.member, action: row.action, record: JSON.stringify(row.record) })
    .onConflict((conflict) => conflict.column('id').doNothing())
    .executeTakeFirst()
  return (done.numInsertedOrUpdatedRows ?? 0n) > 0n
}

export async function countItemsByState(db: Db): Promise<Record<string, number>> {
  const found = await sql<{
    state: string
    count: number
  }>`select state, count(*)::int as count from item group by state`.execute(db)
  return Object.fromEntries(found.rows.map((row) => [row.state, row.count]))
}
