// Erasing: key and texts are gone, entries and leaves stay; what may not be erased is not; and nobody erases by another way.
import { hash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { describeHolds, eraseByOperator, holdByOperator, releaseByOperator, replayByOperator } from '#commands/audit-erase.ts'
import { auditFsck } from '#commands/audit-fsck.ts'
import { printEvidence } from '#commands/evidence.ts'
import { subjectRef } from '#steps/append-audit.ts'
import type { LogVerification } from '#steps/check-log.ts'
import { connect } from '#storage/admin-client.ts'
import { readNodeKeys } from '../audit-check.ts'
import { eventually } from '../network.ts'
import { dumpTables } from '../secrecy/markers.ts'
import {
  admin,
  close,
  countErasures,
  envOf,
  erase,
  markers,
  openPlace,
  type Place,
  readCheckpoint,
  readLog,
  readRoot,
  stateOf,
  submit,
  untilNothingWaits,
} from './erasing.ts'

let place: Place
t.before(async () => {
  place = await openPlace(t)
})

/** Every value under a subject's key, and the key itself, as hex. */
async function readSecrets({ gb }: Place, subject: string): Promise<string[]> {
  const { rows } = await admin(
    gb.database,
    `select encode(value, 'hex') as hex from (
       select wrapped as value from crossline.subject_key where subject = $1 union all select sealed from crossline.audit_payload where subject = $1
       union all select sealed from crossline.item_content where item_id = $1 union all select owner_reference from crossline.item_content where item_id = $1
       union all select sealed from crossline.item_evidence where item_id = $1 union all select sealed from crossline.message where item_id = $1
       union all select sealed from crossline.report where id = $1 union all select url_key from crossline.item where id = $1) all_of_it
     where value is not null`,
    [subject],
  )
  return rows.map(({ hex }: { hex: string }) => hex)
}

t.test('an item is erased: nothing that it sealed is left, and the log is as it was', async (t) => {
  const { gb, se, env, network } = place
  const { report, ids } = await submit(place, ['abroad', 'home'])
  const [id = '', home = ''] = ids
  await close(se, id, [gb])
  const message = (await admin(gb.database, 'select id from crossline.message where item_id = $1', [id])).rows[0].id
  t.match(await printEvidence(env, message), /"receipt"/)
  const secrets = await readSecrets(place, id)
  t.ok(secrets.length >= 10, 'there is something to erase')
  const before = await readCheckpoint(gb.database)
  const reasonFile = join(network.folder, 'order.txt')
  writeFileSync(reasonFile, markers.of('reason'))
  const said = await eraseByOperator(env, { item: id, basis: 'court_order', reasonFile })
  t.match(said, new RegExp(`^erased item ${id}: 1 keys`))

  await t.test('no key, salt or ciphertext of it stands in any table', async (t) => {
    const dump = [...(await dumpTables(gb.database.adminUrl)).values()].join('\n')
    t.same(
      secrets.filter((secret) => dump.includes(secret)),
      [],
    )
    t.same(markers.findIn(dump), [])
    for (const table of ['subject_key', 'audit_payload', 'audit_case'])
      t.equal((await admin(gb.database, `select from crossline.${table} where subject = $1`, [id])).rowCount, 0, table)
  })

  await t.test('leaves and root are what they were, and one entry more says why', async (t) => {
    t.equal(await readRoot(gb.database, before.size), before.root.toString('hex'))
    const after = await readCheckpoint(gb.database)
    t.ok(after.size > before.size, 'and the log goes on')
    t.equal(await readRoot(gb.database, after.size), after.root.toString('hex'))
    const log = await readLog(gb)
    const last = log.about(id).at(-1)
    t.match(last, {
      event: 'entry.erased',
      from: 'hotline-gb',
      opening: {
        actor: { value: { kind: 'operator' } },
        item: { value: { id, report } },
        basis: { value: 'court_order' },
        country: { value: 'SE' },
        reason: { value: hash('sha256', markers.of('reason'), 'base64url') },
      },
    })
    const others = log.about(id).slice(0, -1)
    t.equal((last?.opening['erased']?.value as { entries?: number } | undefined)?.entries, others.length)
    t.ok(others.length >= 6 && others.every(({ opening }) => Object.keys(opening).length === 0))
    const { faults } = JSON.parse((await auditFsck(env, { json: true }, () => {})).text) as LogVerification
    t.same(
      faults.filter(({ kind }) => kind !== 'incomplete'),
      [],
      'what the log says was erased is not missed',
    )
  })

  await t.test('who asks for it afterwards gets a clear answer', async (t) => {
    const item = await gb.call('hotline', 'GET', `/v1/items/${id}`)
    t.match(item, {
      status: 200,
      body: { id, state: 'closed', outcome: 'removed', url: null, hashes: {}, hostingEvidence: null, ownerReference: null },
    })
    t.match(item.body.erasedAt, /^20/)
    const whole = await gb.call('hotline', 'GET', `/v1/reports/${report}`)
    t.match(whole, { status: 200, body: { memo: markers.of('memo'), erasedAt: null, items: [{ url: null }, { url: /home/ }] } })
    t.equal((await gb.call('hotline', 'GET', '/v1/items?state=closed')).status, 200)
    const acts = { accept: { reference: 'F' }, actions: { action: 'removed', analyst: 'a' } }
    for (const [act, body] of Object.entries(acts)) {
      const answer = await gb.call('hotline', 'POST', `/v1/items/${id}/${act}`, body)
      t.match(answer, { status: 409, body: { code: 'erased' } }, act)
    }
    await t.rejects(printEvidence(env, message), { code: 'not_found' })
    const seen = await gb.call('liaison', 'GET', `/audit/v1/entries?purpose=test&item=${id}`)
    t.equal(seen.status, 200)
    t.equal(await stateOf(se, id), 'closed')
    t.match((await se.call('hotline', 'GET', `/v1/items/${id}`)).body, { url: /abroad/, erasedAt: null }, 'a peer keeps its own')
  })

  await t.test('a second time changes nothing', async (t) => {
    const entries = await countErasures(gb.database)
    t.match(await erase(env, { item: id }), /was erased before/)
    t.equal(await countErasures(gb.database), entries)
    t.match(await replayByOperator(env, { dryRun: false }), /know the same/)
  })

  await t.test('the report goes when all its items are closed, and not before', async (t) => {
    await t.rejects(erase(env, { report }), { code: 'item_live' })
    await close(gb, home)
    const texts = await readSecrets(place, report)
    t.match(await erase(env, { report }), /2 keys/)
    const dump = [...(await dumpTables(gb.database.adminUrl)).values()].join('\n')
    t.same(
      texts.filter((secret) => dump.includes(secret)),
      [],
    )
    const answer = await gb.call('hotline', 'GET', `/v1/reports/${report}`)
    t.match(answer, { status: 200, body: { reference: 'erased', erasedAt: /^20/, items: [{ url: null }, { url: null }] } })
    t.notOk('memo' in answer.body)
    const log = await readLog(gb)
    t.match(log.about(report).at(-1), { event: 'entry.erased', opening: { report: { value: { id: report } } } })
    t.match(await erase(env, { report }), /was erased before/)
  })

  await t.test('and no line of the log of any node holds what was in it', (t) => {
    t.same(markers.findIn([...gb.logLines, ...se.logLines].join('\n')), [])
    t.end()
  })
})

t.test('what is live is not erased', async (t) => {
  const { gb, se, env, network } = place
  const { id } = await submit(place, ['abroad'])
  await t.rejects(erase(env, { item: id }), { code: 'item_live' })
  await gb.stop()
  const seEnv = envOf(network, se)
  for (const [act, body] of [
    ['accept', { reference: 'F' }],
    ['assessments', { classification: 'baseline', analyst: 'a' }],
    ['actions', { action: 'removed', analyst: 'a' }],
  ] as const)
    t.equal((await se.call('hotline', 'POST', `/v1/items/${id}/${act}`, body)).status, 200)
  await t.rejects(erase(seEnv, { item: id }), { code: 'item_live' }, 'closed, but its messages are not sent')
  await gb.start()
  await admin(se.database, 'update crossline.peer set retry_at = null, failures = 0')
  await eventually('it is told', async () => (await stateOf(gb, id)) === 'closed')
  await untilNothingWaits(se)
  t.match(await erase(seEnv, { item: id }), /^erased/)
  t.match((await gb.call('hotline', 'GET', `/v1/items/${id}`)).body, { url: /abroad/ })
  await t.rejects(erase(env, { item: '019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071' }), { code: 'not_found' })
  await t.rejects(erase(env, { report: id }), { code: 'not_found' }, 'an item is no report')
})

t.test('a legal hold', async (t) => {
  const { gb, env } = place
  const { report, ids } = await submit(place, ['home', 'home'])
  const [id = '', other = ''] = ids
  for (const each of ids) await close(gb, each)
  const hold = async (named: { item: string } | { report: string }, until?: string) => {
    const said = await holdByOperator(env, { ...named, basis: 'police_request', ...(until === undefined ? {} : { until }) })
    return /^hold (\S+) on/.exec(said)?.[1] ?? ''
  }

  await t.test('on an item keeps it and the texts of its report', async (t) => {
    const placed = await hold({ item: id }, '2099-12-31')
    await t.rejects(erase(env, { item: id }), { code: 'legal_hold' })
    await t.rejects(erase(env, { report }), { code: 'legal_hold' })
    t.match((await gb.call('hotline', 'GET', `/v1/items/${id}`)).body, { url: /home/ })
    t.equal((await gb.call('hotline', 'GET', `/v1/items/${other}`)).body.erasedAt, null, 'nothing of the report went')
    t.match(await describeHolds(env), new RegExp(`^${placed}  item  ${id}  police_request  until 2099-12-31T23:59:59.999Z$`, 'm'))
    t.match(await releaseByOperator(env, placed), placed)
    await t.rejects(releaseByOperator(env, placed), { code: 'not_found' }, 'once')
    t.match(await describeHolds(env), new RegExp(`^${placed} .* released `, 'm'), 'it stays in the list')
  })

  await t.test('on a report keeps its items', async (t) => {
    const placed = await hold({ report })
    await t.rejects(erase(env, { item: id }), { code: 'legal_hold' })
    await releaseByOperator(env, placed)
  })

  await t.test('that is over keeps nothing, and stands in the log', async (t) => {
    await sql`insert into legal_hold (id, subject, kind, who, basis, until, placed_at)
      values (gen_random_uuid(), ${id}, 'item', 'operator', 'police_request', now() - interval '1 second', now() - interval '1 day')`.execute(
      gb.database.database,
    )
    t.match(await erase(env, { report }), /3 keys/)
    const events = (await readLog(gb)).about(id).map(({ event }) => event)
    t.same(events.slice(-3), ['hold.placed', 'hold.released', 'entry.erased'])
    const placed = (await readLog(gb)).about(id).find(({ event }) => event === 'hold.placed')
    t.match(placed?.opening, { hold: { value: { blocks: 'erasing', basis: 'police_request' } } }, 'and opens after the erasing')
    await t.rejects(holdByOperator(env, { item: id, basis: 'court_order' }), { code: 'erased' }, 'too late')
    await t.rejects(holdByOperator(env, { item: '019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071', basis: 'court_order' }), {
      code: 'not_found',
    })
  })
})

t.test('the period after closing', async (t) => {
  const { gb, env } = place
  const old = await submit(place, ['home'])
  const held = await submit(place, ['home'])
  const young = await submit(place, ['home'])
  const live = await submit(place, ['home'])
  for (const { id } of [old, held, young]) await close(gb, id)
  await holdByOperator(env, { item: held.id, basis: 'legal_claim' })
  const age = (ids: readonly string[], days: number) =>
    admin(gb.database, `update crossline.item set changed_at = now() - make_interval(days => ${days}) where id = any ($1)`, [ids])
  await age([old.id, held.id, live.id], 366)
  await age([young.id], 300)
  await admin(gb.database, "update crossline.report set created_at = now() - interval '366 days' where id = any ($1)", [
    [old.report, held.report, young.report, live.report],
  ])
  await gb.stop()
  await gb.start()
  const reportOfOld = () => gb.call('hotline', 'GET', `/v1/reports/${old.report}`)
  await eventually('item and report are erased', async () => (await reportOfOld()).body.reference === 'erased')
  for (const each of [held, young, live]) {
    const { body } = await gb.call('hotline', 'GET', `/v1/reports/${each.report}`)
    t.match(body, { memo: markers.of('memo'), erasedAt: null, items: [{ url: /home/ }] })
  }
  t.match((await readLog(gb)).about(old.id).at(-1), {
    event: 'entry.erased',
    opening: { actor: { value: { kind: 'node' } }, basis: { value: 'retention' } },
  })
})

t.test('nobody erases by another way', async (t) => {
  const { gb, env } = place
  const [id = '', other = ''] = (await submit(place, ['home', 'home'])).ids
  await close(gb, id)
  await close(gb, other)
  const keys = await readNodeKeys(gb.config.masterKey)
  const ref = (subject: string) => `'\\x${subjectRef({ keys }, subject).toString('hex')}'`
  const erasing = (subject: string, of = 'item', replay = false) =>
    `select crossline.erase_subject('${subject}', '${of}', ${ref(subject)}, 'node', 'retention', null, ${replay})`
  const direct = [
    `delete from crossline.subject_key where subject = '${id}'`,
    `update crossline.subject_key set wrapped = '\\x00'`,
    'delete from crossline.audit_payload',
    'delete from crossline.item_content',
    'update crossline.item_content set sealed = null',
    'delete from crossline.item_evidence',
    'update crossline.message set sealed = null',
    'update crossline.report set sealed = null',
    'update crossline.item set url_key = null',
    'update crossline.item set erased_at = now()',
    `insert into crossline.erased_subject (subject, kind, ref, through, who, basis, replayed) values ('${id}', 'item', ${ref(id)}, 1, 'node', 'x', false)`,
    'delete from crossline.erased_subject',
    'truncate crossline.erased_subject',
    'delete from crossline.legal_hold',
    'truncate crossline.legal_hold',
    'update crossline.legal_hold set until = now()',
  ]
  await attack(t, gb.database.url, [
    ...direct,
    erasing(id),
    `select crossline.lock_erasable('${id}', 'item', false)`,
    'select crossline.take_erasing_turn()',
    'update crossline.legal_hold set released_at = null where released_at is not null',
  ])
  const entry = (subject: string) => `insert into crossline.audit_entry (event, item_ref, item_seq, entry)
    values ('entry.erased', ${ref(subject)}, 900, '{}')`
  const asEraser = 'set local role crossline_eraser'
  const eraser = [...direct, erasing(id), erasing(id, 'item', true), `select * from crossline.subject_key`]
  await attack(t, gb.database.url, eraser, [asEraser])
  await attack(t, gb.database.url, [erasing(id)], [entry(other), asEraser])
  const wrongRef = erasing(id).replace(ref(id), ref(other))
  await attack(t, gb.database.url, [wrongRef], [entry(other), asEraser])
  const { rows } = await admin(
    gb.database,
    'select subject from crossline.subject_key where subject not in (select id from crossline.item) limit 1',
  )
  const query = rows[0].subject as string
  await attack(t, gb.database.url, [erasing(query), erasing(query, 'item', true)], [entry(query), asEraser])
  await holdByOperator(env, { item: id, basis: 'legal_claim' })
  await attack(t, gb.database.url, [erasing(id), erasing(id, 'item', true)], [entry(id), asEraser])
  t.match((await gb.call('hotline', 'GET', `/v1/items/${id}`)).body, { url: /home/ })
  t.match(await erase(env, { item: other }), /^erased/, 'and the proper way is open')
})

/** Each statement is refused for a missing right; nothing stays. */
async function attack(t: Test, url: string, statements: readonly string[], before: readonly string[] = []): Promise<void> {
  const client = await connect(url)
  t.teardown(() => client.end())
  await client.query('begin')
  for (const statement of before) await client.query(statement)
  for (const statement of statements) {
    await client.query('savepoint before')
    const code = await client.query(statement).then(
      () => 'nothing',
      (error: { code?: string }) => error.code,
    )
    t.equal(code, '42501', statement)
    await client.query('rollback to savepoint before')
  }
  await client.query('rollback')
}
