// What bad bytes of a batch get: the whole batch refused by exactly the protocol's code and nothing stored, or one exception for one message
// while the others are stored. After each the next good batch is taken.
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { createNetwork, type Member } from '../network.ts'
import { makeClock, newId, readDirectory, readIdentity, rootOf, sha256 } from '../peer.ts'
import { type Call, openPeer, type PeerAnswer } from '../peer-client.ts'
import { type Batch, batchOf, type Change, handoffOf, lineOf, messageOf } from '../peer-messages.ts'
import { change } from './bent-proofs.ts'

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
const lab = openPeer({ identity: readIdentity(network.folder, 'lab'), node: gb, directory: () => directory, clock })
const toGb = { from: 'lab', to: 'hotline-gb' }
const mib = 1024 * 1024

const handoffs = (count: number): Change[] => Array.from({ length: count }, () => handoffOf(toGb))
const itemOf = (id: unknown) => gb.call('hotline', 'GET', `/v1/items/${id}`)

async function countStored(): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select ((select count(*) from message) + (select count(*) from inbound_batch) + (select count(*) from item))::int as count`.execute(
    gb.database.database,
  )
  return rows[0]?.count ?? -1
}

async function takesGood(t: Test, after: string): Promise<void> {
  const batch = batchOf(toGb, handoffs(1).map(lineOf))
  t.match(lab.readReceipt(await lab.deliver(batch), batch), { exceptions: [] }, `${after}: the next good batch is stored`)
}

interface Refusal {
  code: string
  status: number
  answer: () => Promise<PeerAnswer>
}

async function refusesWhole(t: Test, name: string, { code, status, answer }: Refusal): Promise<void> {
  const before = await countStored()
  const refusal = await answer()
  t.match(refusal, { status, json: { code, status } }, `${name}: ${code}`)
  t.match(lab.readError(refusal), { aud: 'lab', code })
  t.equal(await countStored(), before, `${name}: nothing is stored`)
  clock.advance(1000)
  await takesGood(t, name)
}

/** A batch whose body is given as it is; the proof signs the lines that it pretends to hold. */
const raw =
  (body: Buffer | string, lines: readonly Buffer[], call: Call = {}) =>
  () =>
    lab.deliver({ id: newId(), lines: [...lines], body: Buffer.from(body) }, call)

t.test('bytes that are not the signed ones are refused, whatever they say', async (t) => {
  const batch = batchOf(toGb, handoffs(3).map(lineOf))
  const changed = Buffer.from(batch.body)
  changed[200] = (changed[200] ?? 0) ^ 1
  const dig = sha256(batch.body)
  const cases: [string, () => Promise<PeerAnswer>][] = [
    ['one bit changed', raw(changed, batch.lines, { claims: change({ dig }) })],
    ['one byte more', raw(`${batch.body} `, batch.lines, { claims: change({ dig }) })],
    ['nothing', raw('', batch.lines, { claims: change({ dig }) })],
    ['another root', () => lab.deliver(batch, { claims: change({ root: rootOf(batch.lines.slice(1)) }) })],
    ['another size', () => lab.deliver(batch, { claims: change({ size: 2 }) })],
    ['lines in another order', raw(batchOf(toGb, batch.lines.toReversed()).body, batch.lines)],
  ]
  for (const [name, answer] of cases) await refusesWhole(t, name, { answer, code: 'digest_mismatch', status: 400 })
})

t.test('compression that is broken, followed by more, or of another kind is refused', async (t) => {
  const batch = batchOf(toGb, handoffs(2).map(lineOf))
  const good = gzipSync(batch.body)
  const as = (encoding: string) => ({ headers: { 'content-encoding': encoding } })
  const flipped = Buffer.from(good)
  flipped[30] = (flipped[30] ?? 0) ^ 0xff
  const broken: [string, Buffer][] = [
    ['plain text', batch.body],
    ['cut off', good.subarray(0, -9)],
    ['a changed byte', flipped],
    ['bytes after the end', Buffer.concat([good, Buffer.from('more')])],
    ['zeros after the end', Buffer.concat([good, Buffer.alloc(8)])],
    ['nothing', Buffer.alloc(0)],
  ]
  for (const [name, body] of broken)
    await refusesWhole(t, name, { answer: raw(body, batch.lines, as('gzip')), code: 'broken_compression', status: 422 })
  for (const [encoding, body] of [
    ['deflate', deflateSync(batch.body)],
    ['br', brotliCompressSync(batch.body)],
    ['gzip, gzip', gzipSync(good)],
  ] as const)
    await refusesWhole(t, encoding, { answer: raw(body, batch.lines, as(encoding)), code: 'unsupported_encoding', status: 415 })
})

t.test('a batch of two gzip members is one batch', async (t) => {
  const batch = batchOf(toGb, handoffs(2).map(lineOf))
  const body = Buffer.concat([gzipSync(batch.body.subarray(0, 500)), gzipSync(batch.body.subarray(500))])
  const answer = await lab.deliver({ ...batch, body }, { headers: { 'content-encoding': 'gzip' } })
  t.match(lab.readReceipt(answer, batch), { exceptions: [] })
})

/** A batch of exactly so many bytes, filled up with a line of blanks. */
function batchOfBytes(bytes: number): Batch {
  const lines = handoffs(1).map(lineOf)
  const bare = batchOf(toGb, [...lines, Buffer.alloc(0)])
  return batchOf(toGb, [...lines, Buffer.alloc(bytes - bare.body.length, ' ')], bare.id)
}

t.test('bytes beyond the limits are refused, sent or inflated, and those at the limit are read', async (t) => {
  const bomb = batchOfBytes(16 * mib + 1)
  const gzip = { headers: { 'content-encoding': 'gzip' } }
  await refusesWhole(t, 'a bomb', { answer: raw(gzipSync(bomb.body), bomb.lines, gzip), code: 'too_large', status: 413 })
  const large = batchOfBytes(4 * mib + 1)
  await refusesWhole(t, '4 MiB + 1', { answer: raw(large.body, large.lines), code: 'too_large', status: 413 })
  const unnamed = { headers: { 'transfer-encoding': 'chunked', 'content-length': [] } }
  await refusesWhole(t, 'more, without a length', {
    answer: raw(large.body, large.lines, unnamed),
    code: 'too_large',
    status: 413,
  })
  for (const [name, batch, body, call] of [
    ['4 MiB', batchOfBytes(4 * mib), undefined, {}],
    ['16 MiB', batchOfBytes(16 * mib), 'gzip', gzip],
  ] as const) {
    const answer = await lab.deliver({ ...batch, body: body ? gzipSync(batch.body) : batch.body }, call)
    t.match(lab.readReceipt(answer, batch)['exceptions'], [{ index: 1, id: null, status: 'rejected', code: 'too_large' }], name)
  }
})

t.test('lines that are not of their form, no message, and one message too many are refused', async (t) => {
  const batch = batchOf(toGb, handoffs(2).map(lineOf))
  const text = batch.body.toString()
  const bodies: [string, string][] = [
    ['a carriage return', text.replaceAll('\n', '\r\n')],
    ['a carriage return inside', text.replace('"kind"', '\r"kind"')],
    ['an empty line at the beginning', `\n${text}`],
    ['an empty line between', text.replace('\n', '\n\n')],
    ['an empty line at the end', `${text}\n`],
    ['a byte order mark', `\ufeff${text}`],
    ['no line at all', '\n'],
    ['nothing', ''],
    ['no message', `${text.split('\n')[0]}\n`],
  ]
  for (const [name, body] of bodies)
    await refusesWhole(t, name, { answer: raw(body, batch.lines), code: 'malformed_request', status: 400 })
  const many = batchOf(
    toGb,
    Array.from({ length: 1001 }, () => Buffer.from('{}')),
  )
  await refusesWhole(t, '1,001 messages', { answer: () => lab.deliver(many), code: 'too_large', status: 413 })
})

t.test('an envelope that is not exactly one, or is between others, is refused', async (t) => {
  const lines = handoffs(1).map(lineOf)
  const batch = newId()
  const withEnvelope = (envelope: string) => raw([envelope, ...lines].join('\n'), lines)
  const malformed = ['{"batch":', 'batch', `{"batch":"${batch}","batch":"${batch}","from":"lab","to":"hotline-gb"}`]
  for (const envelope of malformed)
    await refusesWhole(t, envelope.slice(0, 12), { answer: withEnvelope(envelope), code: 'malformed_request', status: 400 })
  const invalid: Record<string, object> = {
    'no batch': toGb,
    'an id of another kind': { batch: '0b2a9ab4-5d6e-4f80-9a1b-2c3d4e5f6071', ...toGb },
    'an id in upper case': { batch: batch.toUpperCase(), ...toGb },
    'one field more': { batch, ...toGb, at: 1 },
    'from another': { batch, from: 'hotline-se', to: 'hotline-gb' },
    'to another': { batch, from: 'lab', to: 'hotline-se' },
  }
  for (const [name, envelope] of Object.entries(invalid))
    await refusesWhole(t, name, { answer: withEnvelope(JSON.stringify(envelope)), code: 'schema_invalid', status: 422 })
})

t.test('another content type is refused, and a batch is never a GET', async (t) => {
  const batch = batchOf(toGb, handoffs(1).map(lineOf))
  for (const type of ['application/json', 'text/plain'])
    await refusesWhole(t, type, {
      answer: () => lab.deliver(batch, { headers: { 'content-type': type } }),
      code: 'unsupported_media_type',
      status: 415,
    })
})

t.test('a batch id with other messages is a conflict, and the first batch stays what it was', async (t) => {
  const first = batchOf(toGb, handoffs(2).map(lineOf))
  const answer = await lab.deliver(first)
  const second = batchOf(toGb, handoffs(2).map(lineOf), first.id)
  await refusesWhole(t, 'other messages', { answer: () => lab.deliver(second), code: 'batch_conflict', status: 409 })
  t.same((await lab.deliver(first)).bytes, answer.bytes)
})

/** Delivers messages and gives the exceptions of the receipt. */
async function exceptionsOf(lines: readonly (Change | Buffer)[]): Promise<unknown> {
  const batch = batchOf(
    toGb,
    lines.map((line) => (Buffer.isBuffer(line) ? line : lineOf(line))),
  )
  return lab.readReceipt(await lab.deliver(batch), batch)['exceptions']
}

const bendLine = (from: string, to: string): Buffer => Buffer.from(JSON.stringify(handoffOf(toGb)).replace(from, to))
const ext = (json: string): Buffer => bendLine('"ext":{}', `"ext":${json}`)

t.test('one bad message among a hundred is one exception, and the others are stored', async (t) => {
  const lines = handoffs(100)
  const bad: Change = { ...lines[41], kind: 'telepathy' }
  const good = lines.filter((_, index) => index !== 41)
  t.same(await exceptionsOf(lines.with(41, bad)), [{ index: 41, id: bad['id'], status: 'rejected', code: 'unknown_kind' }])
  const states = await Promise.all(good.map(async ({ item }) => (await itemOf(item)).body.state))
  t.same(new Set(states), new Set(['delivered']))
  t.equal((await itemOf(bad['item'])).status, 404)
  t.same(await exceptionsOf([lines[41] as Change]), [], 'a rejected id stays free')
})

t.test('a line that is no I-JSON is rejected without an id', async (t) => {
  const lines = [
    Buffer.from('{'),
    Buffer.from('[]'),
    Buffer.from('null'),
    Buffer.from('{"id":"\xff"}', 'latin1'),
    bendLine('{', '{"id":"x",'),
    bendLine('"ext":{}', '"ext":{"a":1,"\\u0061":2}'),
    ext('{"a":"\\ud800"}'),
    ext('{"a":"\\u0000"}'),
    ext('{"a":9007199254740993}'),
    ext('{"a":1.5}'),
    ext('{"a":1e2}'),
    bendLine('"kind"', ' \t"kind" :01,"kin"'),
  ]
  const rejected = lines.map((_, index) => ({ index, id: null, status: 'rejected', code: 'schema_invalid' }))
  t.same(await exceptionsOf(lines), rejected)
  await takesGood(t, 'no I-JSON')
})

t.test('each message that breaks a rule is rejected by the name of the rule, all in one batch', async (t) => {
  const held = handoffOf(toGb)
  t.same(await exceptionsOf([held]), [])
  const more = (message: Change, item: Change = {}, report: Change = {}) => handoffOf(toGb, { message, item, report })
  const about = (kind: string, body: object) => messageOf(toGb, kind, body, { item: held['item'] })
  const abroad = { hostingCountry: 'SE', assignedCountry: 'SE' }
  const twice = handoffOf(toGb)
  const cases: [string, Change | Buffer, Change][] = [
    ['a field too many', more({ extra: 1 }), { code: 'schema_invalid' }],
    ['no handling', more({ handling: undefined }), { code: 'schema_invalid' }],
    ['an id of another kind', more({ id: '0b2a9ab4-5d6e-4f80-9a1b-2c3d4e5f6071' }), { code: 'schema_invalid' }],
    ['a body of another kind', messageOf(toGb, 'handoff', { reason: 'x' }), { code: 'schema_invalid' }],
    ['media in the body', more({}, { url: 'data:image/png;base64,AAAA' }), { code: 'schema_invalid' }],
    ['an URL that is not canonical', more({}, { url: 'https://EXAMPLE.example/' }), { code: 'schema_invalid' }],
    ['an item that is not the message’s', more({ item: newId() }), { code: 'schema_invalid' }],
    ['a via that ends elsewhere', more({}, { via: ['lab', 'hotline-se'] }), { code: 'schema_invalid' }],
    ['a via that comes back', more({}, { via: ['lab', 'hotline-se', 'lab'] }), { code: 'schema_invalid' }],
    ['a day that does not exist', more({ createdAt: '2026-02-30T10:00:00.000Z' }), { code: 'schema_invalid' }],
    ['64 KiB and a byte', more({ ext: { a: 'x'.repeat(65_536) } }), { code: 'too_large' }],
    ['another author', more({ author: 'hotline-se' }), { code: 'wrong_author' }],
    ['another receiver', more({ to: 'hotline-se' }), { code: 'wrong_receiver' }],
    ['an unknown kind', about('telepathy', {}), { code: 'unknown_kind' }],
    ['an extension that must be understood', more({ ext: { seal: 1 }, crit: ['seal'] }), { code: 'unknown_crit' }],
    ['another message under a stored id', more({ id: held['id'] }), { code: 'id_conflict' }],
    ['an item that is here', more({ item: held['item'] }, { id: held['item'] }), { code: 'wrong_state' }],
    ['an act of one that is not the owner', about('accept', { reference: 'X' }), { code: 'not_owner' }],
    ['an item of another country', more({}, abroad), { code: 'not_responsible', member: 'hotline-se' }],
    ['a country of nobody', more({}, { hostingCountry: 'BT', assignedCountry: 'BT' }), { code: 'not_responsible' }],
    ['an origin that did not hand over', more({}, {}, { origin: 'hotline-se' }), { code: 'bad_origin' }],
    ['a good one', twice, {}],
    ['the same again', twice, { status: 'duplicate', at: Number }],
    ['a good one after all', more({ ext: { note: 'may be ignored' } }), {}],
  ]
  const wanted = cases.flatMap(([, line, facts], index) =>
    Object.keys(facts).length === 0
      ? []
      : [{ index, id: Buffer.isBuffer(line) ? null : line['id'], status: 'rejected', ...facts }],
  )
  const exceptions = (await exceptionsOf(cases.map(([, line]) => line))) as { index: number }[]
  for (const [index, [name]] of cases.entries()) {
    const is = exceptions.filter((exception) => exception.index === index)
    t.match(
      is,
      wanted.filter((exception) => exception.index === index),
      name,
    )
    t.equal(is.length, wanted.filter((exception) => exception.index === index).length, name)
  }
  t.match((await itemOf(held['item'])).body, { state: 'delivered', owner: 'hotline-gb' }, 'what was held is as it was')
  const { rows } = await sql<{ count: number }>`
    select sum(count)::int as count from security_event where code = 'id_conflict'`.execute(gb.database.database)
  t.same(rows, [{ count: 1 }], 'an id under two contents is an alarm')
})

t.test('a message that was stored in another batch is a duplicate, with the time of its first storing', async (t) => {
  const line = handoffOf(toGb)
  t.same(await exceptionsOf([line]), [])
  t.match(await exceptionsOf([line, handoffOf(toGb)]), [{ index: 0, id: line['id'], status: 'duplicate', at: Number }])
  t.same(await exceptionsOf([line]), await exceptionsOf([line]))
})
