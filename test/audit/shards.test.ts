// The sealer and time: a clock that goes back, a year that ends, and what comes too late for it.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { resumeSealing } from '#steps/resume-sealing.ts'
import { checkSealed, expectHalt, type OwnLog, openLog, openSealedLog } from './own-log.ts'

const check = (log: OwnLog) => checkSealed(log.database.database, log.logKey)
const hourMs = 3_600_000

t.test('a clock that was set back signs nothing, and goes on by itself when it has caught up', async (t) => {
  const { log, first } = await openSealedLog(t)
  const now = log.clock.now
  log.clock.now = new Date(now.getTime() - hourMs)
  await log.append('a', 2)
  await first.sealer.seal()
  await log.openProcess().sealer.seal()
  t.equal((await check(log))[0]?.size, 4)
  t.ok(log.logLines.some((line) => line.includes('the clock went back')))
  t.same(await log.ask('select halted_why from crossline.audit_state'), [{ halted_why: null }])
  log.clock.now = now
  await first.sealAll()
  t.equal((await check(log))[0]?.size, 6)
})

t.test('a new year opens a shard that names the old one, which closes after an hour', async (t) => {
  const log = await openLog(t, { now: new Date('2026-12-31T23:59:59.900Z') })
  const { sealAll, ctx } = log.openProcess()
  await log.append('a', 2)
  await sealAll()
  await log.append('a')
  log.clock.now = new Date('2027-01-01T00:00:00.100Z')
  await log.append('a')
  await sealAll()
  t.same(
    (await check(log)).map(({ year, size }) => [year, size]),
    [
      [2026, 4],
      [2027, 2],
    ],
    'an entry belongs to the year that it names',
  )
  t.equal(ctx.checkpoint()?.origin, 'hotline-gb/audit/2027')
  const states = () => log.ask('select year, state from crossline.audit_shard order by year')
  log.clock.now = new Date('2027-01-01T00:59:59.000Z')
  await sealAll()
  t.same(await states(), [
    { year: 2026, state: 'open' },
    { year: 2027, state: 'open' },
  ])
  log.clock.now = new Date('2027-01-01T01:00:00.000Z')
  await sealAll()
  await sealAll()
  t.same(await states(), [
    { year: 2026, state: 'closed' },
    { year: 2027, state: 'open' },
  ])
  const [, young] = await check(log)
  t.same(
    young?.entries.map(({ event }) => event),
    ['shard.opened', 'item.traced', 'shard.closed'],
  )
  t.same(Object.keys(young?.entries[0]?.payload ?? {}), ['previous'])
  t.match(readFileSync(join(log.folder, 'audit', 'checkpoint-2026'), 'utf8'), 'hotline-gb/audit/2026\n4\n')
  t.match(readFileSync(join(log.folder, 'audit', 'checkpoint-2027'), 'utf8'), 'hotline-gb/audit/2027\n3\n')
})

t.test('a quiet node closes the old year too', async (t) => {
  const log = await openLog(t, { now: new Date('2026-06-01T00:00:00.000Z') })
  await log.append('a')
  await log.openProcess().sealAll()
  log.clock.now = new Date('2027-03-01T00:00:00.000Z')
  const { sealAll } = log.openProcess()
  await sealAll()
  await sealAll()
  await sealAll()
  t.same(
    (await check(log)).map(({ year, entries }) => [year, entries.map(({ event }) => event)]),
    [
      [2026, ['shard.opened', 'item.traced']],
      [2027, ['shard.opened', 'shard.closed']],
    ],
  )
})

t.test('an entry of a year that is closed halts, and an operator lets it in', async (t) => {
  const log = await openLog(t, { now: new Date('2026-12-31T23:00:00.000Z') })
  const { sealAll, ctx } = log.openProcess()
  await log.append('a')
  await sealAll()
  log.clock.now = new Date('2027-01-01T02:00:00.000Z')
  await sealAll()
  await sealAll()
  log.clock.now = new Date('2026-12-31T23:30:00.000Z')
  await log.append('late')
  log.clock.now = new Date('2027-01-01T03:00:00.000Z')
  await log.append('b')
  await sealAll()
  await expectHalt(t, log, { why: 'straggler' })
  t.equal((await log.ask('select from crossline.audit_pending')).length, 2)
  t.match(await resumeSealing(ctx, 'the clock of the machine was set back for a minute'), { why: 'straggler' })
  const later = log.openProcess()
  for (let n = 0; n < 3; n++) await later.sealAll()
  t.same(
    (await check(log)).map(({ year, size }) => [year, size]),
    [
      [2026, 3],
      [2027, 5],
    ],
  )
  const [, young] = await check(log)
  t.equal(young?.entries.filter(({ event }) => event === 'shard.closed').length, 2, 'closed once more, with another end')
})
