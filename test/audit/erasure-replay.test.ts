// What was erased stays erased: after a restore of an older database, after a crash at each step, after the journal itself was lost.
import { randomUUIDv7 } from 'node:crypto'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { describeHolds, holdByOperator, releaseByOperator, replayByOperator } from '#commands/audit-erase.ts'
import { deriveKeys, readMasterKey } from '#crypto/sealed-text.ts'
import type { ErasureRecord } from '#schema/erasure.ts'
import { connect, withClient } from '#storage/admin-client.ts'
import { openDatabase } from '#storage/database.ts'
import { openErasureJournal } from '#storage/erasure-journal.ts'
import { start } from '../commands/program.ts'
import { holdTable } from '../crash/node-process.ts'
import { eventually, reportOf } from '../network.ts'
import { dumpTables } from '../secrecy/markers.ts'
import {
  admin,
  assess,
  cloneDatabase,
  close,
  countErasures,
  envOf,
  erase,
  markers,
  openPlace,
  type Place,
  readLog,
  startOn,
  stateOf,
  submit,
  untilNothingWaits,
} from './erasing.ts'

const journalOf = (place: Place) => join(place.gb.config.dataDir, 'audit', 'erasures')
const show = async ({ gb }: Place, id: string) => (await gb.call('hotline', 'GET', `/v1/items/${id}`)).body

/** The log of a member on another database. */
const readLogOn = (place: Place, adminUrl: string) =>
  withDatabase(place, adminUrl, (database) => readLog({ config: place.gb.config, database: { ...place.gb.database, database } }))

async function withDatabase<T>(place: Place, url: string, work: (db: Place['gb']['database']['database']) => Promise<T>) {
  const db = openDatabase({ url, applicationName: `test of ${place.gb.id}` })
  return work(db).finally(() => db.close())
}

t.test('a database restored from before the erasing does it again before anybody can ask', async (t) => {
  const place = await openPlace(t)
  const { network, gb, se, env } = place
  const closed = await submit(place, ['abroad'])
  const live = await submit(place, ['home'])
  const [first, second] = [closed.id, live.id]
  await close(se, first, [gb])
  await assess(gb, second)
  const kept = await submit(place, ['home'])
  await close(gb, kept.id)
  await untilNothingWaits(gb)
  await gb.stop()
  const backup = await cloneDatabase(t, gb.database)

  await gb.start()
  const absent = await submit(place, ['home'], { id: randomUUIDv7() })
  await close(gb, absent.id)
  t.equal((await gb.call('hotline', 'POST', `/v1/items/${second}/actions`, { action: 'removed', analyst: 'a' })).status, 200)
  for (const report of [closed.report, live.report, absent.report]) t.match(await erase(env, { report }), /^erased/)
  await holdByOperator(env, { item: kept.id, basis: 'police_request' })
  await gb.stop()
  t.match([...(await dumpTables(backup.adminUrl)).values()].join('\n').includes(first), true)

  const restored = { ...place, env: envOf(network, gb, backup.url) }
  const dry = await replayByOperator(restored.env, { dryRun: true })
  t.match(dry, /^6 erasures would be done again$/m)
  t.match(dry, /^1 holds would be placed/m)
  t.equal((await admin(backup, 'select from crossline.erased_subject')).rowCount, 0, 'and nothing was done')

  await t.test('the door stays closed until it is done', async (t) => {
    const replaying = await holdTable(backup.adminUrl, 'erased_subject')
    const starting = startOn(t, { network, member: gb, url: backup.url })
    await replaying.untilSomebodyWaits()
    await t.rejects(gb.call('hotline', 'GET', `/v1/items/${first}`), { code: 'ECONNREFUSED' })
    await replaying.release()
    const node = await starting
    for (const id of [first, second]) {
      t.match(await show(place, id), { state: 'closed', outcome: 'removed', url: null, erasedAt: /^20/ })
    }
    const { body } = await gb.call('hotline', 'GET', `/v1/reports/${live.report}`)
    t.match(body, { reference: 'erased', erasedAt: /^20/ })
    const again = await gb.call(
      'hotline',
      'POST',
      '/v1/reports',
      reportOf([{ url: 'https://home.example/', contentType: 'media' }], { id: absent.report }),
    )
    t.match(again, { status: 409, body: { code: 'id_conflict' } }, 'what the backup never knew does not come back')
    const withItem = reportOf([{ id: absent.id, url: 'https://home.example/', contentType: 'media' }])
    t.match(await gb.call('hotline', 'POST', '/v1/reports', withItem), { status: 409, body: { code: 'id_conflict' } })
    await node.stop()
  })

  const log = await readLogOn(place, backup.url)
  t.match(log.about(first).at(-1), {
    event: 'entry.erased',
    opening: { erased: { value: { replay: true } }, basis: { value: 'data_subject' } },
  })
  t.same(
    log
      .about(second)
      .slice(-2)
      .map(({ event }) => event),
    ['item.closed', 'entry.erased'],
    'an item that the backup held as live is closed as it had been',
  )
  t.match(
    log.about(absent.id).map(({ event, n }) => [event, n]),
    [['entry.erased', 1]],
  )
  t.match(log.about(kept.id).at(-1), { event: 'hold.placed', opening: { hold: { value: { replay: true } } } })
  await t.rejects(erase(restored.env, { item: kept.id }), { code: 'legal_hold' }, 'the hold is back')
  t.match(await replayByOperator(restored.env, { dryRun: true }), /know the same/)
  const dump = [...(await dumpTables(backup.adminUrl)).values()].join('\n')
  t.same(markers.findIn(dump), [])
})

