// Sealing in running nodes: what they seal, show and state to peers, and what they refuse when they can not seal.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { withClient } from '#storage/admin-client.ts'
import { findCheckpointAt, findLatestCheckpoint } from '#storage/tree-store.ts'
import { checkAuditLog, readNodeKeys } from '../audit-check.ts'
import { addresses, createNetwork, eventually, type RunningMember } from '../network.ts'
import { holdSealing, report } from './held-sealing.ts'

const zone = { 'content.example': { A: [addresses.SE] } }
const admin = (member: RunningMember, query: string) => withClient(member.database.adminUrl, (client) => client.query(query))
const isDrained = async (member: RunningMember) =>
  (await admin(member, 'select from crossline.audit_pending limit 1')).rowCount === 0

async function ask(member: RunningMember, path: string): Promise<{ status: number; text: string }> {
  const { host, port } = member.node().health
  const answer = await fetch(`http://${host}:${port}${path}`)
  return { status: answer.status, text: await answer.text() }
}

t.test('nodes seal all that they do, state it in receipts, and show it', { timeout: 60_000 }, async (t) => {
  const network = await createNetwork(t, { zone })
  const [gb, se] = [network.get('hotline-gb'), network.get('hotline-se')]
  const year = new Date().getUTCFullYear()
  await eventually('the receiver has a checkpoint', () => findLatestCheckpoint(se.database.database))
  await gb.call('hotline', 'POST', '/v1/reports', report())
  await eventually(
    'the item is delivered',
    async () => (await gb.call('hotline', 'GET', '/v1/items?state=delivered')).body.items.length === 1,
  )
  for (const member of [gb, se]) {
    await eventually('nothing waits', () => isDrained(member))
    const log = await checkAuditLog(member.database.database, await readNodeKeys(member.config.masterKey))
    const latest = await eventually('it is signed', () => findLatestCheckpoint(member.database.database))
    t.match(latest, { year, origin: `${member.id}/audit/${year}`, size: log.entries.length })
    const file = join(member.config.dataDir, 'audit', `checkpoint-${year}`)
    await eventually('and published', async () => existsSync(file) && readFileSync(file, 'utf8') === latest.note)
    await eventually('and shown', async () => {
      const { body } = await member.call('operator', 'GET', '/operations/v1/status')
      return body.audit.checkpoint?.size === latest.size && body.audit.pending === 0 && body.audit.halted === null
    })
  }
  const { rows } = await admin(gb, 'select receipt from crossline.outbound_batch')
  const { checkpoint } = JSON.parse(Buffer.from(rows[0].receipt.split('.')[1], 'base64url').toString())
  const stated = await findCheckpointAt(se.database.database, year, checkpoint.size)
  t.same(checkpoint, { origin: `hotline-se/audit/${year}`, size: stated?.size, root: stated?.root.toString('base64url') })
  t.match((await ask(gb, '/metrics')).text, /crossline_audit_sealed_entries [1-9]/)
  t.match((await ask(gb, '/metrics')).text, 'crossline_audit_halted 0')
  t.match(await ask(gb, '/health/ready'), { status: 200, text: '"audit":"ok"' })
})

t.test('a restart goes on where the log was', { timeout: 60_000 }, async (t) => {
  const network = await createNetwork(t, { zone })
  const gb = network.get('hotline-gb')
  for (let start = 0; start < 3; start++) {
    await gb.call('hotline', 'POST', '/v1/reports', report())
    await gb.stop()
    await gb.start()
  }
  await eventually('nothing waits', () => isDrained(gb))
  t.ok(await checkAuditLog(gb.database.database, await readNodeKeys(gb.config.masterKey)))
  t.same((await admin(gb, 'select halted_why from crossline.audit_state')).rows, [{ halted_why: null }])
})

t.test(
  'entries that wait too long alarm, then refuse reports and batches, until they are sealed',
  { timeout: 60_000 },
  async (t) => {
    const network = await createNetwork(t, { zone })
    const [gb, se] = [network.get('hotline-gb'), network.get('hotline-se')]
    const releaseGb = await holdSealing(gb, 10)
    await eventually('an alarm', async () => gb.logLines.some((line) => line.includes('audit entries wait too long')))
    t.equal((await gb.call('hotline', 'POST', '/v1/reports', report())).status, 201, 'at 10 s it still takes reports')
    await releaseGb()
    const release = await holdSealing(se, 61)
    const refused = await eventually('reports are refused', async () => {
      const answer = await se.call('hotline', 'POST', '/v1/reports', report())
      return answer.status === 503 && answer
    })
    t.match(refused, { headers: { 'retry-after': '30' }, body: { code: 'audit_unavailable' } })
    t.match(await ask(se, '/health/ready'), { status: 503, text: '"audit":"audit_behind"' })
    await gb.call('hotline', 'POST', '/v1/reports', report())
    await eventually('batches are refused', async () => {
      const { rowCount } = await admin(gb, "select from crossline.peer where last_error = 'audit_unavailable'")
      return rowCount === 1
    })
    await release()
    await eventually(
      'it takes reports again',
      async () => (await se.call('hotline', 'POST', '/v1/reports', report())).status === 201,
    )
  },
)

t.test('a node that has halted is not ready, and after a minute takes nothing', { timeout: 60_000 }, async (t) => {
  const network = await createNetwork(t, {
    zone,
    members: [{ id: 'hotline-gb', name: 'GB', countries: ['GB'], hosts: ['localhost', '127.0.0.1'] }],
  })
  const gb = network.get('hotline-gb')
  await eventually('nothing waits', () => isDrained(gb))
  await admin(gb, "update crossline.audit_state set halted_why = 'fork', halted_at = now()")
  await eventually('it is not ready', async () => (await ask(gb, '/health/ready')).text.includes('"audit":"audit_halted"'))
  t.equal((await gb.call('hotline', 'POST', '/v1/reports', report())).status, 201)
  t.match(await ask(gb, '/metrics'), { text: 'crossline_audit_halted 1' })
  t.match((await gb.call('operator', 'GET', '/operations/v1/status')).body.audit, { halted: { why: 'fork' } })
  await admin(gb, "update crossline.audit_state set halted_at = now() - interval '61 seconds'")
  await eventually('it refuses', async () => (await gb.call('hotline', 'POST', '/v1/reports', report())).status === 503)
  t.notOk(await isDrained(gb), 'nothing is sealed')
})
