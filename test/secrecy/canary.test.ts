// A report full of markers goes through everything, failures included. None of them may then be in any log line, error, header or metric,
// in the audit log, or in plain form in any table. And nothing was ever connected to but databases, peers and the resolver.
import { hash, randomUUIDv7, X509Certificate } from 'node:crypto'
import diagnostics from 'node:diagnostics_channel'
import { existsSync, readFileSync } from 'node:fs'
import { createServer, Socket } from 'node:net'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { Agent, request as send } from 'undici'
import type { Zone } from '#commands/demo-dns.ts'
import { authorityFiles, memberFiles } from '#commands/dev-files.ts'
import { fingerprintOf } from '#crypto/certificates.ts'
import { digest, encodeHash } from '#crypto/digests.ts'
import { readSigningKey } from '#crypto/keys.ts'
import { signProof } from '#crypto/proof.ts'
import { joinBatch } from '#domain/batch-lines.ts'
import { leafHash, merkleRoot } from '#domain/merkle.ts'
import { withClient } from '#storage/admin-client.ts'
import { setAuditWritable } from '../audit/broken-log.ts'
import { checkAuditLog, readNodeKeys } from '../audit-check.ts'
import {
  type Answer,
  addresses,
  createNetwork,
  defaultMembers,
  eventually,
  type Network,
  type RunningMember,
  reportOf,
} from '../network.ts'
import { dumpTables, type Markers, makeMarkers } from './markers.ts'

const markers = makeMarkers()
const mark = markers.of
const host = (name: string) => `${mark(`host ${name}`)}.example`
const url = (name: string) => `https://${host(name)}/${mark('URL path')}?q=${mark('URL query')}`

/** Everything that came back to somebody and must not hold a marker: whole refusals, and the headers of all answers. */
const said: string[] = []

function hear(answer: Answer): Answer {
  said.push(JSON.stringify(answer.headers))
  if (answer.status >= 300) said.push(answer.text)
  return answer
}

const post = async (member: RunningMember, path: string, body: unknown, headers: Record<string, string> = {}) =>
  hear(await member.call('hotline', 'POST', path, body, headers))
const get = async (member: RunningMember, path: string, headers: Record<string, string> = {}) =>
  hear(await member.call('hotline', 'GET', path, undefined, headers))
const admin = (member: RunningMember, query: string) => withClient(member.database.adminUrl, (client) => client.query(query))

async function changeSchema(member: RunningMember, change: string): Promise<void> {
  await withClient(member.database.adminUrl, async (client) => {
    await client.query('begin')
    await client.query("insert into crossline.migration_window (name) values ('canary test')")
    await client.query(change)
    await client.query('commit')
  })
}

function fullReport(sinkPort: number): Record<string, unknown> {
  const abroad = ['abroad', 'refused', 'broken', 'silent', 'nowhere', 'down'].map((name) => ({
    url: url(name),
    contentType: 'media',
  }))
  const stated = { country: 'SE', by: mark('stated by'), reason: mark('stated reason') }
  const items = [
    ...abroad,
    { contentType: 'website', statedCountry: stated },
    { url: `http://127.0.0.1:${sinkPort}/${mark('URL path')}`, contentType: 'media' },
  ]
  return reportOf(items, {
    id: randomUUIDv7(),
    reference: mark('reference'),
    referrer: `https://${mark('referrer host')}.example/${mark('referrer path')}`,
    memo: `${mark('memo')}\nand more`,
    accessCredentials: { username: mark('user name'), password: mark('password') },
  })
}