t.test('a journal that was lost or cut is told and completed from the database', async (t) => {
  const place = await openPlace(t)
  const { gb, env } = place
  const items = await Promise.all([submit(place, ['home']), submit(place, ['home'])])
  for (const { id, report } of items) {
    await close(gb, id)
    await erase(env, { report })
  }
  const whole = readFileSync(journalOf(place), 'latin1')
  const told = () => gb.logLines.some((line) => /"level":("error"|50)/.test(line) && line.includes('had lost lines'))
  await gb.stop()
  for (const [what, damage] of Object.entries({
    cut: () =>
      writeFileSync(
        journalOf(place),
        whole
          .split(/(?<=\n)/)
          .slice(0, 1)
          .join(''),
      ),
    lost: () => rmSync(journalOf(place)),
  })) {
    damage()
    gb.logLines.length = 0
    await gb.start()
    t.ok(told(), what)
    t.equal(readFileSync(journalOf(place), 'latin1').split('\n').length, whole.split('\n').length)
    await gb.stop()
  }
  const line = readFileSync(journalOf(place), 'latin1')
  writeFileSync(journalOf(place), line.replace('data_subject', 'court_orders'))
  await t.rejects(gb.start(), { code: 'broken_file' }, 'with a changed one the node does not open')
  writeFileSync(journalOf(place), line)
  await gb.start()
  await t.rejects(erase({ ...env, DATA_DIR: join(place.network.folder, 'elsewhere') }, { item: items[0]?.id ?? '' }), {
    code: 'invalid_config',
  })
  t.notOk(existsSync(join(place.network.folder, 'elsewhere', 'audit')))
})

/** Makes every COMMIT that erased something wait for a lock of ours, as the last thing before it is durable. */
async function holdCommits(t: Test, { gb }: Place) {
  await withClient(gb.database.adminUrl, async (client) => {
    await client.query('begin')
    await client.query("insert into crossline.migration_window (name) values ('test of a crash at commit')")
    await client.query(`create function crossline.wait_at_commit() returns trigger language plpgsql security definer as
      $$ begin perform pg_advisory_xact_lock(4711); return null; end $$`)
    await client.query(`create constraint trigger wait_at_commit after insert on crossline.erased_subject deferrable initially deferred
      for each row execute function crossline.wait_at_commit()`)
    await client.query('commit')
  })
  const client = await connect(gb.database.adminUrl)
  client.on('error', () => undefined)
  t.teardown(() => client.end())
  const waiting = `select pid from pg_locks where locktype = 'advisory' and objid = 4711 and not granted`
  return {
    hold: () => client.query('select pg_advisory_lock(4711)'),
    release: () => client.query('select pg_advisory_unlock(4711)'),
    untilSomebodyWaits: () => eventually('a commit waits', async () => (await client.query(waiting)).rowCount),
    breakConnection: () => client.query(`select pg_terminate_backend(pid) from (${waiting}) w`),
  }
}

