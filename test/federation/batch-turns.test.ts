// A member that sends many batches at once waits for itself: it takes one connection of the node, and everybody else is served.
import { sql } from 'kysely'
import type { Client } from 'pg'
import t from 'tap'
import { withClient } from '#storage/admin-client.ts'
import { createNetwork, eventually, type Member } from '../network.ts'
import { makeClock, readDirectory, readIdentity } from '../peer.ts'
import { openPeer, type PeerAnswer } from '../peer-client.ts'
import { batchOf, handoffOf, lineOf } from '../peer-messages.ts'

const hosts = ['localhost', '127.0.0.1']
const members: Member[] = [
  { id: 'hotline-gb', name: 'GB', countries: ['GB'], hosts },
  { id: 'lab', name: 'Laboratory', countries: ['PH'], hosts, runs: false },
  { id: 'hotline-se', name: 'SE', countries: ['SE'], hosts, runs: false },
]
const clock = makeClock()
const network = await createNetwork(t, { members, now: clock.now })
const gb = network.get('hotline-gb')
const directory = readDirectory(network.folder)
const peerOf = (id: string) =>
  openPeer({ identity: readIdentity(network.folder, id), node: gb, directory: () => directory, clock })
const [lab, se] = [peerOf('lab'), peerOf('hotline-se')]
const batchFrom = (from: string) => batchOf({ from, to: 'hotline-gb' }, [lineOf(handoffOf({ from, to: 'hotline-gb' }))])

async function countWaiting(): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*)::int as count from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`.execute(
    gb.database.database,
  )
  return rows[0]?.count ?? -1
}

/** Holds what the node knows of the peer, as the storing of a long batch does, until commit. */
async function holdPeer(holder: Client): Promise<void> {
  await holder.query('begin')
  await holder.query(`select 1 from crossline.peer where member = 'lab' for update`)
}

t.test('of many batches at once one is stored, three wait, the others are asked to come later', async (t) => {
  for (const batch of [batchFrom('lab'), batchFrom('lab')]) lab.readReceipt(await lab.deliver(batch), batch)
  const batches = Array.from({ length: 12 }, () => batchFrom('lab'))
  const answers: PeerAnswer[] = []
  let sent: Promise<PeerAnswer>[] = []
  await withClient(gb.database.adminUrl, async (holder) => {
    await holdPeer(holder)
    sent = batches.map((batch) =>
      lab.deliver(batch).then((answer) => {
        answers.push(answer)
        return answer
      }),
    )
    await eventually('eight are sent away', async () => answers.length === 8)
    t.equal(await countWaiting(), 1, 'one connection waits')
    for (const answer of answers) {
      t.match(answer, { status: 503, json: { code: 'overloaded' }, headers: { 'retry-after': '5' } })
      t.match(lab.readError(answer), { code: 'overloaded', retryAfter: 5 })
    }
    const other = batchFrom('hotline-se')
    t.match(se.readReceipt(await se.deliver(other), other), { exceptions: [] }, 'another member is served')
    t.equal((await gb.call('hotline', 'GET', '/v1/items?limit=1')).status, 200)
    await holder.query('commit')
  })
  const statuses = (await Promise.all(sent)).map(({ status }) => status)
  t.equal(statuses.filter((status) => status === 200).length, 4)
  for (const [place, status] of statuses.entries()) {
    if (status === 200) continue
    const batch = batches[place] as (typeof batches)[0]
    t.match(lab.readReceipt(await lab.deliver(batch), batch), { exceptions: [] }, 'what was sent away is taken later')
  }
})

t.test('a batch that is refused gives its turn to the next', async (t) => {
  const bad = { ...batchFrom('lab'), body: Buffer.from('\n') }
  const good = batchFrom('lab')
  const answers = await Promise.all([lab.deliver(bad), lab.deliver(bad), lab.deliver(good)])
  t.same(
    answers.map(({ status }) => status),
    [400, 400, 200],
  )
})

t.test('calls that wait for the batch of their peer take one connection together', async (t) => {
  clock.advance(11_000)
  let pings: Promise<PeerAnswer>[] = []
  await withClient(gb.database.adminUrl, async (holder) => {
    await holdPeer(holder)
    pings = Array.from({ length: 20 }, () => lab.ping())
    await eventually('one connection waits', async () => (await countWaiting()) === 1)
    for (let round = 0; round < 5; round += 1) t.equal((await gb.call('hotline', 'GET', '/v1/items?limit=1')).status, 200)
    t.equal(await countWaiting(), 1)
    await holder.query('commit')
  })
  t.same(new Set((await Promise.all(pings)).map(({ status }) => status)), new Set([200]))
})