/** What each fault is made of: a request that carries markers and is refused. */
async function causeFaults(t: Test, gb: RunningMember, report: Record<string, unknown>): Promise<void> {
  const m = mark('wrong field')
  // The name of an unknown field is repeated when it looks like one of ours, so that a typing error can be found: this one does not.
  const unknown = `${m}!`
  const refused = async (what: string, answer: Promise<Answer>) => t.ok((await answer).status >= 400, what)
  for (const name of Object.keys({
    ...report,
    items: undefined,
    id: m,
    handling: m,
    paymentMethods: m,
    sourceItem: m,
  })) {
    for (const wrong of [{ [unknown]: m }, [m], `${m}\u0000`, m.repeat(2000)])
      await refused(name, post(gb, '/v1/reports', { ...report, [name]: wrong }))
    if (name === 'items')
      for (const field of ['id', 'url', 'contentType', 'isSource', 'hashes', 'statedCountry', unknown])
        await refused(
          field,
          post(gb, '/v1/reports', {
            ...report,
            items: [{ url: url('abroad'), contentType: 'media', [field]: { [unknown]: m } }],
          }),
        )
  }
  for (const bad of [
    `data:text/plain,${m}`,
    `https://${m}:${m}@${m}.example/`,
    `javascript:${m}`,
    `https://${m}`.padEnd(9000, m),
    `https://[${m}]/`,
    m,
  ])
    await refused('url', post(gb, '/v1/reports', reportOf([{ url: bad, contentType: 'media' }])))
  await refused('base64', post(gb, '/v1/reports', { ...report, memo: Buffer.from(m.repeat(300)).toString('base64') }))
  await refused('no JSON', post(gb, '/v1/reports', `{"${unknown}": "${m}`))
  await refused('a name twice', post(gb, '/v1/reports', `{"${m}":1,"${m}":2}`))
  await refused('too large', post(gb, '/v1/reports', { ...report, memo: m.repeat(3_000_000) }))
  await refused('media type', post(gb, '/v1/reports', report, { 'content-type': `text/${m}` }))
  await refused('encoding', post(gb, '/v1/reports', report, { 'content-encoding': m }))
  await refused('key', post(gb, '/v1/reports', report, { 'idempotency-key': `${m} ${m}` }))
  await refused('the same id, other content', post(gb, '/v1/reports', { ...report, memo: m }))
  await refused(
    'the same key, other content',
    post(gb, '/v1/reports', reportOf([{ url: url('abroad'), contentType: 'media' }]), {
      'idempotency-key': mark('Idempotency-Key'),
    }),
  )
  await refused(
    'path',
    get(gb, `/v1/${m}/${m}?${m}=${m}`, {
      'crossline-trace': m,
      'user-agent': m,
      accept: m,
      cookie: m,
      authorization: `Bearer ${m}`,
    }),
  )
  await refused('id', get(gb, `/v1/items/${m}`))
  await refused('method', post(gb, `/v1/items/${m}`, { [unknown]: m }))
  await refused('query', get(gb, `/v1/items?state=${m}&after=${m}&${unknown}=${m}`))
  await refused('cursor', get(gb, `/v1/items?after=${m}`))
  await refused('version', get(gb, `/federation/v7/${m}?${m}`))
  for (const name of ['since', 'event', 'member', 'country', 'item', 'after', 'limit', unknown])
    await refused(name, gb.call('liaison', 'GET', `/audit/v1/entries?purpose=${m}&${name}=${m}!`).then(hear))
  t.equal((await get(gb, `/v1/items?limit=1`, { 'crossline-trace': m, referer: m })).status, 200, 'a foreign trace is replaced')
}

/** Calls that a member signs itself: a refused proof, and a batch with messages that can only be rejected. */
async function causeFederationFaults(t: Test, { folder }: Network, to: RunningMember): Promise<void> {
  const m = mark('federation')
  const files = memberFiles(folder, 'hotline-jp')
  const cert = readFileSync(files.node.certificate)
  const agent = new Agent({
    connect: { ca: readFileSync(authorityFiles(folder).certificate), cert, key: readFileSync(files.node.key) },
  })
  t.teardown(() => agent.destroy())
  const path = '/federation/v1/batches'
  const call = async (proof: string, body: Buffer | string, headers = {}) => {
    const answer = await send(`${to.url}${path}`, {
      method: 'POST',
      dispatcher: agent,
      body,
      headers: { 'content-type': 'application/x-ndjson', 'crossline-proof': proof, ...headers },
    })
    const text = await answer.body.text()
    // Signed answers are tokens: their claims count as said.
    for (const part of text.match(/[\w-]{20,}/g) ?? []) said.push(Buffer.from(part, 'base64url').toString('latin1'))
    hear({ status: answer.statusCode, headers: answer.headers, text, body: undefined })
    return answer.statusCode
  }
  const prove = async (body: Buffer, lines: Buffer[]) =>
    signProof(await readSigningKey(files.sign), {
      iss: 'hotline-jp',
      aud: to.id,
      method: 'POST',
      path,
      bodyDigest: hash('sha256', body, 'base64url'),
      certificateFingerprint: fingerprintOf(new X509Certificate(cert)),
      directory: `1:${digest('another')}`,
      batch: { root: encodeHash(merkleRoot(lines.map(leafHash))), size: lines.length },
      now: new Date(),
    })
  t.equal(await call(m, m), 401, 'a proof that is none')
  t.equal(await call(`${m}.${m}.${m}`, m, { 'content-encoding': m }), 401, 'a proof of three parts')
  const message = {
    id: randomUUIDv7(),
    kind: 'handoff',
    item: randomUUIDv7(),
    author: 'hotline-jp',
    to: to.id,
    createdAt: new Date().toISOString(),
    schema: { name: 'crossline', version: 1 },
    handling: 'lea',
    body: { [m]: m },
    refs: [],
    ext: {},
    crit: [],
  }
  const bad = [
    { ...message, id: m },
    { ...message, kind: m },
    { ...message, crit: [m] },
    { ...message, author: m },
    { ...message, body: { report: { id: m }, item: m } },
    { [m]: m },
    message,
  ]
  const lines = [...bad.map((each) => Buffer.from(JSON.stringify(each))), Buffer.from(m)]
  const body = joinBatch({ batch: randomUUIDv7(), from: 'hotline-jp', to: to.id }, lines)
  t.equal(await call(await prove(body, lines), body), 200, 'a batch whose every message is rejected')
  const alien = Buffer.from(`{"batch":"${m}","from":"${m}","to":"${m}"}\n${m}\n`)
  t.ok((await call(await prove(alien, [Buffer.from(m)]), alien)) >= 400, 'an envelope that is none')
  t.ok((await call(await prove(body, lines), Buffer.concat([body, Buffer.from(m)]))) >= 400, 'bytes that were not signed')
}

