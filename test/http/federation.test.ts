// The calls between nodes: what is checked before the body is read, what reaches the steps, and how refusals are signed and bounded.
import { once } from 'node:events'
import { connect } from 'node:tls'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { CrosslineError } from '#errors.ts'
import { type Asking, ids, startServer } from './test-server.ts'

const node = await startServer()
t.teardown(() => node.close())
const proof = { 'crossline-proof': 'the.proof.token' }
const ndjson = { ...proof, 'content-type': 'application/x-ndjson' }
const lines = Buffer.from(`{"batch":"${ids.batch}","from":"borealis","to":"aurora"}\n{}\n`)

const refused = (code: string, status: number) => ({
  status,
  headers: { 'crossline-error': 'signed.error.token' },
  json: { code, status },
})

t.test('every call reaches its step with method, path, certificate and proof as they came', async (t) => {
  const calls: [string, string, Asking, object, boolean][] = [
    ['POST', '/federation/v1/batches', { body: lines, headers: ndjson }, { receipt: 'a.b.c' }, true],
    ['POST', '/federation/v1/ping', { body: { nonce: 'h0m9Pq7x1Zt4b2Lk' }, headers: proof }, { pong: 'a.b.c' }, false],
    ['GET', '/federation/v1/directory', { headers: proof }, { payload: 'e30' }, false],
    ['GET', '/federation/v1/directory/4', { headers: proof }, { payload: 'e30' }, false],
    ['GET', '/federation/v1/directory/roots/1', { headers: proof }, { payload: 'e30' }, false],
  ]
  for (const [method, path, asking, json, withRoot] of calls) {
    const before = Date.now()
    t.match(await node.ask(method, path, asking), { status: 200, json }, path)
    const call = node.seen.calls.at(-1)
    t.match(call, { method, path, withRoot, proofs: ['the.proof.token'], trace: /^[0-9a-f]{32}$/ })
    t.ok(Buffer.isBuffer(call?.certificate))
    t.ok(Number(call?.arrivedAt) >= before && Number(call?.arrivedAt) <= Date.now())
    const sent = Buffer.isBuffer(asking.body)
      ? asking.body
      : Buffer.from(asking.body === undefined ? '' : JSON.stringify(asking.body))
    t.same(node.seen.bodies.at(-1), sent, 'the digest is checked over exactly what was sent')
  }
  t.match((await node.ask('GET', '/federation/v1/directory', { headers: proof })).headers, {
    'content-type': 'application/jose+json',
  })
})

t.test('a checkpoint is text both ways, and a conflict is a size with the note that shows it', async (t) => {
  const text = { ...proof, 'content-type': 'text/plain; charset=utf-8' }
  const body = Buffer.from('old 0\n\nnote')
  const conflict = await node.ask('POST', '/federation/v1/witness', { body, headers: text })
  t.match(conflict, { status: 409, text: '7\n', headers: { 'content-type': 'text/x.tlog.size' } })
  t.equal(conflict.headers['content-type'], 'text/x.tlog.size', 'as C2SP names it, and nothing behind')
  t.equal(Buffer.from(String(conflict.headers['crossline-checkpoint']), 'base64url').toString(), 'a note')
  t.equal(conflict.headers['crossline-error'], undefined, 'it is an answer, no refusal')
  t.same(node.seen.bodies.at(-1), body, 'the digest is checked over exactly what was sent')
  t.match(node.seen.calls.at(-1), { method: 'POST', path: '/federation/v1/witness', withRoot: false })
  t.match(await node.ask('GET', '/federation/v1/checkpoint', { headers: proof }), { status: 200, text: 'a note' })
  const other = await node.ask('POST', '/federation/v1/witness', { body: { old: 0 }, headers: proof })
  t.match(other, refused('unsupported_media_type', 415))
  const large = await node.ask('POST', '/federation/v1/witness', { body: Buffer.alloc(65_537, 'a'), headers: text })
  t.match(large, refused('too_large', 413))
  const packed = await node.ask('POST', '/federation/v1/witness', { body, headers: { ...text, 'content-encoding': 'gzip' } })
  t.match(packed, refused('unsupported_encoding', 415))
})

t.test('capabilities asks for a certificate only', async (t) => {
  const before = node.seen.calls.length
  t.match(await node.ask('GET', '/federation/v1/capabilities'), { status: 200, json: { capabilities: 'a.b.c' } })
  t.equal(node.seen.calls.length, before)
})

