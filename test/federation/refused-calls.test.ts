// What a hostile or broken caller gets before its body is looked at: exactly the code of the protocol, signed over the very call, counted,
// and the next good call is served.
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { Agent } from 'node:https'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { authorityFiles, memberFiles } from '#commands/dev-files.ts'
import { createAuthority, issueIdentity, readAuthority } from '#crypto/certificate-authority.ts'
import { createNetwork, eventually, type Member } from '../network.ts'
import {
  type Identity,
  makeClock,
  proofClaims,
  proofTyp,
  randomId,
  readDirectory,
  readIdentity,
  seconds,
  sha256,
  signClaims,
} from '../peer.ts'
import { type Call, openPeer, type PeerAnswer } from '../peer-client.ts'
import { batchOf, handoffOf, lineOf } from '../peer-messages.ts'
import { change, flipSignature, malformedProofs, replaceProof, reSign, swapClaims, without } from './bent-proofs.ts'

const hosts = ['localhost', '127.0.0.1']
const members: Member[] = [
  { id: 'hotline-gb', name: 'GB', countries: ['GB'], hosts },
  { id: 'lab', name: 'Laboratory', countries: ['PH'], hosts, runs: false },
  { id: 'hotline-us', name: 'US', countries: ['US'], hosts, runs: false, status: 'suspended' },
  { id: 'hotline-se', name: 'SE', countries: ['SE'], hosts, runs: false, status: 'left' },
]
const clock = makeClock()
const network = await createNetwork(t, { members, now: clock.now })
const { folder } = network
const gb = network.get('hotline-gb')
let directory = readDirectory(folder)
const peerOf = (id: string) => openPeer({ identity: readIdentity(folder, id), node: gb, directory: () => directory, clock })
const lab = peerOf('lab')
const suspended = peerOf('hotline-us')
const toGb = { from: 'lab', to: 'hotline-gb' }
const authority = readAuthority({
  certificatePem: readFileSync(authorityFiles(folder).certificate, 'utf8'),
  privateKeyPem: readFileSync(authorityFiles(folder).key, 'utf8'),
})

/** How often each code was answered: what the node must have counted. */
const answered = new Map<string, number>()

async function refused(t: Test, name: string, { answer, code, status }: { answer: PeerAnswer; code: string; status: number }) {
  t.match(answer, { status, json: { type: `urn:crossline:problem:${code}`, code, status } }, `${name}: ${code}`)
  t.match(answer.headers['content-type'], /^application\/problem\+json/)
  t.equal(answer.json.trace, answer.headers['crossline-trace'])
  const claims = lab.readError(answer)
  answered.set(code, (answered.get(code) ?? 0) + 1)
  // Refusals are bounded in each window of ten seconds.
  clock.advance(500)
  t.equal((await lab.ping()).status, 200, `${name}: the next good call is served`)
  return claims
}

t.test('a proof that is not exactly of its form is malformed', async (t) => {
  for (const [name, call] of Object.entries(malformedProofs(lab.identity))) {
    const claims = await refused(t, name, { answer: await lab.ping(call), code: 'malformed_proof', status: 401 })
    t.match(claims, { aud: 'lab' })
  }
})

t.test('a batch must sign root and size', async (t) => {
  const batch = batchOf(toGb, [lineOf(handoffOf(toGb))])
  for (const name of ['root', 'size'])
    await refused(t, name, { answer: await lab.deliver(batch, { claims: without(name) }), code: 'malformed_proof', status: 401 })
})

