import t from 'tap'
import { digest } from '#crypto/digests.ts'
import { type ReceiptClaims, type ReceiptExpectation, receiptTyp, signReceipt, verifyReceipt } from '#crypto/receipt.ts'
import { claimsOf, makeKey, signOddly } from './tokens.ts'

const key = await makeKey()
const ids = Array.from({ length: 4 }, (_, n) => `01980000-0000-7000-8000-00000000000${n}`)
const batch = '01980000-0000-7000-8000-0000000000ff'
const [root, proof] = [digest('root'), digest('proof')]
const now = new Date('2026-03-01T12:00:00.000Z')
const facts: Omit<ReceiptClaims, 'iat' | 'jti'> & { now: Date } = {
  iss: 'hotline-gb',
  aud: 'hotline-se',
  batch,
  root,
  size: 4,
  proof,
  exceptions: [
    { index: 0, id: ids[0] as string, status: 'duplicate', at: 1_772_000_000 },
    { index: 2, id: null, status: 'rejected', code: 'schema_invalid' },
    { index: 3, id: ids[3] as string, status: 'rejected', code: 'not_responsible', member: 'hotline-jp' },
  ],
  previous: null,
  checkpoint: null,
  now,
}
const expected: ReceiptExpectation = {
  issuer: 'hotline-gb',
  audience: 'hotline-se',
  batch,
  root,
  size: 4,
  proofs: [digest('an earlier proof'), proof],
  ids,
  findKey: (kid) => (kid === key.kid ? { jwk: key.publicJwk } : undefined),
}
const good = await signReceipt(key, facts)
const verify = (compact: unknown, changes: Partial<ReceiptExpectation> = {}) =>
  verifyReceipt(compact, { ...expected, ...changes })
const header = { alg: 'ES256', typ: receiptTyp, kid: key.kid }
const withClaims = (changes: object) => signOddly(key, { ...claimsOf(good), ...changes }, header)
const refused = { code: 'bad_receipt' }

t.test('verifies a receipt and gives its claims', async (t) => {
  const { now: _, ...claims } = facts
  t.match(await verify(good), { ...claims, iat: now.getTime() / 1000, jti: /^[\w-]{22}$/ })
  const chained = await signReceipt(key, {
    ...facts,
    previous: digest(good),
    checkpoint: { origin: 'hotline-gb/audit/2026', size: 12, root },
  })
  t.match(await verify(chained), { previous: digest(good), checkpoint: { size: 12 } })
  t.strictSame(
    Object.keys(claimsOf(good)).toSorted(),
    'aud batch checkpoint exceptions iat iss jti previous proof root size'.split(' '),
  )
})

t.test('refuses a receipt for something else', async (t) => {
  const elsewhere: Record<string, Partial<ReceiptExpectation>> = {
    issuer: { issuer: 'hotline-jp' },
    audience: { audience: 'hotline-jp' },
    batch: { batch: ids[0] as string },
    root: { root: digest('another') },
    size: { size: 5 },
    'a proof that was not sent': { proofs: [digest('an earlier proof')] },
    'no proof': { proofs: [] },
    key: { findKey: () => undefined },
    'another message': { ids: ids.toReversed() },
  }
  for (const [name, changes] of Object.entries(elsewhere)) await t.rejects(verify(good, changes), refused, name)
  const forged = await signReceipt({ ...(await makeKey()), kid: key.kid }, facts)
  await t.rejects(verify(forged), refused, 'another key under the kid')
  await t.rejects(verify(signOddly(key, claimsOf(good), { ...header, typ: 'crossline-proof+jwt' })), refused, 'typ')
})

t.test('refuses claims that are absent, unknown or of another form', async (t) => {
  for (const name of Object.keys(claimsOf(good))) {
    const rest = Object.fromEntries(Object.entries(claimsOf(good)).filter(([other]) => other !== name))
    await t.rejects(verify(signOddly(key, rest, header)), refused, `no ${name}`)
    await t.rejects(verify(withClaims({ [name]: true })), refused, `${name} of another type`)
  }
  for (const odd of [
    { exp: 1 },
    { aud: ['hotline-se'] },
    { previous: 'x' },
    { checkpoint: { origin: 'x', size: 1 } },
    { exceptions: {} },
    { size: 4.5 },
  ]) {
    await t.rejects(verify(withClaims(odd)), refused, JSON.stringify(odd))
  }
})

t.test('refuses exceptions that break a rule', async (t) => {
  const rejected = { index: 1, id: ids[1], status: 'rejected', code: 'wrong_state' }
  const duplicate = { index: 1, id: ids[1], status: 'duplicate', at: 1 }
  const odd: Record<string, unknown[]> = {
    'not ascending': [{ ...rejected, index: 2, id: ids[2] }, rejected],
    'one index twice': [rejected, rejected],
    'an index beyond the batch': [{ ...rejected, index: 4, id: null }],
    'a negative index': [{ ...rejected, index: -1 }],
    'a fractional index': [{ ...rejected, index: '1' }],
    'another status': [{ ...rejected, status: 'stored' }],
    'no status': [{ index: 1, id: ids[1] }],
    'rejected without code': [{ index: 1, id: ids[1], status: 'rejected' }],
    'an unknown code': [{ ...rejected, code: 'no_reason' }],
    'rejected with at': [{ ...rejected, at: 1 }],
    'duplicate without at': [{ index: 1, id: ids[1], status: 'duplicate' }],
    'duplicate with code': [{ ...duplicate, code: 'wrong_state' }],
    'duplicate without id': [{ ...duplicate, id: null }],
    'at as text': [{ ...duplicate, at: '2026-03-01T12:00:00.000Z' }],
    'member with another code': [{ ...rejected, member: 'hotline-jp' }],
    'member of another form': [{ ...rejected, code: 'not_responsible', member: 'Hotline JP' }],
    'no id': [{ index: 1, status: 'rejected', code: 'wrong_state' }],
    'an id of another type': [{ ...rejected, id: 1 }],
    'the id of another message': [{ ...rejected, id: ids[2] }],
    'an unknown member': [{ ...rejected, why: 'x' }],
    'no object': ['x'],
    nothing: [null],
  }
  for (const [name, exceptions] of Object.entries(odd)) await t.rejects(verify(withClaims({ exceptions })), refused, name)
  for (const exceptions of [[], [rejected], [duplicate]]) await t.resolves(verify(withClaims({ exceptions })))
})

t.test('names the rule and no value', async (t) => {
  const error = await verify(
    withClaims({ exceptions: [{ index: 1, id: 'marker', status: 'rejected', code: 'wrong_state' }] }),
  ).catch((error) => error)
  t.match(error.detail, 'an exception names another message')
  t.notMatch(JSON.stringify([error.message, error.detail, error.cause]), 'marker')
})

t.test('does not sign a receipt that no peer would read', async (t) => {
  const exceptions = Array.from({ length: 1_000 }, (_, index) => ({
    index,
    id: ids[0] as string,
    status: 'duplicate' as const,
    at: 1_772_000_000,
  }))
  await t.rejects(signReceipt(key, { ...facts, size: 1_000, exceptions }), { code: 'too_large' })
  const half = await signReceipt(key, { ...facts, size: 1_000, exceptions: exceptions.slice(0, 450) })
  await t.resolves(verifyReceipt(half, { ...expected, size: 1_000, ids: exceptions.map(({ id }) => id) }))
})
