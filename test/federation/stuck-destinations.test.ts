// Nothing of ours and nothing that a peer says about one message may stop a destination: what can't be delivered is put aside for a person,
// in the log and in the status, and the rest goes on.
import { sql } from 'kysely'
import t from 'tap'
import { withClient } from '#storage/admin-client.ts'
import { eventually } from '../network.ts'
import { batchOf, handoffOf, lineOf } from '../peer-messages.ts'
import { onBatch, rejecting } from './receipts.ts'
import { startSender } from './sender.ts'

const sender = await startSender(t)
const { gb, lab, client, submit, statesOf, statusOf, failsBy, arriveAt, exactlyOnce, countEvents } = sender

const admin = (text: string, values: unknown[]) =>
  withClient(gb.database.adminUrl, (connection) => connection.query(text, values))

/** Breaks what is stored of items, and lets a restart forget what was in memory. */
async function breakAtRest(column: 'line' | 'key', items: readonly string[]): Promise<void> {
  const changes = {
    line: `update crossline.message set sealed = set_byte(sealed, 19, 255 - get_byte(sealed, 19)) where item_id = any($1) and kind = 'handoff'`,
    key: `update crossline.subject_key set wrapped = set_byte(wrapped, 19, 255 - get_byte(wrapped, 19)) where subject = any($1)`,
  }
  await admin(changes[column], [items])
  await gb.stop()
  await gb.start()
}

async function entriesOf(member: string) {
  const { rows } = await sql<{ from_member: string; to_member: string; country: string }>`
    select from_member, to_member, country from audit_entry where event = 'handoff.receipt' and from_member = ${member} order by id`.execute(
    gb.database.database,
  )
  return rows
}

t.test('messages that can not be read any more are put aside, and those around them are delivered', async (t) => {
  await lab.close()
  const first = await submit(1)
  await failsBy('refused')
  const [line, key] = [await submit(1), await submit(1)]
  const good = await submit(3)
  await eventually('they wait', async () => (await statusOf()).peer.waiting === 5)
  await breakAtRest('line', line)
  await breakAtRest('key', key)
  await lab.open()
  await arriveAt([...first, ...good])
  t.same(await statesOf(line), ['needs_review'])
  const { rows } = await sql`select state from item where id = any(${key}::uuid[])`.execute(gb.database.database)
  t.same(rows, [{ state: 'needs_review' }])
  const { quarantined, quarantine, peer } = await statusOf()
  t.equal(quarantined, 2)
  t.same(quarantine.map(({ item }: { item: string }) => item).sort(), [...line, ...key].sort())
  t.match(quarantine, [{ peer: 'lab', code: 'internal', since: String }, {}])
  t.match(peer, { state: 'open', waiting: 0, inFlight: 0, lastError: null })
  t.same(
    await entriesOf('hotline-gb'),
    [line, key].map(() => ({ from_member: 'hotline-gb', to_member: 'lab', country: 'PH' })),
  )
  await exactlyOnce(t, [...first, ...good], 'around them')
})

t.test('one that is in a batch on its way is found by its receipt, or taken out of the batch', async (t) => {
  lab.misbehave = onBatch((_call, response) => response.destroy())
  const [broken, ...good] = await submit(3)
  await failsBy('closed')
  await breakAtRest('line', [broken as string])
  lab.misbehave = undefined
  await arriveAt(good)
  t.same(await statesOf([broken as string]), ['needs_review'])
  lab.misbehave = async (call, response, peer) => {
    if (call.batch) peer.commit(call)
    if (call.batch) response.destroy()
    return call.batch !== undefined
  }
  const committed = await submit(2)
  await failsBy('closed')
  await breakAtRest('line', committed)
  lab.misbehave = undefined
  await arriveAt(committed)
  await exactlyOnce(t, [...good, ...committed], 'in flight')
})

t.test('when none of many can be read, nothing is put aside: the destination fails, visibly', async (t) => {
  const before = (await statusOf()).quarantined
  await lab.close()
  const first = await submit(1)
  await failsBy('refused')
  const many = await submit(25)
  await eventually('they wait', async () => (await statusOf()).peer.waiting === 25)
  await admin(`update crossline.outbox set leaf = sha256(leaf) where item_id = any($1)`, [many])
  await lab.open()
  await arriveAt(first)
  await eventually('it fails', async () => (await client.ping()) && (await statusOf()).peer.lastError === 'internal')
  t.match((await statusOf()).peer, { state: 'backing_off', waiting: 25, retryAt: String })
  t.equal((await statusOf()).quarantined, before)
  await admin(
    `update crossline.outbox set leaf = message.leaf from crossline.message where message.id = outbox.message_id and outbox.item_id = any($1)`,
    [many],
  )
  await arriveAt(many)
  await exactlyOnce(t, many, 'repaired')
})

