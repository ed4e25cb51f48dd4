// The rules of domain.md, "Routing", one row each, then what must hold for every question that can be asked.
import fc from 'fast-check'
import t from 'tap'
import { type CountryQuestion, decideCountry, decideRoute, maxHops, type RoutedAddress } from '#domain/routing-rules.ts'

const gb = (address: string): RoutedAddress => ({ address, country: 'GB', cdn: false })
const se = (address: string): RoutedAddress => ({ address, country: 'SE', cdn: false })
const unknown = (address: string): RoutedAddress => ({ address, country: null, cdn: false })
const internal: RoutedAddress = { address: '10.0.0.1', special: 'private', country: null, cdn: false }
const cdn = (address: string, cdnCountry: string | null = 'US'): RoutedAddress => ({
  address,
  country: 'GB',
  cdn: true,
  cdnCountry,
})

const base: CountryQuestion = { kind: 'name', addresses: [], dns: 'answered', policy: { cdnToHome: false } }
const toNetwork = { policy: { cdnToHome: true } }
const byAnalyst = { country: 'JP', by: 'analyst' } as const

const rows: [string, Partial<CountryQuestion>, string][] = [
  ['a stated country decides before any evidence', { stated: byAnalyst, addresses: [gb('a')] }, 'country JP stated stated []'],
  [
    'an operator rule is told from an analyst',
    { stated: { country: 'JP', by: 'operator' }, addresses: [cdn('a')] },
    'country JP stated operator [cdn]',
  ],
  [
    'a stated country decides for an onion host',
    { stated: byAnalyst, kind: 'onion', dns: 'not_needed' },
    'country JP stated stated []',
  ],
  [
    'a stated country decides for an item without a URL',
    { stated: byAnalyst, kind: 'none', dns: 'not_needed' },
    'country JP stated stated []',
  ],
  [
    'an item without URL and country waits for a person',
    { kind: 'none', dns: 'not_needed' },
    'needs_review null no_country null []',
  ],
  ['an onion host has no country', { kind: 'onion', dns: 'not_needed' }, 'untraceable null onion null []'],
  ['a name without addresses is untraceable', { dns: 'no_answer' }, 'untraceable null no_dns_answer null []'],
  ['an outage is not an answer', { dns: 'failed' }, 'try_later null dns_failed null []'],
  ['an outage to the end is said to be one', { dns: 'failed', lastTry: true }, 'untraceable null dns_failed null []'],
  [
    'half an answer without a public address is asked again',
    { addresses: [internal], partial: true },
    'try_later null dns_failed null [partial]',
  ],
  [
    'half an answer counts at the end',
    { addresses: [internal], partial: true, lastTry: true },
    'untraceable null special_addresses null [partial]',
  ],
  [
    'half an answer with a country counts and is flagged',
    { addresses: [gb('a')], partial: true },
    'country GB agreed agreed [partial]',
  ],
  ['private addresses are no hosting', { addresses: [internal] }, 'untraceable null special_addresses null []'],
  ['a private address has no vote', { addresses: [internal, gb('a')] }, 'country GB agreed agreed [special_ignored]'],
  ['a CDN hides the host', { addresses: [cdn('a'), gb('b')] }, 'needs_review null cdn null [cdn]'],
  [
    'a policy sends it to the country of the CDN network',
    { addresses: [cdn('a')], ...toNetwork },
    'country US cdn_network_country operator [cdn]',
  ],
  [
    'two CDN networks at home in two countries need a person',
    { addresses: [cdn('a'), cdn('b', 'FR')], ...toNetwork },
    'needs_review null cdn null [cdn]',
  ],
  [
    'a CDN network without a known home needs a person',
    { addresses: [cdn('a', null)], ...toNetwork },
    'needs_review null cdn null [cdn]',
  ],
  ['all addresses in one country', { addresses: [gb('a'), gb('b')] }, 'country GB agreed agreed []'],
  ['most addresses in one country', { addresses: [gb('a'), se('b'), gb('c')] }, 'country GB majority majority [conflict]'],
  ['a tie', { addresses: [gb('a'), se('b')] }, 'needs_review null tie null [conflict]'],
  ['the same address twice has one vote', { addresses: [gb('a'), se('b'), gb('a')] }, 'needs_review null tie null [conflict]'],
  ['no database knows a country', { addresses: [unknown('a')] }, 'needs_review null no_country null [unknown_country]'],
  [
    'most addresses without a country',
    { addresses: [unknown('a'), gb('b'), unknown('c')] },
    'needs_review null no_country null [unknown_country]',
  ],
  ['known and unknown in balance', { addresses: [unknown('a'), gb('b')] }, 'needs_review null tie null [unknown_country]'],
  ['most addresses known', { addresses: [gb('a'), unknown('b'), gb('c')] }, 'country GB majority majority [unknown_country]'],
  ['an answer that was cut is flagged', { addresses: [gb('a')], truncated: true }, 'country GB agreed agreed [truncated]'],
]

