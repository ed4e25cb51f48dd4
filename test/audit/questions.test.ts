// How the log is read for liaisons: the same as by going through every entry, by row-level security, along an index for each filter, and
// without touching the months that a range of times leaves out.
import { type RawBuilder, sql } from 'kysely'
import t, { type Test } from 'tap'
import { withClient } from '#storage/admin-client.ts'
import { inTransaction } from '#storage/database.ts'
import { type AuditFilter, type AuditScope, becomeReader, buildQuestion, findAuditEntries } from '#storage/liaison-store.ts'
import { createTestDatabase, type TestDatabase } from '../database.ts'

interface Entry {
  year: number
  index: number
  at: Date
  event: string
  from: string | null
  to: string | null
  country: string | null
  ref: Buffer
}

const events = ['item.traced', 'item.routed', 'handoff.sent', 'action.recorded', 'item.closed']
const members = ['hotline-gb', 'hotline-se', 'hotline-jp', null]
const countries = ['GB', 'SE', 'JP', 'US', null]
const wide: AuditScope = { networkWide: true, countries: [], members: [] }
const swedish: AuditScope = { networkWide: false, countries: ['SE'], members: ['hotline-se'] }

// A small generator of its own: the same log every time.
function createDice(seed: number): (sides: number) => number {
  let state = seed
  return (sides) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648
    return Math.floor((state / 2_147_483_648) * sides)
  }
}

const pick = <T>(dice: (sides: number) => number, values: readonly T[]): T => values[dice(values.length)] as T

/** The first day of the month `ahead` months from now: the partitions that a new database has begin at this one. */
function monthAt(ahead: number): Date {
  const now = new Date()
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + ahead, 1))
}

/** Entries over four months, some of them sealed long after they were recorded; two shards. */
function makeEntries(count: number): Entry[] {
  const dice = createDice(7)
  const start = monthAt(0).getTime()
  const span = monthAt(4).getTime() - start
  const recorded = Array.from({ length: count }, (_, n) => ({ n, place: n + (dice(20) === 0 ? dice(count / 4) : 0) }))
  const first = Math.floor(count / 3)
  return recorded
    .sort((one, other) => one.place - other.place || one.n - other.n)
    .map(({ n }, place) => ({
      year: place < first ? 2026 : 2027,
      index: place < first ? place : place - first,
      at: new Date(start + Math.floor((span * n) / count)),
      event: dice(50) === 0 ? 'hold.placed' : pick(dice, events),
      from: pick(dice, members),
      to: pick(dice, members),
      country: pick(dice, countries),
      ref: Buffer.alloc(32, dice(60)),
    }))
}

/** Written as the superuser, who alone may choose times; sealed in the order given, in batches. */
async function writeLog(database: TestDatabase, entries: readonly Entry[]): Promise<void> {
  await withClient(database.adminUrl, async (client) => {
    const { rows } = await client.query<{ id: string }>(
      `insert into crossline.audit_entry (recorded_at, event, item_ref, item_seq, from_member, to_member, country, entry)
       select at, event, decode(ref, 'hex'), 1, "from", "to", country, convert_to(place::text, 'UTF8')
       from jsonb_to_recordset($1::jsonb) as t (place int, at timestamptz, event text, ref text, "from" text, "to" text, country text) order by place returning id`,
      [JSON.stringify(entries.map((entry, place) => ({ ...entry, place, ref: entry.ref.toString('hex') })))],
    )
    for (let at = 0; at < entries.length; at += 700) {
      const batch = entries.slice(at, at + 700).map(({ year, index }, n) => ({ year, index, id: rows[at + n]?.id }))
      await client.query(
        `insert into crossline.audit_leaf (year, leaf_index, entry_id, hash)
         select year, index, id, sha256('leaf') from jsonb_to_recordset($1::jsonb) as t (year int, index bigint, id bigint)`,
        [JSON.stringify(batch)],
      )
    }
    for (const table of ['audit_entry', 'audit_leaf', 'audit_place', 'audit_stretch'])
      await client.query(`analyze crossline.${table}`)
  })
}

