// The doctor at a real network of two hotlines: well, and with one thing wrong at a time.
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { memberFiles } from '#commands/dev-files.ts'
import { examine } from '#commands/doctor.ts'
import type { Finding } from '#commands/doctor-findings.ts'
import { auditKeyFile } from '#crypto/audit-keys.ts'
import { withClient } from '#storage/admin-client.ts'
import { countSecurityEvent } from '#storage/peer-store.ts'
import { serviceLoginOf } from '#storage/service-login.ts'
import { addresses, createNetwork, environmentOf, eventually, reportOf } from '../network.ts'

const network = await createNetwork(t, { zone: { 'abroad.example': { A: [addresses.GB] } } })
const gb = network.get('hotline-gb')
const se = network.get('hotline-se')
const env = environmentOf('hotline-se', { folder: network.folder, port: se.port, dnsPort: network.dnsPort }, se.database.url)

async function ask(changes: Record<string, string> = {}, aheadMs = 0): Promise<{ healthy: boolean; findings: Finding[] }> {
  const now = () => new Date(Date.now() + aheadMs)
  const { text } = await examine({ ...env, ...changes }, { json: true, now })
  return JSON.parse(text) as { healthy: boolean; findings: Finding[] }
}

const dayMs = 24 * 3_600_000

t.test('finds a healthy node healthy, in words and as JSON, and prints no secret', async (t) => {
  const { healthy, findings } = await ask()
  t.equal(healthy, true)
  t.same(
    findings.filter(({ result, check }) => result !== 'ok' && check !== 'geolocation'),
    [],
  )
  for (const check of [
    'database',
    'database rights',
    'clock',
    'certificates',
    'membership',
    'directory',
    'peers',
    'outbox',
    'quarantine',
    'security events',
  ]) {
    t.ok(
      findings.some((finding) => finding.check === check),
      check,
    )
  }
  const { text } = await examine(env, { json: false })
  t.match(text, 'hotline-gb answers and signs as itself')
  t.notMatch(text, new URL(env.DATABASE_URL as string).password)
  t.notMatch(text, /postgres(ql)?:|https?:/)
})

t.test('says that the embedded geolocation database needs its attribution, and that an old one is old', async (t) => {
  const { findings } = await ask({ GEO_COUNTRY_DB: '', GEO_ASN_DB: '' }, 400 * dayMs)
  t.match(
    findings.find(({ check, result }) => check === 'geolocation' && result === 'warning'),
    { says: /IP Geolocation by DB-IP/, advice: /GEO_COUNTRY_DB/ },
  )
})

t.test('warns of a clock that is a little wrong, and fails one that peers no longer accept', async (t) => {
  const little = await ask({}, 20_000)
  t.equal(little.healthy, true)
  t.match(find(little, 'clock: warning', 'hotline-gb'), { says: /(19|20|21) seconds behind this machine/ })
  const much = await ask({}, 10 * 60_000)
  t.equal(much.healthy, false)
  t.ok(find(much, 'clock: failed', 'hotline-gb refuses this node'))
  t.ok(find(much, 'clock: failed', 'the database'))
})

t.test('tells that certificates end soon, or have expired', async (t) => {
  t.ok(find(await ask({}, 380 * dayMs), 'certificates: warning', 'ends in 16 days'))
  const over = await ask({}, 400 * dayMs)
  t.equal(over.healthy, false)
  t.ok(find(over, 'certificates: failed', 'has expired'))
})

t.test('tells that the directory is stale, or has expired', async (t) => {
  t.ok(find(await ask({}, 25 * dayMs), 'directory: warning', 'is stale'))
  const over = await ask({}, 31 * dayMs)
  t.equal(over.healthy, false)
  t.ok(find(over, 'directory: failed', 'has expired'))
})

t.test('tells that the signing key is not the one of the directory', async (t) => {
  const other = await ask({ SIGN_KEY: memberFiles(network.folder, 'hotline-gb').sign })
  t.equal(other.healthy, false)
  t.ok(find(other, 'membership: failed', 'SIGN_KEY is not in the directory'))
  t.ok(find(other, 'peers: failed', 'hotline-gb refuses this node (unknown_key)'))
})

