// A program written from the protocol alone exchanges with the real node, both ways, and checks everything by its own code.
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { networkFiles } from '#commands/dev-files.ts'
import { checkEvidence as checkEvidenceFile, printEvidence } from '#commands/evidence.ts'
import { createNetwork, environmentOf, eventually, type Member, reportOf } from '../network.ts'
import { makeClock, newId, portOf, readDirectory, readIdentity, readToken, seconds, sha256 } from '../peer.ts'
import { checkEvidence, openPeer } from '../peer-client.ts'
import { type Batch, batchOf, handoffOf, lineOf, messageOf } from '../peer-messages.ts'
import { startPeerServer } from '../peer-server.ts'

const hosts = ['localhost', '127.0.0.1']
const members: Member[] = [
  { id: 'hotline-gb', name: 'GB', countries: ['GB'], hosts },
  { id: 'lab', name: 'Laboratory', countries: ['PH'], hosts, runs: false },
]
const clock = makeClock()
const network = await createNetwork(t, { members, now: clock.now })
const gb = network.get('hotline-gb')
const directory = readDirectory(network.folder)
const read = () => directory
const lab = readIdentity(network.folder, 'lab')
const peer = openPeer({ identity: lab, node: gb, directory: read, clock })
const server = await startPeerServer(t, {
  identity: lab,
  port: portOf(directory, 'lab'),
  clock,
  directory: read,
  node: 'hotline-gb',
})
const toGb = { from: 'lab', to: 'hotline-gb' }
const fromGb = { directory, id: 'hotline-gb' }

const itemOf = async (id: string) => (await gb.call('hotline', 'GET', `/v1/items/${id}`)).body
const handoffs = (count: number) => Array.from({ length: count }, () => lineOf(handoffOf(toGb)))
const itemIds = (batch: Batch) => batch.lines.map((line) => JSON.parse(line.toString()).item)

t.test('a batch of one, plain, is receipted and its item is on the API', async (t) => {
  const batch = batchOf(toGb, handoffs(1))
  const answer = await peer.deliver(batch)
  t.equal(answer.status, 200)
  t.match(peer.readReceipt(answer, batch), { exceptions: [], previous: null, checkpoint: null, iss: 'hotline-gb' })
  t.match(await itemOf(itemIds(batch)[0]), { state: 'delivered', owner: 'hotline-gb', origin: 'lab', via: ['lab'] })
})

t.test('a thousand messages, compressed, without the last newline, are receipted under one root', async (t) => {
  const made = batchOf(toGb, handoffs(1000))
  const batch = { ...made, body: made.body.subarray(0, -1) }
  const answer = await peer.deliver({ ...batch, body: gzipSync(batch.body) }, { headers: { 'content-encoding': 'gzip' } })
  t.equal(answer.status, 200)
  t.match(peer.readReceipt(answer, batch), { size: 1000, exceptions: [] })
  const [first, last] = [itemIds(batch)[0], itemIds(batch)[999]]
  t.match([await itemOf(first), await itemOf(last)], [{ state: 'delivered' }, { state: 'delivered' }])
})

t.test('the same batch again, by a new proof, and the receipt asked for, are the same bytes', async (t) => {
  const batch = batchOf(toGb, handoffs(3))
  const first = await peer.deliver(batch)
  const again = await peer.deliver(batch)
  const asked = await peer.get(`/federation/v1/receipts/${batch.id}`)
  t.same(again.bytes, first.bytes)
  t.same(asked.bytes, first.bytes)
  t.not(again.proofs[0], first.proofs[0])
  t.equal(peer.readReceipt(first, batch)['proof'], peer.readReceipt(again, batch)['proof'], 'the first proof is the one it names')
})

t.test('two copies of a batch at the same moment get one receipt, and its message is stored once', async (t) => {
  const batch = batchOf(toGb, handoffs(2))
  const answers = await Promise.all([1, 2, 3].map(() => peer.deliver(batch)))
  t.equal(new Set(answers.map(({ bytes }) => bytes.toString())).size, 1)
  peer.readReceipt(answers[0] as (typeof answers)[0], batch)
})

