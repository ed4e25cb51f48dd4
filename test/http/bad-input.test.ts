// Every field of every body, wrong in every way that its schema can tell: refused by name, never passed on, never quoted.
import t from 'tap'
import type { ErrorCode } from '#errors.ts'
import { CrosslineError, errorCodes } from '#errors.ts'
import { answerExamples, bodyExamples } from '#http/examples.ts'
import { AcceptInput, ActionInput, AssessmentInput, RefuseInput, ReportInput } from '#schema/report.ts'
import { bodyOf, ids, startServer } from './test-server.ts'

const node = await startServer()
t.teardown(() => node.close())

interface Schema {
  type?: string
  enum?: unknown[]
  anyOf?: Schema[]
  properties?: Record<string, Schema>
  required?: string[]
  items?: Schema
  minLength?: number
  maxLength?: number
  maxItems?: number
  pattern?: string
  minimum?: number
  maximum?: number
}

const evidence = (answerExamples['getItem'] as { hostingEvidence: object }).hostingEvidence
const operations: [string, string, Schema, Record<string, unknown>][] = [
  [
    '/v1/reports',
    'submitReport',
    ReportInput as unknown as Schema,
    {
      accessCredentials: { username: 'u', password: 'p' },
      referrer: 'https://a.example/',
      sourceItem: ids.item,
      paymentMethods: ['visa'],
    },
  ],
  [`/v1/items/${ids.item}/accept`, 'acceptItem', AcceptInput as Schema, {}],
  [`/v1/items/${ids.item}/refuse`, 'refuseItem', RefuseInput as Schema, { evidence }],
  [
    `/v1/items/${ids.item}/assessments`,
    'assessItem',
    AssessmentInput as Schema,
    { id: ids.item, gender: 'both', ageGroup: 'infant', flags: ['virtual'] },
  ],
  [`/v1/items/${ids.item}/actions`, 'recordAction', ActionInput as Schema, { id: ids.item, reason: 'other' }],
]

/** A body in which every field is present. */
function fullBody(operation: string, extra: Record<string, unknown>): Record<string, unknown> {
  const body = { ...bodyOf(operation), ...structuredClone(extra) }
  const [item] = (body['items'] ?? []) as Record<string, unknown>[]
  if (item !== undefined)
    Object.assign(item, {
      hashes: { sha256: 'a'.repeat(64), sha1: 'a'.repeat(40), md5: 'a'.repeat(32), pdq: 'a'.repeat(64) },
      statedCountry: { country: 'SE', by: 'analyst-1', reason: 'seen' },
    })
  return body
}

/** Every place in the schema, with its pointer into the full body. */
function* places(schema: Schema, pointer = ''): Generator<{ schema: Schema; pointer: string; optional: boolean }> {
  for (const [name, found] of Object.entries(schema.properties ?? {})) {
    const part = found.anyOf?.[0] ?? found
    yield { schema: part, pointer: `${pointer}/${name}`, optional: !schema.required?.includes(name) }
    yield* places(part, `${pointer}/${name}`)
    if (part.items !== undefined) yield* places(part.items, `${pointer}/${name}/0`)
  }
}

function edit(
  body: Record<string, unknown>,
  pointer: string,
  change: (parent: Record<string, unknown>, name: string) => void,
): boolean {
  const names = pointer.split('/').slice(1)
  const last = names.pop() ?? ''
  let parent: unknown = body
  for (const name of names) parent = (parent as Record<string, unknown> | null)?.[name]
  if (typeof parent !== 'object' || parent === null || !(last in parent)) return false
  change(parent as Record<string, unknown>, last)
  return true
}

const marker = 'zq7marker'
const controls = ['\u0001', '\u001b[31m', '\u007f', '\u0085', '\u2028', '\u202e', '\u2066', '\ufeff']

