// Which roots and directories are refused although officers signed them: forms, and parts that contradict each other.
import t from 'tap'
import { generateAuditKey, generateSigningKey, parseAuditKey, parseSigningKey } from '#crypto/keys.ts'
import { instantOf, parseDirectory, parseRoot, thumbprintOf } from '#domain/directory-contents.ts'
import type { Directory } from '#schema/directory.ts'
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
} from './directory-fixture.ts'

const officers = await makeOfficers(3)
const refused = (t: Pick<typeof import('tap').default, 'throws'>, run: () => unknown, pointer?: string) =>
  t.throws(run, { code: 'bad_directory', ...(pointer === undefined ? {} : { pointer }) })

t.test('takes a root and a directory whose parts agree', async (t) => {
  t.ok(parseRoot(makeRoot(officers)))
  t.ok(parseDirectory(makeDirectory()))
  t.ok(parseDirectory(makeDirectory({ default: 'hotline-jp', version: 2, previous: anyDigest() })))
})

t.test('computes the thumbprint that RFC 7638 asks for', async (t) => {
  const sign = await parseSigningKey(await generateSigningKey())
  const audit = await parseAuditKey(await generateAuditKey())
  t.equal(thumbprintOf(sign.publicJwk), sign.kid)
  t.equal(thumbprintOf(audit.publicJwk), audit.kid)
})

t.test('refuses a form that the schema does not know', async (t) => {
  const [member] = makeDirectory().members
  refused(t, () => parseDirectory({ ...makeDirectory(), surprise: 1 }))
  refused(t, () => parseDirectory({ ...makeDirectory(), members: [{ ...member, id: 'UPPER' }] }), '/members/0/id')
  refused(t, () => parseDirectory({ ...makeDirectory(), version: 0 }), '/version')
  refused(t, () => parseDirectory(null))
  refused(t, () => parseRoot({ ...makeRoot(officers), tlsAuthorities: [] }))
  const key = makeKey()
  const spare = { ...key, jwk: { ...key.jwk, d: 'AA' } }
  refused(t, () => parseDirectory({ ...makeDirectory(), members: [{ ...member, keys: [spare] }] }))
})

t.test('refuses an address of a node that is no https origin', async (t) => {
  const withUrl = (url: string) => () =>
    parseDirectory(
      makeDirectory({ members: [makeMember('hotline-gb', { endpoints: [{ use: 'federation', url }] })], routes: [] }),
    )
  for (const url of ['https://node.example', 'https://node.example:8443', 'https://127.0.0.1:1', 'https://[::1]:8443'])
    t.ok(withUrl(url)())
  for (const url of [
    'http://node.example',
    'https://node.example/',
    'https://u@node.example',
    'https://node.example?x',
    'https://N.example',
    'https://node.example:0',
  ]) {
    refused(t, withUrl(url))
  }
})

t.test('refuses a time that does not exist, so that nothing lives for ever', async (t) => {
  t.equal(instantOf('2026-02-28T00:00:00.000Z'), Date.UTC(2026, 1, 28))
  refused(t, () => instantOf('2026-02-30T00:00:00.000Z'))
  refused(t, () => instantOf('2026-02-28'))
  refused(t, () => parseRoot(makeRoot(officers, { expires: '2027-02-30T00:00:00.000Z' })))
})

t.test('refuses a life over 30 days, or none', async (t) => {
  t.ok(parseDirectory(makeDirectory({ issuedAt: at(0), expires: at(30 * dayMs) })))
  refused(t, () => parseDirectory(makeDirectory({ issuedAt: at(0), expires: at(30 * dayMs + 1) })), '/expires')
  refused(t, () => parseDirectory(makeDirectory({ issuedAt: at(0), expires: at(0) })), '/expires')
})

t.test('refuses a first version with a previous one, and a later version without', async (t) => {
  refused(t, () => parseDirectory(makeDirectory({ previous: anyDigest() })), '/previous')
  refused(t, () => parseDirectory(makeDirectory({ version: 2 })), '/previous')
})

