// What makes the sealer stop rather than sign: each contradiction is made by hand, as a superuser, and the halt stays until an operator
// resumes, which looks at everything again first.
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { resumeSealing } from '#steps/resume-sealing.ts'
import { createSealing, refuseUnsealed } from '#steps/sealing.ts'
import { checkSealed, expectHalt, type OwnLog, openSealedLog, tamper } from './own-log.ts'

const check = (log: OwnLog) => checkSealed(log.database.database, log.logKey)

t.test('a bit that flips between an entry and its leaf', async (t) => {
  const { log, first, fresh } = await openSealedLog(t)
  await log.append('a', 2)
  await tamper(
    log,
    'audit_pending',
    'update crossline.audit_pending set leaf = set_bit(leaf, 100, 1 - get_bit(leaf, 100)) where id = (select max(id) from crossline.audit_pending)',
  )
  await first.sealAll()
  await expectHalt(t, log, { why: 'broken_entry', sealed: 4 })
  t.equal(first.ctx.sealing.halt?.why, 'broken_entry')
  await fresh.sealAll()
  await first.sealAll()
  t.equal(fresh.ctx.sealing.halt?.why, 'broken_entry', 'every process stops')
  t.equal((await log.ask('select from crossline.audit_pending')).length, 2, 'nothing was taken')
  await t.rejects(resumeSealing(first.ctx, 'I hope'), { code: 'audit_unavailable' }, 'and it stays while it is so')
  await tamper(
    log,
    'audit_pending',
    'update crossline.audit_pending set leaf = set_bit(leaf, 100, 1 - get_bit(leaf, 100)) where id = (select max(id) from crossline.audit_pending)',
  )
  t.match(await resumeSealing(first.ctx, 'memory replaced'), { why: 'broken_entry', entries: 4 })
  await log.openProcess().sealAll()
  const [shard] = await check(log)
  t.equal(shard?.entries.at(-1)?.event, 'sealing.resumed')
  t.equal(await resumeSealing(first.ctx, 'once more'), undefined, 'what is not halted is not resumed')
})

t.test('an entry that was changed before it was sealed, or is gone', async (t) => {
  for (const change of [
    "update crossline.audit_entry set entry = convert_to('{}', 'UTF8') where id = 5",
    'delete from crossline.audit_entry where id = 5',
  ]) {
    const { log, first } = await openSealedLog(t)
    await log.append('a', 2)
    await tamper(log, 'audit_entry', change)
    await first.sealAll()
    await expectHalt(t, log, { why: 'broken_entry', sealed: 4 })
  }
})

t.test('an entry that was changed after it was sealed keeps a halt from ending', async (t) => {
  const { log, first } = await openSealedLog(t)
  await tamper(
    log,
    'audit_entry',
    "update crossline.audit_entry set entry = convert_to(replace(convert_from(entry, 'UTF8'), '2026-11-23T12', '2026-11-23T11'), 'UTF8') where id = 2",
  )
  await log.ask("update crossline.audit_state set halted_why = 'fork', halted_at = now()")
  await t.rejects(resumeSealing(first.ctx, 'nothing to see'), { code: 'audit_unavailable', facts: { why: 'broken_entry' } })
})

