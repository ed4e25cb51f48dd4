// kill -9 while a bundle is being put together: nothing half is left, and the one that is built after it holds the same entries.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { connect, withClient } from '#storage/admin-client.ts'
import { readBundle } from '../audit/read-bundle.ts'
import { type NodeProcess, prepareProcesses } from '../crash/node-process.ts'
import { createTestDatabase } from '../database.ts'
import { eventually, reportOf } from '../network.ts'

const ask = (node: NodeProcess, query: string, values: unknown[] = []) =>
  withClient(node.database.adminUrl, (client) => client.query(query, values))

async function untilDone(node: NodeProcess, id: string): Promise<void> {
  await eventually(
    'the export is done',
    async () => (await node.call('GET', `/audit/v1/exports/${id}`)).body.state === 'done',
    30_000,
  )
}

t.test('an export whose process is killed', async (t) => {
  const nodes = await prepareProcesses(t, () => createTestDatabase(t))
  const gb = nodes.get('hotline-gb') as NodeProcess
  const folder = join(dirname(gb.masterKey), 'exports')
  await gb.start()
  const items = Array.from({ length: 40 }, (_, n) => ({ url: `https://content.example/${n}`, contentType: 'website' }))
  const { status } = await gb.call('POST', '/v1/reports', reportOf(items))
  t.equal(status, 201)
  await eventually('all is sealed', async () => {
    const { rows } = await ask(
      gb,
      "select count(*)::int as count from crossline.audit_leaf l join crossline.audit_entry e on e.id = l.entry_id where e.event = 'item.routed'",
    )
    return rows[0].count === items.length
  })
  await ask(gb, "update crossline.api_client set role = 'liaison', countries = '{SE}'")
  const order = { purpose: 'a test', event: 'item.routed' }
  const first = (await gb.call('POST', '/audit/v1/exports', order)).body.id as string
  await untilDone(gb, first)

  const holder = await connect(gb.database.adminUrl)
  t.teardown(() => holder.end())
  await holder.query('begin')
  await holder.query('lock table crossline.audit_tile in access exclusive mode')
  const second = (await gb.call('POST', '/audit/v1/exports', order)).body.id as string
  const pinned = await eventually('it is under way', async () => {
    const { rows } = await ask(gb, 'select year, size from crossline.audit_export where id = $1 and year is not null', [second])
    return readdirSync(folder).some((name) => name.startsWith(second) && name.endsWith('.new')) && rows[0]
  })
  await gb.kill()
  await holder.query('commit')
  t.notOk(existsSync(join(folder, `${second}.tar`)), 'what is half has no name')
  await ask(gb, "update crossline.audit_export set lease_until = now() - interval '1 s' where state = 'running'")
  await gb.start()
  await untilDone(gb, second)
  const read = (id: string) => readBundle(readFileSync(join(folder, `${id}.tar`)))
  const [before, after] = [await read(first), await read(second)]
  t.equal(after.size, Number(pinned.size), 'under the checkpoint that it began with')
  t.equal(after.lines.length, items.length)
  t.same(after.lines, before.lines)
  t.same(readdirSync(folder).sort(), [`${first}.tar`, `${second}.tar`].sort(), 'and nothing half is left')
})
