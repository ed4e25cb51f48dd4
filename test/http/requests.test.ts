// What HTTP itself can get wrong: paths, methods, types, sizes, encodings, headers, and the trace that every answer carries.
import { once } from 'node:events'
import { connect } from 'node:tls'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { bodyOf, ids, startServer } from './test-server.ts'

const node = await startServer({ limits: { reportBytes: 20_000, jsonBytes: 2000, headersTimeoutMs: 300, requestTimeoutMs: 600 } })
t.teardown(() => node.close())
const accept = `/v1/items/${ids.item}/accept`

/** Sends bytes as they are and gives everything that comes back until the server closes. */
async function sendRaw(bytes: string): Promise<string> {
  const socket = connect(node.connection())
  socket.on('error', () => {})
  await once(socket, 'secureConnect')
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk
  })
  socket.write(bytes)
  await once(socket, 'close')
  return text
}

t.test('an unknown path is not found, and a wrong method is told the right ones', async (t) => {
  for (const path of [
    '/',
    '/v1',
    '/V1/items',
    '/v1/items/x/y',
    '/federation/v1',
    '/federation/v1/nothing',
    '/federation/',
    '/federation/v01/ping',
  ]) {
    t.match(await node.ask('GET', path), { status: 404, json: { code: 'not_found' } }, path)
  }
  const wrong: [string, string, string][] = [
    ['DELETE', `/v1/items/${ids.item}`, 'GET'],
    ['PUT', '/v1/items', 'GET'],
    ['GET', '/v1/reports', 'POST'],
    ['HEAD', '/v1/items', 'GET'],
    ['OPTIONS', '/v1/items', 'GET'],
    ['GET', '/federation/v1/batches', 'POST'],
    ['POST', '/federation/v1/directory/3', 'GET'],
    ['POST', '/audit/v1/entries', 'GET'],
  ]
  for (const [method, path, allow] of wrong)
    t.match(await node.ask(method, path), { status: 405, headers: { allow } }, `${method} ${path}`)
})

t.test('another version of the protocol is refused as such', async (t) => {
  for (const path of ['/federation/v2/batches', '/federation/v0/ping', '/federation/v10', '/federation/v2']) {
    t.match(
      await node.ask('POST', path, { body: {} }),
      { status: 426, json: { code: 'version_unsupported', facts: { served: ['1'] } } },
      path,
    )
  }
})

t.test('a path that is no URL is a malformed request', async (t) => {
  t.match(await node.ask('GET', '/v1/items/%zz'), {
    status: 400,
    json: { code: 'malformed_request' },
    headers: { 'crossline-trace': /^[0-9a-f]{32}$/ },
  })
})

t.test('it has its log line too', (t) => {
  t.match(node.lines.filter((line) => line.includes('"route":"none"')).at(-1), /"status":400,"code":"malformed_request"/)
  t.end()
})

t.test('only JSON is taken, uncompressed', async (t) => {
  const body = JSON.stringify(bodyOf('acceptItem'))
  for (const type of [
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/x-ndjson',
    'x',
    'application/jsonx',
  ]) {
    const answer = await node.ask('POST', accept, { body: Buffer.from(body), headers: { 'content-type': type } })
    t.match(answer, { status: 415, json: { code: 'unsupported_media_type' } }, type)
  }
  const zipped = await node.ask('POST', accept, {
    body: gzipSync(body),
    headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
  })
  t.match(zipped, { status: 415, json: { code: 'unsupported_encoding' } })
  for (const type of ['application/json', 'application/json; charset=utf-8', 'Application/JSON']) {
    t.equal((await node.ask('POST', accept, { body: Buffer.from(body), headers: { 'content-type': type } })).status, 200, type)
  }
})

