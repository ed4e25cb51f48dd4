// What a liaison gets from the audit API: its own scope, by filter and by cursor, complete; every question recorded before its answer.
import t, { type Test } from 'tap'
import { connect, withClient } from '#storage/admin-client.ts'
import { checkAuditLog, readNodeKeys } from '../audit-check.ts'
import { createNetwork, eventually, type RunningMember, reportOf } from '../network.ts'
import { admin, ask, entriesOf, sealedEntriesOf, submitAll, untilSealed, type View, zone } from './asking.ts'

/** What is proven grows while the test asks. */
const withoutProof = (entries: View[]) => entries.map(({ proof: _grows, ...view }) => view)
const events = (entries: View[]) => entries.map(({ entry }) => JSON.parse(entry).event as string)

/** As the superuser, whom no trigger stops. */
async function withDisabledTriggers(member: RunningMember, work: (change: (query: string) => Promise<unknown>) => Promise<void>) {
  await withClient(member.database.adminUrl, async (client) => {
    await client.query("set session_replication_role = 'replica'")
    await client.query('begin')
    await client.query("insert into crossline.migration_window (name) values ('test of a changed country')")
    await client.query('alter table crossline.audit_entry disable trigger audit_no_change')
    await client.query('commit')
    await work((query) => client.query(query))
    await client.query('begin')
    await client.query("insert into crossline.migration_window (name) values ('test of a changed country')")
    await client.query('alter table crossline.audit_entry enable always trigger audit_no_change')
    await client.query('commit')
  })
}

