// Hosting evidence: everything a node saw when it traced an item's host, and what it made of it. Never a bare country.
import { type Static, Type } from 'typebox'
import { countryCode, lineOfText, orNull, timestamp } from './forms.ts'

/** The most addresses that one piece of evidence holds; a longer DNS answer is cut and flagged `truncated`. */
export const maxEvidenceAddresses = 64
const closed = { additionalProperties: false } as const

export const DnsOutcome = Type.Enum(['answered', 'no_answer', 'not_needed', 'failed'], {
  description:
    'How the look-up of the host ended: answered; no_answer (the name does not exist or has no address); not_needed (IP literal, onion host, stated country); failed (time-out or server failure, which says nothing about the host).',
})
export type DnsOutcome = Static<typeof DnsOutcome>

export const CountryRule = Type.Enum(
  [
    'stated',
    'onion',
    'no_dns_answer',
    'dns_failed',
    'special_addresses',
    'cdn',
    'cdn_network_country',
    'no_country',
    'agreed',
    'majority',
    'tie',
  ],
  {
    description:
      "The routing rule that decided the country, in the order in which they are asked: stated by an analyst or operator; onion host; no DNS answer; DNS failed to the end; only private or reserved addresses; an address of a CDN (a person decides), or that CDN network's own country by the node's policy; no database knows a country for most addresses; all addresses agree; most addresses agree; a tie.",
  },
)
export type CountryRule = Static<typeof CountryRule>

export const Confidence = Type.Enum(['agreed', 'majority', 'operator', 'stated'], {
  description: "What the country rests on: all addresses, most addresses, an operator's rule or policy, an analyst's statement.",
})
export type Confidence = Static<typeof Confidence>

export const EvidenceFlag = Type.Enum(['cdn', 'conflict', 'unknown_country', 'special_ignored', 'partial', 'truncated'], {
  description:
    'What a person should know: cdn (an address of a CDN or reverse proxy: the real host is hidden), conflict (addresses in several countries), unknown_country (an address without a country), special_ignored (a private or reserved address that has no vote), partial (only one of A and AAAA could be asked), truncated (more addresses than are kept).',
})
export type EvidenceFlag = Static<typeof EvidenceFlag>

const CountrySource = Type.Object(
  {
    database: lineOfText(100, 'Name of the geolocation database, as its own metadata gives it.'),
    builtAt: timestamp('When the vendor built the database.'),
  },
  { ...closed, $id: 'CountrySource', description: 'Which database gave the country.' },
)

export const EvidenceAddress = Type.Object(
  {
    address: Type.String({
      minLength: 2,
      maxLength: 45,
      pattern: '^[0-9a-f.:]+$',
      description:
        'IPv4 in dotted decimal or IPv6 as RFC 5952; an IPv4 address embedded in IPv6 (mapped, NAT64) is given as IPv4.',
    }),
    family: Type.Enum(['ipv4', 'ipv6'], { description: 'Address family after that normalisation.' }),
    special: Type.Optional(
      Type.String({
        pattern: '^[a-z0-9_]{1,40}$',
        description: 'Name of the special-purpose range (IANA registries) that the address is in; absent for a public address.',
      }),
    ),
    country: orNull(countryCode('Country of the address; null for a special address or if no database knows it.')),
    countrySource: orNull(CountrySource),
    asn: orNull(
      Type.Integer({
        minimum: 0,
        maximum: 4_294_967_295,
        description: 'Autonomous system number, from the ASN database if the node has one.',
      }),
    ),
    organisation: orNull(lineOfText(256, 'Organisation of the autonomous system, from the same database.')),
    cdn: Type.Boolean({ description: 'True if the address is in a known CDN or reverse-proxy network, by range or ASN.' }),
  },
  { ...closed, $id: 'EvidenceAddress', description: 'One address of the host and what is known about it.' },
)
export type EvidenceAddress = Static<typeof EvidenceAddress>

const EvidenceDecision = Type.Object(
  {
    country: orNull(countryCode('The hosting country; null if no rule gives one.')),
    rule: CountryRule,
    confidence: orNull(Confidence),
  },
  { ...closed, $id: 'EvidenceDecision', description: 'What follows from the evidence, and by which rule.' },
)

export const HostingEvidence = Type.Object(
  {
    host: orNull(
      lineOfText(
        253,
        'Host of the canonical URL: lower-case name in punycode, or an address without brackets; null for an item without a URL.',
      ),
    ),
    addresses: Type.Array(EvidenceAddress, {
      maxItems: maxEvidenceAddresses,
      description: 'Every address seen, special ones included; empty if nothing was resolved.',
    }),
    dns: DnsOutcome,
    resolver: Type.String({
      pattern: '^[a-z0-9_-]{1,40}$',
      description: 'Opaque label of the resolver that was asked, e.g. `configured`; never an internal host.',
    }),
    resolvedAt: timestamp('When the host was traced.'),
    flags: Type.Array(EvidenceFlag, {
      maxItems: 6,
      uniqueItems: true,
      description: 'What a person should know about this evidence.',
    }),
    decision: EvidenceDecision,
  },
  {
    ...closed,
    $id: 'HostingEvidence',
    description: 'Everything the node saw when it traced the host of an item, and the country it concluded.',
  },
)
export type HostingEvidence = Static<typeof HostingEvidence>
