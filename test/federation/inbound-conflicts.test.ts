// Ids and texts of a peer's messages that contradict what the node holds: each is one exception or one alarm, and never blocks another.
import { sql } from 'kysely'
import t from 'tap'
import { eventually } from '../network.ts'
import { newId } from '../peer.ts'
import { batchOf, type Change, handoffOf, lineOf, messageOf } from '../peer-messages.ts'
import { startSender } from './sender.ts'

const { gb, client, submit, arriveAt, countEvents } = await startSender(t)
const toGb = { from: 'lab', to: 'hotline-gb' }
const itemOf = (id: unknown) => gb.call('hotline', 'GET', `/v1/items/${id}`)
const reportAt = (id: unknown) => gb.call('hotline', 'GET', `/v1/reports/${id}`)
const reportIdOf = (handoff: Change) => (handoff['body'] as { report: Change }).report['id']
const about = (item: unknown, kind: string, body: object) => messageOf(toGb, kind, body, { item })

/** Delivers messages and gives what became of each: `stored`, `duplicate`, or the code of its exception. */
async function outcomesOf(messages: readonly Change[]): Promise<string[]> {
  const batch = batchOf(toGb, messages.map(lineOf))
  const exceptions = client.readReceipt(await client.deliver(batch), batch)['exceptions'] as {
    index: number
    status: string
    code?: string
  }[]
  return messages.map((_, index) => {
    const exception = exceptions.find((each) => each.index === index)
    return exception ? (exception.code ?? exception.status) : 'stored'
  })
}

/** Items that the peer owns and accepted. */
async function ownedByLab(count: number): Promise<string[]> {
  const ids = await submit(count)
  await arriveAt(ids)
  await outcomesOf(ids.map((id) => about(id, 'accept', { reference: 'LAB-1' })))
  return ids
}

const assessmentOf = (id: string): Change => ({
  id,
  classification: 'national',
  gender: 'not_determined',
  ageGroup: 'not_determined',
  flags: [],
  analyst: 'an-9',
  member: 'lab',
  madeAt: '2026-11-20T11:00:00.000Z',
})
const actionOf = (id: string): Change => ({
  id,
  action: 'provider_notified',
  analyst: 'an-9',
  member: 'lab',
  takenAt: '2026-11-20T12:00:00.000Z',
})

t.test('an assessment or action under a taken id is one exception, and everything else of its batch is stored', async (t) => {
  const [first, second] = (await ownedByLab(2)) as [string, string]
  const [assessment, action] = [assessmentOf(newId()), actionOf(newId())]
  const good = handoffOf(toGb)
  t.same(
    await outcomesOf([
      about(first, 'assessment', assessment),
      about(second, 'assessment', assessment),
      about(first, 'action', action),
      about(second, 'assessment', assessmentOf(newId())),
      about(second, 'action', action),
      good,
    ]),
    ['stored', 'id_conflict', 'stored', 'stored', 'id_conflict', 'stored'],
  )
  t.match((await itemOf(first)).body, { assessments: [{ id: assessment['id'] }], actions: [{ id: action['id'] }] })
  t.match((await itemOf(second)).body, { state: 'assessed', assessments: { length: 1 }, actions: { length: 0 } })
  t.equal((await itemOf(good['item'])).status, 200)
  const { rows } = await sql`select kind from message where item_id = ${second} and author = 'lab' order by stored_at`.execute(
    gb.database.database,
  )
  t.same(rows, [{ kind: 'accept' }, { kind: 'assessment' }], 'a rejected message is not kept')
})

t.test('an id that names a report here is no item, one that names an item is no report, and no text is lost', async (t) => {
  const [item = ''] = await submit(1, 'GB')
  const report = (await itemOf(item)).body.report
  const both = newId()
  const [one, other] = [handoffOf(toGb), handoffOf(toGb)] as [Change, Change]
  const named = (id: unknown) => handoffOf(toGb, { item: { id } })
  const reported = (id: unknown) => handoffOf(toGb, { report: { id } })
  const twice = handoffOf(toGb, { item: { id: both }, report: { id: both } })
  t.same(await outcomesOf([one, named(report), reported(item), twice, named(reportIdOf(one)), reported(one['item']), other]), [
    'stored',
    'id_conflict',
    'id_conflict',
    'schema_invalid',
    'id_conflict',
    'id_conflict',
    'stored',
  ])
  for (const id of [report, reportIdOf(one), reportIdOf(other)]) t.match(await reportAt(id), { status: 200, body: { id } })
  t.equal((await reportAt(item)).status, 404)
  t.equal((await itemOf(report)).status, 404)
})

t.test('a report id of another origin is refused with an alarm', async (t) => {
  const before = await countEvents('id_conflict')
  const [item = ''] = await submit(1, 'GB')
  const ours = (await itemOf(item)).body.report
  t.same(await outcomesOf([handoffOf(toGb, { report: { id: ours } }), handoffOf(toGb)]), ['id_conflict', 'stored'])
  await eventually('the alarm', async () => (await countEvents('id_conflict')) === before + 1)
})

t.test('a report that is told again otherwise keeps its first facts, its item is stored, and an alarm tells', async (t) => {
  const first = handoffOf(toGb)
  const report = (first['body'] as { report: Change }).report
  const again = (change: Change) => handoffOf(toGb, { report: { ...report, ...change } })
  t.same(await outcomesOf([first, again({})]), ['stored', 'stored'])
  const reordered = Object.fromEntries(Object.entries(report).toReversed())
  const same = handoffOf(toGb)
  ;(same['body'] as { report: Change }).report = reordered
  t.same(await outcomesOf([same]), ['stored'])
  t.equal(await countEvents('report_conflict'), 0, 'the same facts in another order are the same')
  for (const [count, messages] of [[again({ memo: 'another' })], [handoffOf(toGb), again({ siteType: 'forum' })]].entries()) {
    t.same(new Set(await outcomesOf(messages)), new Set(['stored']))
    await eventually('the alarm', async () => (await countEvents('report_conflict')) === count + 1)
  }
  const held = (await reportAt(report['id'])).body
  t.match(held, { siteType: 'image_host', items: { length: 5 } })
  t.notHas(held, 'memo')
})

t.test('a peer may send no text that a client may not: no media, and no referrer that is no URL', async (t) => {
  const image = `data:image/png;base64,${'A'.repeat(200)}`
  const reports: Change[] = [
    { memo: `look: ${image}` },
    { memo: 'QUJD'.repeat(200) },
    { memo: '\u4e2d'.repeat(16_000) },
    { reference: 'data:image/png;base64,QUJD' },
    { referrer: image },
    { referrer: 'javascript:alert(1)' },
    { referrer: 'https://forum.example/\u202eread' },
    { referrer: 'https://forum.example/\u0007' },
    { referrer: 'https://name:password@forum.example/' },
  ]
  const good = handoffOf(toGb, { report: { memo: 'two\nlines', referrer: 'https://forum.example/topic?id=1' } })
  const outcomes = await outcomesOf([...reports.map((report) => handoffOf(toGb, { report })), good])
  t.same(outcomes, [...reports.map(() => 'schema_invalid'), 'stored'])
  const [owned] = await ownedByLab(1)
  t.same(await outcomesOf([about(owned, 'accept', { reference: image.slice(0, 128) })]), ['schema_invalid'])
  const [refused] = await submit(1)
  await arriveAt([refused as string])
  t.same(await outcomesOf([about(refused, 'refuse', { reason: 'duplicate', note: image })]), ['schema_invalid'])
  t.match((await itemOf(refused)).body, { state: 'delivered', owner: 'lab' })
})