t.test('a proof of good form that does not belong to this call, connection or moment is refused by name', async (t) => {
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const at = (iat: number) => ({ claims: change({ iat, exp: iat + 120 }) })
  const now = seconds(clock)
  const cases: [string, string, Call][] = [
    ['a key that nobody has', 'unknown_key', { header: { kid: sha256('nobody') } }],
    ['the key of another member', 'unknown_key', { header: { kid: suspended.identity.kid } }],
    ["another member's key and its kid", 'unknown_key', replaceProof((proof) => reSign(proof, suspended.identity))],
    ['our kid, another key', 'bad_signature', replaceProof((proof) => reSign(proof, { kid: lab.identity.kid, signKey: other }))],
    ['claims changed under the signature', 'bad_signature', replaceProof((proof) => swapClaims(proof, { jti: randomId() }))],
    ['one bit of the signature', 'bad_signature', replaceProof(flipSignature)],
    ['for another member', 'wrong_audience', { claims: change({ aud: 'hotline-us' }) }],
    ['in the name of another member', 'certificate_mismatch', { claims: change({ iss: 'hotline-us' }) }],
    [
      'for another connection',
      'certificate_mismatch',
      { claims: change({ cnf: { 'x5t#S256': suspended.identity.fingerprint } }) },
    ],
    ['issued 90 s ago', 'expired_proof', at(now - 90)],
    ['over', 'expired_proof', { claims: ({ iat, ...claims }) => ({ ...claims, iat: Number(iat) - 20, exp: Number(iat) - 10 }) }],
  ]
  for (const [name, code, call] of cases) await refused(t, name, { answer: await lab.ping(call), code, status: 401 })
  const early = await lab.ping({ claims: ({ iat, ...claims }) => ({ ...claims, iat: Number(iat) + 90, exp: Number(iat) + 180 }) })
  const claims = await refused(t, 'issued in 90 s', { answer: early, code: 'clock_skew', status: 401 })
  t.ok(Math.abs(Number(claims['iat']) - seconds(clock)) < 5, 'the signed time shows who is wrong')
})

t.test('clocks may differ by almost a minute', async (t) => {
  for (const skew of [-55, 55]) {
    const answer = await lab.ping({
      claims: ({ iat, exp, ...rest }) => ({ ...rest, iat: Number(iat) + skew, exp: Number(exp) + skew }),
    })
    t.equal(answer.status, 200, `${skew} s`)
  }
})

t.test('a proof counts once, for a changed call too, and after a restart of the node', async (t) => {
  const first = await lab.ping()
  const [proof = ''] = first.proofs
  t.equal(first.status, 200)
  await refused(t, 'again', { answer: await lab.ping({ proofs: () => [proof] }), code: 'replayed_proof', status: 409 })
  await refused(t, 'elsewhere', {
    answer: await lab.get('/federation/v1/directory', { proofs: () => [proof] }),
    code: 'malformed_proof',
    status: 401,
  })
  await gb.stop()
  await gb.start()
  await refused(t, 'after the restart', {
    answer: await lab.ping({ proofs: () => [proof] }),
    code: 'replayed_proof',
    status: 409,
  })
})

t.test('of many copies of a proof at the same moment one is served', async (t) => {
  const { identity } = lab
  const call = { aud: 'hotline-gb', method: 'GET', path: '/federation/v1/directory', body: '', clock, directory }
  const proof = signClaims(identity, proofTyp, proofClaims(identity, call))
  const answers = await Promise.all(Array.from({ length: 8 }, () => lab.get(call.path, { proofs: () => [proof] })))
  t.equal(answers.filter(({ status }) => status === 200).length, 1)
  t.equal(answers.filter(({ json }) => json?.code === 'replayed_proof').length, 7)
  answered.set('replayed_proof', (answered.get('replayed_proof') ?? 0) + 7)
  clock.advance(11_000)
})