/** Values that this part of a schema must refuse. */
function wrongValues({
  type,
  enum: codes,
  pattern,
  minLength,
  maxLength,
  maxItems,
  items,
  minimum,
  maximum,
}: Schema): [string, unknown][] {
  const wrong: [string, unknown][] = [
    ['another type', type === 'boolean' ? marker : true],
    ['null inside a list', [null]],
  ]
  if (type !== 'object') wrong.push(['an object', { [marker]: marker }])
  if (codes !== undefined)
    wrong.push(['an unknown code', marker], ['nothing', ''], ['another case', String(codes[0]).toUpperCase()], ['a number', 1])
  if (type === 'string' && (minLength ?? 0) > 0) wrong.push(['nothing', ''])
  if (type === 'string' && pattern?.includes('u0000'))
    for (const control of controls) wrong.push([`control ${JSON.stringify(control)}`, `${marker}${control}`])
  if (type === 'string' && pattern !== undefined && !pattern.includes('u0000'))
    wrong.push(['nothing', ''], ['another form', `${marker} \u202e`])
  if (maxLength !== undefined) wrong.push(['too long', marker + 'a'.repeat(maxLength)])
  if (type === 'array') wrong.push(['another type inside', [{ [marker]: marker }, 7]])
  if (maxItems !== undefined && items?.enum !== undefined)
    wrong.push(['too many', Array.from({ length: maxItems + 1 }, () => items.enum?.[0])])
  if (minimum !== undefined) wrong.push(['too small', minimum - 1])
  if (maximum !== undefined) wrong.push(['too large', maximum + 1])
  return wrong
}

async function refuses(path: string, body: unknown): Promise<{ pointer: string; text: string; ok: boolean }> {
  const { status, json, text } = await node.ask('POST', path, { body })
  return { pointer: json?.pointer, text, ok: status === 422 && json.code === 'schema_invalid' }
}

for (const [path, operation, schema, extra] of operations) {
  t.test(`${operation} refuses each field that is wrong, by its pointer and without its value`, async (t) => {
    const whole = await node.ask('POST', path, { body: fullBody(operation, extra) })
    t.ok(whole.status < 300, `the full body is accepted: ${whole.text.slice(0, 300)}`)
    const before = node.seen.reports.length + node.seen.callers.length
    let tried = 0
    for (const place of places(schema)) {
      const missing = fullBody(operation, extra)
      if (!edit(missing, place.pointer, (parent, name) => delete parent[name])) continue
      if (!place.optional) {
        const { ok, pointer } = await refuses(path, missing)
        if (!ok || pointer !== place.pointer) t.fail(`missing ${place.pointer}: ${pointer}`)
        tried++
      }
      for (const [what, value] of wrongValues(place.schema)) {
        const body = fullBody(operation, extra)
        edit(body, place.pointer, (parent, name) => {
          parent[name] = value
        })
        const { ok, pointer = 'none', text } = await refuses(path, body)
        if (!ok || !pointer.startsWith(place.pointer)) t.fail(`${place.pointer}: ${what}: ${text}`)
        if (text.includes(marker) && !pointer.endsWith(marker)) t.fail(`${place.pointer}: ${what}: quoted`)
        tried++
      }
    }
    t.ok(tried > 8, `${tried} wrong bodies`)
    t.equal(node.seen.reports.length + node.seen.callers.length, before, 'no step saw one')
  })
}