interface Watched {
  /** `address:port` of every connection that was tried. */
  dialled: Set<string>
  /** `METHOD path` of every request of our own client. */
  requested: Set<string>
}

/** Records where this process, with all its nodes, connects to. */
function watchConnections(t: Test): Watched {
  const watched: Watched = { dialled: new Set(), requested: new Set() }
  const connect = Socket.prototype.connect
  Socket.prototype.connect = function (this: Socket, ...args: unknown[]) {
    this.on('connectionAttempt', (address: string, port: number) => watched.dialled.add(`${address}:${port}`))
    return Reflect.apply(connect, this, args)
  } as typeof connect
  const onRequest = (message: unknown) => {
    const { request } = message as { request: { method: string; path: string; origin: string } }
    watched.requested.add(`${request.method} ${request.origin}${request.path}`)
  }
  diagnostics.subscribe('undici:request:create', onRequest)
  t.teardown(() => {
    Socket.prototype.connect = connect
    diagnostics.unsubscribe('undici:request:create', onRequest)
  })
  return watched
}

/** A server at the address of a reported URL: whoever connects to it has fetched. */
async function startSink(t: Test): Promise<{ port: number; callers: () => number }> {
  let callers = 0
  const server = createServer((socket) => {
    callers += 1
    socket.destroy()
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  t.teardown(() => server.close())
  return { port: (server.address() as { port: number }).port, callers: () => callers }
}

async function readServerLog(member: RunningMember): Promise<string> {
  const { rows } = await admin(member, 'show data_directory')
  const file = join(dirname(rows[0]?.data_directory ?? ''), 'server.log')
  return existsSync(file) ? readFileSync(file, 'utf8') : ''
}

const members = [...defaultMembers, { id: 'hotline-jp', name: 'JP', countries: ['JP'], hosts: ['localhost'], runs: false }]

t.test('a report full of markers leaves none where it should not', async (t) => {
  const watched = watchConnections(t)
  const sink = await startSink(t)
  const asked = new Set<string>()
  const names: Zone = {
    [host('abroad')]: { A: [addresses.SE] },
    [host('refused')]: { A: [addresses.SE] },
    [host('broken')]: { fail: 'servfail' },
    [host('silent')]: { fail: 'timeout' },
    [host('down')]: { AAAA: [addresses.JP] },
  }
  const zone = new Proxy(names, {
    get: (held, name) => {
      asked.add(String(name))
      return Reflect.get(held, name)
    },
  })
  const network = await createNetwork(t, { members, zone, env: { LOG_LEVEL: 'trace' } })
  const [gb, se] = [network.get('hotline-gb'), network.get('hotline-se')]
  const report = fullReport(sink.port)
  const key = { 'idempotency-key': mark('Idempotency-Key') }

  await t.test('through everything that works', async (t) => {
    const accepted = await post(gb, '/v1/reports', report, key)
    t.equal(accepted.status, 201)
    t.equal((await post(gb, '/v1/reports', report, key)).status, 200)
    const ids: string[] = accepted.body.items.map(({ id }: { id: string }) => id)
    const state = async (member: RunningMember, id = '') => (await get(member, `/v1/items/${id}`)).body?.state
    await eventually(
      'two are delivered',
      async () => (await state(gb, ids[0])) === 'delivered' && (await state(gb, ids[1])) === 'delivered',
    )
    await eventually(
      'one peer is down',
      async () => (await admin(gb, "select from crossline.peer where member = 'hotline-jp' and failures > 0")).rowCount,
    )
    t.equal((await post(se, `/v1/items/${ids[0]}/accept`, { reference: mark('accept reference') }, key)).status, 200)
    t.equal(
      (await post(se, `/v1/items/${ids[0]}/assessments`, { classification: 'baseline', analyst: mark('analyst') })).status,
      200,
    )
    t.equal((await post(se, `/v1/items/${ids[0]}/actions`, { action: 'removed', analyst: mark('analyst') })).status, 200)
    t.equal((await post(se, `/v1/items/${ids[1]}/refuse`, { reason: 'out_of_remit', note: mark('note') })).status, 200)
    await eventually(
      'the sender hears of all',
      async () => (await state(gb, ids[0])) === 'closed' && (await state(gb, ids[1])) === 'refused',
    )
    const query = `purpose=${mark('purpose')}&caseReference=${mark('case reference')}`
    for (const member of [gb, se]) t.equal((await member.call('liaison', 'GET', `/audit/v1/entries?${query}`)).status, 200)
  })

  await t.test('through everything that fails', async (t) => {
    await causeFaults(t, gb, report)
    await causeFederationFaults(t, network, se)
    await changeSchema(gb, "alter table crossline.report add constraint canary check (site_type <> 'forum')")
    t.equal(
      (await post(gb, '/v1/reports', { ...report, id: randomUUIDv7(), siteType: 'forum' })).status,
      500,
      'a row that the database refuses',
    )
    await changeSchema(gb, 'revoke select on crossline.report from crossline_service')
    t.equal((await get(gb, `/v1/reports/${report['id']}`)).status, 500, 'a right that is missing')
    await changeSchema(gb, 'grant select on crossline.report to crossline_service')
    await setAuditWritable(gb.database.adminUrl, false)
    t.equal((await post(gb, '/v1/reports', { ...report, id: randomUUIDv7() })).status, 503, 'a log that can not be written')
    await setAuditWritable(gb.database.adminUrl, true)
  })

  for (const member of [gb, se]) await t.test(`nothing shows at ${member.id}`, (t) => checkMember(t, member))
  t.same(markers.findIn(said.join('\n')), [], 'no error and no header')

  await t.test('nothing was fetched', async (t) => {
    t.equal(sink.callers(), 0, 'nobody came to the address of a reported URL')
    const ours = [...network.members.values()]
    const directory = JSON.parse(
      Buffer.from(JSON.parse(readFileSync(gb.config.directory.directory ?? '', 'utf8')).payload, 'base64url').toString(),
    ) as { members: { endpoints: { url: string }[] }[] }
    const urls = [
      ...ours.flatMap((member) => [member.database.url, member.database.adminUrl, `http://x:${member.node().health.port}`]),
      ...directory.members.flatMap((member) => member.endpoints.map((each) => each.url)),
    ]
    const ports = new Set(urls.map((each) => new URL(each).port))
    const elsewhere = [...watched.dialled].filter(
      (each) => !/^(127\.0\.0\.1|::1):\d+$/.test(each) || !ports.has(each.split(':').at(-1) ?? ''),
    )
    t.same(elsewhere, [], 'only databases, peers and the node itself')
    t.ok(watched.dialled.size >= 3 && watched.requested.size > 10, 'and this is seen at all')
    t.same(
      [...watched.requested].filter((each) => each.includes('canary') && !/ https:\/\/localhost:/.test(each)),
      [],
      'no request for a reported URL',
    )
    t.same(
      [...asked].filter((name) => !(name in names) && name !== host('nowhere')),
      [],
      'no name was asked for but the hosts of items',
    )
    t.ok(asked.has(host('abroad')))
  })
})

// The pseudonym of an analyst is no secret between hotlines: it stands in the record of an assessment or action, by design.
const deliberate: Record<string, string[]> = { 'crossline.assessment': ['analyst'], 'crossline.action': ['analyst'] }

async function checkMember(t: Test, member: RunningMember): Promise<void> {
  t.ok(member.logLines.length > 20, 'there is a log')
  t.same(findAll(markers, member.logLines), [], 'no log line')
  const metrics = await (await send(`http://127.0.0.1:${member.node().health.port}/metrics`)).body.text()
  t.match(metrics, /crossline_/)
  t.same(markers.findIn(metrics), [], 'no metric')
  const status = await member.call('operator', 'GET', '/operations/v1/status')
  t.equal(status.status, 200)
  t.same(markers.findIn(status.text), [], 'not the status')
  t.same(markers.findIn(await readServerLog(member)), [], "not the database server's log")
  for (const [table, rows] of await dumpTables(member.database.adminUrl)) {
    t.same(
      markers.findIn(rows).filter((name) => !deliberate[table]?.includes(name)),
      [],
      `not in ${table}`,
    )
  }
  const log = await checkAuditLog(member.database.database, await readNodeKeys(member.config.masterKey))
  t.same(markers.findIn(JSON.stringify(log.entries.map(({ entry }) => entry))), [], 'no audit entry')
  const openings = log.entries.filter(({ event }) => event !== 'audit.queried').map(({ opening }) => opening)
  t.same(markers.findIn(JSON.stringify(openings)), [], 'nor what it commits to, but for the purpose of a question')
}

function findAll(markers: Markers, lines: readonly string[]): string[] {
  return lines.filter((line) => markers.findIn(line).length > 0)
}