t.test('every proof line is handed on, so that two of them are refused and not joined', async (t) => {
  const answer = await node.ask('GET', '/federation/v1/directory', { headers: { 'crossline-proof': ['one', 'two'] } })
  t.match(answer, refused('malformed_proof', 401))
  t.same(node.seen.calls.at(-1)?.proofs, ['one', 'two'])
  t.equal(node.seen.signed.at(-1)?.proof, undefined)
  t.match(await node.ask('GET', '/federation/v1/directory'), refused('malformed_proof', 401))
})

t.test('a query, even an empty one, and a body on a GET are malformed before anything is admitted', async (t) => {
  const before = node.seen.calls.length
  for (const path of ['/federation/v1/directory?', '/federation/v1/capabilities?a=1', `/federation/v1/receipts/${ids.batch}?x`]) {
    t.match(await node.ask('GET', path, { headers: proof }), refused('malformed_request', 400), path)
  }
  t.match(
    await node.ask('GET', '/federation/v1/directory', { headers: { ...proof, 'content-length': '2' }, body: {} }),
    refused('malformed_request', 400),
  )
  t.match(
    await node.ask('GET', '/federation/v1/directory', { headers: { ...proof, 'transfer-encoding': 'chunked' }, body: {} }),
    refused('malformed_request', 400),
  )
  t.equal(node.seen.calls.length, before)
})

t.test('what this version of the node does not serve is not found, whatever the method, and nothing is admitted', async (t) => {
  const before = node.seen.calls.length
  const paths = [
    'directory/pulse',
    'directory/announce',
    'directory/0',
    'directory/roots/first',
    'directory/1/',
    'roots',
    'nothing/here',
    '',
  ]
  for (const path of paths) {
    for (const method of ['GET', 'POST'])
      t.match(
        await node.ask(method, `/federation/v1/${path}`, { headers: proof }),
        refused('not_found', 404),
        `${method} ${path}`,
      )
  }
  t.equal(node.seen.calls.length, before)
})

t.test('a refused proof is answered before the body has arrived', async (t) => {
  const socket = connect(node.connection())
  await once(socket, 'secureConnect')
  socket.write(
    'POST /federation/v1/batches HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\nContent-Length: 4000000\r\n\r\n',
  )
  t.match(String((await once(socket, 'data'))[0]), /^HTTP\/1.1 401 [\s\S]*malformed_proof/)
  socket.destroy()
})

t.test('the digest is checked before a body is read as JSON, and before its schema', async (t) => {
  const headers = { 'crossline-proof': 'other-bytes', 'content-type': 'application/json' }
  for (const body of ['{', '{}', ''])
    t.match(await node.ask('POST', '/federation/v1/ping', { headers, body: Buffer.from(body) }), refused('digest_mismatch', 400))
  t.match(
    await node.ask('GET', `/federation/v1/receipts/${ids.batch}`, { headers: { 'crossline-proof': 'other-bytes' } }),
    refused('digest_mismatch', 400),
  )
  t.match(
    await node.ask('POST', '/federation/v1/ping', {
      headers: { ...proof, 'content-type': 'application/json' },
      body: Buffer.from('{"nonce":1,"nonce":2}'),
    }),
    refused('malformed_request', 400),
  )
  t.match(await node.ask('POST', '/federation/v1/ping', { headers: proof, body: { nonce: 'short' } }), {
    ...refused('schema_invalid', 422),
    json: { pointer: '/nonce' },
  })
})

t.test('batches are NDJSON, plain or gzip, of at most 4 MiB', async (t) => {
  let gzip: boolean | undefined
  const peer = await startServer({
    steps: {
      receiveBatch: async (_call, body) => {
        gzip = body.gzip
        return { receipt: 'a.b.c' }
      },
    },
  })
  t.teardown(() => peer.close())
  const send = (headers: Record<string, string>, body = lines) =>
    peer.ask('POST', '/federation/v1/batches', { headers: { ...ndjson, ...headers }, body })
  for (const [encoding, expected] of [
    ['gzip', true],
    ['GZIP', true],
    ['identity', false],
  ] as const) {
    t.equal((await send({ 'content-encoding': encoding }, gzipSync(lines))).status, 200)
    t.equal(gzip, expected)
  }
  for (const encoding of ['br', 'deflate', 'gzip, gzip', 'x-gzip', ''])
    t.match(await send({ 'content-encoding': encoding }), refused('unsupported_encoding', 415), encoding)
  for (const type of ['application/json', 'text/plain', 'application/ndjson'])
    t.match(await send({ 'content-type': type }), refused('unsupported_media_type', 415), type)
  t.equal((await send({}, Buffer.alloc(4 * 1024 * 1024))).status, 200)
  t.match(await send({}, Buffer.alloc(4 * 1024 * 1024 + 1)), refused('too_large', 413))
  t.match(
    await peer.ask('POST', '/federation/v1/ping', {
      body: gzipSync('{}'),
      headers: { ...proof, 'content-type': 'application/json', 'content-encoding': 'gzip' },
    }),
    refused('unsupported_encoding', 415),
  )
})

