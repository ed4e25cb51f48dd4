// Our node as the sender: a peer that is down, hangs, lies, refuses or loses answers. Nothing is lost, nothing is doubled, everything is visible,
// and nobody else waits.
import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { createAuthority, issueIdentity } from '#crypto/certificate-authority.ts'
import { createNetwork, eventually, type Member, reportOf } from '../network.ts'
import { makeClock, portOf, readDirectory, readIdentity, thumbprint } from '../peer.ts'
import { openPeer } from '../peer-client.ts'
import { batchOf, handoffOf, lineOf } from '../peer-messages.ts'
import { type Misbehaviour, startPeerServer } from '../peer-server.ts'
import { badReceipts, onBatch, receiptUnder, rejecting } from './receipts.ts'

const hosts = ['localhost', '127.0.0.1']
const members: Member[] = [
  { id: 'hotline-gb', name: 'GB', countries: ['GB'], hosts },
  { id: 'lab', name: 'Laboratory', countries: ['PH'], hosts, runs: false },
  { id: 'hotline-se', name: 'SE', countries: ['SE'], hosts, runs: false },
]
const clock = makeClock()
const network = await createNetwork(t, { members, now: clock.now, peerWaitMs: 600 })
const gb = network.get('hotline-gb')
let directory = readDirectory(network.folder)
const startPeer = (id: string) => {
  const identity = readIdentity(network.folder, id)
  return startPeerServer(t, { identity, port: portOf(directory, id), clock, directory: () => directory, node: 'hotline-gb' })
}
const lab = await startPeer('lab')
const se = await startPeer('hotline-se')
const labClient = openPeer({ identity: lab.identity, node: gb, directory: () => directory, clock })
const toGb = { from: 'lab', to: 'hotline-gb' }

/** Submits items that are hosted in a country; gives their ids. */
async function submit(count: number, country = 'PH'): Promise<string[]> {
  const statedCountry = { country, by: 'an-1', reason: 'seen there' }
  const items = Array.from({ length: count }, () => ({ contentType: 'media', statedCountry }))
  const { body } = await gb.call('hotline', 'POST', '/v1/reports', reportOf(items))
  return body.items.map(({ id }: { id: string }) => id)
}

async function statesOf(ids: readonly string[]): Promise<string[]> {
  return Promise.all(ids.map(async (id) => (await gb.call('hotline', 'GET', `/v1/items/${id}`)).body.state))
}

const statusOf = async (member = 'lab') => {
  const { body } = await gb.call('operator', 'GET', '/operations/v1/status')
  return { ...body, peer: body.peers.find((peer: { member: string }) => peer.member === member) }
}

async function peerRow(): Promise<{ failures: number; last_error: string | null; retry_at: Date }> {
  const row = await gb.database.database
    .selectFrom('peer')
    .select(['failures', 'last_error', 'retry_at'])
    .where('member', '=', 'lab')
    .executeTakeFirst()
  return row ?? { failures: 0, last_error: null, retry_at: new Date(0) }
}

const countEvents = async (code: string): Promise<number> =>
  (await statusOf()).securityEvents.find((event: { code: string }) => event.code === code)?.count ?? 0

/** Any authenticated call of the peer clears its timer: here it stands for the time that would have passed. */
async function arriveAt(ids: readonly string[]): Promise<void> {
  await eventually('everything is delivered', async () => {
    if ((await statesOf(ids)).every((state) => state === 'delivered')) return true
    await labClient.ping()
    return false
  })
}

const handoffsAt = (peer: typeof lab, ids: readonly string[]) =>
  ids.map((id) => peer.messages.filter((message) => message['item'] === id && message['kind'] === 'handoff').length)

/** Each item exactly once at the peer, and once in each of our audit events. */
async function exactlyOnce(t: Test, ids: readonly string[], name: string): Promise<void> {
  t.same(
    handoffsAt(lab, ids),
    ids.map(() => 1),
    `${name}: once at the peer`,
  )
  const { rows } = await sql`select 1 from audit_entry where event in ('handoff.sent', 'handoff.receipt')
    group by event, item_ref having count(*) > 1`.execute(gb.database.database)
  t.same(rows, [], `${name}: one entry for each`)
}

/** Submits while the peer misbehaves, sees the failure by its name, lets the peer be good again, and sees that all arrives once. */
async function survives(t: Test, name: string, { misbehave, error }: { misbehave: Misbehaviour; error: string }): Promise<void> {
  lab.misbehave = misbehave
  const ids = await submit(2)
  await eventually(`${name}: ${error}`, async () => (await peerRow()).last_error === error)
  t.same(new Set(await statesOf(ids)), new Set(['sent']), `${name}: nothing counts as delivered`)
  t.same(handoffsAt(lab, ids), [0, 0])
  lab.misbehave = undefined
  await arriveAt(ids)
  await exactlyOnce(t, ids, name)
}

t.test('an answer that is no good receipt is none, and an alarm', async (t) => {
  const before = await countEvents('bad_receipt')
  const lies = badReceipts(se.identity)
  for (const [name, misbehave] of Object.entries(lies)) await survives(t, name, { misbehave, error: 'bad_receipt' })
  t.ok((await countEvents('bad_receipt')) >= before + Object.keys(lies).length)
})

