// A hotline that handed an item over and then left the network: its item goes on, and nothing is written that could never be delivered.
import { sql } from 'kysely'
import t from 'tap'
import { batchOf, handoffOf, lineOf } from '../peer-messages.ts'
import { startSender } from './sender.ts'

const { gb, client, publish } = await startSender(t)

async function countWritten(item: unknown): Promise<number | undefined> {
  const { rows } = await sql<{ count: number }>`select count(*)::int as count from outbox where item_id = ${item}`.execute(
    gb.database.database,
  )
  return rows[0]?.count
}

t.test('what is done with an item is told to who handed it over, until that hotline leaves', async (t) => {
  const toGb = { from: 'lab', to: 'hotline-gb' }
  const handoff = handoffOf(toGb)
  const batch = batchOf(toGb, [lineOf(handoff)])
  t.match(client.readReceipt(await client.deliver(batch), batch), { exceptions: [] })
  const act = (name: string, body: object) => gb.call('hotline', 'POST', `/v1/items/${handoff['item']}/${name}`, body)
  t.match(await act('accept', { reference: 'GB-1' }), { status: 200 })
  t.equal(await countWritten(handoff['item']), 1)
  await publish((network) => {
    for (const member of network.members) if (member.id === 'lab') member.status = 'left'
    network.routes = network.routes.filter(({ primary }) => primary !== 'lab')
  })
  t.match(await act('assessments', { classification: 'baseline', analyst: 'an-1' }), { status: 200, body: { state: 'assessed' } })
  t.equal(await countWritten(handoff['item']), 1, 'nothing more is written for it')
})
