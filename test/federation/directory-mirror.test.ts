// The directory as the network brings it to a node: newer ones are followed, lies are kept as evidence, old ones refused, and an expired one
// stops the exchange loudly until a newer is there.
import { cp, rm } from 'node:fs/promises'
import t, { type Test } from 'tap'
import { authorDevNetwork } from '#commands/office-dev-network.ts'
import { createNetwork, eventually, type Member, reportOf } from '../network.ts'
import { makeClock, openDirectory, portOf, type ReadDirectory, readDirectory, readIdentity, sha256 } from '../peer.ts'
import { openPeer } from '../peer-client.ts'
import { batchOf, handoffOf, lineOf } from '../peer-messages.ts'
import { startPeerServer } from '../peer-server.ts'
import { change } from './bent-proofs.ts'

const hosts = ['localhost', '127.0.0.1']
const members: Member[] = [
  { id: 'hotline-gb', name: 'GB', countries: ['GB'], hosts },
  { id: 'lab', name: 'Laboratory', countries: ['PH'], hosts, runs: false },
]
const clock = makeClock()
const network = await createNetwork(t, { members, now: clock.now })
const gb = network.get('hotline-gb')
const first = readDirectory(network.folder)
// The office of the network, where the node's own file does not change: what it publishes comes by way of peers only.
const office = `${network.folder}-office`
await cp(network.folder, office, { recursive: true })
t.teardown(() => rm(office, { recursive: true, force: true }))

const identity = readIdentity(network.folder, 'lab')
const lab = openPeer({ identity, node: gb, directory: () => first, clock })
const server = await startPeerServer(t, {
  identity,
  port: portOf(first, 'lab'),
  clock,
  directory: () => first,
  node: 'hotline-gb',
})
let served = first.bytes
/** What the peer serves as earlier versions. */
const earlier = new Map<string, Buffer>()
let fetched = 0
server.misbehave = (call, response) => {
  const isLatest = call.path === '/federation/v1/directory'
  const bytes = isLatest ? served : earlier.get(call.path)
  if (!bytes) return false
  if (isLatest) fetched++
  response.writeHead(200, { 'content-type': 'application/jose+json' }).end(bytes)
  return true
}

/** Publishes a directory after another one; `name` makes it differ. */
async function author(previous: { version: number; hash: string }, name = 'Laboratory'): Promise<ReadDirectory> {
  const described = first.document.members.map((member: { id: string; endpoints: { url: string }[] }) => ({
    ...member,
    ...(member.id === 'lab' ? { name } : {}),
    url: member.endpoints[0]?.url,
  }))
  const { directory } = await authorDevNetwork({
    folder: office,
    members: described,
    routes: first.document.routes,
    previous,
    now: clock.now(),
  })
  return openDirectory(directory.bytes)
}

const statusOf = async () => (await gb.call('operator', 'GET', '/operations/v1/status')).body
const heldAt = async () => {
  const { version, hash } = (await statusOf()).directory
  return { version, hash }
}
const viewOf = ({ version, hash }: { version: number; hash: string }) => ({ version, hash })

/** The peer's call names the directory that it holds; the node then looks at what the peer serves. */
async function show(t: Test, directory: ReadDirectory): Promise<void> {
  served = directory.bytes
  // A peer is heard on this once a minute.
  clock.advance(61_000)
  const before = fetched
  const answer = await lab.ping({ claims: change({ dir: `${directory.version}:${directory.hash}` }) })
  t.equal(answer.status, 200, 'another view is never a reason to refuse')
  await eventually('the node asks for it', async () => fetched > before)
}

/** Waits for the line by which the node tells what it thinks of a directory. */
const told = (what: RegExp, since: number) =>
  eventually(String(what), async () => gb.logLines.slice(since).some((line) => what.test(line)))

let second: ReadDirectory
/** The one before. */
let earlierOne = first

t.test('a newer directory is fetched from a peer that names it, held, and served on as it came', async (t) => {
  second = await author(first)
  await show(t, second)
  await eventually('it is held', async () => (await heldAt()).version === second.version)
  t.same(await heldAt(), viewOf(second))
  t.same((await lab.get('/federation/v1/directory')).bytes, second.bytes)
  t.same((await lab.get(`/federation/v1/directory/${first.version}`)).bytes, first.bytes)
})