t.test('a receipt under a retired key is none', async (t) => {
  const signKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const { kty = '', crv = '', x = '', y = '' } = createPublicKey(signKey).export({ format: 'jwk' })
  const jwk = { kty, crv, x, y } as { kty: 'EC'; crv: 'P-256'; x: string; y: string }
  const kid = thumbprint(jwk)
  const listed = directory.document.members.find(({ id }: { id: string }) => id === 'lab').keys
  await network.publish((described) => {
    const member = described.members.find(({ id }) => id === 'lab')
    if (member) member.keys = [...listed, { jwk, kid, use: 'sign', state: 'retired', retiredAt: '2026-10-01T00:00:00.000Z' }]
  })
  directory = readDirectory(network.folder)
  await labClient.ping()
  await eventually('the node holds it', async () => (await statusOf()).directory.version === directory.version)
  await survives(t, 'a retired key', { misbehave: receiptUnder({ kid, signKey }), error: 'bad_receipt' })
})

t.test('a network that fails in any way changes nothing but the timer', async (t) => {
  const cases: Record<string, [Misbehaviour, string]> = {
    'closes without an answer': [onBatch((_call, response) => response.destroy()), 'closed'],
    'closes in the middle of an answer': [
      onBatch((_call, response) => {
        response.writeHead(200, { 'content-length': '100' }).write('{"receipt":"')
        setTimeout(() => response.destroy(), 20)
      }),
      'closed',
    ],
    hangs: [onBatch(() => {}), 'timeout'],
    'never ends its answer': [onBatch((_call, response) => response.writeHead(200).write('{"receipt":"')), 'timeout'],
    'sends without end': [onBatch((_call, response) => response.end(Buffer.alloc(9 * 1024 * 1024, ' '))), 'too_large'],
    redirects: [onBatch((_call, response) => response.writeHead(307, { location: '/elsewhere' }).end()), 'http_307'],
    'fails unsigned': [onBatch((_call, response) => response.writeHead(503).end('busy')), 'http_503'],
    'refuses unsigned': [onBatch((_call, response) => response.writeHead(403).end('{"code":"member_suspended"}')), 'http_403'],
    'answers 200 by a signed error': [
      onBatch((call, response, peer) => void peer.refuse(call, response, { code: 'internal', status: 200 })),
      'bad_receipt',
    ],
    'refuses by an error for another call': [
      onBatch(
        (call, response, peer) => void peer.refuse({ ...call, proof: 'other' }, response, { code: 'not_a_member', status: 403 }),
      ),
      'http_403',
    ],
  }
  for (const [name, [misbehave, error]] of Object.entries(cases)) await survives(t, name, { misbehave, error })
  t.notOk(
    lab.calls.some(({ path }) => path === '/elsewhere'),
    'no redirect is followed',
  )
  t.equal((await statusOf()).quarantined, 0)
})

t.test('a peer that is down, or shows another certificate than the directory names, gets nothing until it is back', async (t) => {
  await lab.close()
  const ids = await submit(1)
  await eventually('it is refused', async () => (await peerRow()).last_error === 'refused')
  const stranger = await createAuthority({ name: 'Somebody' })
  const forged = await issueIdentity(stranger, { kind: 'node', member: 'lab', dnsNames: ['localhost'], days: 2 })
  const others: [{ cert: string; key: string }, string][] = [
    [se.identity, 'pin'],
    [{ cert: forged.certificatePem, key: forged.privateKeyPem }, 'tls'],
  ]
  const seen = lab.calls.length
  for (const [as, error] of others) {
    await lab.open(as)
    await labClient.ping()
    await eventually(error, async () => (await labClient.ping()) && (await peerRow()).last_error === error)
    await lab.close()
  }
  t.equal(lab.calls.length, seen, 'not even a proof went to it')
  t.match((await statusOf()).peer, { waiting: 0, inFlight: 1, failures: Number, retryAt: String })
  await lab.open()
  await arriveAt(ids)
  await exactlyOnce(t, ids, 'down')
})

t.test('a receipt that got lost is asked for, and the batch is not sent again', async (t) => {
  let batchId = ''
  lab.misbehave = onBatch((call, response, peer) => {
    batchId = call.batch?.id ?? ''
    peer.commit(call)
    response.destroy()
  })
  const ids = await submit(3)
  await eventually('it is lost', async () => (await peerRow()).last_error === 'closed')
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
    await eventually('it waits', async () => (await peerRow()).last_error === 'rate_limited')
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
    await eventually('the directory is asked for', async () => asked() > before)
    lab.misbehave = undefined
    await arriveAt(ids)
    t.match((await statusOf()).peer, { state: 'open', heldReason: null })
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
    await labClient.ping()
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
  await eventually('it waits', async () => (await peerRow()).last_error === 'maintenance')
  const batches = () => lab.calls.filter(({ batch }) => batch).length
  const before = batches()
  await labClient.ping()
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
  await labClient.deliver(batch)
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
  await eventually('all four are there', async () => (await labClient.ping()) && about().length === 4)
  t.match(about(), [
    { kind: 'accept' },
    { kind: 'assessment', body: { classification: 'national' } },
    { kind: 'assessment', body: { classification: 'baseline' } },
    { kind: 'action', body: { action: 'removed' } },
  ])
})

t.test('whatever the peer did, the node never sent a wrong call, two batches at once, or the same message anew', async (t) => {
  t.same([...lab.faults, ...se.faults], [])
  t.same([lab.mostAtOnce, se.mostAtOnce], [1, 1])
  t.equal(lab.repeated, 0)
  await eventually('every batch has its receipt', async () => {
    const open = await sql`select 1 from outbound_batch where receipt is null and withdrawn_at is null`.execute(
      gb.database.database,
    )
    return open.rows.length === 0
  })
})