t.test('a tree in the database that contradicts itself', async (t) => {
  const changes: [string, string][] = [
    ['audit_shard', "update crossline.audit_shard set root = sha256('x')"],
    ['audit_shard', "update crossline.audit_shard set edge = sha256('x') || substr(edge, 33)"],
    ['audit_shard', 'update crossline.audit_shard set size = 299'],
    ['audit_tile', "update crossline.audit_tile set hashes = sha256('x') || substr(hashes, 33) where level = 0 and n = 1"],
    ['audit_tile', "update crossline.audit_tile set hashes = sha256('x') where level = 1"],
    ['audit_tile', 'delete from crossline.audit_tile where level = 1'],
    ['audit_checkpoint', "update crossline.audit_checkpoint set root = sha256('x')"],
  ]
  for (const [table, change] of changes) {
    const { log, fresh } = await openSealedLog(t, 300)
    await tamper(log, table, change)
    await log.append('a')
    await fresh.sealAll()
    t.comment(change)
    const [{ why }] = await log.ask('select halted_why as why from crossline.audit_state')
    t.ok(['broken_tree', 'rollback'].includes(why), change)
    t.same((await log.ask('select count(*)::int as n from crossline.audit_checkpoint'))[0], { n: 1 }, 'nothing was signed')
    await t.rejects(resumeSealing(fresh.ctx, 'well'), { code: 'audit_unavailable' })
  }
})

t.test('a root that was changed wherever it stands is not the one of the tree', async (t) => {
  const { log, fresh } = await openSealedLog(t, 300)
  rmSync(join(log.folder, 'audit'), { recursive: true })
  await tamper(log, 'audit_shard', "update crossline.audit_shard set root = sha256('x')")
  await tamper(log, 'audit_checkpoint', "update crossline.audit_checkpoint set root = sha256('x')")
  await log.append('a')
  await fresh.sealAll()
  await expectHalt(t, log, { why: 'broken_tree', sealed: 301 })
})

t.test('leaves and tiles in the database that are in the way of new ones', async (t) => {
  const inTheWay = [
    "insert into crossline.audit_leaf values (2026, 4, 99, sha256('x'))",
    "insert into crossline.audit_leaf values (2026, 99, 5, sha256('x'))",
    "update crossline.audit_tile set hashes = hashes || sha256('x') where level = 0",
  ]
  for (const change of inTheWay) {
    const { log, first } = await openSealedLog(t)
    await log.append('a', 2)
    await log.ask(change)
    await first.sealAll()
    t.comment(change)
    await expectHalt(t, log, { why: 'broken_tree', sealed: 4 })
  }
})

t.test('an entry of another log', async (t) => {
  const { log, first } = await openSealedLog(t)
  await log.ask(
    "insert into crossline.audit_entry (event, item_ref, item_seq, entry) values ('x', sha256('x'), 1, '{\"log\":\"hotline-se/audit/2026\"}')",
    [],
    log.database.url,
  )
  await first.sealAll()
  await expectHalt(t, log, { why: 'foreign_entry', sealed: 4 })
})

t.test('what waits too long, or a halt that lasts, refuses new work from memory', async (t) => {
  let now = 0
  const sealing = createSealing(() => now)
  const refuses = (why: string) =>
    t.throws(() => refuseUnsealed({ sealing }), { code: 'audit_unavailable', retryAfterS: 30 }, why)
  const takes = (why: string) => t.doesNotThrow(() => refuseUnsealed({ sealing }), why)
  const none = { checkpoint: null, pending: 0, oldest: null, halt: null }
  const waiting = (id: number, ageMs: number) => ({ ...none, pending: 1, oldest: { id, ageMs } })
  takes('before the first look')
  sealing.learn(waiting(1, 59_000))
  takes('at 59 s')
  now += 2000
  refuses('at 61 s, without another look')
  sealing.learn(waiting(1, 0))
  refuses('the clock of the database was set back')
  sealing.learn(waiting(2, 10))
  takes('the oldest has been sealed')
  now += 61_000
  sealing.seal(null, true)
  takes('nothing waits')
  sealing.stop({ why: 'rollback', at: new Date() })
  sealing.learn(none)
  t.equal(sealing.halt?.why, 'rollback', 'a halt that is not recorded yet is not forgotten')
  takes('just halted')
  now += 61_000
  refuses('halted for a minute')
  sealing.recorded()
  sealing.learn({ ...none, halt: { why: 'rollback', at: new Date(), ageMs: 5000 } })
  refuses('still')
  sealing.learn(none)
  takes('resumed')
})
