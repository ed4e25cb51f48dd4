import t from 'tap'
import { capabilitiesTyp, signCapabilities, verifyCapabilities } from '#crypto/capabilities.ts'
import { digest } from '#crypto/digests.ts'
import { pongTyp, signPong, verifyPong } from '#crypto/pong.ts'
import { errorTyp, signError, verifyError } from '#crypto/signed-error.ts'
import { claimsOf, makeKey, signOddly } from './tokens.ts'

const key = await makeKey()
const now = new Date('2026-03-01T12:00:00.000Z')
const parties = { iss: 'hotline-gb', aud: 'hotline-se', now }
const expected = { issuer: 'hotline-gb', audience: 'hotline-se', findKey: () => ({ jwk: key.publicJwk }) }
const refused = { code: 'bad_answer' }
const oddly = (compact: string, typ: string, changes: object) =>
  signOddly(key, { ...claimsOf(compact), ...changes }, { alg: 'ES256', typ, kid: key.kid })

t.test('verifies the error that answers our call', async (t) => {
  const proof = digest('proof')
  const compact = await signError(key, { ...parties, proof, code: 'rate_limited', status: 429, retryAfter: 30 })
  const call = { ...expected, proof, status: 429 }
  t.strictSame(await verifyError(compact, call), {
    iss: 'hotline-gb',
    aud: 'hotline-se',
    iat: now.getTime() / 1000,
    proof,
    code: 'rate_limited',
    status: 429,
    retryAfter: 30,
  })
  await t.rejects(verifyError(compact, { ...call, audience: 'hotline-jp' }), refused)
  await t.rejects(verifyError(compact, { ...call, issuer: 'hotline-jp' }), refused)
  await t.rejects(verifyError(compact, { ...call, proof: digest('another') }), refused)
  await t.rejects(verifyError(compact, { ...expected, status: 429 }), refused, 'it answers a proof and we sent none')
  await t.rejects(verifyError(compact, { ...call, status: 503 }), refused)
  for (const odd of [
    { aud: ['hotline-se'] },
    { status: 200 },
    { status: '429' },
    { code: 'No Code' },
    { retryAfter: -1 },
    { retryAfter: 1.5 },
    { detail: 'x' },
    { proof: 'x' },
  ]) {
    await t.rejects(verifyError(oddly(compact, errorTyp, odd), call), refused, JSON.stringify(odd))
  }
})

t.test('verifies an error that is addressed to nobody and answers no proof', async (t) => {
  const { aud: _, ...nobody } = parties
  const compact = await signError(key, { ...nobody, code: 'not_a_member', status: 403 })
  t.strictSame(Object.keys(claimsOf(compact)), ['iss', 'iat', 'code', 'status'])
  t.match(await verifyError(compact, { ...expected, proof: digest('proof'), status: 403 }), { code: 'not_a_member' })
})

t.test('verifies the echo of our nonce and of no other', async (t) => {
  const nonce = 'n'.repeat(16)
  const compact = await signPong(key, { ...parties, nonce })
  t.strictSame(await verifyPong(compact, { ...expected, nonce }), {
    iss: 'hotline-gb',
    aud: 'hotline-se',
    iat: now.getTime() / 1000,
    nonce,
  })
  await t.rejects(verifyPong(compact, { ...expected, nonce: 'm'.repeat(16) }), refused)
  await t.rejects(verifyPong(compact, { ...expected, nonce, audience: 'hotline-jp' }), refused)
  for (const odd of ['n'.repeat(15), 'n'.repeat(65), `${'n'.repeat(16)}=`]) {
    await t.rejects(verifyPong(oddly(compact, pongTyp, { nonce: odd }), { ...expected, nonce: odd }), refused)
  }
})

t.test('verifies capabilities until they end', async (t) => {
  const facts = {
    versions: [1],
    limits: { maxMessages: 1_000, maxBytes: 4_194_304, maxInflated: 16_777_216 },
    directory: { version: 7, hash: digest('directory') },
  }
  const compact = await signCapabilities(key, { ...parties, lifetimeS: 300, ...facts })
  const at = (seconds: number) => verifyCapabilities(compact, { ...expected, now: new Date(now.getTime() + seconds * 1000) })
  t.match(await at(0), { ...facts, exp: now.getTime() / 1000 + 300 })
  await t.resolves(at(299))
  await t.rejects(at(300), refused)
  const odd = [
    { versions: [] },
    { versions: ['1'] },
    { versions: [0] },
    { limits: { ...facts.limits, more: 1 } },
    { limits: {} },
    { directory: { version: 7 } },
    { exp: undefined },
  ]
  for (const claims of odd) {
    await t.rejects(
      verifyCapabilities(oddly(compact, capabilitiesTyp, claims), { ...expected, now }),
      refused,
      JSON.stringify(claims),
    )
  }
})

t.test('takes no answer for another kind of answer', async (t) => {
  const pong = await signPong(key, { ...parties, nonce: 'n'.repeat(16) })
  await t.rejects(verifyError(pong, { ...expected, status: 429 }), refused)
  await t.rejects(verifyCapabilities(pong, { ...expected, now }), refused)
})
