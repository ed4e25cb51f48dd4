// What the held directory answers on every request, and how it ages.
import t from 'tap'
import { directoryAge } from '#domain/directory-rules.ts'
import { holdDirectory } from '#domain/held-directory.ts'
import type { Directory, MemberCertificate } from '#schema/directory.ts'
import {
  anyDigest,
  at,
  dayMs,
  makeDirectory,
  makeKey,
  makeMember,
  makeOfficers,
  makeRoot,
  makeRoute,
  now,
} from './directory-fixture.ts'

const root = makeRoot(await makeOfficers(2))
const hold = (overrides: Partial<Directory> = {}) => {
  const document = makeDirectory(overrides)
  return holdDirectory({ document, version: document.version, hash: anyDigest(), bytes: Buffer.from('{}'), root })
}

t.test('finds a member by a usable certificate, and by no other', async (t) => {
  const certificate = (overrides: Partial<MemberCertificate>): MemberCertificate => ({
    fingerprint: anyDigest(),
    notBefore: at(-dayMs),
    notAfter: at(dayMs),
    state: 'current',
    ...overrides,
  })
  const certificates = {
    current: certificate({}),
    next: certificate({ state: 'next' }),
    retired: certificate({ state: 'retired' }),
    revoked: certificate({ state: 'revoked' }),
    expired: certificate({ notAfter: at(-1) }),
    early: certificate({ notBefore: at(1) }),
  }
  const held = hold({ members: [makeMember('hotline-gb', { certificates: Object.values(certificates) })], routes: [] })
  const isFound = ({ fingerprint }: MemberCertificate) =>
    held.findMemberByFingerprint(fingerprint, now)?.member.id === 'hotline-gb'
  t.equal(isFound(certificates.current), true)
  t.equal(isFound(certificates.next), true)
  for (const name of ['retired', 'revoked', 'expired', 'early'] as const) t.equal(isFound(certificates[name]), false, name)
  t.equal(held.findMemberByFingerprint(anyDigest(), now), undefined)
  t.equal(held.findMemberByFingerprint(certificates.current.fingerprint, now)?.certificate.state, 'current')
})

t.test('signs with current and next keys, and keeps the others as history', async (t) => {
  const keys = [
    makeKey(),
    makeKey({ state: 'next' }),
    makeKey({ state: 'retired', retiredAt: at(-1) }),
    makeKey({ state: 'revoked', revokedAt: at(-1) }),
    makeKey({ use: 'encrypt' }),
  ]
  const held = hold({ members: [makeMember('hotline-gb', { keys }), makeMember('hotline-se')], routes: [] })
  t.same(
    held.signingKeys('hotline-gb').map(({ kid }) => kid),
    [keys[0]?.kid, keys[1]?.kid],
  )
  t.equal(held.findSigningKey('hotline-gb', keys[2]?.kid ?? '')?.retiredAt, at(-1))
  t.equal(held.findSigningKey('hotline-se', keys[0]?.kid ?? ''), undefined, 'a key belongs to one member')
  t.equal(held.findSigningKey('hotline-gb', keys[4]?.kid ?? ''), undefined, 'a key has one use')
  t.equal(held.findEncryptionKey('hotline-gb')?.kid, keys[4]?.kid)
  t.same(held.signingKeys('nobody'), [])
})

t.test('lets full members exchange, and provisional ones with the office only', async (t) => {
  const held = hold({
    members: [
      makeMember('full-a'),
      makeMember('full-b'),
      makeMember('trial', { status: 'provisional' }),
      makeMember('office', { kind: 'office' }),
      makeMember('stopped', { status: 'suspended' }),
      makeMember('gone', { status: 'left' }),
      makeMember('silent', { endpoints: [] }),
    ],
    routes: [],
  })
  const partners = (self: string) =>
    held.document.members.map(({ id }) => id).filter((id) => held.mayExchange(self, id) && id !== self)
  t.same(partners('full-a'), ['full-b', 'office', 'silent'])
  t.same(partners('trial'), ['office'])
  t.same(partners('office'), ['full-a', 'full-b', 'trial', 'silent'])
  t.same(partners('stopped'), [])
  t.same(partners('gone'), [])
  t.same(partners('nobody'), [])
  t.same(['full-a', 'trial', 'stopped', 'gone', 'nobody'].map(held.isActive), [true, true, false, false, false])
  t.same(
    held.peersOf('full-a').map(({ id }) => id),
    ['full-b', 'office'],
    'who has no endpoint is nobody’s peer',
  )
})