t.test('a liaison asks', async (t) => {
  const gb = (await createNetwork(t, { zone })).get('hotline-gb')
  const items = await submitAll(gb)
  t.match(await ask(gb, {}, 'operator'), { status: 403, body: { code: 'role_forbidden' } }, 'an operator may not')
  t.match(
    await gb.call('hotline', 'GET', '/audit/v1/entries?purpose=x'),
    { status: 403, body: { code: 'role_forbidden' } },
    'nor a hotline',
  )
  // From here on the operator's certificate is a second liaison's: of Sweden.
  await admin(gb, "update crossline.api_client set role = 'liaison', countries = '{SE}' where role = 'operator'")

  await t.test('and the country that decides what it sees is committed to', async (t) => {
    const { entries } = await checkAuditLog(gb.database.database, await readNodeKeys(gb.config.masterKey))
    const stated = entries.filter(({ opening }) => opening['country'] !== undefined)
    t.same(new Set(stated.map(({ opening }) => opening['country']?.value)), new Set(['GB', 'SE', 'US']))
    await withDisabledTriggers(gb, async (change) => {
      await change("update crossline.audit_entry set country = 'JP' where country = 'US'")
      const check = async () => checkAuditLog(gb.database.database, await readNodeKeys(gb.config.masterKey))
      await t.rejects(check(), { message: /the country is another than the one committed to/ }, 'a changed one shows')
      await change("update crossline.audit_entry set country = 'US' where country = 'JP'")
    })
  })

  await t.test('and must say why', async (t) => {
    const without = await gb.call('liaison', 'GET', '/audit/v1/entries')
    t.match(without, { status: 422, body: { code: 'purpose_required' } })
    t.match(await ask(gb, { purpose: '   ' }), { status: 422, body: { code: 'purpose_required' } })
    const empty = await ask(gb, { purpose: '' })
    t.equal(empty.status, 422)
    t.equal((await ask(gb, { purpose: 'x'.repeat(201) })).status, 422)
    t.equal(
      (await admin(gb, "select from crossline.audit_entry where event = 'audit.queried'")).rowCount,
      0,
      'what was not answered is no query',
    )
  })

  await t.test('and sees what touches its countries, not more', async (t) => {
    const british = await entriesOf(gb)
    const swedish = await entriesOf(gb, {}, 'operator')
    t.ok(events(british).includes('item.orphaned'), 'what its hotline traced')
    t.ok(events(swedish).includes('handoff.sent') && events(swedish).includes('handoff.receipt'))
    for (const { country, entry } of swedish) {
      const { from, to } = JSON.parse(entry)
      t.ok(country === 'SE' || [from, to].includes('hotline-se'), 'Swedish')
    }
    t.same(await sealedEntriesOf(gb, { item: items.home }, 'operator'), [], 'an item of another scope is as none')
    t.same(await sealedEntriesOf(gb, { country: 'US' }, 'operator'), [])
    t.same(await sealedEntriesOf(gb, { case: 'FILE-1', item: items.home }, 'operator'), [], 'whatever file number it is asked by')
    t.same(await sealedEntriesOf(gb, { item: '019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071' }), [], 'so is an item that never was')
    await admin(gb, "update crossline.api_client set network_wide = true, countries = '{}' where countries = '{SE}'")
    const { body } = await ask(gb, { limit: '1000' }, 'operator')
    const indexes = body.entries.map(({ index }: View) => index)
    t.same(indexes, [...Array(body.checkpoint.size).keys()], 'network-wide: every leaf of the checkpoint, in its order')
    await admin(gb, "update crossline.api_client set network_wide = false, countries = '{SE}' where network_wide")
  })

  await t.test('by each filter', async (t) => {
    const home = [{ url: 'https://home.example/2', contentType: 'website' }]
    const other = await gb.call('hotline', 'POST', '/v1/reports', reportOf(home, { reference: 'FILE-2' }))
    await eventually('it is routed', async () => {
      const { body } = await gb.call('hotline', 'GET', `/v1/reports/${other.body.id}`)
      return body.items[0].state === 'routed'
    })
    const all = await entriesOf(gb)
    const fits = async (query: Record<string, string>, pick: (view: View) => boolean) => {
      const found = await sealedEntriesOf(gb, query)
      const wanted = all.filter(pick)
      t.ok(wanted.length > 0 && wanted.length < all.length, `${Object.keys(query)} tells entries apart`)
      t.same(
        withoutProof(found.filter(({ index }) => all.some((each) => each.index === index))),
        withoutProof(wanted),
        Object.keys(query).join(),
      )
    }
    const middle = all[Math.floor(all.length / 2)]?.recordedAt ?? ''
    const read = (view: View) => JSON.parse(view.entry)
    await fits({ event: 'item.routed' }, (view) => read(view).event === 'item.routed')
    await fits({ member: 'hotline-se' }, (view) => [read(view).from, read(view).to].includes('hotline-se'))
    await fits({ country: 'SE' }, ({ country }) => country === 'SE')
    await fits({ since: middle }, ({ recordedAt }) => recordedAt >= middle)
    await fits({ until: middle }, ({ recordedAt }) => recordedAt < middle)
    await fits(
      { item: items.abroad },
      ({ disclosed }) => (disclosed['item']?.value as { id?: string } | undefined)?.id === items.abroad,
    )
    await fits({ case: 'FILE-2' }, ({ disclosed }) => JSON.stringify(disclosed).includes(other.body.id))
    await fits({ event: 'item.traced', country: 'GB' }, (view) => read(view).event === 'item.traced' && view.country === 'GB')
    t.same(
      events(await entriesOf(gb, { item: items.abroad })),
      ['item.traced', 'item.routed', 'handoff.sent', 'handoff.receipt'],
      'one custody',
    )
  })

  await t.test('with a wrong question', async (t) => {
    const wrong: [Record<string, string>, string][] = [
      [{ since: '2026-02-01T00:00:00.000Z', until: '2026-01-01T00:00:00.000Z' }, 'schema_invalid'],
      [{ since: '2026-02-01T00:00:00.000Z', until: '2026-02-01T00:00:00.000Z' }, 'schema_invalid'],
      [{ since: '2026-02-31T00:00:00.000Z' }, 'schema_invalid'],
      [{ since: 'yesterday' }, 'schema_invalid'],
      [{ event: 'item.eaten' }, 'schema_invalid'],
      [{ country: 'gb' }, 'schema_invalid'],
      [{ member: 'Hotline GB' }, 'schema_invalid'],
      [{ item: 'nine' }, 'schema_invalid'],
      [{ limit: '0' }, 'schema_invalid'],
      [{ limit: '1001' }, 'schema_invalid'],
      [{ limit: '-1' }, 'schema_invalid'],
      [{ limit: '1e2' }, 'schema_invalid'],
      [{ limit: 'all' }, 'schema_invalid'],
      [{ after: 'AAAA' }, 'invalid_cursor'],
      [{ after: Buffer.from('l2026.-1').toString('base64url') }, 'invalid_cursor'],
      [{ after: Buffer.from('l2026.1e3').toString('base64url') }, 'invalid_cursor'],
      [{ after: Buffer.from('l2026.01').toString('base64url') }, 'invalid_cursor'],
      [{ after: Buffer.from('p1').toString('base64url') }, 'invalid_cursor'],
      [{ after: Buffer.from('l2026.9007199254740992').toString('base64url') }, 'invalid_cursor'],
      [{ after: Buffer.from('l2026.99999999999999999999').toString('base64url') }, 'invalid_cursor'],
      [{ case: '' }, 'schema_invalid'],
      [{ after: 'a b' }, 'schema_invalid'],
      [{ unknown: '1' }, 'schema_invalid'],
    ]
    const asked = async () => (await admin(gb, "select from crossline.audit_entry where event = 'audit.queried'")).rowCount
    const before = await asked()
    for (const [query, code] of wrong) t.match(await ask(gb, query), { status: 422, body: { code } }, JSON.stringify(query))
    t.equal(await asked(), before)
    t.match(
      await ask(gb, { member: 'hotline-zz' }),
      { status: 404, body: { code: 'not_found', pointer: '/member' } },
      'unknown member',
    )
    t.equal(await asked(), before, 'what was not answered is no query')
    t.match(await ask(gb, { limit: '1' }), { status: 200, body: { entries: { length: 1 } } })
  })

  await t.test('and each question is an entry, whose purpose another liaison does not see', async (t) => {
    await ask(gb, { purpose: 'the Swedish question', caseReference: 'SE-77', event: 'item.routed' }, 'operator')
    const keys = await readNodeKeys(gb.config.masterKey)
    const log = await checkAuditLog(gb.database.database, keys)
    const last = log.entries.findLast(({ event }) => event === 'audit.queried')
    t.match(last, {
      event: 'audit.queried',
      n: 1,
      opening: { purpose: { value: { purpose: 'the Swedish question', case: 'SE-77' } } },
    })
    const { rows } = (last?.opening['query']?.value ?? {}) as { rows?: number }
    const isLast = ({ entry }: View) => JSON.parse(entry).id === last?.entry.id
    t.equal(rows, (await entriesOf(gb, { event: 'item.routed' }, 'operator')).length)
    await admin(gb, "update crossline.api_client set network_wide = true where role = 'liaison' and countries = '{GB}'")
    const seen = (await entriesOf(gb, { event: 'audit.queried' })).find(isLast)
    t.same(seen?.disclosed, {}, 'that it asked is all that shows')
    const own = (await entriesOf(gb, { event: 'audit.queried' })).at(-1)
    t.match(own?.disclosed, { purpose: { value: { purpose: 'a test' } } }, 'its own stay open to it')
    await admin(gb, "update crossline.api_client set network_wide = false where countries = '{GB}'")
  })

  await t.test('page by page, and misses nothing while others write', (t) => readPages(t, gb))
})

