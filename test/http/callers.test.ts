// Who is let in: certificates, roles, revocation and renewal, on real TLS connections.

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { Agent } from 'node:https'
import { connect, type TLSSocket } from 'node:tls'
import t from 'tap'
import { createAuthority } from '#crypto/certificate-authority.ts'
import { bodyOf, type Identity, ids, makeIdentity, makeNodeIdentity, startServer } from './test-server.ts'

const node = await startServer()
t.teardown(() => node.close())

/** In TLS 1.3 a client hears of its refusal only when it reads. */
async function isRefusedByTls(identity: Partial<Identity>, extra: object = {}): Promise<boolean> {
  const { cert: _cert, key: _key, ...base } = node.connection()
  const { cert, key } = identity
  const socket = connect({ ...base, ...(cert === undefined ? {} : { cert, key }), ...extra })
  const ended = new Promise<boolean>((resolve) => {
    socket.once('error', () => resolve(true))
    socket.once('close', () => resolve(true))
    socket.once('data', () => resolve(false))
  })
  socket.once('secureConnect', () => socket.write('GET /v1/items HTTP/1.1\r\nHost: localhost\r\n\r\n'))
  const refused = await ended
  socket.destroy()
  return refused
}

t.test('a connection without a certificate, with a stranger’s, or with an expired one never reaches HTTP', async (t) => {
  const strangers = await createAuthority({ name: 'Test authority' })
  const day = 24 * 3600 * 1000
  const expired = await makeIdentity(node.authority, 'late', {
    notBefore: new Date(Date.now() - 2 * day),
    notAfter: new Date(Date.now() - 1000),
  })
  t.equal(await isRefusedByTls({}), true, 'none')
  t.equal(await isRefusedByTls(await makeIdentity(strangers, 'hotline')), true, 'stranger')
  t.equal(await isRefusedByTls(expired), true, 'expired')
  t.equal(await isRefusedByTls(node.roles.hotline), false, 'the same way in works with a good one')
  t.match((await node.metrics.render()).text, /crossline_refused_handshakes_total 3/)
})

