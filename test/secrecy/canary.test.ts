// A report full of markers goes through everything, failures included. None of them may then be in any log line, error, header or metric,
// in the audit log, or in plain form in any table. And nothing was ever connected to but databases, peers and the resolver.
import { randomUUIDv7 } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { request as send } from 'undici'
import type { Zone } from '#commands/demo-dns.ts'
import { withClient } from '#storage/admin-client.ts'
import { setAuditWritable } from '../audit/broken-log.ts'
import { checkAuditLog, readNodeKeys } from '../audit-check.ts'
import { addresses, createNetwork, defaultMembers, eventually, type RunningMember, reportOf } from '../network.ts'
import { causeFaults, causeFederationFaults, get, host, mark, markers, post, said, url } from './faults.ts'
import { dumpTables } from './markers.ts'
import { startSink, watchConnections } from './watch.ts'

const admin = (member: RunningMember, query: string) => withClient(member.database.adminUrl, (client) => client.query(query))

async function changeSchema(member: RunningMember, change: string): Promise<void> {
  await withClient(member.database.adminUrl, async (client) => {
    await client.query('begin')
    await client.query("insert into crossline.migration_window (name) values ('canary test')")
    await client.query(change)
    await client.query('commit')
  })
}

function fullReport(sinkPort: number): Record<string, unknown> {
  const abroad = ['abroad', 'refused', 'broken', 'silent', 'nowhere', 'down'].map((name) => ({
    url: url(name),
    contentType: 'media',
  }))
  const stated = { country: 'SE', by: mark('stated by'), reason: mark('stated reason') }
  const items = [
    ...abroad,
    { contentType: 'website', statedCountry: stated },
    { url: `http://127.0.0.1:${sinkPort}/${mark('URL path')}`, contentType: 'media' },
  ]
  return reportOf(items, {
    id: randomUUIDv7(),
    reference: mark('reference'),
    referrer: `https://${mark('referrer host')}.example/${mark('referrer path')}`,
    memo: `${mark('memo')}\nand more`,
    accessCredentials: { username: mark('user name'), password: mark('password') },
  })
}

async function readServerLog(member: RunningMember): Promise<string> {
  const { rows } = await admin(member, 'show data_directory')
  const file = join(dirname(rows[0]?.data_directory ?? ''), 'server.log')
  return existsSync(file) ? readFileSync(file, 'utf8') : ''
}

const members = [...defaultMembers, { id: 'hotline-jp', name: 'JP', countries: ['JP'], hosts: ['localhost'], runs: false }]