t.test('receipts name each other in a chain', async (t) => {
  const [one, two] = [batchOf(toGb, handoffs(1)), batchOf(toGb, handoffs(1))]
  const first = await peer.deliver(one)
  t.equal(peer.readReceipt(await peer.deliver(two), two)['previous'], sha256(first.json.receipt))
})

t.test('a ping is echoed, signed, with the time of the node', async (t) => {
  const nonce = 'abcdefghijklmnopqrstuvwx_-'
  const { json } = await peer.ping({ body: JSON.stringify({ nonce }) })
  const claims = readToken(json.pong, 'crossline-pong+jwt', fromGb)
  t.match(claims, { iss: 'hotline-gb', aud: 'lab', nonce })
  t.ok(Math.abs(Number(claims['iat']) - seconds(clock)) <= 2)
})

t.test('capabilities are signed, and need no proof', async (t) => {
  const { status, json } = await peer.get('/federation/v1/capabilities', { proofs: () => [] })
  t.equal(status, 200)
  t.match(readToken(json.capabilities, 'crossline-capabilities+jwt', fromGb), {
    iss: 'hotline-gb',
    aud: 'lab',
    versions: [1],
    limits: { maxMessages: 1000, maxBytes: 4 * 1024 * 1024, maxInflated: 16 * 1024 * 1024 },
    directory: { version: directory.version, hash: directory.hash },
  })
})

t.test('directory, its version and the root are served as the very bytes that were published', async (t) => {
  const root = readFileSync(networkFiles(network.folder).root)
  for (const [path, bytes] of [
    ['/federation/v1/directory', directory.bytes],
    [`/federation/v1/directory/${directory.version}`, directory.bytes],
    ['/federation/v1/directory/roots/1', root],
  ] as const) {
    const answer = await peer.get(path)
    t.match(answer, { status: 200, headers: { 'content-type': /^application\/jose\+json/ } }, path)
    t.same(answer.bytes, bytes, path)
  }
  t.match(await peer.get('/federation/v1/directory/99'), { status: 404 })
})

t.test('every answer carries the trace that the call named, or one that the node made', async (t) => {
  const trace = 'ab'.repeat(16)
  t.equal(
    (await peer.ping({ headers: { 'content-type': 'application/json', 'crossline-trace': trace } })).headers['crossline-trace'],
    trace,
  )
  const made = await peer.ping({ headers: { 'content-type': 'application/json', 'crossline-trace': 'ABC' } })
  t.match(made.headers['crossline-trace'], /^[0-9a-f]{32}$/)
})

/** Submits items that are hosted in the peer's country, and gives their ids once the peer receipted them. */
async function handToLab(count: number): Promise<string[]> {
  const statedCountry = { country: 'PH', by: 'an-1', reason: 'seen there' }
  const items = Array.from({ length: count }, () => ({ contentType: 'media', statedCountry }))
  const { body } = await gb.call('hotline', 'POST', '/v1/reports', reportOf(items))
  const ids: string[] = body.items.map(({ id }: { id: string }) => id)
  await eventually('the peer receipted', async () =>
    (await Promise.all(ids.map(itemOf))).every(({ state }) => state === 'delivered'),
  )
  return ids
}

t.test('the node delivers to the peer with a proof that verifies, and takes the receipt of its making', async (t) => {
  const [id = ''] = await handToLab(1)
  const call = server.calls.find(({ batch }) => batch?.lines.some((line) => line.includes(id)))
  t.match(call?.claims, { iss: 'hotline-gb', aud: 'lab', size: 1, dir: `${directory.version}:${directory.hash}` })
  t.match(server.messages.at(-1), {
    kind: 'handoff',
    item: id,
    author: 'hotline-gb',
    to: 'lab',
    body: { item: { via: ['hotline-gb'] } },
  })
  t.match(await itemOf(id), { owner: 'lab', state: 'delivered' })
  t.same(server.faults, [])
})