t.test('what is no call of the protocol is refused before anybody asks who calls', async (t) => {
  const post = { method: 'POST', headers: { 'content-type': 'application/json' } }
  const cases: [string, Call, string, number][] = [
    ['a query', { path: '/federation/v1/ping?x=1' }, 'malformed_request', 400],
    ['an empty query', { path: '/federation/v1/ping?' }, 'malformed_request', 400],
    ['a body on a GET', { method: 'GET', path: '/federation/v1/directory', body: 'x' }, 'malformed_request', 400],
    ['another version', { ...post, path: '/federation/v2/ping' }, 'version_unsupported', 426],
    ['another method', { method: 'PUT', path: '/federation/v1/batches' }, 'method_not_allowed', 405],
    ['an unknown path', { ...post, path: '/federation/v1/nothing' }, 'not_found', 404],
    ['a receipt of nobody', { method: 'GET', path: `/federation/v1/receipts/${batchOf(toGb, []).id}` }, 'not_found', 404],
    ['a receipt without an id', { method: 'GET', path: '/federation/v1/receipts/1' }, 'schema_invalid', 422],
    ['a ping of another type', { headers: { 'content-type': 'text/plain' }, body: 'x' }, 'unsupported_media_type', 415],
    [
      'a ping that is compressed',
      { headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' }, body: 'x' },
      'unsupported_encoding',
      415,
    ],
    ['a ping that is no JSON', { ...post, body: '{"nonce":' }, 'malformed_request', 400],
    ['a name twice in a ping', { ...post, body: '{"nonce":"aaaaaaaaaaaaaaaaaaaa","nonce":"b"}' }, 'malformed_request', 400],
    ['a short nonce', { ...post, body: '{"nonce":"a"}' }, 'schema_invalid', 422],
    ['a ping with more in it', { ...post, body: '{"nonce":"aaaaaaaaaaaaaaaaaaaa","x":1}' }, 'schema_invalid', 422],
    ['a ping of 1 MiB', { ...post, body: 'x'.repeat(1024 * 1024) }, 'too_large', 413],
  ]
  for (const [name, call, code, status] of cases) await refused(t, name, { answer: await lab.call(call), code, status })
  const changed = await lab.call({ ...post, body: '{"nonce":"aaaaaaaaaaaaaaaaaaaa"}', claims: change({ dig: sha256('') }) })
  await refused(t, 'another body than the signed', { answer: changed, code: 'digest_mismatch', status: 400 })
})

t.test('a certificate that the directory does not list as a member’s is refused on every call', async (t) => {
  const own = await issueIdentity(authority, { kind: 'node', member: 'lab', dnsNames: ['localhost'], days: 2 })
  const client = memberFiles(folder, 'hotline-gb').clients.hotline
  const cases: [string, Pick<Identity, 'cert' | 'key'>, string][] = [
    ['issued by the network, in no directory', { cert: own.certificatePem, key: own.privateKeyPem }, 'not_a_member'],
    [
      'of a client of the node',
      { cert: readFileSync(client.certificate, 'utf8'), key: readFileSync(client.key, 'utf8') },
      'not_a_member',
    ],
    ['of a member that left', readIdentity(folder, 'hotline-se'), 'not_a_member'],
    ['of the node itself', readIdentity(folder, 'hotline-gb'), 'not_a_member'],
    ['of a suspended member', suspended.identity, 'member_suspended'],
  ]
  const batch = batchOf(toGb, [lineOf(handoffOf(toGb))])
  for (const [name, as, code] of cases) {
    await refused(t, name, { answer: await lab.ping({ as }), code, status: 403 })
    await refused(t, name, { answer: await lab.deliver(batch, { as }), code, status: 403 })
    await refused(t, name, { answer: await lab.get('/federation/v1/capabilities', { as }), code, status: 403 })
  }
  t.match(lab.readError(await suspended.ping()), { aud: 'hotline-us', code: 'member_suspended' })
  answered.set('member_suspended', (answered.get('member_suspended') ?? 0) + 1)
})

t.test('a node’s certificate is none of a client', async (t) => {
  t.match(await lab.get('/v1/items'), { status: 401, json: { code: 'unknown_client' } })
  t.equal((await lab.ping()).status, 200)
  answered.set('unknown_client', 1)
})

const handshake = async (options: ConnectionOptions): Promise<string> => {
  const socket = connect({ host: '127.0.0.1', port: gb.port, servername: 'localhost', ca: lab.identity.ca, ...options })
  // With TLS 1.3 the refusal of a client's certificate comes after the client thinks that it is connected.
  socket.write('GET /federation/v1/capabilities HTTP/1.1\r\nHost: a\r\n\r\n')
  const outcome = await Promise.race([
    once(socket, 'data').then(() => 'answered'),
    once(socket, 'close').then(() => 'closed'),
  ]).catch((error: { code?: string }) => error.code ?? 'error')
  socket.destroy()
  return outcome
}

t.test(
  'TLS alone turns away strangers, callers without a certificate, ended certificates and older versions of TLS',
  async (t) => {
    const stranger = await createAuthority({ name: 'Crossline development authority' })
    const forged = await issueIdentity(stranger, { kind: 'node', member: 'lab', dnsNames: ['localhost'], days: 2 })
    const ended = await issueIdentity(authority, { kind: 'node', member: 'lab', days: 1, notAfter: new Date(Date.now() - 1000) })
    const { cert, key } = lab.identity
    const cases: Record<string, ConnectionOptions> = {
      'a stranger’s certificate': { cert: forged.certificatePem, key: forged.privateKeyPem },
      'a certificate signed by itself': { cert: stranger.certificatePem, key: stranger.privateKeyPem },
      'no certificate': {},
      'an ended certificate': { cert: ended.certificatePem, key: ended.privateKeyPem },
      'TLS 1.2': { cert, key, maxVersion: 'TLSv1.2' },
    }
    for (const [name, options] of Object.entries(cases)) {
      t.not(await handshake(options), 'answered', name)
      t.equal((await lab.ping()).status, 200)
    }
    t.equal(await handshake({ cert, key }), 'answered', 'the same call with the right certificate')
    const { host, port } = gb.node().health
    const metrics = await (await fetch(`http://${host}:${port}/metrics`)).text()
    t.match(metrics, /^crossline_refused_handshakes_total [5-9]/m)
  },
)

t.test('every refusal was counted for the operator, by its code', async (t) => {
  // Asking for what is not there is ordinary: a sender asks so for a receipt that got lost.
  answered.delete('not_found')
  const counted = async () => {
    const { rows } = await sql<{ code: string; count: number }>`
      select code, sum(count)::int as count from security_event group by code`.execute(gb.database.database)
    return new Map(rows.map(({ code, count }) => [code, count]))
  }
  const isWhole = (held: Map<string, number>) => [...answered].every(([code, count]) => held.get(code) === count)
  await eventually('the counters are written', async () => isWhole(await counted()), 3000).catch(() => {})
  t.same(Object.fromEntries(await counted()), Object.fromEntries(answered))
  const { rows } = await sql`select distinct member from security_event where code = 'member_suspended'`.execute(
    gb.database.database,
  )
  t.same(rows, [{ member: 'hotline-us' }])
})

t.test('a flood of refusals is answered without signatures, until it is over, and costs the others nothing', async (t) => {
  clock.advance(11_000)
  for (let count = 0; count < 60; count++) await suspended.ping()
  const flooded = await suspended.ping()
  t.match(flooded, { status: 429, json: { code: 'rate_limited' }, headers: { 'retry-after': /^\d+$/ } })
  t.equal(flooded.headers['crossline-error'], undefined)
  t.equal((await lab.ping()).status, 200)
  clock.advance(11_000)
  t.match(lab.readError({ ...(await suspended.ping()) }), { code: 'member_suspended' })
})

t.test(
  'a member that becomes suspended loses its open connection at once, and a resumed session does not bring it back',
  async (t) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1, maxCachedSessions: 0 })
    t.teardown(() => agent.destroy())
    const { cert, key, ca } = lab.identity
    const open = { host: '127.0.0.1', port: gb.port, servername: 'localhost', cert, key, ca }
    let session: Buffer | undefined
    const idle = connect(open)
    idle.on('error', () => {})
    idle.on('session', (given: Buffer) => {
      session = given
    })
    await once(idle, 'secureConnect')
    t.equal((await lab.ping({ agent })).status, 200)
    t.equal((await lab.ping({ agent })).status, 200)
    await eventually('a session ticket', async () => session)

    await network.publish((described) => {
      const member = described.members.find(({ id }) => id === 'lab')
      if (member) member.status = 'suspended'
    })
    directory = readDirectory(folder)
    // The view in the proof is how the node hears of it.
    t.equal((await lab.ping({ agent })).status, 200)
    await eventually('its idle connection is closed', async () => idle.destroyed)
    t.match(await outcomeOf(() => lab.ping({ agent })), /closed|member_suspended/)
    t.equal(lab.readError(await lab.ping())['code'], 'member_suspended')

    const resumed = connect({ ...open, ...(session ? { session } : {}) })
    await once(resumed, 'secureConnect')
    t.equal(resumed.isSessionReused(), true)
    t.match(await askOn(resumed), /^HTTP\/1.1 403 [\s\S]*member_suspended/)
  },
)

async function outcomeOf(call: () => Promise<PeerAnswer>): Promise<string> {
  return call().then(
    ({ json }) => json.code,
    () => 'closed',
  )
}

async function askOn(socket: TLSSocket): Promise<string> {
  socket.write('GET /federation/v1/capabilities HTTP/1.1\r\nHost: localhost\r\n\r\n')
  const [data] = await once(socket, 'data')
  socket.destroy()
  return String(data)
}