/** Refuses a batch by a signed code as long as it holds one of these. */
const refusing = (culprits: readonly string[], refusal: { code: string; status: number }) => {
  lab.misbehave = async (call, response, peer) => {
    const items = call.batch?.lines.map((line) => JSON.parse(line.toString()).item) ?? []
    return items.some((item) => culprits.includes(item)) && peer.refuse(call, response, refusal)
  }
}

t.test(
  'a signed refusal that we do not know is taken to be about one message: the batch is split until it is found',
  async (t) => {
    for (const refusal of [
      { code: 'id_conflict', status: 409 },
      { code: 'of_a_later_version', status: 422 },
    ]) {
      await lab.close()
      const first = await submit(1)
      await failsBy('refused')
      const ids = await submit(6)
      refusing([ids[2] as string], refusal)
      await lab.open()
      const others = ids.filter((id) => id !== ids[2])
      await arriveAt([...first, ...others])
      await eventually(
        'it is put aside',
        async () => (await client.ping()) && (await statesOf([ids[2] as string]))[0] === 'needs_review',
      )
      lab.misbehave = undefined
      t.match((await statusOf()).quarantine[0], { item: ids[2], code: refusal.code })
      await exactlyOnce(t, others, refusal.code)
    }
  },
)

t.test('several messages that nobody takes, one after the other, cost no wait', async (t) => {
  const culprits = await submitTogether(5, 3)
  const failures = (await sender.peerRow()).failures
  t.equal(failures, 0)
  t.equal((await statesOf(culprits)).filter((state) => state === 'needs_review').length, 3)
  const refusedBy = (await entriesOf('lab')).slice(-5)
  t.ok(
    refusedBy.every(({ country }) => country === 'PH'),
    'each entry has its country',
  )
})

t.test('a peer that refuses one message after the other is put off after twenty of them', async (t) => {
  lab.misbehave = async (call, response, peer) =>
    call.batch !== undefined && peer.refuse(call, response, { code: 'schema_invalid', status: 422 })
  const before = (await statusOf()).quarantined
  const ids = await submit(30)
  await failsBy('schema_invalid')
  lab.misbehave = undefined
  t.equal((await statusOf()).quarantined, before + 20)
  await eventually('the others arrive', async () => {
    await client.ping()
    return (await statesOf(ids)).filter((state) => state === 'delivered').length === 10
  })
})

/** Items in one report, of which the first few are refused alone; waits, without the peer calling, until none is on its way. */
async function submitTogether(count: number, bad: number): Promise<string[]> {
  let culprits: string[] = []
  lab.misbehave = async (call, response, peer) => {
    const items = call.batch?.lines.map((line) => JSON.parse(line.toString()).item) ?? []
    if (culprits.length === 0 && items.length === count) culprits = items.slice(0, bad)
    return items.some((item) => culprits.includes(item)) && peer.refuse(call, response, { code: 'schema_invalid', status: 422 })
  }
  const ids = await submit(count)
  await eventually('none waits', async () =>
    (await statesOf(ids)).every((state) => state === 'delivered' || state === 'needs_review'),
  )
  lab.misbehave = undefined
  return ids
}

t.test('a statement that the peer rejects is in the log and in the status, and an id conflict is a security event', async (t) => {
  const toGb = { from: 'lab', to: 'hotline-gb' }
  const batch = batchOf(toGb, [lineOf(handoffOf(toGb))])
  await client.deliver(batch)
  const { item } = JSON.parse((batch.lines[0] as Buffer).toString())
  const [entries, events] = [(await entriesOf('lab')).length, await countEvents('id_conflict')]
  lab.misbehave = rejecting(0, { code: 'id_conflict' })
  await gb.call('hotline', 'POST', `/v1/items/${item}/accept`, { reference: 'GB-1' })
  await eventually('it is told', async () => (await statusOf()).quarantine[0]?.item === item)
  lab.misbehave = undefined
  t.match((await statusOf()).quarantine[0], { peer: 'lab', code: 'id_conflict' })
  t.equal((await entriesOf('lab')).length, entries + 1)
  await eventually('the event is counted', async () => (await countEvents('id_conflict')) === events + 1)
})