t.test('refuses ids, certificates and keys that stand twice', async (t) => {
  const twice = makeMember('hotline-gb')
  const other = makeMember('hotline-se')
  const members = (...list: Directory['members']) => makeDirectory({ members: list, routes: [] })
  refused(t, () => parseDirectory(members(twice, makeMember('hotline-gb'))))
  refused(t, () => parseDirectory(members(twice, { ...other, certificates: twice.certificates })))
  refused(t, () => parseDirectory(members(twice, { ...other, keys: twice.keys })))
  const key = makeKey()
  refused(t, () => parseDirectory(members({ ...twice, keys: [key, { ...key, use: 'encrypt' } as typeof key] })))
})

t.test('refuses a kid that is not the thumbprint, and a state without its time', async (t) => {
  const withKey = (overrides: Parameters<typeof makeKey>[0]) => () =>
    parseDirectory(makeDirectory({ members: [makeMember('hotline-gb', { keys: [makeKey(overrides)] })], routes: [] }))
  t.ok(withKey({ state: 'retired', retiredAt: at(0) })())
  t.ok(withKey({ state: 'revoked', retiredAt: at(0), revokedAt: at(0) })())
  refused(t, withKey({ kid: anyDigest() }), '/members/0/keys/0/kid')
  refused(t, withKey({ state: 'retired' }))
  refused(t, withKey({ state: 'revoked', retiredAt: at(0) }))
  refused(t, withKey({ state: 'current', retiredAt: at(0) }))
  refused(t, withKey({ state: 'retired', retiredAt: at(0), revokedAt: at(0) }))
})

t.test('refuses routes to strangers, and a member named twice in one', async (t) => {
  const withRoutes =
    (...routes: Directory['routes']) =>
    () =>
      parseDirectory(makeDirectory({ routes }))
  refused(t, withRoutes(makeRoute('GB', 'nobody')), '/routes/0')
  refused(t, withRoutes(makeRoute('GB', 'hotline-gb', { backup: 'nobody' })))
  refused(t, withRoutes(makeRoute('GB', 'hotline-gb', { also: ['nobody'] })))
  refused(t, withRoutes(makeRoute('GB', 'hotline-gb', { backup: 'hotline-gb' })))
  refused(t, () => parseDirectory(makeDirectory({ default: 'nobody' })), '/default')
})

t.test('asks for exactly one primary of a country at any instant', async (t) => {
  const spans =
    (...list: [string, string | null][]) =>
    () =>
      parseDirectory(
        makeDirectory({
          routes: list.map(([from, until], index) => makeRoute('GB', index % 2 ? 'hotline-se' : 'hotline-gb', { from, until })),
        }),
      )
  t.ok(spans([at(0), at(dayMs)], [at(dayMs), null])())
  t.ok(spans([at(dayMs), null], [at(0), at(dayMs)])(), 'in any order')
  refused(t, spans([at(0), null], [at(dayMs), null]), '/routes')
  refused(t, spans([at(0), at(dayMs)], [at(dayMs - 1), null]), '/routes')
  refused(t, spans([at(0), at(dayMs)], [at(dayMs + 1), null]), '/routes')
  refused(t, spans([at(dayMs), at(0)]), '/routes')
})

t.test('refuses a root that lists a key twice, or asks for more signatures than keys', async (t) => {
  const root = makeRoot(officers)
  const [first] = root.roles.root.keys
  const twice = { keys: [first, first], threshold: 2 }
  refused(t, () => parseRoot({ ...root, roles: { ...root.roles, directory: twice } }), '/roles/directory/keys')
  refused(
    t,
    () => parseRoot({ ...root, roles: { ...root.roles, pulse: { ...root.roles.pulse, threshold: 2 } } }),
    '/roles/pulse/threshold',
  )
  const spareBits = { ...first, x: `${first?.x.slice(0, 42)}${first?.x.endsWith('A') ? 'B' : 'R'}` }
  refused(t, () => parseRoot({ ...root, roles: { ...root.roles, root: { keys: [first, spareBits], threshold: 2 } } }))
})

t.test('says where the fault is and never repeats a value', async (t) => {
  try {
    parseDirectory({ ...makeDirectory(), default: 'CANARY value' })
    t.fail('was accepted')
  } catch (error) {
    t.notMatch(`${error}${JSON.stringify(error)}`, /CANARY/)
    t.match(error, { pointer: '/default' })
  }
})
