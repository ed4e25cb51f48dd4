// Our node as the sender: lost receipts, refusals that are signed, waits, splits, messages that nobody takes, slow and hanging peers. Each is
// obeyed as the protocol says, and nobody else waits.
import { sql } from 'kysely'
import t from 'tap'
import { eventually } from '../network.ts'
import { batchOf, handoffOf, lineOf } from '../peer-messages.ts'
import { onBatch, rejecting } from './receipts.ts'
import { startSender } from './sender.ts'

const sender = await startSender(t)
const { gb, lab, se, client, clock, submit, statesOf, statusOf, peerRow } = sender
const { failsBy, countEvents, arriveAt, handoffsAt, exactlyOnce, settles } = sender
const toGb = { from: 'lab', to: 'hotline-gb' }

t.test('a receipt that got lost is asked for, and the batch is not sent again', async (t) => {
  let batchId = ''
  lab.misbehave = onBatch((call, response, peer) => {
    batchId = call.batch?.id ?? ''
    peer.commit(call)
    response.destroy()
  })
  const ids = await submit(3)
  await failsBy('closed')
  lab.misbehave = undefined
  await arriveAt(ids)
  t.equal(lab.calls.filter(({ batch }) => batch?.id === batchId).length, 1)
  t.ok(lab.calls.some(({ path }) => path === `/federation/v1/receipts/${batchId}`))
  await exactlyOnce(t, ids, 'lost')
})

t.test('a signed wait is obeyed, at most a quarter of an hour, and the peer’s own call ends it', async (t) => {
  for (const [retryAfter, most] of [
    [120, 120],
    [86_400, 900],
  ] as const) {
    lab.misbehave = onBatch(
      (call, response, peer) => void peer.refuse(call, response, { code: 'rate_limited', status: 429, retryAfter }),
    )
    const ids = await submit(1)
    await failsBy('rate_limited')
    const waitS = ((await peerRow()).retry_at.getTime() - clock.now().getTime()) / 1000
    t.ok(waitS > most - 10 && waitS <= most, `${retryAfter} s asked`)
    t.match((await statusOf()).peer, { heldReason: null, failures: 1 })
    lab.misbehave = undefined
    await arriveAt(ids)
  }
})

t.test('a refusal that will not go away by itself holds the destination, visibly, and asks for the directory', async (t) => {
  for (const [code, status] of [
    ['member_suspended', 403],
    ['unknown_key', 401],
  ] as const) {
    const asked = () => [...lab.calls, ...se.calls].filter(({ path }) => path === '/federation/v1/directory').length
    const before = asked()
    lab.misbehave = onBatch((call, response, peer) => void peer.refuse(call, response, { code, status }))
    const ids = await submit(1)
    await eventually('it is held', async () => (await statusOf()).peer.state === 'held')
    t.match((await statusOf()).peer, { heldReason: code, inFlight: 1 })
    t.ok((await countEvents(`answered_${code}`)) >= 1)
    // The same peer is asked once a minute: the first time, then.
    if (code === 'member_suspended') await eventually('the directory is asked for', async () => asked() > before)
    lab.misbehave = undefined
    await arriveAt(ids)
    // The message counts a moment before the peer does.
    const isOpen = ({ state, heldReason }: { state: string; heldReason: string | null }) =>
      state === 'open' && heldReason === null
    await eventually('it is open', async () => isOpen((await statusOf()).peer))
    await exactlyOnce(t, ids, code)
  }
})

t.test('a batch that is too large is cut into smaller ones, until all of it is there', async (t) => {
  const most = 3
  lab.misbehave = async (call, response, peer) =>
    (call.batch?.lines.length ?? 0) > most && peer.refuse(call, response, { code: 'too_large', status: 413 })
  const ids = await submit(20)
  await arriveAt(ids)
  lab.misbehave = undefined
  await exactlyOnce(t, ids, 'too large')
  const { rows } = await sql<{ item_id: string }>`
    select item_id from outbox where item_id = any(${ids}::uuid[]) order by seq`.execute(gb.database.database)
  t.same(
    lab.messages.map((message) => message['item']).filter((id) => ids.includes(String(id))),
    rows.map((row) => row.item_id),
    'in the order of commit, across the batches',
  )
  t.equal((await statusOf()).quarantined, 0)
})

t.test('a message that a peer will never take waits for a person, and the others go on', async (t) => {
  const ids = await submit(1)
  await arriveAt(ids)
  let culprit = ''
  lab.misbehave = async (call, response, peer) => {
    const lines = call.batch?.lines.map((line) => JSON.parse(line.toString()).item) ?? []
    culprit ||= lines[2] ?? ''
    return lines.includes(culprit) && culprit !== '' && peer.refuse(call, response, { code: 'schema_invalid', status: 422 })
  }
  const handed = await submit(6)
  await eventually('it is put aside', async () => {
    await client.ping()
    const states = await statesOf(handed)
    return states.filter((state) => state === 'delivered').length === 5 && states.includes('needs_review')
  })
  lab.misbehave = undefined
  t.same(await statesOf([culprit]), ['needs_review'])
  t.equal((await statusOf()).quarantined, 1)
  await exactlyOnce(
    t,
    handed.filter((id) => id !== culprit),
    'the others',
  )
})