t.test('a body above the limit of its route is too large, whether it says so or not', async (t) => {
  const reference = 'x'.repeat(3000)
  t.match(await node.ask('POST', accept, { body: { reference } }), { status: 413, json: { code: 'too_large' } })
  t.match(await node.ask('POST', accept, { body: { reference }, headers: { 'transfer-encoding': 'chunked' } }), { status: 413 })
  t.match(await node.ask('POST', '/v1/reports', { body: { ...bodyOf('submitReport'), memo: 'm'.repeat(10_000) } }), {
    status: 201,
  })
  t.match(await node.ask('POST', '/v1/reports', { body: { ...bodyOf('submitReport'), memo: 'm'.repeat(21_000) } }), {
    status: 413,
  })
})

t.test('what is not I-JSON is malformed', async (t) => {
  const broken = {
    empty: '',
    'cut off': '{"reference":"a"',
    'not JSON': '{reference:1}',
    'a name twice': '{"reference":"a","reference":"b"}',
    'a name twice, once escaped': '{"reference":"a","referenc\\u0065":"b"}',
    'a lone surrogate': '{"reference":"\\ud800"}',
    'U+0000': '{"reference":"\\u0000"}',
    'a byte order mark': '\uFEFF{"reference":"a"}',
    'a fraction': '{"reference":1.5}',
    'a large number': '{"reference":9007199254740993}',
    'deep nesting': `{"reference":${'['.repeat(500)}${']'.repeat(500)}}`,
  }
  for (const [name, text] of Object.entries(broken)) {
    t.match(
      await node.ask('POST', accept, { body: Buffer.from(text) }),
      { status: 400, json: { code: 'malformed_request' } },
      name,
    )
  }
  const invalidUtf8 = Buffer.concat([Buffer.from('{"reference":"'), Buffer.of(0xc3, 0x28), Buffer.from('"}')])
  t.match(
    await node.ask('POST', accept, { body: invalidUtf8 }),
    { status: 400, json: { code: 'malformed_request' } },
    'invalid UTF-8',
  )
})

t.test('a value of another kind than an object is refused at the top', async (t) => {
  for (const body of ['null', '[]', '"text"', '1', 'true']) {
    t.match(
      await node.ask('POST', accept, { body: Buffer.from(body) }),
      { status: 422, json: { code: 'schema_invalid', pointer: '' } },
      body,
    )
  }
  t.match(await node.ask('POST', accept), { status: 422, json: { code: 'schema_invalid', pointer: '' } }, 'no body at all')
})

t.test('a created report is 201 with its place, the same again is 200', async (t) => {
  const fresh = await startServer()
  t.teardown(() => fresh.close())
  const location = `/v1/reports/${ids.report}`
  t.match(await fresh.ask('POST', '/v1/reports', { body: bodyOf('submitReport') }), {
    status: 201,
    headers: { location },
    json: { id: ids.report },
  })
  t.match(await fresh.ask('POST', '/v1/reports', { body: bodyOf('submitReport') }), { status: 200, headers: { location } })
})

t.test('every answer carries the trace of the call, or one of its own, and is kept by nobody', async (t) => {
  const trace = '0123456789abcdef0123456789abcdef'
  for (const path of ['/v1/items', '/nothing', '/federation/v1/ping', '/openapi.json', '/docs/']) {
    const answer = await node.ask('GET', path, { headers: { 'crossline-trace': trace } })
    t.match(answer.headers, { 'crossline-trace': trace, 'cache-control': 'no-store' }, path)
    if (answer.status >= 400) t.equal(answer.json.trace, trace)
  }
  for (const odd of ['', 'x', trace.toUpperCase(), `${trace}0`, trace.slice(1), `${trace}, ${trace}`]) {
    const { headers } = await node.ask('GET', '/v1/items', { headers: { 'crossline-trace': odd } })
    t.match(headers['crossline-trace'], /^[0-9a-f]{32}$/)
    t.not(headers['crossline-trace'], trace)
  }
  const { headers } = await node.ask('GET', '/v1/items', { headers: { 'crossline-trace': [trace, trace] } })
  t.not(headers['crossline-trace'], trace, 'two of them are none')
})

