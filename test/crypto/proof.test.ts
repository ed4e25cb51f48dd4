import t from 'tap'
import { digest, encodeHash } from '#crypto/digests.ts'
import { type ProofExpectation, type ProofFacts, proofTyp, signProof, verifyProof } from '#crypto/proof.ts'
import { leafHash, merkleRoot } from '#domain/merkle.ts'
import { claimsOf, makeKey, signOddly, signParts } from './tokens.ts'

const key = await makeKey()
const stranger = await makeKey()
const now = new Date('2026-03-01T12:00:00.000Z')
const seconds = now.getTime() / 1000
const after = (secondsLater: number) => new Date(now.getTime() + secondsLater * 1000)
const certificateFingerprint = digest('certificate of hotline-se')
const leaves = ['{"n":1}', '{"n":2}'].map((line) => leafHash(Buffer.from(line)))
const root = encodeHash(merkleRoot(leaves))

const facts: ProofFacts = {
  iss: 'hotline-se',
  aud: 'hotline-gb',
  method: 'POST',
  path: '/federation/v1/ping',
  bodyDigest: digest('body'),
  certificateFingerprint,
  directory: `7:${digest('directory')}`,
  now,
}
const expected: ProofExpectation = {
  arrivedAt: now,
  self: 'hotline-gb',
  member: 'hotline-se',
  certificateFingerprint,
  findKey: (kid) => (kid === key.kid ? { jwk: key.publicJwk } : undefined),
  method: 'POST',
  path: '/federation/v1/ping',
  withRoot: false,
}
const verify = (compact: unknown, changes: Partial<ProofExpectation> = {}) => verifyProof(compact, { ...expected, ...changes })
const good = await signProof(key, facts)
const header = { alg: 'ES256', typ: proofTyp, kid: key.kid }
const withClaims = (changes: object) => signOddly(key, { ...claimsOf(good), ...changes }, header)
const without = (name: string) =>
  signOddly(key, Object.fromEntries(Object.entries(claimsOf(good)).filter(([other]) => other !== name)), header)

t.test('verifies the proof of a call, and gives its claims', async (t) => {
  const claims = await verify(good)
  t.match(claims, {
    iss: 'hotline-se',
    aud: 'hotline-gb',
    iat: seconds,
    htm: 'POST',
    htu: '/federation/v1/ping',
    dig: digest('body'),
  })
  t.match(claims, { cnf: { 'x5t#S256': certificateFingerprint }, dir: `7:${digest('directory')}`, jti: /^[\w-]{22}$/ })
  t.ok(claims.exp - claims.iat >= 60 && claims.exp - claims.iat <= 120)
  t.not(claims.jti, claimsOf(await signProof(key, facts)).jti, 'every proof has a jti of its own')
  t.notOk('root' in claims || 'size' in claims)
})

t.test('carries root and size on a batch and nowhere else', async (t) => {
  const batch = await signProof(key, { ...facts, batch: { root, size: 2 } })
  t.match(await verify(batch, { withRoot: true }), { root, size: 2 })
  await t.rejects(verify(batch), { code: 'malformed_proof' }, 'out of place')
  await t.rejects(verify(good, { withRoot: true }), { code: 'malformed_proof' }, 'absent')
  for (const odd of [
    { root },
    { size: 2 },
    { root, size: 1.5 },
    { root, size: -1 },
    { root, size: '2' },
    { root: 'x', size: 2 },
  ]) {
    await t.rejects(verify(withClaims(odd), { withRoot: true }), { code: 'malformed_proof' }, JSON.stringify(odd))
  }
})

t.test('refuses a claim that is absent, unknown or of another form', async (t) => {
  for (const name of ['iss', 'aud', 'iat', 'exp', 'jti', 'htm', 'htu', 'dig', 'cnf', 'dir']) {
    await t.rejects(verify(without(name)), { code: 'malformed_proof' }, `no ${name}`)
    for (const value of [null, '', {}, [], true, ['hotline-gb']]) {
      await t.rejects(verify(withClaims({ [name]: value })), { code: 'malformed_proof' }, `${name} as ${JSON.stringify(value)}`)
    }
  }
  const odd = [
    { nbf: seconds },
    { aud: ['hotline-gb'] },
    { iat: `${seconds}` },
    { jti: 'x'.repeat(21) },
    { jti: 'x'.repeat(23) },
    { dig: `${digest('body')}=` },
    { dig: digest('body').slice(1) },
    { cnf: { 'x5t#S256': certificateFingerprint, jkt: certificateFingerprint } },
    { cnf: { jkt: certificateFingerprint } },
    { dir: `07:${digest('directory')}` },
    { dir: digest('directory') },
    { dir: `7:${digest('directory')}:` },
  ]
  for (const claims of odd) await t.rejects(verify(withClaims(claims)), { code: 'malformed_proof' }, JSON.stringify(claims))
})

