// The routing rules of domain.md, in their order: the first that decides wins. Two questions: which country hosts it, and who gets it.
// Promise: every answer names its rule, unknown is never guessed and never dropped, and an outage is not taken for an answer.
import type { Confidence, CountryRule, DnsOutcome, EvidenceFlag } from '#schema/hosting-evidence.ts'

/** What is known of one address, as far as the rules need it. `cdnCountry`: where that network is at home, null if not known. */
export interface RoutedAddress {
  address: string
  special?: string
  country: string | null
  cdn: boolean
  cdnCountry?: string | null
}

export interface CountryQuestion {
  /** Kind of host of the canonical URL; `none` for an item without a URL. */
  kind: 'name' | 'ipv4' | 'ipv6' | 'onion' | 'none'
  addresses: readonly RoutedAddress[]
  dns: DnsOutcome
  /** Only one of A and AAAA was answered, the other failed. */
  partial?: boolean
  /** More addresses were answered than are kept. */
  truncated?: boolean
  /** True when the caller has used up its retries of a failed look-up. */
  lastTry?: boolean
  stated?: { country: string; by: 'analyst' | 'operator' } | undefined
  /** `cdnToHome`: route what hides behind a CDN to the country where that network is at home, instead of to a person. */
  policy: { cdnToHome: boolean }
}

/** `try_later` asks the caller for another look-up; it has no place in evidence until the last try. */
export interface CountryDecision {
  outcome: 'country' | 'untraceable' | 'needs_review' | 'try_later'
  country: string | null
  rule: CountryRule
  confidence: Confidence | null
  flags: EvidenceFlag[]
}

type Verdict = Omit<CountryDecision, 'flags'>
type Facts = CountryQuestion & { voters: RoutedAddress[] }

/** Rules 1 to 5: the hosting country, or why there is none. */
export function decideCountry(question: CountryQuestion): CountryDecision {
  const addresses = withoutRepeats(question.addresses)
  const facts = { ...question, addresses, voters: addresses.filter((each) => each.special === undefined) }
  const verdict = countryRules.reduce<Verdict | undefined>((decided, rule) => decided ?? rule(facts), undefined)
  return { ...(verdict ?? countVotes(facts)), flags: collectFlags(facts) }
}

const countryRules: readonly ((facts: Facts) => Verdict | undefined)[] = [
  ({ stated }) =>
    stated && {
      outcome: 'country',
      country: stated.country,
      rule: 'stated',
      confidence: stated.by === 'operator' ? 'operator' : 'stated',
    },
  ({ kind }) => (kind === 'onion' ? withoutCountry('untraceable', 'onion') : undefined),
  ({ kind }) => (kind === 'none' ? withoutCountry('needs_review', 'no_country') : undefined),
  // Half an answer that holds no public address says no more than none: the other half may hold one.
  ({ dns, partial, voters, lastTry }) =>
    (dns === 'failed' || partial) && voters.length === 0 && !lastTry ? withoutCountry('try_later', 'dns_failed') : undefined,
  ({ dns, addresses }) => (dns === 'failed' && addresses.length === 0 ? withoutCountry('untraceable', 'dns_failed') : undefined),
  ({ addresses }) => (addresses.length === 0 ? withoutCountry('untraceable', 'no_dns_answer') : undefined),
  ({ voters }) => (voters.length === 0 ? withoutCountry('untraceable', 'special_addresses') : undefined),
  ({ voters, policy }) => (voters.some((each) => each.cdn) ? decideCdn(voters, policy) : undefined),
]

function withoutCountry(outcome: Exclude<CountryDecision['outcome'], 'country'>, rule: CountryRule): Verdict {
  return { outcome, country: null, rule, confidence: null }
}

function decideCdn(voters: RoutedAddress[], policy: CountryQuestion['policy']): Verdict {
  const [country, ...others] = new Set(voters.filter((each) => each.cdn).map((each) => each.cdnCountry ?? null))
  const single = others.length === 0 ? country : null
  if (!policy.cdnToHome || !single) return withoutCountry('needs_review', 'cdn')
  return { outcome: 'country', country: single, rule: 'cdn_network_country', confidence: 'operator' }
}

/** Every public address has one vote; "no country known" is a candidate that can win, which leaves it to a person. */
function countVotes({ voters }: Facts): Verdict {
  const votes = new Map<string | null, number>()
  for (const { country } of voters) votes.set(country, (votes.get(country) ?? 0) + 1)
  const [first, second] = [...votes].sort((a, b) => b[1] - a[1])
  if (first?.[1] === second?.[1]) return withoutCountry('needs_review', 'tie')
  const country = first?.[0] ?? null
  if (country === null) return withoutCountry('needs_review', 'no_country')
  const rule = second === undefined ? 'agreed' : 'majority'
  return { outcome: 'country', country, rule, confidence: rule }
}

function collectFlags({ addresses, voters, partial, truncated }: Facts): EvidenceFlag[] {
  const countries = new Set(voters.map((each) => each.country).filter((country) => country !== null))
  const found: [EvidenceFlag, boolean][] = [
    ['cdn', voters.some((each) => each.cdn)],
    ['conflict', countries.size > 1],
    ['unknown_country', voters.some((each) => each.country === null)],
    ['special_ignored', voters.length > 0 && voters.length < addresses.length],
    ['partial', partial === true],
    ['truncated', truncated === true],
  ]
  return found.filter(([, holds]) => holds).map(([flag]) => flag)
}

/** A and an IPv4-mapped AAAA record may name the same address: one address, one vote. */
function withoutRepeats(addresses: readonly RoutedAddress[]): RoutedAddress[] {
  return [...new Map(addresses.map((each) => [each.address, each])).values()]
}

/** At most this many hotlines may have held an item before a person must look (domain.md, invariant 6). */
export const maxHops = 8

/** Which member the directory names for a country: its own hotline, a suspended or departed member's backup, or the default desk. */
export interface ResponsibleMember {
  member: string
  rule: 'covered' | 'backup' | 'default'
}

export interface RouteQuestion {
  decision: Pick<CountryDecision, 'outcome' | 'country' | 'rule'>
  /** Id of the member that this node runs for, and the countries that it covers. */
  self: string
  home: readonly string[]
  /** The directory's answer for the decided country; undefined if nobody covers it and there is no default. */
  responsible: ResponsibleMember | undefined
  /** How many hotlines held the item already (`via`); 0 for a new item. */
  hops?: number
}

export type RouteRule = CountryRule | 'home' | ResponsibleMember['rule'] | 'orphaned' | 'too_many_hops'

export type Route =
  | { kind: 'home' | 'orphaned' | 'untraceable' | 'needs_review' | 'try_later'; rule: RouteRule }
  | { kind: 'handoff'; member: string; rule: RouteRule }

/** Rules 6 to 8: who gets the item. What has no country keeps the rule that said so. */
export function decideRoute({ decision, self, home, responsible, hops = 0 }: RouteQuestion): Route {
  if (decision.outcome !== 'country') return { kind: decision.outcome, rule: decision.rule }
  if (decision.country === null) return { kind: 'needs_review', rule: decision.rule }
  if (home.includes(decision.country)) return { kind: 'home', rule: 'home' }
  if (responsible === undefined) return { kind: 'orphaned', rule: 'orphaned' }
  if (responsible.member === self) return { kind: 'home', rule: responsible.rule }
  if (hops >= maxHops) return { kind: 'needs_review', rule: 'too_many_hops' }
  return { kind: 'handoff', member: responsible.member, rule: responsible.rule }
}