t.test('a report full of markers leaves none where it should not', async (t) => {
  const watched = watchConnections(t)
  const sink = await startSink(t)
  const zone: Zone = {
    [host('abroad')]: { A: [addresses.SE] },
    [host('refused')]: { A: [addresses.SE] },
    [host('broken')]: { fail: 'servfail' },
    [host('silent')]: { fail: 'timeout' },
    [host('down')]: { AAAA: [addresses.JP] },
  }
  const network = await createNetwork(t, { members, zone, env: { LOG_LEVEL: 'trace' } })
  const [gb, se] = [network.get('hotline-gb'), network.get('hotline-se')]
  const report = fullReport(sink.port)
  const key = { 'idempotency-key': mark('Idempotency-Key') }

  await t.test('through everything that works', async (t) => {
    const accepted = await post(gb, '/v1/reports', report, key)
    t.equal(accepted.status, 201)
    t.equal((await post(gb, '/v1/reports', report, key)).status, 200)
    const ids: string[] = accepted.body.items.map(({ id }: { id: string }) => id)
    const state = async (member: RunningMember, id = '') => (await get(member, `/v1/items/${id}`)).body?.state
    await eventually(
      'two are delivered',
      async () => (await state(gb, ids[0])) === 'delivered' && (await state(gb, ids[1])) === 'delivered',
    )
    await eventually(
      'one peer is down',
      async () => (await admin(gb, "select from crossline.peer where member = 'hotline-jp' and failures > 0")).rowCount,
    )
    t.equal((await post(se, `/v1/items/${ids[0]}/accept`, { reference: mark('accept reference') }, key)).status, 200)
    t.equal(
      (await post(se, `/v1/items/${ids[0]}/assessments`, { classification: 'baseline', analyst: mark('analyst') })).status,
      200,
    )
    t.equal((await post(se, `/v1/items/${ids[0]}/actions`, { action: 'removed', analyst: mark('analyst') })).status, 200)
    t.equal((await post(se, `/v1/items/${ids[1]}/refuse`, { reason: 'out_of_remit', note: mark('note') })).status, 200)
    await eventually(
      'the sender hears of all',
      async () => (await state(gb, ids[0])) === 'closed' && (await state(gb, ids[1])) === 'refused',
    )
    const query = `purpose=${mark('purpose')}&caseReference=${mark('case reference')}`
    for (const member of [gb, se]) t.equal((await member.call('liaison', 'GET', `/audit/v1/entries?${query}`)).status, 200)
  })

  await t.test('through everything that fails', async (t) => {
    await causeFaults(t, gb, report)
    await causeFederationFaults(t, network, se)
    await changeSchema(gb, "alter table crossline.report add constraint canary check (site_type <> 'forum')")
    t.equal(
      (await post(gb, '/v1/reports', { ...report, id: randomUUIDv7(), siteType: 'forum' })).status,
      500,
      'a row that the database refuses',
    )
    await changeSchema(gb, 'revoke select on crossline.report from crossline_service')
    t.equal((await get(gb, `/v1/reports/${report['id']}`)).status, 500, 'a right that is missing')
    await changeSchema(gb, 'grant select on crossline.report to crossline_service')
    await setAuditWritable(gb.database.adminUrl, false)
    t.equal((await post(gb, '/v1/reports', { ...report, id: randomUUIDv7() })).status, 503, 'a log that can not be written')
    await setAuditWritable(gb.database.adminUrl, true)
  })

  for (const member of [gb, se]) await t.test(`nothing shows at ${member.id}`, (t) => checkMember(t, member))
  t.same(markers.findIn(said.join('\n')), [], 'no error and no header')

  await t.test('nothing was fetched', async (t) => {
    t.equal(sink.callers(), 0, 'nobody came to the address of a reported URL')
    const ours = [...network.members.values()]
    const directory = JSON.parse(
      Buffer.from(JSON.parse(readFileSync(gb.config.directory.directory ?? '', 'utf8')).payload, 'base64url').toString(),
    ) as { members: { endpoints: { url: string }[] }[] }
    const urls = [
      ...ours.flatMap((member) => [member.database.url, member.database.adminUrl, `http://x:${member.node().health.port}`]),
      ...directory.members.flatMap((member) => member.endpoints.map((each) => each.url)),
    ]
    const ports = new Set(urls.map((each) => new URL(each).port))
    const elsewhere = [...watched.dialled].filter(
      (each) => !/^(127\.0\.0\.1|::1):\d+$/.test(each) || !ports.has(each.split(':').at(-1) ?? ''),
    )
    t.same(elsewhere, [], 'only databases, peers and the node itself')
    t.ok(watched.dialled.size >= 3 && watched.requested.size > 10, 'and this is seen at all')
    t.same(
      [...watched.requested].filter((each) => each.includes('canary') && !/ https:\/\/localhost:/.test(each)),
      [],
      'no request for a reported URL',
    )
    const names = [...Object.keys(zone), host('nowhere')]
    const foreign = [...watched.asked].filter(
      (question) => !names.some((name) => [`A ${name}`, `AAAA ${name}`].includes(question)),
    )
    t.same(foreign, [], 'DNS was asked for the addresses of the hosts of items, and nothing else')
    t.ok(watched.asked.has(`AAAA ${host('abroad')}`))
  })
})

// The pseudonym of an analyst is no secret between hotlines: it stands in the record of an assessment or action, by design.
const deliberate: Record<string, string[]> = { 'crossline.assessment': ['analyst'], 'crossline.action': ['analyst'] }

async function checkMember(t: Test, member: RunningMember): Promise<void> {
  t.ok(member.logLines.length > 20, 'there is a log')
  t.same(findAll(member.logLines), [], 'no log line')
  const metrics = await (await send(`http://127.0.0.1:${member.node().health.port}/metrics`)).body.text()
  t.match(metrics, /crossline_/)
  t.same(markers.findIn(metrics), [], 'no metric')
  const status = await member.call('operator', 'GET', '/operations/v1/status')
  t.equal(status.status, 200)
  t.same(markers.findIn(status.text), [], 'not the status')
  t.same(markers.findIn(await readServerLog(member)), [], "not the database server's log")
  for (const [table, rows] of await dumpTables(member.database.adminUrl)) {
    t.same(
      markers.findIn(rows).filter((name) => !deliberate[table]?.includes(name)),
      [],
      `not in ${table}`,
    )
  }
  const log = await checkAuditLog(member.database.database, await readNodeKeys(member.config.masterKey))
  t.same(markers.findIn(JSON.stringify(log.entries.map(({ entry }) => entry))), [], 'no audit entry')
  const openings = log.entries.filter(({ event }) => event !== 'audit.queried').map(({ opening }) => opening)
  t.same(markers.findIn(JSON.stringify(openings)), [], 'nor what it commits to, but for the purpose of a question')
}

function findAll(lines: readonly string[]): string[] {
  return lines.filter((line) => markers.findIn(line).length > 0)
}
