// A node that sends, and two independent peers that it sends to: what the tests of delivery share.
import { sql } from 'kysely'
import type { Test } from 'tap'
import { createNetwork, eventually, type Member, reportOf } from '../network.ts'
import { makeClock, portOf, type ReadDirectory, readDirectory, readIdentity } from '../peer.ts'
import { openPeer } from '../peer-client.ts'
import { type Misbehaviour, type PeerServer, startPeerServer } from '../peer-server.ts'

const hosts = ['localhost', '127.0.0.1']
const members: Member[] = [
  { id: 'hotline-gb', name: 'GB', countries: ['GB'], hosts },
  { id: 'lab', name: 'Laboratory', countries: ['PH'], hosts, runs: false },
  { id: 'hotline-se', name: 'SE', countries: ['SE'], hosts, runs: false },
]

/** Starts `hotline-gb` as the sender, with `lab` (PH) and `hotline-se` (SE) as peers; all end with the test. */
export async function startSender(t: Test) {
  const clock = makeClock()
  const network = await createNetwork(t, { members, now: clock.now, peerWaitMs: 600 })
  const gb = network.get('hotline-gb')
  const { database } = gb.database
  let held = readDirectory(network.folder)
  const directory = (): ReadDirectory => held
  const startPeer = (id: string) => {
    const identity = readIdentity(network.folder, id)
    return startPeerServer(t, { identity, port: portOf(held, id), clock, directory, node: 'hotline-gb' })
  }
  const [lab, se] = await Promise.all([startPeer('lab'), startPeer('hotline-se')])
  const client = openPeer({ identity: lab.identity, node: gb, directory, clock })
  let submitted = 0

  /** Submits items that are hosted in a country; gives their ids. */
  async function submit(count: number, country = 'PH'): Promise<string[]> {
    const statedCountry = { country, by: 'an-1', reason: 'seen there' }
    const items = Array.from({ length: count }, () => ({ contentType: 'media', statedCountry }))
    const { body } = await gb.call('hotline', 'POST', '/v1/reports', reportOf(items))
    submitted += count
    return body.items.map(({ id }: { id: string }) => id)
  }

  async function statesOf(ids: readonly string[]): Promise<string[]> {
    return Promise.all(ids.map(async (id) => (await gb.call('hotline', 'GET', `/v1/items/${id}`)).body.state))
  }

  /** What the operator sees, with the line about `lab` as `peer`. */
  async function statusOf() {
    const { body } = await gb.call('operator', 'GET', '/operations/v1/status')
    return { ...body, peer: body.peers.find(({ member }: { member: string }) => member === 'lab') }
  }

  async function peerRow(): Promise<{ failures: number; last_error: string | null; retry_at: Date }> {
    const columns = ['failures', 'last_error', 'retry_at'] as const
    const row = await database.selectFrom('peer').select(columns).where('member', '=', 'lab').executeTakeFirst()
    return { failures: 0, last_error: null, ...row, retry_at: row?.retry_at ?? new Date(0) }
  }

  const failsBy = (error: string) => eventually(error, async () => (await peerRow()).last_error === error)

  async function countEvents(code: string): Promise<number> {
    return (await statusOf()).securityEvents.find((event: { code: string }) => event.code === code)?.count ?? 0
  }

  /** Any authenticated call of the peer clears its timer: here it stands for the time that would have passed. */
  async function arriveAt(ids: readonly string[]): Promise<void> {
    await eventually('everything is delivered', async () => {
      if ((await statesOf(ids)).every((state) => state === 'delivered')) return true
      await client.ping()
      return false
    })
  }

  const handoffsAt = (peer: PeerServer, ids: readonly string[]): number[] =>
    ids.map((id) => peer.messages.filter((message) => message['item'] === id && message['kind'] === 'handoff').length)

  /** Each item exactly once at the peer, and at most one entry of each event in our log. */
  async function exactlyOnce(t: Test, ids: readonly string[], name: string): Promise<void> {
    t.strictSame(
      handoffsAt(lab, ids),
      ids.map(() => 1),
      `${name}: once at the peer`,
    )
    const { rows } = await sql`select 1 from audit_entry where event in ('handoff.sent', 'handoff.receipt')
      group by event, item_ref having count(*) > 1`.execute(database)
    t.strictSame(rows, [], `${name}: one entry for each`)
  }

  /** Submits while the peer misbehaves, sees the failure by its name, lets the peer be good again, and sees that all arrives once. */
  async function survives(
    t: Test,
    name: string,
    { misbehave, error }: { misbehave: Misbehaviour; error: string },
  ): Promise<void> {
    lab.misbehave = misbehave
    const ids = await submit(2)
    await failsBy(error)
    t.strictSame(new Set(await statesOf(ids)), new Set(['sent']), `${name}: nothing counts as delivered`)
    t.strictSame(handoffsAt(lab, ids), [0, 0], `${name}: nothing is there`)
    lab.misbehave = undefined
    await arriveAt(ids)
    await exactlyOnce(t, ids, name)
  }

  /** At the end: nothing is on its way, every submitted item was sent in one entry, and no call of the node was wrong. */
  async function settles(t: Test): Promise<void> {
    await eventually('every batch has its receipt', async () => {
      const open = await sql`select 1 from outbound_batch where receipt is null and withdrawn_at is null`.execute(database)
      return open.rows.length === 0
    })
    const { rows } = await sql<{ sent: number }>`
      select count(*)::int as sent from audit_entry where event = 'handoff.sent'`.execute(database)
    t.strictSame(rows, [{ sent: submitted }])
    t.strictSame([...lab.faults, ...se.faults], [])
    t.ok(Math.max(lab.mostAtOnce, se.mostAtOnce) === 1, 'one batch on its way at any moment')
    t.equal(lab.repeated + se.repeated, 0, 'no message came in a second batch')
  }

  /** Publishes the next directory and waits until the node holds it. */
  async function publish(change: Parameters<typeof network.publish>[0]): Promise<void> {
    await network.publish(change)
    held = readDirectory(network.folder)
    await client.ping()
    await eventually('the node holds it', async () => (await statusOf()).directory.version === held.version)
  }

  return {
    ...{ gb, lab, se, client, clock, directory, publish },
    ...{ submit, statesOf, statusOf, peerRow, failsBy, countEvents, arriveAt, handoffsAt, exactlyOnce, survives, settles },
  }
}
