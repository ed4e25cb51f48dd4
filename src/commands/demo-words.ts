// What happened to an item, in words for somebody who knows neither the program nor the network. URLs are defanged and never links.
import { defangUrl } from '#domain/canonical-url.ts'
import type { RouteRule } from '#domain/routing-rules.ts'
import type { HostingEvidence } from '#schema/hosting-evidence.ts'
import type { Item } from '#schema/report.ts'

const ruleWords: Record<RouteRule, string> = {
  stated: 'an analyst states the country, and that decides before any trace',
  onion: 'an onion service hides where it is, so nobody can say a country',
  no_country: 'no database knows a country for it, and a country is never guessed',
  dns_failed: 'DNS did not answer, and an outage is not taken for an answer',
  no_dns_answer: 'the name has no address',
  special_addresses: 'its only address is one that is not used on the Internet',
  cdn: 'a delivery network stands before the real host and hides it',
  cdn_network_country: 'by this node’s policy the delivery network’s own country answers for it',
  agreed: 'all its addresses are in one country',
  majority: 'most of its addresses are in one country',
  tie: 'its addresses are in different countries, none of which has more than the others',
  home: 'it is hosted in our own country, so it stays here',
  covered: 'the directory names this hotline for the country',
  backup: 'the country’s own hotline is suspended, and the directory names this one as its backup',
  default: 'nobody covers the country, and the directory names this member for such cases',
  orphaned: 'no hotline covers the country',
  too_many_hops: 'too many hotlines have held it already',
}

const stateWords: Partial<Record<Item['state'], string>> = {
  routed: 'waits to be dealt with',
  sent: 'waits in the outbox until that hotline answers',
  delivered: 'is there, and we hold a signed receipt for it',
  needs_review: 'waits for a person to look at it',
  untraceable: 'is kept as untraceable, for a person',
  orphaned: 'is kept as an orphan, for members with a mandate for those',
}

export function describeItem(item: Item, { place, title }: { place: number; title: string }): string {
  const head = `${String(place).padStart(2)}  ${title}`
  const lines = [defangUrl(item.url ?? ''), describeTrace(item.hostingEvidence), describeRoute(item)]
  return [head, ...lines.map((line) => `    ${line}`)].join('\n')
}

function describeTrace(evidence: HostingEvidence | null): string {
  if (!evidence) return 'Not traced.'
  const seen = evidence.addresses.map(
    ({ address, country, special, cdn }) => `${address} (${cdn ? 'delivery network' : (special ?? country ?? 'unknown')})`,
  )
  const found = seen.length > 0 ? seen.join(', ') : evidence.dns === 'not_needed' ? 'nothing to look up' : 'no address'
  const { country, rule } = evidence.decision
  return `Found: ${found}. ${country ? `Hosted in ${country}: ${words(rule)} [${rule}].` : 'No country.'}`
}

function describeRoute({ route, owner, state }: Item): string {
  if (!route) return 'Not routed.'
  const target = route.member && route.member !== owner ? ` to ${route.member}` : ''
  const where =
    owner === route.member && state === 'delivered'
      ? `Handed to ${owner}`
      : `With ${owner}${target ? `, meant for ${route.member}` : ''}`
  const waiting = state === 'routed' && target ? stateWords.sent : stateWords[state]
  return `${where}: ${words(route.rule)} [${route.rule}]. It ${waiting ?? `is ${state}`}.`
}

function words(rule: string): string {
  return Object.hasOwn(ruleWords, rule) ? ruleWords[rule as RouteRule] : rule
}
