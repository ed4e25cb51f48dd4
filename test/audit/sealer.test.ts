// The sealer on a real database: every committed entry gets exactly one leaf, whatever else goes on around it.
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { loadShards, placePending } from '#steps/place-entries.ts'
import { createSealer } from '#steps/seal-audit.ts'
import { inTransaction } from '#storage/database.ts'
import { findLacked, lockSealing } from '#storage/seal-store.ts'
import { findCheckpointAt, findLatestCheckpoint, findLeafIndex, readTiles } from '#storage/tree-store.ts'
import { holdTable } from '../crash/node-process.ts'
import { appendTo, checkSealed, type OwnLog, openLog, tamper } from './own-log.ts'

const check = (log: OwnLog) => checkSealed(log.database.database, log.logKey)

t.test('gives every entry one leaf, and each checkpoint is the root that RFC 6962 defines', async (t: Test) => {
  const log = await openLog(t)
  const { sealAll, ctx } = log.openProcess()
  for (const count of [1, 2, 255, 1, 300, 7]) {
    await log.append(`item ${count % 3}`, count)
    await sealAll()
  }
  const [shard] = await check(log)
  t.equal(shard?.size, 567, 'the entries, and the one that opens the shard')
  t.equal(ctx.checkpoint()?.size, 567)
  t.same(await log.ask('select level, n, length(hashes) / 32 as width from crossline.audit_tile order by level, n'), [
    { level: 0, n: '0', width: 256 },
    { level: 0, n: '1', width: 256 },
    { level: 0, n: '2', width: 55 },
    { level: 1, n: '0', width: 2 },
  ])
})

t.test('more entries of one item than a round takes keep their order', async (t) => {
  const log = await openLog(t)
  await log.append('a', 4500)
  await log.append('a', 4500)
  await log.openProcess().sealAll()
  t.equal((await check(log))[0]?.size, 9001)
  t.equal((await log.ask('select from crossline.audit_checkpoint')).length, 1, 'with one signature')
})

t.test('what readers of the tree find is what was sealed', async (t) => {
  const log = await openLog(t)
  const { sealAll } = log.openProcess()
  const db = log.database.database
  t.equal(await findLatestCheckpoint(db), undefined)
  await log.append('a', 299)
  await sealAll()
  await log.append('a', 10)
  t.equal(await findLeafIndex(db, 301), undefined, 'it waits')
  await sealAll()
  t.match(await findLatestCheckpoint(db), { year: 2026, origin: 'hotline-gb/audit/2026', size: 310 })
  t.match(await findLatestCheckpoint(db, 2026), { size: 310 })
  t.equal(await findLatestCheckpoint(db, 2025), undefined)
  t.match(await findCheckpointAt(db, 2026, 300), { size: 300 })
  t.equal(await findCheckpointAt(db, 2026, 301), undefined)
  t.same(await findLeafIndex(db, 1), { year: 2026, index: 1 }, 'the first leaf opens the shard')
  const tiles = await readTiles(db, 2026, [
    { level: 0, index: 1, width: 44 },
    { level: 0, index: 0 },
    { level: 3, index: 0 },
  ])
  t.same([...tiles.keys()].sort(), ['0/0', '0/1'])
  t.equal(tiles.get('0/1')?.length, 44 * 32, 'as wide as it was at the first checkpoint')
  t.equal(tiles.get('0/0')?.length, 256 * 32)
})

t.test('entries state the last checkpoint of their own log as seen', async (t) => {
  const log = await openLog(t)
  const { ctx, sealAll } = log.openProcess()
  await log.append('a')
  await sealAll()
  await inTransaction(ctx.db, (trx) => appendTo(ctx, trx, { subject: 'a' }))
  log.clock.now = new Date('2027-01-01T00:00:00.000Z')
  await inTransaction(ctx.db, (trx) => appendTo(ctx, trx, { subject: 'a' }))
  await sealAll()
  const [old, young] = await check(log)
  const first = await findCheckpointAt(ctx.db, 2026, 2)
  t.same(old?.entries.at(-1)?.seen, { size: 2, root: first?.root.toString('base64url') })
  t.equal(young?.entries.at(-1)?.seen.size, 0, 'what another tree saw proves nothing in this one')
})

