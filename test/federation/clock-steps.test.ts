// The node's clock may differ from the database's, and may be set back: what it left ahead of itself holds nothing up, and a wait that it
// does keep is shown.
import { randomUUIDv7 } from 'node:crypto'
import { sql } from 'kysely'
import t from 'tap'
import { withClient } from '#storage/admin-client.ts'
import { eventually } from '../network.ts'
import { batchOf, handoffOf, lineOf } from '../peer-messages.ts'
import { startSender } from './sender.ts'

const { gb, lab, client, clock, submit, statesOf, statusOf, failsBy, exactlyOnce, settles } = await startSender(t)
const { database } = gb.database
const hourMs = 3_600_000
const toGb = { from: 'lab', to: 'hotline-gb' }

/** Without a call of the peer, which would clear its timer. */
const arrives = (what: string, ids: readonly string[]) =>
  eventually(what, async () => (await statesOf(ids)).every((state) => state === 'delivered'))

t.test("items are traced and delivered by a node whose clock is behind the database's", async (t) => {
  clock.advance(-10 * 60_000)
  // The peer calls first: what is then remembered of it must not make it wait.
  await client.deliver(batchOf(toGb, [lineOf(handoffOf(toGb))]))
  const ids = await submit(2)
  await arrives('they arrive', ids)
  t.match((await statusOf()).peer, { state: 'open', failures: 0, retryAt: null })
  await exactlyOnce(t, ids, 'behind')
})

t.test('a back-off from before the clock was set back is over', async (t) => {
  clock.advance(hourMs)
  await lab.close()
  const ids = await submit(1)
  await failsBy('refused')
  const retryAt = new Date(clock.now().getTime() + 10 * 60_000)
  await eventually('it waits, visibly', async () => {
    await sql`update peer set retry_at = ${retryAt} where member = 'lab'`.execute(database)
    return (await statusOf()).peer.retryAt === retryAt.toISOString()
  })
  t.match((await statusOf()).peer, { failures: Number, lastError: 'refused' })
  await lab.open()
  clock.advance(-hourMs)
  await arrives('it is tried again', ids)
  await exactlyOnce(t, ids, 'set back')
})

t.test('a lease that a dead process took before the clock was set back is over', async (t) => {
  await sql`update peer set lease_holder = ${randomUUIDv7()}, lease_until = ${new Date(clock.now().getTime() + hourMs)}
    where member = 'lab'`.execute(database)
  const ids = await submit(1)
  await arrives('it is sent', ids)
  await exactlyOnce(t, ids, 'lease')
})

t.test('whatever the clock did, the node sent no wrong call, one batch at a time, and each item once', settles)

t.test('a trace that was put off before the clock was set back is over', async () => {
  const ids = await submit(1)
  await arrives('it is there', ids)
  await withClient(gb.database.adminUrl, (connection) =>
    connection.query(
      `update crossline.item set state = 'received', owner = 'hotline-gb', trace_attempts = 1, trace_due_at = $2 where id = any($1)`,
      [ids, new Date(clock.now().getTime() + hourMs)],
    ),
  )
  await arrives('it is traced and delivered again', ids)
})