const isBefore = (one: { year: number; index: number }, other: { year: number; index: number }) =>
  one.year < other.year || (one.year === other.year && one.index < other.index)

/** The same question, answered by going through everything. */
function goThrough(entries: readonly Entry[], scope: AuditScope, filter: AuditFilter): Entry[] {
  const isOurs = (member: string | null) => member !== null && scope.members.includes(member)
  const inScope = (entry: Entry) =>
    scope.networkWide ||
    (entry.country !== null && scope.countries.includes(entry.country)) ||
    isOurs(entry.from) ||
    isOurs(entry.to)
  return entries
    .filter(inScope)
    .filter((entry) => !filter.since || entry.at >= filter.since)
    .filter((entry) => !filter.until || entry.at < filter.until)
    .filter((entry) => !filter.event || entry.event === filter.event)
    .filter((entry) => !filter.country || entry.country === filter.country)
    .filter((entry) => !filter.member || entry.from === filter.member || entry.to === filter.member)
    .filter((entry) => !filter.refs || filter.refs.some((ref) => ref.equals(entry.ref)))
    .filter((entry) => (!filter.after || isBefore(filter.after, entry)) && isBefore(entry, filter.before))
    .slice(0, filter.limit)
}

function drawFilter(dice: (sides: number) => number): AuditFilter {
  const some = <T>(value: T): T | undefined => (dice(3) === 0 ? value : undefined)
  const start = monthAt(0).getTime()
  const since = some(new Date(start + dice(100) * 86_400_000))
  const until = some(new Date(start + dice(120) * 86_400_000))
  const [event, member, country] = [some(pick(dice, events)), some('hotline-se'), some(pick(dice, ['GB', 'SE', 'US']))]
  const refs = some([Buffer.alloc(32, dice(60)), Buffer.alloc(32, dice(60))])
  return {
    ...(since && { since }),
    ...(until && { until }),
    ...(event && { event }),
    ...(member && { member }),
    ...(country && { country }),
    ...(refs && { refs }),
    after: some({ year: 2026 + dice(2), index: dice(2000) }),
    before: { year: 2027, index: 3000 + dice(1500) },
    limit: 1 + dice(60),
  }
}

async function planOf(database: TestDatabase, scope: AuditScope, filter: AuditFilter): Promise<string> {
  return inTransaction(database.database, async (trx) => {
    await sql`set local enable_seqscan = off`.execute(trx)
    await becomeReader(trx, scope)
    const question = buildQuestion(scope, filter) as RawBuilder<unknown>
    const { rows } = await sql<{ 'QUERY PLAN': string }>`explain (costs off) ${question}`.execute(trx)
    return rows.map((row) => row['QUERY PLAN']).join('\n')
  })
}