t.test('errors of the federation are signed over what was refused, those of the hotline API are not', async (t) => {
  t.match(await node.ask('GET', `/federation/v1/receipts/${ids.batch}`, { headers: proof }), refused('not_found', 404))
  t.match(node.seen.signed.at(-1), { code: 'not_found', status: 404, proof: 'the.proof.token', certificate: Buffer })
  t.match(await node.ask('GET', '/federation/v1/nothing', { headers: proof }), refused('not_found', 404))
  t.match(await node.ask('PUT', '/federation/v1/ping', { headers: proof }), refused('method_not_allowed', 405))
  t.match(await node.ask('POST', '/federation/v1/directory/4', { headers: proof }), {
    ...refused('method_not_allowed', 405),
    headers: { allow: 'GET' },
  })
  t.match(await node.ask('POST', '/federation/v9/batches', { headers: proof }), refused('version_unsupported', 426))
  t.match(await node.ask('GET', '/federation/v1/%zz', { headers: proof }), refused('malformed_request', 400))
  t.equal((await node.ask('GET', '/v1/nothing')).headers['crossline-error'], undefined)
})

t.test('a wait that is asked for stands in the header and in the signature', async (t) => {
  const busy = await startServer({
    steps: {
      admitCall: () => {
        throw new CrosslineError('overloaded', { retryAfterS: 7 })
      },
    },
  })
  t.teardown(() => busy.close())
  t.match(await busy.ask('GET', '/federation/v1/directory', { headers: proof }), {
    ...refused('overloaded', 503),
    headers: { 'retry-after': '7' },
  })
  t.match(busy.seen.signed, [{ code: 'overloaded', retryAfterS: 7 }])
  t.same(busy.seen.refusals, [], 'what the node could not do is no refusal')
})

t.test('an error that cannot be signed is answered without a signature', async (t) => {
  const mute = await startServer({ steps: { signError: () => Promise.reject(new Error('no key')) } })
  t.teardown(() => mute.close())
  const answer = await mute.ask('GET', '/federation/v1/directory')
  t.match(answer, { status: 401, json: { code: 'malformed_proof' } })
  t.equal(answer.headers['crossline-error'], undefined)
})

t.test('after too many refusals a certificate gets unsigned 429s until the window ends, and others are served', async (t) => {
  let now = Date.now()
  const bounded = await startServer({ limits: { refusals: 5 }, now: () => new Date(now) })
  t.teardown(() => bounded.close())
  const ask = (as = bounded.roles.hotline) => bounded.ask('GET', '/federation/v1/directory', { as })
  for (let count = 0; count < 5; count++) t.equal((await ask()).status, 401)
  const flooded = await ask()
  t.match(flooded, { status: 429, json: { code: 'rate_limited' }, headers: { 'retry-after': /^\d+$/ } })
  t.equal(flooded.headers['crossline-error'], undefined)
  t.equal(bounded.seen.signed.length, 5)
  t.equal(bounded.seen.calls.length, 5, 'no more proofs are looked at')
  t.equal((await ask(bounded.roles.liaison)).status, 401)
  now += 11_000
  t.equal((await ask()).status, 401)
})

t.test('asking in good order for what is not held is no flood; without a proof it is', async (t) => {
  const bounded = await startServer({ limits: { refusals: 5 } })
  t.teardown(() => bounded.close())
  const receipt = `/federation/v1/receipts/${ids.batch}`
  for (let count = 0; count < 10; count++)
    t.match(await bounded.ask('GET', receipt, { headers: proof }), refused('not_found', 404))
  for (let count = 0; count < 5; count++) await bounded.ask('GET', '/federation/v1/nothing')
  t.match(await bounded.ask('GET', receipt, { headers: proof }), { status: 429 })
})
