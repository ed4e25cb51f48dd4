// Exports on real nodes: the bundle read by a stranger's code, the scope of the one who asked, downloads that break off, processes that
// are killed, disks that are full. Nothing goes out before the entry that records the asking.
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { exportByOperator } from '#commands/audit-export.ts'
import { createLogger } from '#log.ts'
import { appendAudit } from '#steps/append-audit.ts'
import { removeExpired } from '#steps/build-export.ts'
import type { StepContext } from '#steps/context.ts'
import { makeTable } from '#steps/entry-table.ts'
import { type IndexContext, indexItems } from '#steps/index-items.ts'
import { openSubjectKey } from '#steps/subject-keys.ts'
import { verifyBundle } from '#steps/verify-bundle.ts'
import { withClient } from '#storage/admin-client.ts'
import { inTransaction } from '#storage/database.ts'
import { findWrappedKeys } from '#storage/report-store.ts'
import { findLatestCheckpoint } from '#storage/tree-store.ts'
import { readNodeKeys } from '../audit-check.ts'
import {
  type Answer,
  addresses,
  createNetwork,
  environmentOf,
  eventually,
  type Network,
  type RunningMember,
  reportOf,
} from '../network.ts'
import { type ReadBundle, readBundle } from './read-bundle.ts'

type Role = 'liaison' | 'operator'

const zone = {
  'abroad.example': { A: [addresses.SE] },
  'home.example': { A: [addresses.GB] },
  'us.example': { A: [addresses.US] },
}
const folderOf = (member: RunningMember) => join(member.config.dataDir, 'exports')
const admin = (member: RunningMember, query: string, values: unknown[] = []) =>
  withClient(member.database.adminUrl, (client) => client.query(query, values))

async function submit(member: RunningMember, hosts: readonly string[]): Promise<string[]> {
  const items = hosts.map((host) => ({ url: `https://${host}.example/`, contentType: 'website' }))
  const { status, body, text } = await member.call('hotline', 'POST', '/v1/reports', reportOf(items))
  if (status !== 201) throw new Error(text)
  const ids: string[] = body.items.map(({ id }: { id: string }) => id)
  await eventually('the items have settled', async () => {
    const states = await Promise.all(ids.map(async (id) => (await member.call('hotline', 'GET', `/v1/items/${id}`)).body.state))
    return states.every((state) => ['delivered', 'routed', 'orphaned'].includes(state))
  })
  return ids
}

/** Waits until what is written now is sealed and witnessed. */
async function settle(member: RunningMember): Promise<void> {
  const { rows } = await admin(member, 'select max(id) as last from crossline.audit_entry')
  await eventually('all is witnessed', async () => {
    const witnessed = await admin(
      member,
      'select from crossline.audit_leaf l join crossline.cosignature c on c.year = l.year and c.size > l.leaf_index where l.entry_id = $1',
      [rows[0].last],
    )
    return witnessed.rowCount
  })
}

async function contextOf(member: RunningMember): Promise<IndexContext> {
  const latest = (await findLatestCheckpoint(member.database.database)) ?? null
  return {
    self: member.id,
    db: member.database.database,
    keys: await readNodeKeys(member.config.masterKey),
    now: () => new Date(),
    checkpoint: () => latest,
    log: createLogger({ level: 'silent' }),
  }
}

/** The index that a node makes once an hour, now. */
async function indexNow(member: RunningMember): Promise<void> {
  await indexItems(await contextOf(member), { now: true })
  await settle(member)
}

/** One more entry about an item, with another country. */
async function appendAbout(member: RunningMember, item: string, country: string): Promise<void> {
  const ctx = await contextOf(member)
  await inTransaction(ctx.db, async (trx) => {
    const subject = openSubjectKey(ctx, item, (await findWrappedKeys(trx, [item])).get(item) as Buffer)
    await appendAudit(ctx, trx, [{ event: 'item.corrected', subject, country, actor: { kind: 'node' }, payload: {} }])
  })
}

const ask = (member: RunningMember, body: object, { role = 'liaison', key }: { role?: Role; key?: string } = {}) =>
  member.call(
    role,
    'POST',
    '/audit/v1/exports',
    { purpose: 'a test', ...body },
    key === undefined ? {} : { 'idempotency-key': key },
  )