t.test('an unknown field is refused at every level, and an odd name of one is not repeated', async (t) => {
  const tries: [string, string][] = [
    ['', ''],
    ['/items/0', '/items/0'],
    ['/items/0/hashes', '/items/0/hashes'],
    ['/accessCredentials', '/accessCredentials'],
  ]
  for (const name of ['surprise', 'a\u202eb', '<script>', '__proto__', 'x'.repeat(50), '', 'a/b']) {
    for (const [at, pointer] of tries) {
      const text = JSON.stringify(fullBody('submitReport', operations[0]?.[3] ?? {}))
      const whole = JSON.parse(text)
      const target = at
        .split('/')
        .slice(1)
        .reduce((value, part) => value[part], whole)
      Object.defineProperty(target, name, { value: 1, enumerable: true, configurable: true })
      const answer = await node.ask('POST', '/v1/reports', { body: Buffer.from(JSON.stringify(whole)) })
      const named = name === 'surprise' ? `${pointer}/surprise` : pointer
      t.match(answer, { status: 422, json: { code: 'schema_invalid', pointer: named } })
      t.equal(answer.json.pointer, named, `${JSON.stringify(name)} at ${at}`)
    }
  }
})

t.test('a report of 10,000 items is taken, of 10,001 or none is not', async (t) => {
  const items = (count: number) => Array.from({ length: count }, () => ({ contentType: 'media', url: 'https://a.example/' }))
  const many = async (count: number) =>
    node.ask('POST', '/v1/reports', { body: { ...bodyOf('submitReport'), items: items(count) } })
  t.ok((await many(10_000)).status < 300)
  t.match(await many(10_001), { status: 422, json: { pointer: '/items' } })
  t.match(await many(0), { status: 422, json: { pointer: '/items' } })
})

t.test('one wrong field among many items is named with its place', async (t) => {
  const items = Array.from({ length: 500 }, () => ({ contentType: 'media', url: 'https://a.example/' }))
  Object.assign(items[321] ?? {}, { contentType: marker })
  const answer = await node.ask('POST', '/v1/reports', { body: { ...bodyOf('submitReport'), items } })
  t.match(answer, { status: 422, json: { pointer: '/items/321/contentType' } })
})

t.test('each code leaves as its own document with its status, a code that is not for callers leaves as another', async (t) => {
  let code: ErrorCode = 'internal'
  const failing = await startServer({
    steps: {
      getItem: () => {
        throw new CrosslineError(code, { detail: 'Do this.', retryAfterS: 3, facts: { state: 'sent', allowed: ['accept'] } })
      },
    },
  })
  t.teardown(() => failing.close())
  const inner: Partial<Record<ErrorCode, ErrorCode>> = {
    database_unavailable: 'overloaded',
    migration_needed: 'maintenance',
    bad_directory: 'maintenance',
    invalid_config: 'internal',
    broken_file: 'internal',
    bad_evidence: 'internal',
    bad_receipt: 'internal',
  }
  for (code of Object.keys(errorCodes) as ErrorCode[]) {
    const shown = inner[code] ?? code
    const answer = await failing.ask('GET', `/v1/items/${ids.item}`)
    t.match(answer, { status: errorCodes[shown].status, headers: { 'content-type': /^application\/problem\+json/ } }, code)
    t.match(answer.json, {
      type: `urn:crossline:problem:${shown}`,
      code: shown,
      status: errorCodes[shown].status,
      title: errorCodes[shown].title,
    })
    const told = shown === code && code !== 'internal'
    t.equal(answer.json.detail, told ? 'Do this.' : undefined)
    if (told) t.match(answer, { headers: { 'retry-after': '3' }, json: { facts: { state: 'sent', allowed: ['accept'] } } })
  }
})

t.test('an error that nobody foresaw gives 500 without a text, and its message stands in no log line', async (t) => {
  class OddError extends Error {
    readonly code = marker
    readonly detail = marker
    override name = `${marker} odd`
  }
  const thrown = [
    new Error(marker),
    new OddError(`${marker}\n    at /src/${marker}.ts:1`),
    marker,
    { message: marker, url: marker },
    null,
    new Error('outer', { cause: new Error(marker) }),
  ]
  for (const value of thrown) {
    const failing = await startServer({ steps: { getItem: () => Promise.reject(value) } })
    const { status, text, json } = await failing.ask('GET', `/v1/items/${ids.item}`)
    await failing.close()
    t.match({ status, json }, { status: 500, json: { code: 'internal' } })
    t.strictSame(Object.keys(json), ['type', 'code', 'status', 'title', 'trace'])
    t.notMatch(text, marker)
    const lines = failing.lines.join('').replace(`"code":"${marker}"`, '')
    t.notMatch(lines, marker)
    t.match(lines, /"level":"error"[^\n]*"trace":"[0-9a-f]{32}"/)
  }
})

