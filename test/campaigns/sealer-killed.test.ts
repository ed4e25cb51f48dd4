// kill -9 of a node at each step of its sealer: what was committed is signed, what was not is sealed again, and nothing was published that
// is not in the database.
import { createPrivateKey } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t from 'tap'
import { memberFiles } from '#commands/dev-files.ts'
import { auditKeyFile } from '#crypto/audit-keys.ts'
import { tryExclusive } from '#storage/process-lock.ts'
import { findLatestCheckpoint } from '#storage/tree-store.ts'
import { checkSealed } from '../audit/own-log.ts'
import { holdTable, type NodeProcess, prepareProcesses } from '../crash/node-process.ts'
import { createTestDatabase, type Teardown } from '../database.ts'
import { eventually, reportOf } from '../network.ts'

async function startOne(t: Teardown): Promise<NodeProcess> {
  // It runs alone, and asks no witness before it seals on.
  const folder = mkdtempSync(join(tmpdir(), 'crossline-policy-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const policy = join(folder, 'policy.txt')
  writeFileSync(policy, 'quorum none\n')
  const nodes = await prepareProcesses(t, () => createTestDatabase(t), { AUDIT_POLICY: policy })
  const node = nodes.get('hotline-gb') as NodeProcess
  await node.start()
  return node
}

const submit = (node: NodeProcess) =>
  node.call('POST', '/v1/reports', reportOf([{ url: `https://content.example/${Math.random()}`, contentType: 'media' }]))

const homeOf = (node: NodeProcess) => dirname(node.masterKey)
/** What is published; nothing before the first time. */
function published(node: NodeProcess, year: number): string | undefined {
  const file = join(homeOf(node), 'audit', `checkpoint-${year}`)
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined
}

/** After a restart everything is sealed once, signed and published. */
async function checkRecovered(
  t: { equal: (one: unknown, other: unknown, why: string) => unknown },
  node: NodeProcess,
): Promise<void> {
  const { database } = node.database
  await eventually('nothing waits', async () => (await database.selectFrom('audit_pending').select('id').execute()).length === 0)
  const key = createPrivateKey(
    readFileSync(auditKeyFile(memberFiles(join(homeOf(node), '..', '..'), node.id).audit, new Date().getUTCFullYear())),
  )
  const [shard] = await checkSealed(database, key)
  const latest = await findLatestCheckpoint(database)
  t.equal(latest?.size, shard?.size, 'all of it is signed')
  await eventually('it is published', async () => latest && published(node, latest.year) === latest.note)
  const { halted_why } = await database.selectFrom('audit_state').select('halted_why').executeTakeFirstOrThrow()
  t.equal(halted_why, null, 'nothing contradicts')
}

for (const [table, step] of [
  ['audit_leaf', 'before the leaves are written'],
  ['audit_tile', 'before the tiles are written'],
  ['audit_shard', 'before the tree is written'],
  ['audit_checkpoint', 'when it has signed'],
] as const) {
  t.test(`killed ${step}, a node seals the same entries again`, { timeout: 60_000 }, async (t) => {
    const node = await startOne(t)
    await eventually('the first entries are sealed', () => findLatestCheckpoint(node.database.database))
    const before = await findLatestCheckpoint(node.database.database)
    const held = await holdTable(node.database.adminUrl, table)
    await submit(node)
    await held.untilSomebodyWaits()
    await node.kill()
    await held.release()
    t.same(await findLatestCheckpoint(node.database.database), before, 'nothing of the pass stands')
    await node.start()
    await submit(node)
    await checkRecovered(t, node)
  })
}

t.test(
  'killed between the commit and the publication, a node publishes what it has committed',
  { timeout: 60_000 },
  async (t) => {
    const node = await startOne(t)
    const { database } = node.database
    const first = await eventually('the first entries are sealed', () => findLatestCheckpoint(database))
    await eventually('and published', async () => published(node, first.year))
    mkdirSync(join(homeOf(node), 'audit'), { recursive: true })
    const lock = await eventually('the lock is ours', async () => tryExclusive(join(homeOf(node), 'audit', 'publish.lock')))
    await submit(node)
    const latest = await eventually('a checkpoint is committed', async () => {
      const found = await findLatestCheckpoint(database)
      return found && found.size > first.size && found
    })
    await node.kill()
    lock.release()
    t.not(published(node, latest.year), latest.note, 'it was not published')
    await node.start()
    await checkRecovered(t, node)
  },
)