t.test('kill -9 in the middle of erasing leaves all of it or nothing', async (t) => {
  const place = await openPlace(t)
  const { gb, env } = place
  const next = async () => {
    const { id } = await submit(place, ['home'])
    await close(gb, id)
    return id
  }
  const program = (id: string) => start(['audit', 'erase', '--item', id, '--basis', 'unlawful'], env as Record<string, string>)
  const journalled = (id: string) => readFileSync(journalOf(place), 'latin1').includes(id)
  const isErased = async (id: string) => (await show(place, id)).erasedAt !== null
  const kill = async (running: ReturnType<typeof program>) => {
    running.child.kill('SIGKILL')
    await running.ended
  }
  const commits = await holdCommits(t, place)
  await gb.stop()
  await gb.start()

  await t.test('while it destroys', async (t) => {
    const id = await next()
    const destroying = await holdTable(gb.database.adminUrl, 'item_content')
    const running = program(id)
    await destroying.untilSomebodyWaits()
    await kill(running)
    await destroying.release()
    await eventually('its transaction is gone', async () => {
      const { rowCount } = await admin(
        gb.database,
        "select from pg_stat_activity where application_name = 'crossline command' and datname = current_database()",
      )
      return rowCount === 0
    })
    t.notOk(journalled(id))
    t.notOk(await isErased(id))
    t.match(await show(place, id), { url: /home/ })
    t.match(await replayByOperator(env, { dryRun: true }), /know the same/)
  })

  await t.test('written down and not committed: the next start carries it out', async (t) => {
    const id = await next()
    await commits.hold()
    const running = program(id)
    await commits.untilSomebodyWaits()
    t.ok(journalled(id), 'it is on the disk before it commits')
    await commits.breakConnection()
    await kill(running)
    await commits.release()
    t.notOk(await isErased(id))
    const entries = await countErasures(gb.database)
    await gb.stop()
    await gb.start()
    t.ok(await isErased(id))
    t.equal(await countErasures(gb.database), entries + 1)
    t.match((await readLog(gb)).about(id).at(-1), { event: 'entry.erased', opening: { basis: { value: 'unlawful' } } })
  })

  await t.test('committed and not answered: once more is as once', async (t) => {
    const id = await next()
    await commits.hold()
    const running = program(id)
    await commits.untilSomebodyWaits()
    await kill(running)
    await commits.release()
    await eventually('the server ends what was asked of it', () => isErased(id))
    const entries = await countErasures(gb.database)
    t.match(await erase(env, { item: id }), /was erased before/)
    await gb.stop()
    await gb.start()
    t.equal(await countErasures(gb.database), entries)
    await readLog(gb)
  })

  await t.test('a hold that was placed after a failed erasing is not overtaken', async (t) => {
    const id = await next()
    const keys = deriveKeys((await readMasterKey(gb.config.masterKey)).key)
    const record: ErasureRecord = {
      ...{
        kind: 'erased',
        subject: id,
        of: 'item',
        by: 'operator',
        basis: 'unlawful',
        outcome: 'removed',
        at: '2026-11-02T08:20:32.002Z',
      },
    }
    await openErasureJournal({ folder: join(gb.config.dataDir, 'audit'), key: keys.erasures }).append([record])
    const said = await holdByOperator(env, { item: id, basis: 'court_order' })
    gb.logLines.length = 0
    await gb.stop()
    await gb.start()
    t.match(await show(place, id), { url: /home/, erasedAt: null })
    t.ok(gb.logLines.some((line) => line.includes('under a legal hold')))
    await releaseByOperator(env, /^hold (\S+)/.exec(said)?.[1] ?? '')
    t.match(await describeHolds(env), /released/)
    t.match(await replayByOperator(env, { dryRun: false }), /^1 erasures were done again/)
    t.ok(await isErased(id))
    t.equal(await stateOf(gb, id), 'closed')
  })
})