t.test('refuses none, two, or one that is too large', async (t) => {
  const large = withClaims({ htu: `/${'x'.repeat(500)}`, padding: 'x'.repeat(8_192) })
  for (const compact of [undefined, '', [good, good], `${good}, ${good}`, large])
    await t.rejects(verify(compact), { code: 'malformed_proof' })
})

t.test('holds times to the second', async (t) => {
  const at = (arrivedAt: Date) => verify(good, { arrivedAt })
  for (const later of [-60, -1, 0, 1, 60]) await t.resolves(at(after(later)), `${later} s`)
  await t.rejects(at(after(61)), { code: 'expired_proof' })
  await t.rejects(at(after(3_600)), { code: 'expired_proof' })
  await t.rejects(at(after(-61)), { code: 'clock_skew' })
  await t.rejects(
    verify(withClaims({ exp: seconds + 5 }), { arrivedAt: after(5) }),
    { code: 'expired_proof' },
    'exp is the first moment after',
  )
  await t.resolves(verify(withClaims({ exp: seconds + 5 }), { arrivedAt: after(4) }))
  await t.resolves(verify(withClaims({ exp: seconds + 120 })))
  await t.rejects(verify(withClaims({ exp: seconds + 121 })), { code: 'malformed_proof' }, 'lives too long')
  await t.rejects(verify(withClaims({ exp: seconds })), { code: 'malformed_proof' }, 'ends before it begins')
})

t.test('names what does not belong to the call', async (t) => {
  await t.rejects(verify(good, { self: 'hotline-jp' }), { code: 'wrong_audience' })
  await t.rejects(verify(good, { member: 'hotline-jp' }), { code: 'certificate_mismatch' })
  await t.rejects(verify(good, { certificateFingerprint: digest('another') }), { code: 'certificate_mismatch' })
  await t.rejects(verify(good, { method: 'GET' }), { code: 'malformed_proof' })
  for (const path of ['/federation/v1/ping/', '/federation/v1/Ping', '/federation/v1/ping?']) {
    await t.rejects(verify(good, { path }), { code: 'malformed_proof' }, path)
  }
  await t.rejects(verify(good, { findKey: () => undefined }), { code: 'unknown_key' })
  await t.rejects(verify(await signProof(stranger, facts)), { code: 'unknown_key' })
  const [head, body] = good.split('.') as [string, string]
  await t.rejects(verify(signParts(head, body, stranger.privateKey)), { code: 'bad_signature' })
  await t.rejects(verify(signOddly(key, claimsOf(good), { ...header, alg: 'ES512' })), { code: 'malformed_proof' })
})

t.test('checks in the order of the protocol: the first fault names the code', async (t) => {
  // Each step adds one fault that comes earlier in the order.
  const faults: [string, Partial<ProofExpectation>][] = [
    ['malformed_proof', { path: '/elsewhere' }],
    ['certificate_mismatch', { certificateFingerprint: digest('another'), member: 'hotline-jp' }],
    ['wrong_audience', { self: 'hotline-jp' }],
    ['bad_signature', {}],
    ['expired_proof', { arrivedAt: after(61) }],
    ['unknown_key', { findKey: () => undefined }],
  ]
  const [head, body] = good.split('.') as [string, string]
  const forged = signParts(head, body, stranger.privateKey)
  let changes: Partial<ProofExpectation> = {}
  let compact = good
  for (const [code, change] of faults) {
    changes = { ...changes, ...change }
    if (code === 'bad_signature') compact = forged
    await t.rejects(verify(compact, changes), { code }, code)
  }
  await t.rejects(verify(`${compact}=`, changes), { code: 'malformed_proof' }, 'the gate is first')
})