t.test('tells in December that the next year’s audit log has no key of its own, or none that the directory lists', async (t) => {
  const year = new Date().getUTCFullYear()
  const aheadMs = Date.UTC(year, 11, 15) - Date.now()
  const files = memberFiles(network.folder, 'hotline-se')
  t.ok(find(await ask({}, aheadMs), 'audit keys: ok', `${year}, ${year + 1}`))
  const thisYears = auditKeyFile(files.audit, year)
  t.ok(
    find(
      await ask({ AUDIT_KEY: thisYears }, aheadMs),
      'audit keys: warning',
      `${year + 1} has no key of its own: it would be signed`,
    ),
  )
  const path = join(t.testdir(), '{year}.key')
  await copyFile(thisYears, auditKeyFile(path, year))
  await copyFile(auditKeyFile(memberFiles(network.folder, 'hotline-gb').audit, year + 1), auditKeyFile(path, year + 1))
  const unlisted = await ask({ AUDIT_KEY: path }, aheadMs)
  t.ok(find(unlisted, 'audit keys: warning', `does not list the key of the audit log of ${year + 1}`))
})

t.test('tells that certificate, key and member do not fit together', async (t) => {
  const { certificate, key } = memberFiles(network.folder, 'hotline-gb').node
  t.ok(find(await ask({ TLS_CERT: certificate }), 'certificates: failed', 'TLS_KEY is not the key of TLS_CERT'))
  t.ok(find(await ask({ TLS_CERT: certificate, TLS_KEY: key }), 'certificates: failed', 'names another member'))
  t.ok(find(await ask({ TLS_KEY: '/nowhere' }), 'certificates: failed', 'cannot be opened'))
})

t.test('tells that the service could do more than it may', async (t) => {
  const login = serviceLoginOf(se.database.name)
  await withClient(se.database.adminUrl, (client) => client.query(`alter role ${login} createdb`))
  t.teardown(() => withClient(se.database.adminUrl, (client) => client.query(`alter role ${login} nocreatedb`)))
  const powerful = await ask()
  t.equal(powerful.healthy, false)
  t.ok(find(powerful, 'database rights: failed', 'more power'))
})

t.test('tells that the database is down, and still looks at all the rest', async (t) => {
  const down = await ask({ DATABASE_URL: 'postgres://someone:verysecret@127.0.0.1:1/none' })
  t.equal(down.healthy, false)
  t.ok(find(down, 'database: failed', 'ECONNREFUSED'))
  t.ok(find(down, 'peers: ok', 'hotline-gb'))
  t.ok(find(down, 'directory: ok', 'Version 1'))
  t.notMatch(JSON.stringify(down), 'verysecret')
})

t.test('tells that this node missed a directory which file and peers have', async (t) => {
  await se.stop()
  await network.publish()
  await eventually('the peer follows', async () => find(await ask(), 'directory: warning', 'hotline-gb holds version 2'))
  const missed = await ask()
  t.ok(find(missed, 'directory: warning', 'DIRECTORY_FILE holds version 2'))
  t.equal(missed.healthy, true)
  await se.start()
})

t.test('tells the security events of the last day, by code and with their number', async (t) => {
  const event = { fingerprint: 'f', member: 'hotline-gb', code: 'replayed_proof', trace: '0'.repeat(32) }
  const count = (code: string, agoMs: number) =>
    countSecurityEvent(se.database.database, { ...event, code, at: new Date(Date.now() - agoMs) })
  for (const agoMs of [3_600_000, 3_600_000, 7_200_000]) await count('replayed_proof', agoMs)
  await count('bad_signature', 3_600_000)
  await count('unknown_key', 2 * dayMs)
  const told = await ask()
  t.ok(find(told, 'security events: warning', 'replayed_proof: 3 in the last day (hotline-gb).'))
  t.ok(find(told, 'security events: warning', 'bad_signature: 1 in the last day (hotline-gb).'))
  t.notMatch(JSON.stringify(told), 'unknown_key')
  t.equal(told.healthy, true)
})

t.test('tells that a peer is down and what waits for it', async (t) => {
  await gb.stop()
  await se.call('hotline', 'POST', '/v1/reports', reportOf([{ url: 'https://abroad.example/', contentType: 'media' }]))
  const told = await eventually('the item waits', async () => {
    const answer = await ask()
    return find(answer, 'outbox: warning', '1 waiting for hotline-gb; last failure: refused') && answer
  })
  t.ok(find(told, 'peers: warning', 'hotline-gb cannot be reached: nothing listens there'))
  t.equal(told.healthy, true, 'a peer that is down is no fault of this node')
})

/** The finding of that check with that result, written `check: result`, that says so. */
function find({ findings }: { findings: Finding[] }, what: string, says: string): Finding | undefined {
  return findings.find((finding) => `${finding.check}: ${finding.result}` === what && finding.says.includes(says))
}