t.test('an entry of a slow transaction is sealed after those that committed before it', async (t) => {
  const log = await openLog(t)
  const { ctx, sealAll } = log.openProcess()
  let commit = () => {}
  let hasWritten = () => {}
  const written = new Promise<void>((resolve) => {
    hasWritten = resolve
  })
  const slow = inTransaction(ctx.db, async (trx) => {
    await appendTo(ctx, trx, { subject: 'slow' })
    hasWritten()
    await new Promise<void>((resolve) => {
      commit = resolve
    })
  })
  await written
  await log.append('quick', 3)
  await sealAll()
  t.equal((await check(log))[0]?.size, 4)
  commit()
  await slow
  await sealAll()
  t.equal((await check(log))[0]?.size, 5)
  const ids = await log.ask('select entry_id::int as id from crossline.audit_leaf order by leaf_index')
  t.ok(ids.at(-1).id < ids.at(-2).id, 'its id was given first')
})

t.test('a transaction that is rolled back leaves a gap in the ids, and none in the leaves', async (t) => {
  const log = await openLog(t)
  const { ctx, sealAll } = log.openProcess()
  await log.append('a', 2)
  const broken = inTransaction(ctx.db, async (trx) => {
    await appendTo(ctx, trx, { subject: 'b', count: 5 })
    throw new Error('taken back')
  })
  await t.rejects(broken, /taken back/)
  await log.append('a', 2)
  await sealAll()
  t.equal((await check(log))[0]?.size, 5)
})

t.test('seals while many write, with two sealers at once', async (t) => {
  const log = await openLog(t)
  const processes = [log.openProcess(), log.openProcess()]
  let isWriting = true
  const sealing = processes.map(async ({ sealer }) => {
    while (isWriting) await sealer.seal()
  })
  const writing = Array.from({ length: 6 }, async (_, writer) => {
    // Items that are shared by two writers, so that their entries follow one another across transactions.
    for (let n = 0; n < 25; n++) await log.append(`item ${(writer + n) % 12}`, 1 + (n % 3))
  })
  await Promise.all(writing)
  isWriting = false
  await Promise.all(sealing)
  for (const { sealAll } of processes) await sealAll()
  const [shard] = await check(log)
  t.equal(shard?.size, 1 + 6 * 25 * 2 - 6)
  const [{ signed }] = await log.ask('select count(*)::int as signed from crossline.audit_checkpoint')
  t.ok(signed > 2, 'in several passes')
  t.same(await log.ask('select halted_why from crossline.audit_state'), [{ halted_why: null }])
})

t.test('of two sealers one stands by while the other is at work', async (t) => {
  const log = await openLog(t)
  const [one, other] = [log.openProcess(), log.openProcess()]
  await log.append('a')
  await one.sealAll()
  await other.sealAll()
  await log.append('a')
  const held = await holdTable(log.database.adminUrl, 'audit_leaf')
  const working = one.sealer.seal()
  await held.untilSomebodyWaits()
  await other.sealer.seal()
  t.equal(other.ctx.checkpoint()?.size, 2, 'it neither waits nor seals')
  await held.release()
  await working
  t.equal((await check(log))[0]?.size, 3)
  await log.append('a')
  await other.sealAll()
  t.equal((await check(log))[0]?.size, 4, 'it takes over from what the other left')
})

t.test('a pass that fails leaves nothing behind, and the next one seals all', async (t) => {
  const log = await openLog(t)
  const { ctx, sealer, sealAll } = log.openProcess()
  await log.append('a', 3)
  await sealAll()
  await log.append('a', 3)
  const held = await holdTable(log.database.adminUrl, 'audit_checkpoint')
  const failing = t.rejects(sealer.seal())
  await held.untilSomebodyWaits()
  const ended = await log.ask(
    "select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()",
  )
  t.equal(ended.length, 1)
  await failing
  await held.release()
  t.equal(ctx.checkpoint()?.size, 4)
  t.equal((await check(log))[0]?.size, 4)
  await sealAll()
  t.equal((await check(log))[0]?.size, 7)
})

t.test('a long queue is read a few times, though the planner knows it as empty', async (t) => {
  const log = await openLog(t)
  const { ctx, sealAll } = log.openProcess()
  const count = 2000
  await log.append('a', count)
  await sealAll()
  // Its pages are there, and nothing is in them: what the database mostly finds when it looks.
  await log.ask('analyze crossline.audit_pending, crossline.audit_leaf')
  await log.append('a', count)
  const placing = inTransaction(ctx.db, async (trx) => {
    await lockSealing(trx)
    const { isEmpty } = await placePending(ctx, trx, await loadShards(trx, new Map()))
    t.ok(isEmpty)
    const found = await sql<{ table: string; read: number }>`
      select relname as table, (seq_tup_read + coalesce(idx_tup_fetch, 0))::int as read from pg_stat_xact_user_tables
      where relname in ('audit_pending', 'audit_leaf')`.execute(trx)
    t.equal(found.rows.length, 2)
    for (const { table, read } of found.rows)
      t.ok(read >= count && read < 20 * count, `${table}: ${read} rows for ${count} entries`)
    throw new Error('taken back')
  })
  await t.rejects(placing, /taken back/)
  await sealAll()
  t.equal((await check(log))[0]?.size, 1 + 2 * count)
})