t.test('the trace and the idempotency key reach the step, an odd key is refused by name', async (t) => {
  const trace = 'ffffffffffffffffffffffffffffffff'
  await node.ask('POST', accept, {
    body: bodyOf('acceptItem'),
    headers: { 'crossline-trace': trace, 'idempotency-key': 'case-7' },
  })
  t.match(node.seen.callers.at(-1), { trace, idempotencyKey: 'case-7', client: { role: 'hotline' } })
  for (const key of ['', ' ', 'a b', 'x'.repeat(129), 'é']) {
    const answer = await node.ask('POST', accept, {
      body: bodyOf('acceptItem'),
      headers: { 'idempotency-key': Buffer.from(key).toString('latin1') },
    })
    t.match(
      answer,
      { status: 422, json: { code: 'schema_invalid', pointer: '/headers/idempotency-key' } },
      JSON.stringify(key.slice(0, 9)),
    )
  }
})

t.test('queries take their own parameters only, each in its form', async (t) => {
  const odd: [string, string][] = [
    ['state=lost', '/query/state'],
    ['state=', '/query/state'],
    ['state=sent&state=sent', '/query/state'],
    ['limit=0', '/query/limit'],
    ['limit=1001', '/query/limit'],
    ['limit=1e2', '/query/limit'],
    ['limit=-1', '/query/limit'],
    ['limit=', '/query/limit'],
    ['after=%00', '/query/after'],
    ['url=x', '/query/url'],
    ['%3Cb%3E=x', '/query'],
  ]
  for (const [query, pointer] of odd)
    t.match(await node.ask('GET', `/v1/items?${query}`), { status: 422, json: { code: 'schema_invalid', pointer } }, query)
  t.equal((await node.ask('GET', '/v1/items?state=sent&limit=1000&after=abc')).status, 200)
  t.same(node.seen.queries.at(-1), { state: 'sent', limit: 1000, after: 'abc' })
  await node.ask('GET', '/v1/items')
  t.same(node.seen.queries.at(-1), { limit: 100 })
  t.match(await node.ask('GET', '/v1/items/not-a-uuid'), { status: 422, json: { pointer: '/path/id' } })
  t.match(
    await node.ask('GET', '/v1/items/123e4567-e89b-12d3-a456-426614174000'),
    { status: 422, json: { pointer: '/path/id' } },
    'another version of UUID',
  )
})

t.test('headers without end and headers that crawl are cut off', async (t) => {
  t.match(
    await sendRaw(`GET /v1/items HTTP/1.1\r\nHost: localhost\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`),
    /^HTTP\/1.1 431 [\s\S]*too_large/,
  )
  t.match(await sendRaw(`GET /v1/items HTTP/1.1\r\nHost: a\r\n${'abc: def\r\n'.repeat(6000)}\r\n`), /^HTTP\/1.1 431 /)
  t.match(await sendRaw('GET /v1/items HTTP/1.1\r\nHost: localhost\r\nX: '), /^HTTP\/1.1 408 /)
  t.match(
    await sendRaw(
      'POST /v1/reports HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{',
    ),
    /^HTTP\/1.1 408 /,
  )
  const garbage = await sendRaw('SSH-2.0-marker-in-the-noise\r\n\r\n')
  t.match(garbage, /^HTTP\/1.1 400 [\s\S]*"code":"malformed_request"/)
  t.notMatch(garbage, /marker/)
  t.match(
    await sendRaw('POST /v1/reports HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n'),
    /^HTTP\/1.1 400 /,
    'two lengths',
  )
  t.equal((await node.ask('GET', '/v1/items')).status, 200, 'the node goes on')
})

t.test('closing waits for nobody longer than it should', async (t) => {
  const slow = await startServer({ steps: { findItems: () => new Promise(() => {}) } })
  const hanging = slow.ask('GET', '/v1/items').catch(() => 'cut')
  await new Promise((resolve) => slow.app.server.once('request', resolve))
  await slow.close()
  t.equal(await hanging, 'cut')
})