t.test('a log over several months', async (t) => {
  const database = await createTestDatabase(t)
  const entries = makeEntries(6000)
  await writeLog(database, entries)
  const find = (scope: AuditScope, filter: AuditFilter) =>
    inTransaction(database.database, (trx) => findAuditEntries(trx, scope, filter))

  await t.test('is read as by going through every entry', async (t) => {
    const dice = createDice(11)
    let answered = 0
    for (let round = 0; round < 400; round++) {
      const scope = pick(dice, [wide, swedish, { ...swedish, members: [] }, { ...swedish, countries: ['GB', 'SE', 'JP'] }])
      const filter = drawFilter(dice)
      const found = (await find(scope, filter)).map(({ year, index }) => ({ year, index }))
      const expected = goThrough(entries, scope, filter).map(({ year, index }) => ({ year, index }))
      if (JSON.stringify(found) !== JSON.stringify(expected)) t.same(found, expected, JSON.stringify({ scope, filter }))
      if (found.length > 0) answered++
    }
    t.ok(answered > 150, 'most questions have an answer')
    t.same(await find({ networkWide: false, countries: [], members: [] }, { before: { year: 2027, index: 9 }, limit: 9 }), [])
  })

  await t.test('is walked along the index of each filter', async (t) => {
    const before = { year: 2027, index: 4000 }
    const page = { before, limit: 100, after: { year: 2026, index: 100 } }
    const plans: [string, AuditScope, AuditFilter, RegExp][] = [
      ['no filter', wide, page, /Index Scan using audit_place_pkey/],
      ['event', wide, { ...page, event: 'hold.placed' }, /Index Scan using audit_place_event/],
      ['event in a country', wide, { ...page, event: 'item.routed', country: 'SE' }, /audit_place_country_event/],
      ['event in a scope', swedish, { ...page, event: 'item.routed' }, /_country_event[\s\S]*_from_event[\s\S]*_to_event/],
      ['country', wide, { ...page, country: 'SE' }, /Index Scan using audit_place_country/],
      ['member', wide, { ...page, member: 'hotline-se' }, /audit_place_from[\s\S]*audit_place_to/],
      ['a member in a scope', swedish, { ...page, member: 'hotline-gb' }, /_country_from[\s\S]*_country_to[\s\S]*_from_to/],
      ['a country outside the scope', swedish, { ...page, country: 'JP' }, /_country_from[\s\S]*_country_to/],
      ['scope', swedish, page, /audit_place_country[\s\S]*audit_place_from[\s\S]*audit_place_to/],
      ['item', wide, { ...page, refs: [Buffer.alloc(32, 3)] }, /item_ref_item_seq_idx/],
    ]
    for (const [name, scope, filter, expected] of plans) {
      const plan = await planOf(database, scope, filter)
      t.match(plan, expected, name)
      t.notMatch(plan, /Seq Scan|audit_leaf_pkey/, `${name}: nothing is gone through`)
    }
  })

  await t.test('is not touched in the months that are not asked for', (t) => readMonths(t, { database, entries }))
})

async function readMonths(t: Test, { database, entries }: { database: TestDatabase; entries: readonly Entry[] }): Promise<void> {
  const [since, until] = [monthAt(1), monthAt(2)]
  const name = (at: Date) => `audit_entry_${at.toISOString().slice(0, 7).replace('-', '_')}`
  for (const [what, filter] of [
    ['by place', {}],
    ['by item', { refs: [Buffer.alloc(32, 3)] }],
  ] as const) {
    const question = { ...filter, since, until, before: { year: 2027, index: 4000 }, limit: 100 }
    const plan = await planOf(database, wide, question)
    t.match(plan, new RegExp(name(since)), `${what}: the month asked for`)
    for (const other of [0, 2, 3]) t.notMatch(plan, new RegExp(name(monthAt(other))), `${what}: no other`)
    const found = await inTransaction(database.database, (trx) => findAuditEntries(trx, wide, { ...question, limit: 9999 }))
    t.equal(found.length, goThrough(entries, wide, { ...question, limit: 9999 }).length)
    t.ok(found.length > 0)
  }
}

t.test('row-level security decides, whatever is asked', async (t) => {
  const database = await createTestDatabase(t)
  await writeLog(database, makeEntries(500))
  await inTransaction(database.database, async (trx) => {
    await becomeReader(trx, swedish)
    for (const table of ['audit_entry', 'audit_place']) {
      const { rows } = await sql<{ others: number; all: number }>`
        select count(*) as all, count(*) filter (where country is distinct from 'SE' and from_member is distinct from 'hotline-se'
          and to_member is distinct from 'hotline-se') as others from ${sql.table(table)}`.execute(trx)
      t.ok((rows[0]?.all ?? 0) > 0 && rows[0]?.others === 0, table)
    }
  })
  for (const query of [
    'insert into audit_place (year, leaf_index, entry_id, recorded_at, event) values (2026, 9999, 9999, now(), $$x$$)',
    'update audit_place set country = $$SE$$',
    'delete from audit_place',
    'truncate audit_place',
    'update audit_stretch set latest = now()',
  ]) {
    await t.rejects(sql.raw(query).execute(database.database), { code: '42501' }, `the service may not: ${query}`)
  }
  await t.rejects(
    withClient(database.adminUrl, (client) => client.query('update crossline.audit_place set country = null')),
    /append-only/,
    'nor anybody else',
  )
})
