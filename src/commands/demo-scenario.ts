// What the demo reports and what must become of it: one report with every kind of host that a hotline meets. All names are under
// .example, all addresses from a geolocation vendor's published test data or a reserved range.
import type { CountryRule } from '#schema/hosting-evidence.ts'
import type { Item, ItemInput, ReportInput } from '#schema/report.ts'
import type { Zone } from './demo-dns.ts'

/** The hotline that takes the report. */
export const submitter = 'hotline-se'

export interface DemoItem {
  /** What is special about it, in plain words. */
  title: string
  /** Origin of its URL. */
  origin: string
  /** What DNS answers for its host; absent: nothing, or the host is no name. */
  records?: Zone[string]
  statedCountry?: ItemInput['statedCountry']
  expected: Expectation
}

export interface Expectation {
  /** States in which it may come to rest. */
  states: readonly Item['state'][]
  owner: string
  /** Rule of the route. */
  rule: string
  country: string | null
  /** Rule of the trace, where the route does not already say it. */
  traced?: CountryRule
}

const gb = '81.2.69.142'
const otherGb = '81.2.69.160'
const se = '89.160.20.112'
const jp = '2001:218::1'

const home: Expectation = { states: ['routed'], owner: submitter, rule: 'home', country: 'SE' }
const handedTo = (owner: string, country: string, rule = 'covered'): Expectation => ({
  states: ['delivered'],
  owner,
  rule,
  country,
})
const waits = (state: 'needs_review' | 'untraceable', rule: CountryRule): Expectation => ({
  states: [state],
  owner: submitter,
  rule,
  country: null,
})

/** The item that the straight path follows to its end. */
export const acceptedTitle = 'Hosted abroad, in the United Kingdom'
/** The item that its receiver refuses. */
export const refusedTitle = 'Addresses in two countries, most of them in one'

export const demoItems: readonly DemoItem[] = [
  { title: 'Hosted at home, in Sweden', origin: 'https://pictures.home.example', records: { A: [se] }, expected: home },
  {
    title: acceptedTitle,
    origin: 'https://gallery.abroad.example',
    records: { A: [gb] },
    expected: handedTo('hotline-gb', 'GB'),
  },
  {
    title: 'Reachable over IPv6 only, in Japan',
    origin: 'https://six.abroad.example',
    records: { AAAA: [jp] },
    expected: handedTo('hotline-jp', 'JP'),
  },
  {
    title: 'A name in Japanese letters (punycode in DNS)',
    origin: 'https://掲示板.example',
    records: { AAAA: ['2001:218::2'] },
    expected: handedTo('hotline-jp', 'JP'),
  },
  {
    title: 'An address instead of a name, in the United Kingdom',
    origin: 'http://[2a02:d3c0::1]:8080',
    expected: handedTo('hotline-gb', 'GB'),
  },
  {
    title: 'Two addresses in two countries',
    origin: 'https://two-countries.example',
    records: { A: [gb, se] },
    expected: waits('needs_review', 'tie'),
  },
  {
    title: refusedTitle,
    origin: 'https://mostly-one-country.example',
    records: { A: [gb, otherGb], AAAA: [jp] },
    expected: { ...handedTo('hotline-gb', 'GB'), traced: 'majority' },
  },
  {
    title: 'Hidden behind a content delivery network',
    origin: 'https://behind-cdn.example',
    records: { A: ['104.16.0.1'] },
    expected: waits('needs_review', 'cdn'),
  },
  {
    title: 'Behind such a network too, but an analyst states the country',
    origin: 'https://stated-country.example',
    records: { A: ['104.16.0.1'] },
    statedCountry: { country: 'JP', by: 'analyst-3', reason: 'The imprint names a provider in Japan.' },
    expected: { ...handedTo('hotline-jp', 'JP'), traced: 'stated' },
  },
  {
    title: 'An onion service',
    origin: `http://${'crosslinedemo'.padEnd(56, 'a')}.onion`,
    expected: waits('untraceable', 'onion'),
  },
  {
    title: 'A name that DNS does not know',
    origin: 'https://no-such-name.example',
    expected: waits('untraceable', 'no_dns_answer'),
  },
  {
    title: 'A private address',
    origin: 'http://inside.example',
    records: { A: ['10.1.2.3'] },
    expected: waits('untraceable', 'special_addresses'),
  },
  {
    title: 'An address that no database knows a country for',
    origin: 'https://nowhere-known.example',
    records: { A: ['1.0.0.1'] },
    expected: waits('needs_review', 'no_country'),
  },
  {
    title: 'Hosted in Bhutan, which no hotline covers',
    origin: 'https://uncovered.example',
    records: { A: ['67.43.156.1'] },
    expected: { states: ['orphaned'], owner: submitter, rule: 'orphaned', country: 'BT' },
  },
  {
    title: 'Hosted in the United States, whose hotline is suspended',
    origin: 'https://suspended.example',
    records: { A: ['216.160.83.56'] },
    expected: handedTo('hotline-gb', 'US', 'backup'),
  },
  {
    title: 'Hosted in the Philippines, for the laboratory, which runs no node',
    origin: 'https://laboratory.example',
    records: { A: ['202.196.224.1'] },
    expected: { states: ['routed', 'sent'], owner: submitter, rule: 'covered', country: 'PH' },
  },
]

/** What the demo's DNS server answers. */
export function describeZone(): Zone {
  const known = demoItems.filter((item) => item.records !== undefined)
  return Object.fromEntries(known.map((item) => [new URL(item.origin).hostname, item.records ?? {}]))
}

/** The report as the hotline's own system sends it; `tag` makes its URLs new at every run. */
export function describeReport(tag: string): ReportInput {
  return {
    reference: `DEMO-${tag}`,
    receivedAt: new Date().toISOString(),
    source: 'public_form',
    siteType: 'image_board',
    commerciality: 'non_commercial',
    memo: 'Synthetic report of the demo.',
    items: demoItems.map(({ origin, statedCountry }, place) => ({
      url: `${origin}/demo-${tag}/${place + 1}.jpg`,
      contentType: 'media' as const,
      ...(statedCountry ? { statedCountry } : {}),
    })),
  }
}

/** What differs from the expectation, in plain words; empty if nothing does. */
export function findDifferences(item: Item, { states, owner, rule, country, traced }: Expectation): string[] {
  const pairs: [string, unknown, readonly unknown[]][] = [
    ['its state', item.state, states],
    ['its owner', item.owner, [owner]],
    ['the rule', item.route?.rule, [rule]],
    ['the hosting country', item.hostingCountry, [country]],
    ['the rule of the trace', item.hostingEvidence?.decision.rule, traced ? [traced] : [item.hostingEvidence?.decision.rule]],
  ]
  return pairs
    .filter(([, found, wanted]) => !wanted.includes(found))
    .map(
      ([what, found, wanted]) =>
        `${what} is ${found ?? 'none'}, expected was ${wanted.map((each) => each ?? 'none').join(' or ')}`,
    )
}

/** Whether nothing more will happen to the item without a person. */
export function isAtRest(item: Item, { states }: Expectation): boolean {
  return states.includes(item.state) || !['received', 'traced', 'routed', 'sent'].includes(item.state)
}
