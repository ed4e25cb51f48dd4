// A CDN is known by range or by network number; an operator's own list is checked whole and reloads.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { createCdnList, openCdnList } from '#clients/cdn-ranges.ts'

const network = { name: 'Test CDN', country: 'FR', asns: [64_496], ranges: ['192.0.2.0/24', '2001:db8::/32'] }
const list = (change: object = {}, date: unknown = '2026-01-01') => ({ date, networks: [{ ...network, ...change }] })

t.test('knows the published networks by range, in IPv4 and IPv6, and by ASN', async (t) => {
  const cdn = await openCdnList()
  t.strictSame(cdn.findCdn({ address: '104.16.0.1', asn: null }), { name: 'Cloudflare', country: 'US' })
  t.match(cdn.findCdn({ address: '104.27.255.255', asn: null }), { name: 'Cloudflare' })
  t.match(cdn.findCdn({ address: '2606:4700::1', asn: null }), { name: 'Cloudflare' })
  t.match(cdn.findCdn({ address: '151.101.1.1', asn: null }), { name: 'Fastly' })
  t.match(cdn.findCdn({ address: '89.160.20.112', asn: 20_940 }), { name: 'Akamai' })
  for (const address of ['104.15.255.255', '104.28.0.0', '89.160.20.112', '2001:218::1'])
    t.equal(cdn.findCdn({ address, asn: 29_518 }), undefined, address)
  t.match(cdn.date(), /^\d{4}-\d\d-\d\d$/)
  t.equal(await cdn.reload(), 'unchanged')
})

t.test('refuses a list that does not have its form, and names the place', async (t) => {
  const broken: [unknown, string][] = [
    [null, '/date'],
    [[], '/date'],
    [list({}, 'yesterday'), '/date'],
    [{ date: '2026-01-01' }, '/networks'],
    [{ date: '2026-01-01', networks: [] }, '/networks'],
    [{ date: '2026-01-01', networks: [null] }, '/networks/0/name'],
    [list({ country: 'fr' }), '/networks/0/country'],
    [list({ asns: ['13335'] }), '/networks/0/asns'],
    [list({ asns: [-1] }), '/networks/0/asns'],
    ...[
      '192.0.2.0',
      '192.0.2.0/33',
      '192.0.2.0/',
      '192.0.2.0/24/8',
      'host.example/24',
      '0.0.0.0/0',
      '::/0',
      '2001:db8::/129',
      1,
    ].map((range): [unknown, string] => [list({ ranges: [range] }), '/networks/0/ranges']),
  ]
  for (const [json, place] of broken)
    t.throws(() => createCdnList(json), { code: 'broken_file', message: new RegExp(`${place}\\.$`) }, place)
})

t.test("takes an operator's file instead of the embedded list and reloads it, but never a broken one", async (t) => {
  const path = join(t.testdir({ 'cdn.json': JSON.stringify(list()) }), 'cdn.json')
  const problems: unknown[] = []
  const cdn = await openCdnList({ path, settleMs: 10, onProblem: ({ facts }) => problems.push(facts?.trouble) })
  t.teardown(() => cdn.close())
  t.strictSame(cdn.findCdn({ address: '192.0.2.9', asn: null }), { name: 'Test CDN', country: 'FR' })
  t.match(cdn.findCdn({ address: '2001:db8::9', asn: null }), { name: 'Test CDN' })
  t.equal(cdn.findCdn({ address: '104.16.0.1', asn: 13_335 }), undefined)
  await writeFile(path, '{"date":')
  t.equal(await cdn.reload(), 'kept')
  t.match(cdn.findCdn({ address: '192.0.2.9', asn: null }), { name: 'Test CDN' })
  await writeFile(path, JSON.stringify(list({ name: 'Other' }, '2026-02-02')))
  // The watcher may have been quicker.
  t.match(await cdn.reload(), /^(loaded|unchanged)$/)
  t.match(cdn.findCdn({ address: '192.0.2.9', asn: null }), { name: 'Other' })
  t.equal(cdn.date(), '2026-02-02')
  t.strictSame(problems, ['not_json'])
  await t.rejects(openCdnList({ path: join(t.testdirName, 'absent.json') }), { code: 'broken_file' })
})