async function readPages(t: Test, gb: RunningMember): Promise<void> {
  await admin(gb, "update crossline.api_client set network_wide = true where role = 'liaison'")
  const report = () => reportOf([{ url: 'https://home.example/', contentType: 'website' }])
  const submit = () => gb.call('hotline', 'POST', '/v1/reports', report())
  const seen: number[] = []
  let after: string | undefined
  // A page that is not full has no cursor: the next one begins where the last full one ended, and brings its entries again.
  const readPage = async () => {
    const { body } = await ask(gb, { event: 'report.submitted', limit: '2', ...(after === undefined ? {} : { after }) })
    seen.push(...body.entries.map(({ index }: View) => index))
    if (body.next !== null) after = body.next
    return body.next as string | null
  }

  await t.test('a slow writer whose entry has the lower id, and commits last', async (t) => {
    const slow = await connect(gb.database.adminUrl)
    t.teardown(() => slow.end())
    const at = '2026-11-23T12:00:00.000Z'
    const entry = JSON.stringify({
      at,
      event: 'report.submitted',
      id: 'slow',
      log: `hotline-gb/audit/${new Date().getUTCFullYear()}`,
    })
    await slow.query('begin')
    const { rows } = await slow.query<{ id: string; recorded_at: Date }>(
      "insert into crossline.audit_entry (event, item_ref, item_seq, entry) values ('report.submitted', sha256('slow'), 1, $1) returning id, recorded_at",
      [Buffer.from(entry)],
    )
    for (let overtaking = 0; overtaking < 3; overtaking++) await submit()
    await untilSealed(gb)
    while ((await readPage()) !== null);
    const before = [...seen]
    await slow.query('commit')
    await untilSealed(gb)
    while ((await readPage()) !== null);
    const late = await admin(gb, 'select leaf_index::int as index from crossline.audit_leaf where entry_id = $1', [rows[0]?.id])
    t.ok(before.length >= 3 && !before.includes(late.rows[0].index), 'it was not there yet')
    t.ok(seen.includes(late.rows[0].index), 'the late entry stands behind the cursor, not before it')
    const until = new Date((rows[0]?.recorded_at.getTime() ?? 0) + 1).toISOString()
    const inTime = await entriesOf(gb, { event: 'report.submitted', until })
    t.ok(
      inTime.some(({ index }) => index === late.rows[0].index),
      'a range of times holds it all the same',
    )
  })

  await t.test('many at once', async (t) => {
    const writing = Promise.all(Array.from({ length: 12 }, submit))
    let done = false
    void writing.then(() => {
      done = true
    })
    while (!done) await readPage()
    await untilSealed(gb)
    while ((await readPage()) !== null);
    const { rows } = await admin(
      gb,
      "select leaf_index::int as index from crossline.audit_place where event = 'report.submitted' order by 1",
    )
    t.same(
      [...new Set(seen)],
      rows.map(({ index }) => index),
      'each once, in the order of the log',
    )
    t.ok(rows.length >= 15)
  })
}