const look = (member: RunningMember, id: string, role: Role = 'liaison') => member.call(role, 'GET', `/audit/v1/exports/${id}`)

async function untilDone(member: RunningMember, id: string, role: Role = 'liaison'): Promise<Answer['body']> {
  return eventually('the export is done', async () => {
    const { body } = await look(member, id, role)
    if (body.state === 'failed') throw new Error(`the export failed: ${body.failure}`)
    return body.state === 'done' && body
  })
}

const fetchBundle = (
  member: RunningMember,
  id: string,
  { role = 'liaison', headers = {} }: { role?: Role; headers?: Record<string, string> } = {},
) => member.call(role, 'GET', `/audit/v1/exports/${id}/bundle`, undefined, headers)

/** Asks, waits and reads. */
async function exportNow(
  member: RunningMember,
  body: object = {},
  role: Role = 'liaison',
): Promise<ReadBundle & { bytes: Buffer; id: string }> {
  const { status, text, body: asked } = await ask(member, body, { role })
  if (status !== 202) throw new Error(text)
  await untilDone(member, asked.id, role)
  const { bytes } = await fetchBundle(member, asked.id, { role })
  return { ...(await readBundle(bytes)), bytes, id: asked.id }
}

const entriesOf = ({ lines }: ReadBundle) => lines.map(({ entry }) => JSON.parse(entry))
const eventsOf = (bundle: ReadBundle): string[] => entriesOf(bundle).map(({ event }) => event)
const verify = ({ bytes, members }: ReadBundle & { bytes: Buffer }) =>
  verifyBundle(
    { size: bytes.length, read: (position, length) => bytes.subarray(position, position + length) },
    { policy: members.get('policy.txt') as Buffer },
  )

/** Has a certificate of the member's stand for another kind of liaison. */
const makeLiaison = (member: RunningMember, countries: string, networkWide = false) =>
  admin(
    member,
    "update crossline.api_client set role = 'liaison', countries = $1, network_wide = $2 where name like '%-operator'",
    [countries, networkWide],
  )