t.test('what the peer states of an item that it owns comes to be known at the node', async (t) => {
  const [item = ''] = await handToLab(1)
  const say = async (kind: string, body: object) => {
    const batch = batchOf(toGb, [lineOf(messageOf(toGb, kind, body, { item }))])
    const answer = await peer.deliver(batch)
    t.match(peer.readReceipt(answer, batch), { exceptions: [] }, kind)
  }
  const common = { analyst: 'an-9', member: 'lab' }
  await say('accept', { reference: 'LAB-1' })
  await say('assessment', {
    ...common,
    id: newId(),
    classification: 'national',
    gender: 'not_determined',
    ageGroup: 'not_determined',
    flags: [],
    madeAt: '2026-11-20T11:00:00.000Z',
  })
  await say('action', { ...common, id: newId(), action: 'removed', takenAt: '2026-11-20T12:00:00.000Z' })
  t.match(await itemOf(item), {
    state: 'closed',
    outcome: 'removed',
    ownerReference: 'LAB-1',
    assessments: [{ classification: 'national', member: 'lab' }],
    actions: [{ action: 'removed', member: 'lab' }],
  })
})

t.test('an item that the peer refuses falls back to the node, for a person', async (t) => {
  const [item = ''] = await handToLab(1)
  const batch = batchOf(toGb, [lineOf(messageOf(toGb, 'refuse', { reason: 'wrong_country' }, { item }))])
  t.match(peer.readReceipt(await peer.deliver(batch), batch), { exceptions: [] })
  t.match(await itemOf(item), { state: 'refused', refusal: 'wrong_country', owner: 'hotline-gb' })
})

t.test('what the node does with an item of the peer is told to the peer, in its order', async (t) => {
  const batch = batchOf(toGb, handoffs(1))
  await peer.deliver(batch)
  const [item] = itemIds(batch)
  const act = (name: string, body: object) => gb.call('hotline', 'POST', `/v1/items/${item}/${name}`, body)
  t.match(await act('accept', { reference: 'GB-1' }), { status: 200 })
  t.match(await act('assessments', { classification: 'baseline', analyst: 'an-1' }), { status: 200 })
  t.match(await act('actions', { action: 'provider_notified', analyst: 'an-1' }), { status: 200 })
  t.match(await act('actions', { action: 'removed', analyst: 'an-1' }), { status: 200 })
  const about = () => server.messages.filter((message) => message['item'] === item)
  await eventually('all four are there', async () => about().length === 4)
  t.match(
    about().map(({ kind }) => kind),
    ['accept', 'assessment', 'action', 'action'],
  )
  t.match(about()[0], { body: { reference: 'GB-1' }, refs: [/^[A-Za-z0-9_-]{43}$/] })
})

t.test('evidence of a sent and of a received message verifies by foreign code and by our own', async (t) => {
  const env = environmentOf('hotline-gb', { folder: network.folder, port: gb.port, dnsPort: network.dnsPort }, gb.database.url)
  const received = batchOf(toGb, handoffs(7))
  await peer.deliver(received)
  const [item = ''] = await handToLab(3)
  const sentId = String(server.messages.find((message) => message['item'] === item)?.['id'])
  const { root } = networkFiles(network.folder)
  for (const id of [JSON.parse((received.lines[4] as Buffer).toString()).id, sentId]) {
    const text = await printEvidence(env, id)
    const evidence = JSON.parse(text)
    const { proof } = checkEvidence(evidence, directory)
    t.equal(JSON.parse(evidence.message).id, id)
    t.equal(proof['iss'], JSON.parse(evidence.message).author)
    const file = join(network.folder, `${id}.json`)
    await writeFile(file, text)
    t.match(await checkEvidenceFile(file, { directory: networkFiles(network.folder).directory, root }), /^valid {4}handoff/)
    t.throws(() => checkEvidence({ ...evidence, message: evidence.message.replace('"media"', '"medix"') }, directory))
  }
})

t.test('nothing that the node sent was wrong by the protocol, and nothing came twice', (t) => {
  t.same(server.faults, [])
  t.equal(server.repeated, 0)
  t.equal(server.mostAtOnce, 1)
  t.end()
})
