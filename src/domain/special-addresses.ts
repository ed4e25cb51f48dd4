// Which addresses can be hosting at all. Asked before any geolocation look-up, because free databases give a country even for
// documentation ranges. Promise: an address is public only if it is globally reachable unicast; everything else names its range.
import ipaddr from 'ipaddr.js'
import { CrosslineError } from '#errors.ts'

/** An address in its one normal form. `range` names the special range and is there only for kind `special`. */
export type ClassifiedAddress =
  | { address: string; family: 'ipv4' | 'ipv6'; kind: 'public' }
  | { address: string; family: 'ipv4' | 'ipv6'; kind: 'special'; range: string }

// IANA IPv4 Special-Purpose Address Registry, plus multicast, class E and the deprecated 6to4 relays. First match names the range.
const ipv4Ranges = [
  ['0.0.0.0/8', 'this_network'],
  ['10.0.0.0/8', 'private'],
  ['100.64.0.0/10', 'carrier_grade_nat'],
  ['127.0.0.0/8', 'loopback'],
  ['169.254.0.0/16', 'link_local'],
  ['172.16.0.0/12', 'private'],
  ['192.0.0.0/24', 'protocol_assignments'],
  ['192.0.2.0/24', 'documentation'],
  ['192.31.196.0/24', 'as112'],
  ['192.52.193.0/24', 'amt'],
  ['192.88.99.0/24', 'six_to_four'],
  ['192.168.0.0/16', 'private'],
  ['192.175.48.0/24', 'as112'],
  ['198.18.0.0/15', 'benchmarking'],
  ['198.51.100.0/24', 'documentation'],
  ['203.0.113.0/24', 'documentation'],
  ['224.0.0.0/4', 'multicast'],
  ['255.255.255.255/32', 'broadcast'],
  ['240.0.0.0/4', 'reserved'],
] as const

// IANA IPv6 Special-Purpose Address Registry. Outside 2000::/3 nothing is assigned as global unicast (RFC 4291 section 2.4).
const ipv6Ranges = [
  ['::/128', 'unspecified'],
  ['::1/128', 'loopback'],
  ['::/96', 'ipv4_compatible'],
  ['::ffff:0:0:0/96', 'ipv4_translated'],
  ['64:ff9b:1::/48', 'nat64_local'],
  ['100::/64', 'discard'],
  ['100:0:0:1::/64', 'dummy_prefix'],
  ['2001::/32', 'teredo'],
  ['2001:2::/48', 'benchmarking'],
  ['2001:3::/32', 'amt'],
  ['2001:4:112::/48', 'as112'],
  ['2001:10::/28', 'orchid'],
  ['2001:20::/28', 'orchid'],
  ['2001:30::/28', 'drone_remote_id'],
  ['2001::/23', 'protocol_assignments'],
  ['2001:db8::/32', 'documentation'],
  ['2002::/16', 'six_to_four'],
  ['2620:4f:8000::/48', 'as112'],
  ['3fff::/20', 'documentation'],
  ['5f00::/16', 'segment_routing'],
  ['fc00::/7', 'unique_local'],
  ['fe80::/10', 'link_local'],
  ['fec0::/10', 'site_local'],
  ['ff00::/8', 'multicast'],
] as const

const ipv4Special = ipv4Ranges.map(([cidr, range]) => ({ block: ipaddr.IPv4.parseCIDR(cidr), range }))
const ipv6Special = ipv6Ranges.map(([cidr, range]) => ({ block: ipaddr.IPv6.parseCIDR(cidr), range }))
const globalUnicast = ipaddr.IPv6.parseCIDR('2000::/3')
const mapped = ipaddr.IPv6.parseCIDR('::ffff:0:0/96')
const nat64 = ipaddr.IPv6.parseCIDR('64:ff9b::/96')

/**
 * Normalises an address and says whether it can be hosting. IPv4-mapped and NAT64 (64:ff9b::/96) addresses become the IPv4 address
 * that they stand for; 6to4 and Teredo are tunnels to somewhere else and stay special. Throws `schema_invalid` for anything else.
 */
export function classifyAddress(text: string): ClassifiedAddress {
  // Strict forms only: ipaddr.js by itself reads octal, hexadecimal and short IPv4, and IPv6 with a zone.
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return classifyIpv4(ipaddr.IPv4.parse(text))
  if (isPlainIpv6(text)) return classifyIpv6(ipaddr.IPv6.parse(inHexadecimal(text)))
  throw new CrosslineError('schema_invalid', { detail: 'This is not an IP address.' })
}

function classifyIpv4(address: ipaddr.IPv4): ClassifiedAddress {
  const named = { address: address.toString(), family: 'ipv4' as const }
  const special = ipv4Special.find(({ block }) => address.match(block))
  return special ? { ...named, kind: 'special', range: special.range } : { ...named, kind: 'public' }
}

function classifyIpv6(address: ipaddr.IPv6): ClassifiedAddress {
  if (address.match(mapped) || address.match(nat64)) return classifyIpv4(embeddedIpv4(address))
  const named = { address: address.toRFC5952String(), family: 'ipv6' as const }
  const special = ipv6Special.find(({ block }) => address.match(block))
  if (special) return { ...named, kind: 'special', range: special.range }
  return address.match(globalUnicast) ? { ...named, kind: 'public' } : { ...named, kind: 'special', range: 'unallocated' }
}

function isPlainIpv6(text: string): boolean {
  const last = text.slice(text.lastIndexOf(':') + 1)
  if (!text.includes(':') || text.includes('%') || !ipaddr.IPv6.isValid(text)) return false
  return !last.includes('.') || ipaddr.IPv4.isValidFourPartDecimal(last)
}

/** ipaddr.js takes `::192.0.2.1` for the mapped `::ffff:192.0.2.1`, which is another address; hexadecimal leaves no doubt. */
function inHexadecimal(text: string): string {
  const dotted = text.slice(text.lastIndexOf(':') + 1)
  if (!dotted.includes('.')) return text
  const [a = 0, b = 0, c = 0, d = 0] = ipaddr.IPv4.parse(dotted).octets
  return `${text.slice(0, -dotted.length)}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
}

function embeddedIpv4(address: ipaddr.IPv6): ipaddr.IPv4 {
  return new ipaddr.IPv4(address.toByteArray().slice(12))
}
