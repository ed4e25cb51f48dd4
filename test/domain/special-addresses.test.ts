// No look-up is made for an address that can't be hosting: every special range is known by code, in every way of writing it.
import fc from 'fast-check'
import ipaddr from 'ipaddr.js'
import t from 'tap'
import { classifyAddress } from '#domain/special-addresses.ts'

const special: [string, string][] = [
  ['0.0.0.0', 'this_network'],
  ['10.1.2.3', 'private'],
  ['100.64.0.1', 'carrier_grade_nat'],
  ['100.127.255.255', 'carrier_grade_nat'],
  ['127.0.0.1', 'loopback'],
  ['169.254.169.254', 'link_local'],
  ['172.16.0.1', 'private'],
  ['172.31.255.255', 'private'],
  ['192.0.0.9', 'protocol_assignments'],
  ['192.0.2.1', 'documentation'],
  ['192.31.196.1', 'as112'],
  ['192.52.193.1', 'amt'],
  ['192.88.99.1', 'six_to_four'],
  ['192.168.1.1', 'private'],
  ['192.175.48.1', 'as112'],
  ['198.18.0.1', 'benchmarking'],
  ['198.19.255.255', 'benchmarking'],
  ['198.51.100.1', 'documentation'],
  ['203.0.113.1', 'documentation'],
  ['224.0.0.1', 'multicast'],
  ['240.0.0.1', 'reserved'],
  ['255.255.255.255', 'broadcast'],
  ['::', 'unspecified'],
  ['::1', 'loopback'],
  ['::192.0.2.1', 'ipv4_compatible'],
  ['::81.2.69.142', 'ipv4_compatible'],
  ['::ffff:0:81.2.69.142', 'ipv4_translated'],
  ['64:ff9b:1::1', 'nat64_local'],
  ['100::1', 'discard'],
  ['100:0:0:1::1', 'dummy_prefix'],
  ['2001::1', 'teredo'],
  ['2001:2::1', 'benchmarking'],
  ['2001:3::1', 'amt'],
  ['2001:4:112::1', 'as112'],
  ['2001:10::1', 'orchid'],
  ['2001:20::1', 'orchid'],
  ['2001:30::1', 'drone_remote_id'],
  ['2001:1ff::1', 'protocol_assignments'],
  ['2001:db8::1', 'documentation'],
  ['2002:5102:458e::1', 'six_to_four'],
  ['2620:4f:8000::1', 'as112'],
  ['3fff::1', 'documentation'],
  ['5f00::1', 'segment_routing'],
  ['fc00::1', 'unique_local'],
  ['fdff::1', 'unique_local'],
  ['fe80::1', 'link_local'],
  ['fec0::1', 'site_local'],
  ['ff02::1', 'multicast'],
  ['4000::1', 'unallocated'],
  ['1000::1', 'unallocated'],
  ['101::1', 'unallocated'],
]

t.test('names the range of every special address', async (t) => {
  for (const [address, range] of special) t.match(classifyAddress(address), { kind: 'special', range }, address)
})

t.test('takes the neighbours of the special ranges for public', async (t) => {
  const neighbours = [
    '1.0.0.0',
    '9.255.255.255',
    '11.0.0.0',
    '100.63.255.255',
    '100.128.0.0',
    '126.255.255.255',
    '128.0.0.0',
    '172.15.255.255',
    '172.32.0.0',
    '192.0.1.0',
    '198.17.255.255',
    '198.20.0.0',
    '223.255.255.255',
  ]
  for (const address of [...neighbours, '2001:200::1', '2001:218::1', '2001:db7::1', '2003::1', '3ffe::1', '2a02:d180::1'])
    t.equal(classifyAddress(address).kind, 'public', address)
})

t.test('reads an IPv4 address out of IPv4-mapped and NAT64 addresses before it judges', async (t) => {
  t.strictSame(classifyAddress('::FFFF:81.2.69.142'), { address: '81.2.69.142', family: 'ipv4', kind: 'public' })
  t.strictSame(classifyAddress('::ffff:5102:458e'), { address: '81.2.69.142', family: 'ipv4', kind: 'public' })
  t.strictSame(classifyAddress('64:ff9b::5102:458e'), { address: '81.2.69.142', family: 'ipv4', kind: 'public' })
  t.match(classifyAddress('::ffff:127.0.0.1'), { address: '127.0.0.1', kind: 'special', range: 'loopback' })
  t.match(classifyAddress('64:ff9b::10.0.0.1'), { address: '10.0.0.1', kind: 'special', range: 'private' })
})

t.test('writes IPv6 as RFC 5952 does', async (t) => {
  t.equal(classifyAddress('2001:0218:0000:0000:0001:0000:0000:000A').address, '2001:218::1:0:0:a')
})

t.test('refuses everything that is not plainly an address', async (t) => {
  for (const text of [
    '',
    '1.2.3',
    '01.2.3.4',
    '0x7f.0.0.1',
    '2130706433',
    '256.1.1.1',
    '1.2.3.4 ',
    'fe80::1%eth0',
    '[::1]',
    'host.example',
    ':::',
    '1::2::3',
    '::01.2.3.4',
    '::0x1.2.3.4',
    '::1.2.3',
    '1.2.3.4/8',
  ]) {
    t.throws(() => classifyAddress(text), { code: 'schema_invalid' }, text)
  }
})

t.test('calls nothing public that ipaddr.js knows as special, and gives a normal form that stays', async () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
      const first = classifyAddress(text)
      const again = classifyAddress(first.address)
      if (JSON.stringify(first) !== JSON.stringify(again)) throw new Error('not stable')
      if (first.kind === 'public' && ipaddr.parse(first.address).range() !== 'unicast') throw new Error('special for the library')
    }),
    { numRuns: 5000 },
  )
})