t.test('a caller with an older directory is answered, and told which one there is', async (t) => {
  const older = { claims: change({ dir: `${first.version}:${first.hash}` }) }
  const named = { 'crossline-directory': `${second.version}:${second.hash}` }
  t.match(await lab.ping(older), { status: 200, headers: named })
  t.match(await lab.get('/federation/v1/directory/99', older), { status: 404, headers: named }, 'with a refusal too')
  const same = await lab.ping({ claims: change({ dir: `${second.version}:${second.hash}` }) })
  t.equal(same.headers['crossline-directory'], undefined)
})

t.test('a newer directory that a peer names in its answer is fetched from it', async (t) => {
  const third = await author(second)
  const before = fetched
  const good = server.misbehave
  served = third.bytes
  clock.advance(61_000)
  server.misbehave = (call, response, peer) => {
    response.setHeader('crossline-directory', `${third.version}:${third.hash}`)
    return good?.(call, response, peer) ?? false
  }
  const statedCountry = { country: 'PH', by: 'an-1', reason: 'seen there' }
  await gb.call('hotline', 'POST', '/v1/reports', reportOf([{ contentType: 'media', statedCountry }]))
  await eventually('it is held', async () => (await heldAt()).version === third.version)
  t.ok(fetched > before)
  server.misbehave = good
  earlierOne = second
  second = third
})

t.test('the same directory, only wrapped anew, convicts nobody', async (t) => {
  const outer = JSON.parse(second.bytes.toString())
  const bytes = Buffer.from(JSON.stringify({ ...outer, signatures: outer.signatures.toReversed() }))
  await show(t, { ...second, bytes, hash: sha256(bytes) })
  t.same(await gb.database.database.selectFrom('directory_conflict').select('number').execute(), [])
})

t.test('another directory under the same version is an alarm and evidence; the old one stays', async (t) => {
  const since = gb.logLines.length
  const twin = await author(earlierOne, 'Another laboratory')
  t.equal(twin.version, second.version)
  await show(t, twin)
  await told(/"code":"equivocation"/, since)
  t.same(await heldAt(), viewOf(second))
  t.same((await lab.get('/federation/v1/directory')).bytes, second.bytes)
  await show(t, twin)
  const conflicts = await gb.database.database
    .selectFrom('directory_conflict')
    .select(['kind', 'number', 'held_hash', 'other_hash', 'other_bytes', 'received_from'])
    .execute()
  const evidence = { held_hash: second.hash, other_hash: twin.hash, received_from: 'lab', kind: 'directory' }
  t.match(
    conflicts.map(({ other_bytes: _bytes, ...facts }) => facts),
    [evidence],
  )
  const events = (await statusOf()).securityEvents.filter(({ code }: { code: string }) => code === 'equivocation')
  t.match(events, [{ code: 'equivocation', count: 1 }], 'told to the operator once')
  t.same(conflicts[0]?.other_bytes, twin.bytes, 'the bytes that convict')
})

t.test('an older one, one that follows on another, and one too far ahead are not followed', async (t) => {
  const cases: [RegExp, ReadDirectory][] = [
    [/"reason":"rollback"/, { ...first, version: 99 }],
    [/"reason":"wrong_previous"/, await author({ version: second.version, hash: sha256('another') })],
    [/"decision":"needs_person"/, await author({ version: 5000, hash: sha256('another') })],
  ]
  for (const [what, directory] of cases) {
    const since = gb.logLines.length
    await show(t, directory)
    await told(what, since)
    t.same(await heldAt(), viewOf(second))
  }
})

t.test('one that too few officers signed, that was changed, or that is none at all is not followed', async (t) => {
  const third = await author(second)
  const outer = JSON.parse(third.bytes.toString())
  const [one] = outer.signatures
  const payload = JSON.parse(Buffer.from(outer.payload, 'base64url').toString())
  const changed = Buffer.from(JSON.stringify({ ...payload, members: payload.members.slice(0, 1) })).toString('base64url')
  const wrong: Record<string, string> = {
    'one officer': JSON.stringify({ ...outer, signatures: [one] }),
    'one officer twice': JSON.stringify({ ...outer, signatures: [one, one] }),
    'a changed payload': JSON.stringify({ ...outer, payload: changed }),
    'a root': JSON.stringify({ ...outer, signatures: [] }),
    HTML: '<html>',
    nothing: '',
  }
  for (const [name, text] of Object.entries(wrong)) {
    const since = gb.logLines.length
    await show(t, { ...third, bytes: Buffer.from(text) })
    await told(/does not verify/, since)
    t.same(await heldAt(), viewOf(second), name)
  }
})