t.test('a liaison exports', async (t) => {
  const network = await createNetwork(t, { zone, witnessRoundMs: 300 })
  const gb = network.get('hotline-gb')
  const [abroad = '', home = ''] = await submit(gb, ['abroad', 'home', 'us'])
  await settle(gb)
  t.match(await gb.call('hotline', 'POST', '/audit/v1/exports', { purpose: 'x' }), {
    status: 403,
    body: { code: 'role_forbidden' },
  })
  t.match(await ask(gb, {}, { role: 'operator' }), { status: 403 }, 'nor may an operator')
  await makeLiaison(gb, '{SE}')

  await t.test('and what it gets proves itself', async (t) => {
    const bundle = await exportNow(gb)
    t.match(bundle.manifest, {
      v: 1,
      kind: 'crossline-audit-bundle',
      member: 'hotline-gb',
      filter: {},
      scope: { networkWide: false, countries: ['GB'], members: ['hotline-gb'] },
      complete: 'none',
    })
    const { rows } = await admin(
      gb,
      `select l.leaf_index::int as index from crossline.audit_leaf l join crossline.audit_entry e on e.id = l.entry_id
       where (e.country = 'GB' or e.from_member = 'hotline-gb' or e.to_member = 'hotline-gb') and l.leaf_index < $1 order by 1`,
      [bundle.size],
    )
    t.same(
      bundle.lines.map(({ index }) => index),
      rows.map(({ index }) => index),
      'exactly what is in its scope',
    )
    t.ok(eventsOf(bundle).includes('handoff.sent'))
    t.ok(bundle.lines.every(({ disclosed }) => disclosed.actor !== undefined))
    t.match(verify(bundle), { verdict: 'valid', bundlePolicy: 'same' })
  })

  await t.test('nothing of another country, by any filter', async (t) => {
    const swedish = await exportNow(gb, {}, 'operator')
    for (const { entry, disclosed } of swedish.lines) {
      const { from, to } = JSON.parse(entry)
      t.ok(disclosed.country?.value === 'SE' || [from, to].includes('hotline-se'))
    }
    t.ok(swedish.lines.length > 0)
    t.same((await exportNow(gb, { item: home }, 'operator')).lines, [])
    t.same((await exportNow(gb, { country: 'US' }, 'operator')).lines, [])
    t.same(eventsOf(await exportNow(gb, { item: abroad }, 'operator')), [
      'item.traced',
      'item.routed',
      'handoff.sent',
      'handoff.receipt',
    ])
  })

  await t.test('nobody else sees it, nor fetches it', async (t) => {
    const { id } = await exportNow(gb)
    t.match(await look(gb, id, 'operator'), { status: 404, body: { code: 'not_found' } })
    t.match(await fetchBundle(gb, id, { role: 'operator' }), { status: 404 })
    await admin(gb, "update crossline.api_client set countries = '{SE}' where countries = '{GB}'")
    t.match(await look(gb, id), { status: 404 }, 'nor itself, once its scope is another')
    await admin(gb, "update crossline.api_client set countries = '{GB}' where role = 'liaison' and name like '%-liaison'")
    t.match(await look(gb, id), { status: 200 })
  })

  await t.test('and the asking is an entry before the answer', async (t) => {
    const count = async () => (await admin(gb, "select from crossline.audit_entry where event = 'audit.exported'")).rowCount ?? 0
    const before = await count()
    t.match(await gb.call('liaison', 'POST', '/audit/v1/exports', {}), { status: 422, body: { code: 'purpose_required' } })
    t.match(await ask(gb, { purpose: ' ' }), { status: 422, body: { code: 'purpose_required' } })
    t.match(await ask(gb, { since: '2026-02-01T00:00:00.000Z', until: '2026-01-01T00:00:00.000Z' }), { status: 422 })
    t.match(await ask(gb, { limit: 5 }), { status: 422 }, 'an export has no pages')
    t.match(await ask(gb, { format: 'xml' }), { status: 422 })
    t.equal(await count(), before, 'what is refused is no export')
    const asked = await ask(gb, { caseReference: 'GB-7' }, { key: 'one' })
    t.match(asked, { status: 202, body: { rows: 0, bytes: 0, filter: {} }, headers: { location: /^\/audit\/v1\/exports\// } })
    t.equal(await count(), before + 1)
    const again = await ask(gb, { caseReference: 'GB-7' }, { key: 'one' })
    t.equal(again.body.id, asked.body.id, 'the same key gives the same export')
    t.match(await ask(gb, { event: 'item.routed' }, { key: 'one' }), { status: 409, body: { code: 'idempotency_conflict' } })
    t.equal(await count(), before + 1)
    await untilDone(gb, asked.body.id)
    await settle(gb)
    await makeLiaison(gb, '{}', true)
    const all = await exportNow(gb, { event: 'audit.exported' }, 'operator')
    t.same(all.lines.at(-1)?.disclosed, {}, 'why another liaison asked stays closed')
    const own = all.lines.find(({ disclosed }) => disclosed.purpose)
    t.match(own?.disclosed.purpose?.value, { purpose: 'a test' })
    await makeLiaison(gb, '{SE}')
  })

  await t.test('two at a time', async (t) => {
    await admin(
      gb,
      `insert into crossline.audit_export (id, client, network_wide, countries, members, filter, format, state, created_at, expires_at, lease_holder, lease_until)
       select gen_random_uuid(), fingerprint, false, '{}', '{}', '', 'csv', 'running', now(), now() + interval '1 day', 'x', now() + interval '1 day'
       from crossline.api_client, generate_series(1, 2) where name like '%-liaison'`,
    )
    t.match(await ask(gb, {}), { status: 429, body: { code: 'export_limit' }, headers: { 'retry-after': '30' } })
    t.match(await ask(gb, {}, { role: 'operator' }), { status: 202 }, 'another has its own')
    await admin(gb, "delete from crossline.audit_export where lease_holder = 'x'")
    t.match(await ask(gb, {}), { status: 202 })
  })

  await t.test('a download that broke off goes on', (t) => resume(t, gb))
  await t.test('a bundle that is lost is built again', (t) => rebuild(t, gb))
  await t.test('what has expired is gone', (t) => expire(t, gb))
  await t.test('a disk that can not be written to fails it visibly', (t) => breakDisk(t, gb))
  await t.test('nor a full one', (t) => fillDisk(t, gb))
  await t.test('completeness', (t) => complete(t, { gb, abroad, home }))
  await t.test('the operator at the node', (t) => operate(t, { network, gb, home }))
})

async function resume(t: Test, gb: RunningMember): Promise<void> {
  const { id, bytes } = await exportNow(gb)
  const whole = await fetchBundle(gb, id)
  t.match(whole, { status: 200, headers: { 'accept-ranges': 'bytes', 'content-type': 'application/x-tar' } })
  t.equal(Number(whole.headers['content-length']), bytes.length)
  const etag = whole.headers.etag as string
  const cut = 1000
  const first = await fetchBundle(gb, id, { headers: { range: `bytes=0-${cut - 1}` } })
  const rest = await fetchBundle(gb, id, { headers: { range: `bytes=${cut}-`, 'if-range': etag } })
  t.match(first, { status: 206, headers: { 'content-range': `bytes 0-${cut - 1}/${bytes.length}` } })
  t.match(rest, { status: 206, headers: { 'content-range': `bytes ${cut}-${bytes.length - 1}/${bytes.length}` } })
  t.ok(Buffer.concat([first.bytes, rest.bytes]).equals(bytes))
  const tail = await fetchBundle(gb, id, { headers: { range: 'bytes=-512' } })
  t.ok(tail.status === 206 && tail.bytes.equals(bytes.subarray(-512)))
  t.match(await fetchBundle(gb, id, { headers: { range: 'bytes=5-', 'if-range': '"another"' } }), { status: 200 })
  t.match(await fetchBundle(gb, id, { headers: { range: 'bytes=0-1,5-6' } }), { status: 200 }, 'several ranges: all of it')
  t.match(await fetchBundle(gb, id, { headers: { range: `bytes=${bytes.length}-` } }), { status: 416 })
  t.match(await fetchBundle(gb, id, { headers: { range: 'bytes=-0' } }), { status: 416 })
}

const namesOf = (bundle: ReadBundle) => [...bundle.members.keys()].filter((name) => name !== 'manifest.json')

async function rebuild(t: Test, gb: RunningMember): Promise<void> {
  const before = await exportNow(gb)
  await submit(gb, ['home'])
  await settle(gb)
  rmSync(join(folderOf(gb), `${before.id}.tar`))
  t.match(await fetchBundle(gb, before.id), { status: 409, body: { code: 'export_not_ready' } }, 'not done any more')
  await untilDone(gb, before.id)
  const after = await readBundle((await fetchBundle(gb, before.id)).bytes)
  t.equal(after.size, before.size, 'under the same checkpoint')
  t.same(after.lines, before.lines)
  t.same(namesOf(after), namesOf(before))
  // As a process leaves it that was killed while it wrote.
  writeFileSync(join(folderOf(gb), `${before.id}.tar.new`), randomBytes(5000))
  rmSync(join(folderOf(gb), `${before.id}.tar`))
  await admin(
    gb,
    "update crossline.audit_export set state = 'running', lease_holder = 'dead', lease_until = now() - interval '1 s', digest = null where id = $1",
    [before.id],
  )
  await untilDone(gb, before.id)
  const again = await readBundle((await fetchBundle(gb, before.id)).bytes)
  t.same(again.lines, before.lines)
  t.same(
    readdirSync(folderOf(gb)).filter((name) => name.startsWith(before.id)),
    [`${before.id}.tar`],
    'and nothing half is left',
  )
  t.equal(statSync(join(folderOf(gb), `${before.id}.tar`)).mode & 0o777, 0o600)
}

async function expire(t: Test, gb: RunningMember): Promise<void> {
  const { id } = await exportNow(gb)
  const file = join(folderOf(gb), `${id}.tar`)
  const strays = ['tar.new', 'tar.0123456789abcdef.new'].map((end) =>
    join(folderOf(gb), `019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071.${end}`),
  )
  for (const stray of strays) writeFileSync(stray, 'half')
  await admin(gb, 'update crossline.audit_export set expires_at = now() where id = $1', [id])
  t.match(await look(gb, id), { status: 404 })
  t.match(await fetchBundle(gb, id), { status: 404 })
  const ctx = { db: gb.database.database, now: () => new Date(), exports: { folder: folderOf(gb), maxRows: 1 } }
  await removeExpired(ctx as StepContext)
  t.notOk(existsSync(file))
  for (const stray of strays) t.notOk(existsSync(stray), 'a file that belongs to no export goes too')
  t.equal((await admin(gb, 'select from crossline.audit_export where id = $1', [id])).rowCount, 0)
}

async function breakDisk(t: Test, gb: RunningMember): Promise<void> {
  rmSync(folderOf(gb), { recursive: true })
  writeFileSync(folderOf(gb), '')
  const { body } = await ask(gb, {})
  const failed = await eventually('it failed', async () => {
    const { body: now } = await look(gb, body.id)
    return now.state === 'failed' && now
  })
  t.match(failed, { failure: 'disk_failed', bytes: 0 })
  t.match(await fetchBundle(gb, body.id), { status: 409 })
  rmSync(folderOf(gb))
  mkdirSync(folderOf(gb))
  t.ok((await exportNow(gb)).lines.length > 0, 'and goes on when it can')
}

async function fillDisk(t: Test, gb: RunningMember): Promise<void> {
  const folder = folderOf(gb)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', folder], { stdio: 'ignore' })
  } catch {
    t.pass('mounted', { skip: 'this machine lets nobody mount' })
    return
  }
  try {
    const { body } = await ask(gb, {})
    const failed = await eventually('it failed', async () => {
      const { body: now } = await look(gb, body.id)
      return now.state === 'failed' && now
    })
    t.match(failed, { failure: 'disk_full', bytes: 0 })
    t.same(readdirSync(folder), [], 'nothing half is left')
  } finally {
    execFileSync('umount', [folder])
  }
}

async function complete(t: Test, { gb, abroad, home }: { gb: RunningMember; abroad: string; home: string }): Promise<void> {
  t.equal((await exportNow(gb, { item: home })).manifest.complete, 'none', 'without an index nothing is claimed')
  await indexNow(gb)
  const item = await exportNow(gb, { item: home })
  t.equal(item.manifest.complete, 'item')
  t.equal(item.index?.lines.length, 1)
  t.equal(item.index?.lines[0]?.n, 2)
  t.same(eventsOf(item), ['item.traced', 'item.routed', 'index.root'], 'with the entry of the index, which is nobody’s item')
  t.match(verify(item), { verdict: 'valid', complete: 'item' })

  const country = await exportNow(gb, { country: 'GB' })
  t.equal(country.manifest.complete, 'country')
  const lines = country.index?.lines ?? []
  t.same(lines.filter((line) => line.country !== 'GB').length, 2, 'and one neighbour on either side')
  t.ok(
    lines.every((line, at) => at === 0 || line.place === (lines[at - 1]?.place ?? 0) + 1),
    'without a gap',
  )
  t.match(verify(country), { verdict: 'valid', complete: 'country' })
  t.notOk((await exportNow(gb, { country: 'US' })).index, 'no list of a country that is not its own')
  const part = await exportNow(gb, { country: 'GB', event: 'item.routed' })
  t.equal(part.manifest.complete, 'none', 'a part of a country is not the country')

  await makeLiaison(gb, '{}', true)
  const log = await exportNow(gb, {}, 'operator')
  t.equal(log.manifest.complete, 'log')
  t.equal(log.lines.length, log.size)
  t.match(verify(log), { verdict: 'valid', complete: 'log' })

  // The item of Sweden is said to be in Britain now: what was said before is not in the scope of Britain's question.
  await appendAbout(gb, abroad, 'GB')
  await indexNow(gb)
  const moved = await exportNow(gb, { country: 'GB' })
  t.equal(moved.manifest.complete, 'none', 'what is not borne out is not claimed')
  t.ok(moved.index?.lines.some(({ n }) => n === 5))
  t.match(verify(moved), { verdict: 'valid', complete: 'none' })
  t.equal(
    (await exportNow(gb, { item: abroad })).manifest.complete,
    'item',
    'of the item alone it sees all: its hotline was in all of it',
  )
  await makeLiaison(gb, '{SE}')
  await appendAbout(gb, home, 'SE')
  await indexNow(gb)
  const late = await exportNow(gb, { item: home }, 'operator')
  t.equal(late.manifest.complete, 'none', 'and of an item that came late it does not')
  t.same(
    late.lines.flatMap(({ disclosed, entry }) => (disclosed.country ? JSON.parse(entry).n : [])),
    [3],
  )
}

async function operate(t: Test, { network, gb, home }: { network: Network; gb: RunningMember; home: string }): Promise<void> {
  const env = environmentOf(gb.id, { folder: network.folder, port: gb.port, dnsPort: network.dnsPort }, gb.database.url)
  const out = join(network.folder, 'item.tar')
  const said = await exportByOperator(env, { item: home, format: 'csv', out, fresh: true })
  t.match(said, /^wrote 4 entries .* complete for: item$/)
  const bytes = readFileSync(out)
  const bundle = await readBundle(bytes)
  t.match(verify({ ...bundle, bytes }), { verdict: 'valid', complete: 'item' })
  t.ok(bundle.members.has(`${bundle.year}/entries/000000.csv`))
  const { rows } = await admin(gb, "select count(*)::int as count from crossline.audit_entry where event = 'audit.exported'")
  await t.rejects(exportByOperator(env, { format: 'csv', out, fresh: false }), { code: 'invalid_config' }, 'no file is replaced')
  await t.rejects(exportByOperator(env, { since: 'today', format: 'csv', out: `${out}2`, fresh: false }), {
    code: 'invalid_config',
  })
  const after = await admin(gb, "select count(*)::int as count from crossline.audit_entry where event = 'audit.exported'")
  t.equal(after.rows[0].count, rows[0].count)
}

t.test('more entries than allowed fail it, with the reason', async (t) => {
  const gb = (
    await createNetwork(t, {
      zone,
      members: [{ id: 'hotline-gb', name: 'GB', countries: ['GB'], hosts: ['localhost', '127.0.0.1'] }],
      env: { EXPORT_MAX_ROWS: '3' },
    })
  ).get('hotline-gb')
  await submit(gb, ['home', 'home'])
  await eventually('all is sealed', async () => (await admin(gb, 'select from crossline.audit_pending')).rowCount === 0)
  const { body } = await ask(gb, {})
  const failed = await eventually('it failed', async () => {
    const { body: now } = await look(gb, body.id)
    return now.state === 'failed' && now
  })
  t.match(failed, { failure: 'too_many_rows', rows: 0 })
  t.same(readdirSync(folderOf(gb)), [], 'nothing half is left')
  t.equal((await exportNow(gb, { event: 'item.routed' })).lines.length, 2)
})

t.test('no cell of the table begins as a formula', async (t) => {
  const entry = JSON.stringify({ at: 'x', event: 'audit.queried', ref: '-ref', n: 1 })
  for (const text of ['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', '\r=1', '＝1', '＋1', '－1', '＠1']) {
    const disclosed = { purpose: { salt: '', value: { purpose: text, case: text } } }
    const [, row = ''] = makeTable([{ index: 7, entry, recordedAt: '2026-01-01T00:00:00.000Z', disclosed }]).split(/\r\n(?=\d)/)
    const cells = row.split(',')
    t.ok(cells.filter((cell) => cell.replace(/^"/, '').startsWith(`'${text[0]}`)).length >= 2, JSON.stringify(text))
    t.notOk(cells.some((cell) => /^"?[=+\-@\t\r＝＋－＠]/.test(cell)))
  }
  const quoted = makeTable([
    { index: 1, entry, recordedAt: '', disclosed: { purpose: { salt: '', value: { purpose: 'a,"b"\r\nc' } } } },
  ])
  t.match(quoted, /,"a,""b""\r\nc",/, 'and what would end a cell is quoted')
})
