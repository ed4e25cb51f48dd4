// Connections: what types come back, what a session may not do, and that neither a killed connection nor a collision is the end.
import { sql } from 'kysely'
import t from 'tap'
import { withClient } from '#storage/admin-client.ts'
import { inTransaction, isTransient, openDatabase } from '#storage/database.ts'
import { createTestDatabase } from '../database.ts'

async function killConnections(adminUrl: string, applicationName: string): Promise<void> {
  await withClient(adminUrl, (client) =>
    client.query('select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1', [applicationName]),
  )
}

t.test('reads int8 as a number, time as a Date, bytes as a Buffer and a date as it stands', async (t) => {
  const { database } = await createTestDatabase(t)
  const { rows } = await sql<Record<string, unknown>>`
    select 9007199254740991::int8 as n, '2026-01-02T03:04:05.678Z'::timestamptz as at, '\\x00ff'::bytea as bytes, '2026-01-02'::date as day
  `.execute(database)
  t.same(rows[0], { n: 9007199254740991, at: new Date('2026-01-02T03:04:05.678Z'), bytes: Buffer.of(0, 255), day: '2026-01-02' })
  await t.rejects(sql`select 9007199254740992::int8`.execute(database), { name: 'RangeError' })
})

t.test('sets the search path, UTC and an end to every statement, whatever options the address brings', async (t) => {
  const { url } = await createTestDatabase(t)
  const asked = new URL(url)
  asked.searchParams.set('options', '-c search_path=public -c work_mem=5MB')
  const database = openDatabase({ url: asked.href, applicationName: 'options' })
  t.teardown(() => database.close())
  const { rows } = await sql<Record<string, string>>`
    select current_setting('search_path') as path, current_setting('timezone') as zone, current_setting('statement_timeout') as statement,
      current_setting('lock_timeout') as lock, current_setting('idle_in_transaction_session_timeout') as idle, current_setting('work_mem') as memory
  `.execute(database)
  t.same(rows[0], { path: 'crossline,pg_temp', zone: 'UTC', statement: '30s', lock: '10s', idle: '30s', memory: '5MB' })
})

t.test('works again after its connections were cut, in use or not', async (t) => {
  const { url, adminUrl } = await createTestDatabase(t)
  const database = openDatabase({ url, applicationName: 'to be cut' })
  t.teardown(() => database.close())
  await sql`select 1`.execute(database)
  await killConnections(adminUrl, 'to be cut')
  const cut = await database
    .transaction()
    .execute(async (trx) => {
      await sql`select 1`.execute(trx)
      await killConnections(adminUrl, 'to be cut')
      await sql`select 1`.execute(trx)
    })
    .then(
      () => undefined,
      (error: unknown) => error,
    )
  t.ok(cut, 'the transaction failed')
  t.ok(isTransient(cut), 'and the failure is known to pass')
  const { rows } = await sql`select 1 as one`.execute(database)
  t.same(rows, [{ one: 1 }])
})

t.test('does a transaction again when another made it fail, three times at most', async (t) => {
  const { database } = await createTestDatabase(t)
  let runs = 0
  const value = await inTransaction(database, async (trx) => {
    runs++
    if (runs < 4) await sql`do $$ begin raise exception 'collided' using errcode = 'serialization_failure'; end $$`.execute(trx)
    return 'done'
  })
  t.equal(value, 'done')
  t.equal(runs, 4)

  runs = 0
  const forever = inTransaction(database, async (trx) => {
    runs++
    await sql`do $$ begin raise exception 'collided' using errcode = 'deadlock_detected'; end $$`.execute(trx)
  })
  await t.rejects(forever, { code: '40P01' })
  t.equal(runs, 4)

  runs = 0
  const other = inTransaction(database, async (trx) => {
    runs++
    await sql`select 1 / 0`.execute(trx)
  })
  await t.rejects(other, { code: '22012' })
  t.equal(runs, 1, 'what would fail again is not tried again')
})

t.test('tells failures that pass from those that stay', async (t) => {
  for (const code of ['40001', '57P01', '08006', 'ECONNREFUSED']) t.ok(isTransient({ code }), code)
  for (const code of ['23505', '42501', '22012']) t.notOk(isTransient({ code }), code)
  t.ok(isTransient(new Error('Connection terminated unexpectedly')))
  t.notOk(isTransient(new Error('something else')))
  t.notOk(isTransient(undefined))
})

t.test('names neither host nor login when the database is not there', async (t) => {
  const failure = await withClient('postgres://someone:secret-word@127.0.0.1:9/nowhere', async () => undefined).catch(
    (error: Error) => error,
  )
  t.match(failure, { code: 'database_unavailable', facts: { reason: 'ECONNREFUSED' } })
  t.notMatch(JSON.stringify(failure) + String(failure), /secret-word|someone|127\.0\.0\.1/)
  await t.rejects(
    withClient('https://db.example/x', async () => undefined),
    { code: 'invalid_config' },
  )
})