for (const [name, question, expected] of rows) {
  t.test(`country: ${name}`, async (t) => {
    const { outcome, country, rule, confidence, flags } = decideCountry({ ...base, ...question })
    t.equal(`${outcome} ${country} ${rule} ${confidence} [${flags.join(' ')}]`, expected)
  })
}

const inSweden = { outcome: 'country', country: 'SE', rule: 'agreed' } as const
const route = { decision: inSweden, self: 'hotline-gb', home: ['GB'], responsible: undefined }
const member = (rule: 'covered' | 'backup' | 'default', id = 'hotline-se') => ({ responsible: { member: id, rule } })

t.test('routes: home before anyone, then cover, backup, default, and an orphan if there is nobody', async (t) => {
  t.strictSame(decideRoute({ ...route, home: ['GB', 'SE'], ...member('covered') }), { kind: 'home', rule: 'home' })
  t.strictSame(decideRoute({ ...route, ...member('covered') }), { kind: 'handoff', member: 'hotline-se', rule: 'covered' })
  t.strictSame(decideRoute({ ...route, ...member('backup') }), { kind: 'handoff', member: 'hotline-se', rule: 'backup' })
  t.strictSame(decideRoute({ ...route, ...member('default') }), { kind: 'handoff', member: 'hotline-se', rule: 'default' })
  t.strictSame(decideRoute(route), { kind: 'orphaned', rule: 'orphaned' })
})

t.test('routes: keeps what this node is the backup or default for', async (t) => {
  t.strictSame(decideRoute({ ...route, ...member('backup', 'hotline-gb') }), { kind: 'home', rule: 'backup' })
})

t.test('routes: stops handing on after eight hops', async (t) => {
  t.equal(decideRoute({ ...route, ...member('covered'), hops: maxHops - 1 }).kind, 'handoff')
  t.strictSame(decideRoute({ ...route, ...member('covered'), hops: maxHops }), { kind: 'needs_review', rule: 'too_many_hops' })
})

t.test('routes: what has no country keeps the rule that said so', async (t) => {
  t.strictSame(decideRoute({ ...route, decision: { outcome: 'untraceable', country: null, rule: 'onion' } }), {
    kind: 'untraceable',
    rule: 'onion',
  })
  t.strictSame(decideRoute({ ...route, decision: { outcome: 'try_later', country: null, rule: 'dns_failed' } }), {
    kind: 'try_later',
    rule: 'dns_failed',
  })
})

const anyCountry = fc.constantFrom('GB', 'SE', 'JP', null)
const anyAddress = fc
  .record({ address: fc.constantFrom('a', 'b', 'c', 'd', 'e'), country: anyCountry, cdn: fc.boolean(), cdnCountry: anyCountry })
  .chain((plain) => fc.constantFrom(plain, { ...plain, country: null, special: 'private' }))
const anyQuestion = fc.record<CountryQuestion>({
  kind: fc.constantFrom('name', 'ipv4', 'ipv6', 'onion', 'none'),
  addresses: fc.array(anyAddress, { maxLength: 6 }),
  dns: fc.constantFrom('answered', 'no_answer', 'not_needed', 'failed'),
  partial: fc.boolean(),
  truncated: fc.boolean(),
  lastTry: fc.boolean(),
  stated: fc.constantFrom(undefined, byAnalyst),
  policy: fc.record({ cdnToHome: fc.boolean() }),
})

t.test('always gives a rule, a country exactly when it says so, and never one that no evidence holds', async () => {
  fc.assert(
    fc.property(anyQuestion, (question) => {
      const decision = decideCountry(question)
      const seen = question.addresses
        .filter((each) => each.special === undefined)
        .flatMap((each) => [each.country, each.cdn ? each.cdnCountry : null])
      if (!decision.rule) throw new Error('no rule')
      if ((decision.outcome === 'country') !== (decision.country !== null)) throw new Error('country and outcome differ')
      if ((decision.country === null) !== (decision.confidence === null)) throw new Error('country and confidence differ')
      if (decision.country !== null && !seen.includes(decision.country) && question.stated === undefined)
        throw new Error('guessed')
      if (question.lastTry && decision.outcome === 'try_later') throw new Error('for ever')
      const routed = decideRoute({ decision, self: 'hotline-gb', home: ['GB'], responsible: undefined })
      if (!routed.kind || !routed.rule) throw new Error('dropped')
    }),
    { numRuns: 5000 },
  )
})

t.test('does not depend on the order of the addresses', async () => {
  const distinct = fc.uniqueArray(anyAddress, { selector: (each) => each.address, maxLength: 6 })
  fc.assert(
    fc.property(anyQuestion, distinct, (question, addresses) => {
      const forwards = decideCountry({ ...question, addresses })
      const backwards = decideCountry({ ...question, addresses: [...addresses].reverse() })
      if (JSON.stringify(forwards) !== JSON.stringify(backwards)) throw new Error('order matters')
    }),
    { numRuns: 3000 },
  )
})