t.test('TLS 1.2 is not spoken', async (t) => {
  t.equal(await isRefusedByTls(node.roles.hotline, { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' }), true)
})

t.test('a certificate that is not registered is an unknown client everywhere, and so is a peer’s', async (t) => {
  const peer = await makeNodeIdentity(node.authority, 'borealis')
  const unregistered = await makeIdentity(node.authority, 'new')
  for (const as of [peer, unregistered]) {
    for (const path of [
      '/v1/items',
      '/audit/v1/entries',
      '/operations/v1/status',
      '/docs/',
      '/docs/json',
      '/docs/static/index.css',
      '/openapi.json',
    ]) {
      const answer = await node.ask('GET', path, { as })
      t.match(answer, { status: 401, json: { code: 'unknown_client', status: 401 } }, path)
    }
  }
  t.ok(
    node.seen.refusals.some(({ code }) => code === 'unknown_client'),
    'it is recorded',
  )
})

t.test('each role may do its own calls and no others', async (t) => {
  const calls: [string, string, string, string?][] = [
    ['hotline', 'POST', '/v1/reports', 'submitReport'],
    ['hotline', 'GET', `/v1/reports/${ids.report}`],
    ['hotline', 'GET', `/v1/items/${ids.item}`],
    ['hotline', 'GET', '/v1/items?state=delivered&limit=5'],
    ['hotline', 'POST', `/v1/items/${ids.item}/accept`, 'acceptItem'],
    ['hotline', 'POST', `/v1/items/${ids.item}/refuse`, 'refuseItem'],
    ['hotline', 'POST', `/v1/items/${ids.item}/assessments`, 'assessItem'],
    ['hotline', 'POST', `/v1/items/${ids.item}/actions`, 'recordAction'],
    ['liaison', 'GET', '/audit/v1/entries?purpose=case&limit=2'],
    ['operator', 'GET', '/operations/v1/status'],
  ]
  for (const [owner, method, path, example] of calls) {
    for (const [role, as] of Object.entries(node.roles)) {
      const answer = await node.ask(method, path, { as, ...(example === undefined ? {} : { body: bodyOf(example) }) })
      if (role === owner) t.ok(answer.status < 300, `${role} ${method} ${path}: ${answer.status}`)
      else t.match(answer, { status: 403, json: { code: 'role_forbidden' } }, `${role} ${method} ${path}`)
    }
  }
})

t.test('every registered role may read the documentation, which asks nothing of any other host', async (t) => {
  for (const as of Object.values(node.roles)) t.equal((await node.ask('GET', '/openapi.json', { as })).json.openapi, '3.1.0')
  const page = await node.ask('GET', '/docs/')
  t.match(page, { status: 200, headers: { 'content-security-policy': /default-src 'none'/, 'content-type': /html/ } })
  t.notMatch(String(page.headers['content-security-policy']), /https?:/)
  t.notMatch(page.text, /(?:src|href)="https?:/)
  const set = await node.ask('GET', '/docs/static/swagger-initializer.js')
  t.notMatch(set.text, /validator\.swagger|"https?:/)
})

t.test('a client that is removed is refused at the next request of its open connection', async (t) => {
  const as = await makeIdentity(node.authority, 'leaving')
  node.clients.set(as.fingerprint, {
    fingerprint: as.fingerprint,
    role: 'hotline',
    name: 'leaving',
    countries: [],
    networkWide: false,
  })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  t.equal((await node.ask('GET', '/v1/items', { as, agent })).status, 200)
  node.clients.delete(as.fingerprint)
  t.equal((await node.ask('GET', '/v1/items', { as, agent })).status, 401)
})

async function openConnection(as: Identity): Promise<TLSSocket> {
  const socket = connect(node.connection(as))
  socket.on('error', () => {})
  await once(socket, 'secureConnect')
  socket.write('GET /v1/items HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await once(socket, 'data')
  return socket
}

t.test('the connections of a revoked certificate are closed at once, the others stay', async (t) => {
  const revoked = await openConnection(node.roles.operator)
  const other = await openConnection(node.roles.hotline)
  const closed = once(revoked, 'close')
  t.equal(
    node.closeSocketsOf((fingerprint) => fingerprint === node.roles.operator.fingerprint),
    1,
  )
  await closed
  other.write('GET /v1/items HTTP/1.1\r\nHost: localhost\r\n\r\n')
  t.match(String((await once(other, 'data'))[0]), /^HTTP\/1.1 200/)
  other.destroy()
})

t.test('requests that were buffered when their connection was closed are not served', async (t) => {
  let served = 0
  let closeIt: () => void = () => {}
  const slow = await startServer({
    steps: {
      findItems: async () => {
        served++
        closeIt()
        return { items: [], next: null }
      },
    },
  })
  t.teardown(() => slow.close())
  closeIt = () => void slow.closeSocketsOf(() => true)
  const socket = connect(slow.connection())
  socket.on('error', () => {})
  await once(socket, 'secureConnect')
  socket.write('GET /v1/items HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(20))
  await once(socket, 'close')
  t.equal(served, 1)
})

t.test(
  'a certificate that ends while its connection is open is refused at the next request, also on a resumed session',
  async (t) => {
    let now = new Date()
    const later = await startServer({ now: () => now })
    t.teardown(() => later.close())
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    t.teardown(() => agent.destroy())
    t.equal((await later.ask('GET', '/v1/items', { agent })).status, 200)

    const first = connect(later.connection())
    const [session] = await once(first, 'session')
    first.destroy()
    now = new Date(Date.now() + 10 * 24 * 3600 * 1000)
    t.match(await later.ask('GET', '/v1/items', { agent }), { status: 401, json: { code: 'unknown_client' } })

    const resumed = connect({ ...later.connection(), session })
    await once(resumed, 'secureConnect')
    t.equal(resumed.isSessionReused(), true, 'TLS itself would resume it')
    resumed.write('GET /federation/v1/capabilities HTTP/1.1\r\nHost: localhost\r\n\r\n')
    t.match(String((await once(resumed, 'data'))[0]), /^HTTP\/1.1 403 [\s\S]*not_a_member/)
    resumed.destroy()
  },
)

t.test('new certificates are taken without a restart, and a broken pair leaves the old one in use', async (t) => {
  const fresh = await startServer()
  t.teardown(() => fresh.close())
  const renewed = await makeNodeIdentity(fresh.authority, 'aurora')
  const shown = async () => {
    const socket = connect(fresh.connection())
    await once(socket, 'secureConnect')
    const { raw } = socket.getPeerCertificate()
    socket.destroy()
    return createHash('sha256').update(raw).digest('base64url')
  }
  t.equal(await shown(), fresh.node.fingerprint)
  t.throws(() => fresh.reloadTls({ ca: fresh.authority.certificatePem, cert: renewed.cert, key: fresh.node.key }))
  t.equal(await shown(), fresh.node.fingerprint)
  fresh.reloadTls({ ca: fresh.authority.certificatePem, cert: renewed.cert, key: renewed.key })
  t.equal(await shown(), renewed.fingerprint)
})