t.test('how long an entry is there that a tree lacks counts from when it was recorded, sealed or not', async (t) => {
  const log = await openLog(t)
  const { sealAll } = log.openProcess()
  const db = log.database.database
  const lacked = (size: number) => findLacked(db, { year: 2026, size })
  const age = async (size: number) => (await lacked(size)).ageMs
  t.same(await lacked(0), { ageMs: 0, at: null }, 'of an empty log')
  await log.append('a', 3)
  await sealAll()
  t.equal(await age(4), 0, 'it has all')
  t.ok((await age(3)) > 0, 'one was sealed since')
  t.same((await lacked(3)).at, log.clock.now, 'written at the time that it states itself')
  await tamper(
    log,
    'audit_entry',
    "update crossline.audit_entry set recorded_at = recorded_at - interval '1 second' where id = 3",
  )
  t.ok((await age(3)) > 1000)
  await log.append('a')
  await tamper(log, 'audit_pending', "update crossline.audit_pending set recorded_at = recorded_at - interval '100 seconds'")
  for (const size of [3, 4]) t.ok((await age(size)) > 100_000, 'one waits')
})

t.test('signs at most once in the time that it is given', async (t) => {
  const log = await openLog(t)
  const { ctx } = log.openProcess()
  const sealer = createSealer(ctx, { gapMs: 60_000 })
  await log.append('a')
  await sealer.seal()
  await log.append('a')
  await sealer.seal()
  t.equal((await check(log))[0]?.size, 2)
})

t.test('what is sealed can not be changed: not by the service, not by the sealer, not by the owner', async (t) => {
  const log = await openLog(t)
  const { sealAll } = log.openProcess()
  await log.append('a', 300)
  await sealAll()
  const attacks = [
    ...['audit_leaf', 'audit_checkpoint', 'audit_tile', 'audit_shard', 'audit_state'].flatMap((table) => [
      `delete from crossline.${table}`,
      `truncate crossline.${table} cascade`,
    ]),
    "update crossline.audit_leaf set hash = sha256('x')",
    'update crossline.audit_leaf set entry_id = entry_id + 1000',
    "update crossline.audit_checkpoint set note = 'x'",
    "update crossline.audit_tile set hashes = sha256('x') || hashes where level = 0 and n = 1",
    'update crossline.audit_tile set hashes = substr(hashes, 33) where level = 0 and n = 1',
    'update crossline.audit_tile set n = 7',
    'update crossline.audit_shard set size = size - 1',
    "update crossline.audit_shard set root = sha256('x')",
    "update crossline.audit_shard set origin = 'x/audit/2026'",
  ]
  const roles = { service: [], sealer: ['set role crossline_sealer'], owner: ['set role crossline_owner'], superuser: [] }
  for (const [role, settings] of Object.entries(roles)) {
    for (const attack of attacks) {
      const url = role === 'owner' || role === 'superuser' ? log.database.adminUrl : log.database.url
      await t.rejects(log.ask([...settings, attack].join('; '), [], url), { code: '42501' }, `${role}: ${attack}`)
    }
  }
  const onlyTheSealer = [
    'delete from crossline.audit_pending',
    "insert into crossline.audit_leaf values (2026, 999, 999, sha256('x'))",
    "insert into crossline.audit_tile values (2026, 0, 9, sha256('x'))",
    "insert into crossline.audit_checkpoint values (2026, 999, sha256('x'), 'x', now())",
    'insert into crossline.audit_state (id) values (2)',
    "update crossline.audit_state set halted_why = 'x', halted_at = now()",
    "update crossline.audit_shard set size = size + 1, root = sha256('x')",
  ]
  for (const attack of onlyTheSealer) {
    await t.rejects(log.ask(attack, [], log.database.url), { code: '42501' }, `service: ${attack}`)
  }
  const forSealer = [
    'delete from crossline.audit_entry',
    'select * from crossline.audit_payload',
    'select * from crossline.subject_key',
  ]
  for (const attack of forSealer)
    await t.rejects(log.ask(`set role crossline_sealer; ${attack}`, [], log.database.url), { code: '42501' }, `sealer: ${attack}`)
})