t.test('gives a country to its primary, then its backup, then the default, then nobody', async (t) => {
  const answer = (
    primary: 'full' | 'suspended' | 'left' | 'provisional',
    backup: 'full' | 'suspended',
    desk?: 'full' | 'suspended',
  ) =>
    hold({
      members: [
        makeMember('first', { status: primary }),
        makeMember('second', { status: backup }),
        makeMember('desk', { status: desk ?? 'full', kind: 'liaison_authority' }),
      ],
      routes: [makeRoute('SE', 'first', { backup: 'second' })],
      ...(desk ? { default: 'desk' } : {}),
    }).responsibleMember('SE', now)
  t.same(answer('full', 'full', 'full'), { member: 'first', rule: 'covered' })
  for (const status of ['suspended', 'left', 'provisional'] as const)
    t.same(answer(status, 'full', 'full'), { member: 'second', rule: 'backup' })
  t.same(answer('suspended', 'suspended', 'full'), { member: 'desk', rule: 'default' })
  t.equal(answer('suspended', 'suspended', 'suspended'), undefined)
  t.equal(answer('suspended', 'suspended'), undefined)
})

t.test('knows no responsible member for a country without a route, unless there is a default', async (t) => {
  t.equal(hold().responsibleMember('BT', now), undefined)
  t.same(hold({ default: 'hotline-jp' }).responsibleMember('BT', now), { member: 'hotline-jp', rule: 'default' })
})

t.test('switches a country at the stated instant', async (t) => {
  const held = hold({
    routes: [
      makeRoute('GB', 'hotline-gb', { until: at(dayMs) }),
      makeRoute('GB', 'hotline-se', { from: at(dayMs), until: at(2 * dayMs) }),
    ],
  })
  const memberAt = (offsetMs: number) => held.responsibleMember('GB', new Date(now.getTime() + offsetMs))?.member
  t.equal(memberAt(dayMs - 1), 'hotline-gb')
  t.equal(memberAt(dayMs), 'hotline-se')
  t.equal(memberAt(2 * dayMs), undefined)
  t.equal(held.findRoute('GB', now)?.primary, 'hotline-gb')
})

t.test('takes turns only where the route says so, and passes over who may not exchange', async (t) => {
  const members = [makeMember('one'), makeMember('two', { status: 'suspended' }), makeMember('three')]
  const turns = (policy: 'primary' | 'round_robin' | 'all_notified') => {
    const held = hold({ members, routes: [makeRoute('SE', 'one', { also: ['two', 'three'], policy })] })
    return [0, 1, 2].map((turn) => held.responsibleMember('SE', now, turn)?.member)
  }
  t.same(turns('round_robin'), ['one', 'three', 'one'])
  t.same(turns('primary'), ['one', 'one', 'one'])
  t.same(turns('all_notified'), ['one', 'one', 'one'])
})

t.test('lists the countries that a member answers for now, those of a suspended member included', async (t) => {
  const held = hold({
    members: [makeMember('hotline-gb'), makeMember('hotline-us', { status: 'suspended' })],
    routes: [makeRoute('US', 'hotline-us', { backup: 'hotline-gb' }), makeRoute('GB', 'hotline-gb')],
  })
  t.same(held.coveredCountries('hotline-gb', now), ['GB', 'US'])
  t.same(held.coveredCountries('hotline-us', now), [])
})

t.test('can be kept: nobody changes it afterwards', async (t) => {
  const held = hold()
  t.throws(() => {
    const [member] = held.document.members
    if (member) member.status = 'left'
  }, TypeError)
  t.throws(() => Object.assign(held, { version: 9 }), TypeError)
})

t.test('ages from fresh to stale to expired, and a clock that went back makes it stale', async (t) => {
  const document = makeDirectory()
  const age = (sinceRefreshMs: number, when = now) => directoryAge(document, new Date(when.getTime() - sinceRefreshMs), when)
  t.equal(age(3600_000 - 1), 'fresh')
  t.equal(age(3600_000), 'stale')
  t.equal(age(-10 * 60_000), 'stale')
  t.equal(age(0, new Date(Date.parse(document.expires) - 1)), 'fresh')
  t.equal(age(0, new Date(document.expires)), 'expired')
})
