// What the logs of this year and the next lack of keys, told in time.
import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import { findKeyGaps } from '#domain/audit-key-gaps.ts'
import { thumbprintOf } from '#domain/directory-contents.ts'
import type { EdPublicKey, MemberKey } from '#schema/directory.ts'

function makeKey(year: number | undefined, state: MemberKey['state'] = 'current'): MemberKey & { year?: number } {
  const { x = '' } = createPublicKey(generateKeyPairSync('ed25519').privateKey).export({ format: 'jwk' })
  const jwk: EdPublicKey = { kty: 'OKP', crv: 'Ed25519', x }
  return { jwk, kid: thumbprintOf(jwk), use: 'audit', state, ...(year === undefined ? {} : { year }) }
}
const june = new Date('2026-06-01T00:00:00.000Z')
const november = new Date('2026-11-30T23:59:59.999Z')
const december = new Date('2026-12-01T00:00:00.000Z')
const january = new Date('2027-01-01T00:00:00.000Z')
const one = makeKey(2026)
const two = makeKey(2027, 'next')
const both = (year: number) => ({ kid: year > 2026 ? two.kid : one.kid, year: year > 2026 ? 2027 : 2026 })
const onlyOne = () => ({ kid: one.kid, year: 2026 })

t.test('nothing lacks where each year has a key that is listed', async (t) => {
  for (const now of [june, november, december, january]) t.same(findKeyGaps(both, { listed: [one, two], now }), [])
})

t.test('that the next year has none is told from December on, and then of the year itself', async (t) => {
  const gapsAt = (now: Date) => findKeyGaps(onlyOne, { listed: [one], now })
  t.same(gapsAt(november), [])
  t.same(gapsAt(december), [{ year: 2027, lacks: 'key', isNext: true }])
  t.same(gapsAt(january), [{ year: 2027, lacks: 'key', isNext: false }])
})

t.test('one file for every year does for this one, and not for the next', async (t) => {
  const any = makeKey(undefined)
  const keyOf = () => ({ kid: any.kid })
  t.same(findKeyGaps(keyOf, { listed: [any], now: june }), [])
  t.same(findKeyGaps(keyOf, { listed: [any], now: december }), [{ year: 2027, lacks: 'key', isNext: true }])
  t.same(
    findKeyGaps(() => ({ kid: one.kid }), { listed: [one], now: january }),
    [{ year: 2027, lacks: 'key', isNext: false }],
  )
})

t.test('a key that the directory does not list as usable is told', async (t) => {
  t.same(findKeyGaps(both, { listed: [one], now: december }), [{ year: 2027, lacks: 'listing', isNext: true }])
  t.same(findKeyGaps(both, { listed: [], now: june }), [{ year: 2026, lacks: 'listing', isNext: false }])
  const retired: MemberKey = { ...one, state: 'retired', retiredAt: june.toISOString() }
  t.same(findKeyGaps(both, { listed: [retired], now: november }), [{ year: 2026, lacks: 'listing', isNext: false }])
  t.same(
    findKeyGaps(both, { listed: [one, { ...two, year: 2028 } as MemberKey], now: december }),
    [{ year: 2027, lacks: 'key', isNext: true }],
    'or lists for another year',
  )
})