t.test('no marker of a body, path, query or header reaches a log line, an error body or a metric', async (t) => {
  const canary = await startServer()
  t.teardown(() => canary.close())
  const text = JSON.stringify(fullBody('submitReport', operations[0]?.[3] ?? {})).replaceAll(
    /"(memo|url|referrer|reference|username|password|by|reason)":"/g,
    `"$1":"${marker}`,
  )
  const answers = [
    await canary.ask('POST', '/v1/reports', {
      body: Buffer.from(text),
      headers: { 'idempotency-key': marker, 'user-agent': marker, 'crossline-trace': marker },
    }),
    await canary.ask('POST', '/v1/reports', { body: Buffer.from(text.replace('"handling"', '"handled"')) }),
    await canary.ask('POST', '/v1/reports', { body: Buffer.from(text.slice(0, -1)) }),
    await canary.ask('POST', '/v1/reports', { body: Buffer.from(text), headers: { 'content-type': marker } }),
    await canary.ask('POST', '/v1/reports', {
      body: Buffer.from(text),
      headers: { 'content-type': 'application/json', 'content-encoding': marker },
    }),
    await canary.ask('GET', `/v1/items/${marker}`),
    await canary.ask('GET', `/v1/items?after=${marker}!`),
    await canary.ask('GET', `/${marker}`),
    await canary.ask('GET', `/federation/v1/receipts/${marker}`, { headers: { 'crossline-proof': marker } }),
    await canary.ask('GET', `/audit/v1/entries?purpose=${marker}&item=x`, { as: canary.roles.liaison }),
  ]
  t.strictSame(
    answers.map(({ status }) => status),
    [201, 422, 400, 415, 415, 422, 422, 404, 422, 422],
  )
  for (const { text: body, headers } of answers) t.notMatch(body + JSON.stringify(headers), marker)
  t.notMatch(canary.lines.join(''), marker)
  t.notMatch((await canary.metrics.render()).text, marker)
  t.equal(canary.lines.filter((line) => line.includes('"msg":"request"')).length, answers.length, 'one line for each request')
})

t.test('the examples of the documentation are bodies that are accepted', async (t) => {
  for (const [path, operation] of operations)
    t.ok((await node.ask('POST', path, { body: bodyExamples[operation] })).status < 300, operation)
})

t.test('what is too long, too short or too many is told with its limit', async (t) => {
  const report = (change: object) => ({ ...fullBody('submitReport', {}), ...change })
  const [item] = fullBody('submitReport', {})['items'] as object[]
  const stated = (reason: string) => report({ items: [{ ...item, statedCountry: { country: 'SE', by: 'an-1', reason } }] })
  const cases: [string, object, string][] = [
    ['/items/0/statedCountry/reason', stated('x'.repeat(501)), 'It is too long: at most 500 characters.'],
    ['/items/0/statedCountry/reason', stated(''), 'It is empty or too short: at least 1 character.'],
    ['/items', report({ items: [] }), 'It has too few entries: at least 1 entry.'],
    ['/items', report({ items: Array.from({ length: 10_001 }, () => item) }), 'It has too many entries: at most 10000 entries.'],
  ]
  for (const [pointer, body, detail] of cases)
    t.match(await node.ask('POST', '/v1/reports', { body }), { status: 422, json: { pointer, detail } }, detail)
  const query = await node.ask('GET', '/v1/items?limit=1001')
  t.match(query, { status: 422, json: { pointer: '/query/limit', detail: 'It is too large: at most 1000.' } })
})