t.test('a message that the receipt rejects waits for a person, and the others are delivered', async (t) => {
  const before = (await statusOf()).quarantined
  lab.misbehave = rejecting(1, { code: 'not_responsible', member: 'hotline-se' })
  const ids = await submit(3)
  await eventually('the receipt is there', async () => (await statesOf(ids)).includes('delivered'))
  lab.misbehave = undefined
  t.same((await statesOf(ids)).sort(), ['delivered', 'delivered', 'needs_review'])
  t.equal((await statusOf()).quarantined, before + 1)
  const { rows } = await sql`select code from quarantine order by id desc limit 1`.execute(gb.database.database)
  t.same(rows, [{ code: 'not_responsible' }])
})

t.test('after a failure comes a ping, then what was in flight, then everything at full speed', async (t) => {
  await lab.close()
  const first = await submit(1)
  await eventually('it is refused', async () => (await peerRow()).failures > 0)
  const rest = [...(await submit(2)), ...(await submit(3))]
  await eventually('they wait', async () => (await statusOf()).peer.waiting === 5)
  const seen = lab.calls.length
  await lab.open()
  await arriveAt([...first, ...rest])
  const calls = lab.calls.slice(seen).filter(({ path }) => !path.startsWith('/federation/v1/directory'))
  t.same(
    calls.map(({ path, batch }) => batch?.lines.length ?? path.split('/')[3]),
    ['ping', 'receipts', 1, 5],
  )
  await exactlyOnce(t, [...first, ...rest], 'half-open')
})

t.test('a peer that answers its ping by a signed refusal gets no batch', async (t) => {
  lab.misbehave = (call, response, peer) => peer.refuse(call, response, { code: 'maintenance', status: 503, retryAfter: 30 })
  const ids = await submit(1)
  await failsBy('maintenance')
  const batches = () => lab.calls.filter(({ batch }) => batch).length
  const before = batches()
  await client.ping()
  await eventually('it asked', async () => (await peerRow()).failures >= 2)
  t.equal(batches(), before)
  lab.misbehave = undefined
  await arriveAt(ids)
})

t.test('while one peer hangs, another is served', async (t) => {
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  let isWaiting = false
  lab.misbehave = async (call) => {
    isWaiting ||= call.batch !== undefined
    await held
    return false
  }
  const stuck = await submit(1)
  await eventually('the peer hangs', async () => isWaiting)
  const fine = await submit(3, 'SE')
  await eventually('the other is served', async () => (await statesOf(fine)).every((state) => state === 'delivered'))
  t.same(await statesOf(stuck), ['sent'])
  t.same(handoffsAt(se, fine), [1, 1, 1])
  lab.misbehave = undefined
  release()
  await arriveAt(stuck)
  await exactlyOnce(t, stuck, 'hung')
})

t.test('many reports at once to a slow peer: one batch on its way at any moment, and each item once', async (t) => {
  lab.misbehave = async (call) => {
    if (call.batch) await new Promise((resolve) => setTimeout(resolve, 40))
    return false
  }
  const ids = (await Promise.all(Array.from({ length: 12 }, () => submit(5)))).flat()
  await eventually('all are there', async () => (await statesOf(ids)).every((state) => state === 'delivered'))
  lab.misbehave = undefined
  await exactlyOnce(t, ids, 'slow')
})

t.test('what is said of an item while its peer is away comes to it in the order in which it was said', async (t) => {
  const batch = batchOf(toGb, [lineOf(handoffOf(toGb))])
  await client.deliver(batch)
  const { item } = JSON.parse((batch.lines[0] as Buffer).toString())
  await lab.close()
  const act = (name: string, body: object) => gb.call('hotline', 'POST', `/v1/items/${item}/${name}`, body)
  await act('accept', { reference: 'GB-1' })
  await eventually('it fails', async () => (await peerRow()).failures > 0)
  await act('assessments', { classification: 'national', analyst: 'an-1' })
  await act('assessments', { classification: 'baseline', analyst: 'an-2' })
  await act('actions', { action: 'removed', analyst: 'an-2' })
  await lab.open()
  const about = () => lab.messages.filter((message) => message['item'] === item)
  await eventually('all four are there', async () => (await client.ping()) && about().length === 4)
  t.match(about(), [
    { kind: 'accept' },
    { kind: 'assessment', body: { classification: 'national' } },
    { kind: 'assessment', body: { classification: 'baseline' } },
    { kind: 'action', body: { action: 'removed' } },
  ])
})

t.test('a message that the peer says it holds already is delivered', async (t) => {
  lab.misbehave = async (call, response, peer) => {
    if (!call.batch)
      return call.path.includes('/receipts/') && peer.refuse(call, response, { code: 'schema_invalid', status: 422 })
    peer.commit(call)
    response.destroy()
    return true
  }
  const ids = await submit(4)
  await failsBy('closed')
  // It committed and denies it: the batch is taken apart and sent anew, and the receipts then say duplicate.
  await eventually('the batch is taken back', async () => (await client.ping()) && lab.repeated > 0)
  lab.misbehave = undefined
  await arriveAt(ids)
  await exactlyOnce(t, ids, 'duplicates')
  lab.repeated = 0
})

t.test('whatever the peer did, the node sent no wrong call, one batch at a time, and each item once', settles)