t.test('what was held before a restart is held after it, and the operator’s older file does not take it back', async (t) => {
  await gb.stop()
  await gb.start()
  t.same(await heldAt(), viewOf(second))
})

t.test('an expired directory stops the exchange, both ways and visibly, and a newer one starts it again', async (t) => {
  served = second.bytes
  const statedCountry = { country: 'PH', by: 'an-1', reason: 'seen there' }
  const submit = () => gb.call('hotline', 'POST', '/v1/reports', reportOf([{ contentType: 'media', statedCountry }]))
  const lastError = async () =>
    (await gb.database.database.selectFrom('peer').select('last_error').executeTakeFirst())?.last_error
  await server.close()
  const early = await submit()
  await eventually('it waits for the peer', async () => (await lastError()) === 'refused')
  await server.open()
  clock.advance(31 * 24 * 3_600_000)
  const refusal = await lab.ping()
  t.match(refusal, { status: 503, json: { code: 'maintenance' }, headers: { 'retry-after': /^\d+$/ } })
  t.match(lab.readError(refusal), { code: 'maintenance', retryAfter: Number, aud: 'lab' })
  const batch = batchOf({ from: 'lab', to: 'hotline-gb' }, [lineOf(handoffOf({ from: 'lab', to: 'hotline-gb' }))])
  t.match(await lab.deliver(batch), { status: 503, json: { code: 'maintenance' } })
  t.match(await lab.get('/federation/v1/capabilities'), { status: 503 })
  const late = await submit()
  t.equal(late.status, 201, 'intake goes on')
  await eventually('what waited is not sent', async () => (await lastError()) === 'directory_expired')
  t.ok(Date.parse((await statusOf()).directory.expires) < clock.now().getTime())
  const { host, port } = gb.node().health
  const ready = await fetch(`http://${host}:${port}/health/ready`)
  t.match([ready.status, await ready.text()], [503, /directory_expired/])
  const batches = () => server.calls.filter((call) => call.batch)
  const before = batches().length

  const fresh = await author(second)
  served = fresh.bytes
  await eventually('the newer one is held', async () => (await heldAt()).version === fresh.version)
  const views = batches()
    .slice(before)
    .map(({ claims }) => claims['dir'])
  t.ok(
    views.every((view) => view === `${fresh.version}:${fresh.hash}`),
    'nothing was sent under the expired one',
  )
  t.equal((await lab.deliver(batch)).status, 200)
  for (const { body } of [early, late])
    await eventually('what waited is sent', async () => {
      const item = await gb.call('hotline', 'GET', `/v1/items/${body.items[0].id}`)
      return item.body.state === 'delivered'
    })
  // A call that was under way while the clock of this test leapt a month is stale by that alone.
  t.same(
    server.faults.filter((fault) => fault !== 'the proof is not fresh'),
    [],
  )
})

t.test(
  'a version that a mirror wrapped anew is followed by the next, which a peer shows to follow on the same content',
  async (t) => {
    const { version, hash } = await heldAt()
    const fourth = await author({ version, hash })
    const bytes = Buffer.from(` ${fourth.bytes}`)
    const wrapped = { ...fourth, bytes, hash: sha256(bytes) }
    await show(t, wrapped)
    await eventually('the wrapped one is held', async () => (await heldAt()).hash === wrapped.hash)
    const fifth = await author(fourth)
    earlier.set(`/federation/v1/directory/${fourth.version}`, fourth.bytes)
    await show(t, fifth)
    await eventually('the next is held', async () => (await heldAt()).hash === fifth.hash)
  },
)

t.test('a peer that names versions it does not have makes the node ask once, and nobody else for it', async (t) => {
  const held = await heldAt()
  clock.advance(61_000)
  const before = fetched
  for (let count = 0; count < 40; count++) {
    const answer = await lab.ping({ claims: change({ dir: `${held.version + 5}:${sha256('none')}` }) })
    t.equal(answer.status, 200)
  }
  await eventually('it is asked', async () => fetched > before)
  t.ok(fetched - before <= 3, 'once for what it said, and as often as anybody is asked by the clock')
})
