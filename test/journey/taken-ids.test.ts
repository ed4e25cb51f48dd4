// What a client gets whose report uses an id that is taken: always a named field, never a failure of the node, also when two come at once.
import t from 'tap'
import { createNetwork, reportOf } from '../network.ts'
import { newId } from '../peer.ts'

const network = await createNetwork(t)
const gb = network.get('hotline-gb')
const submit = (body: object) => gb.call('hotline', 'POST', '/v1/reports', body)
const itemWith = (id: string) => ({
  id,
  contentType: 'media',
  statedCountry: { country: 'GB', by: 'an-1', reason: 'seen there' },
})

t.test('an id names one thing only: a report or an item', async (t) => {
  const [report, item, both] = [newId(), newId(), newId()]
  t.match(await submit(reportOf([itemWith(item)], { id: report })), { status: 201 })
  const conflicts: [object, object][] = [
    [reportOf([itemWith(both)], { id: both }), { status: 422, body: { code: 'schema_invalid', pointer: '/items/0/id' } }],
    [reportOf([itemWith(newId()), itemWith(report)]), { status: 409, body: { code: 'id_conflict', pointer: '/items/1/id' } }],
    [reportOf([itemWith(item)]), { status: 409, body: { code: 'id_conflict', pointer: '/items/0/id' } }],
    [reportOf([itemWith(newId())], { id: item }), { status: 409, body: { code: 'id_conflict', pointer: '/id' } }],
  ]
  for (const [body, answer] of conflicts) t.match(await submit(body), answer)
  t.match(await gb.call('hotline', 'GET', `/v1/reports/${report}`), { status: 200, body: { items: [{ id: item }] } })
})

t.test('of two reports at once with the same item id one is stored and the other is a conflict', async (t) => {
  for (let round = 0; round < 5; round += 1) {
    const id = newId()
    const answers = await Promise.all([1, 2, 3].map(() => submit(reportOf([itemWith(id)]))))
    t.same(answers.map(({ status }) => status).sort(), [201, 409, 409])
    t.match(
      answers.filter(({ status }) => status === 409),
      [1, 2].map(() => ({ body: { code: 'id_conflict', pointer: '/items/0/id' } })),
    )
  }
})

t.test('the same report at once is stored once and answered alike', async (t) => {
  const body = reportOf([itemWith(newId())], { id: newId() })
  const answers = await Promise.all([1, 2, 3].map(() => submit(body)))
  t.same(answers.map(({ status }) => status).sort(), [200, 200, 201])
  t.same(new Set(answers.map((answer) => answer.body.id)).size, 1)
})
