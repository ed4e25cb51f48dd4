// Ids and texts of a peer's messages that contradict what the node holds: each is one exception or one alarm, and never blocks another.
import { sql } from 'kysely'
import t from 'tap'
import { newId } from '../peer.ts'
import { batchOf, type Change, handoffOf, lineOf, messageOf } from '../peer-messages.ts'
import { startSender } from './sender.ts'

const { gb, client, submit, arriveAt, countEvents } = await startSender(t)
const toGb = { from: 'lab', to: 'hotline-gb' }
const itemOf = (id: unknown) => gb.call('hotline', 'GET', `/v1/items/${id}`)
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
