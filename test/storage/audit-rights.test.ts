// Attacks on the audit tables: as the service's login, as a liaison's reader, as the owner of the schema. Each is refused by the database
// itself, on PostgreSQL 18 and, where it is installed, on 15.
import { randomBytes } from 'node:crypto'
import type { Client } from 'pg'
import t, { type Test } from 'tap'
import { deriveKeys } from '#crypto/sealed-text.ts'
import type { StepContext } from '#steps/context.ts'
import { recordMigrations } from '#steps/record-migrations.ts'
import { connect, withClient } from '#storage/admin-client.ts'
import { openDatabase } from '#storage/database.ts'
import { ensureDatabase } from '#storage/embedded-server.ts'
import { prepareDatabase } from '#storage/prepare-database.ts'
import { serviceLoginOf } from '#storage/service-login.ts'
import { checkAuditLog } from '../audit-check.ts'
import { migrationsFolder, openTestServer, type Teardown } from '../database.ts'
import { attacksOfSealer, attacksOnFoundations, attacksOnQueue, placeFirst, schemaChanges } from './audit-attacks.ts'
import { noPostgres15, startPostgres15 } from './fixtures.ts'

/** SQLSTATE of a missing right, which is also what our own triggers raise. */
const notAllowed = '42501'
/** … and of a value for a column that the database makes itself. */
const generated = '428C9'

interface Place {
  name: string
  adminUrl: string
  serviceUrl: string
  partition: string
}

async function makePlace(t: Teardown, server: string): Promise<Place> {
  const name = `t_${process.pid}_r${randomBytes(4).toString('hex')}`
  const adminUrl = await ensureDatabase(server, name)
  t.teardown(async () => {
    await withClient(server, (client) => client.query(`drop database ${name} with (force)`))
    await withClient(server, (client) => client.query(`drop role if exists ${serviceLoginOf(name)}`))
  })
  const { serviceUrl } = await prepareDatabase({
    url: adminUrl,
    folder: migrationsFolder,
    servicePassword: randomBytes(16).toString('hex'),
  })
  const partition = `audit_entry_${new Date().toISOString().slice(0, 7).replace('-', '_')}`
  await withClient(serviceUrl, (client) => client.query(entryOf({ country: 'SE' })))
  await withClient(serviceUrl, (client) => client.query(entryOf({ country: 'GB', from: 'hotline-gb' })))
  return { name, adminUrl, serviceUrl, partition }
}

let entries = 0

/** Inserts an entry in the only way that the service has. */
function entryOf({ country, from }: { country: string; from?: string }, table = 'crossline.audit_entry'): string {
  entries += 1
  const ref = entries.toString(16).padStart(64, '0')
  const member = from === undefined ? 'null' : `'${from}'`
  return `insert into ${table} (event, item_ref, item_seq, from_member, country, entry)
    values ('item.traced', '\\x${ref}', 1, ${member}, '${country}', '{"n":${entries}}')`
}

/** Every statement is refused with this SQLSTATE, each on its own, and the log is as it was. */
async function refuseEach(t: Test, client: Client, statements: readonly (string | [string, string])[]): Promise<void> {
  for (const each of statements) {
    const [statement, code] = typeof each === 'string' ? [each, notAllowed] : each
    await client.query('savepoint before')
    const refusal = await client.query(statement).then(
      () => undefined,
      (error: { code?: string }) => error,
    )
    t.equal(refusal?.code, code, statement)
    await client.query('rollback to savepoint before')
  }
}

/** Connects, sets roles and settings, runs all of it in one transaction, and takes it back. */
async function attack(
  t: Test,
  { url, as = [], statements }: { url: string; as?: string[]; statements: readonly (string | [string, string])[] },
): Promise<void> {
  const client = await connect(url)
  t.teardown(() => client.end())
  await client.query('begin')
  for (const setting of as) await client.query(setting)
  await refuseEach(t, client, statements)
  await client.query('rollback')
}

const asOwner = ['set role crossline_owner', "set search_path = 'crossline'"]
const columns = 'event, item_ref, item_seq, entry'
const values = "'item.traced', '\\x00', 1, '{}'"

function behaviour(t: Test, openServer: (t: Teardown) => Promise<string>): void {
  let place: Place
  t.before(async () => {
    place = await makePlace(t, await openServer(t))
  })

  t.test('the service can add entries and nothing else', async (t) => {
    const { serviceUrl, partition } = place
    const part = `crossline.${partition}`
    const chosen = (name: string, value: string, overriding = '') =>
      `insert into crossline.audit_entry (${columns}, ${name}) ${overriding} values (${values}, ${value})`
    await attack(t, {
      url: serviceUrl,
      statements: [
        "update crossline.audit_entry set event = 'x'",
        'update crossline.audit_entry set recorded_at = now()',
        'delete from crossline.audit_entry',
        'truncate crossline.audit_entry',
        `update ${part} set event = 'x'`,
        `delete from ${part}`,
        `truncate ${part}`,
        `select * from ${part}`,
        entryOf({ country: 'SE' }, part),
        [chosen('id', '7'), generated],
        chosen('id', '7', 'overriding system value'),
        chosen('recorded_at', 'now()'),
        chosen('recorded_at', "'2020-01-01'"),
        [chosen('leaf', "'\\x00'"), generated],
        [chosen('leaf', "'\\x00'", 'overriding system value'), generated],
        ['insert into crossline.audit_entry default values', '23502'],
        `${entryOf({ country: 'SE' })} on conflict (id, recorded_at) do update set event = 'x'`,
        "merge into crossline.audit_entry e using (values (1)) v (n) on e.id = v.n when matched then update set event = 'x'",
        'copy crossline.audit_entry (id) from stdin',
        'select 1 from crossline.audit_entry for update',
      ],
    })
  })

  t.test('the service can not touch what the log stands on', async (t) => {
    const { serviceUrl, partition } = place
    await attack(t, {
      url: serviceUrl,
      statements: attacksOnFoundations(partition),
    })
  })

  t.test('the service can not become more than it is', async (t) => {
    const { serviceUrl } = place
    await attack(t, {
      url: serviceUrl,
      statements: [
        'set session_replication_role = replica',
        "select set_config('session_replication_role', 'replica', true)",
        'alter role current_user set session_replication_role = replica',
        'set role crossline_owner',
        'set session authorization crossline_owner',
        'grant crossline_owner to current_user',
        'alter role current_user superuser',
        'alter role current_user bypassrls',
        'create role mine',
        "copy (select 1) to program 'true'",
        "select pg_read_file('PG_VERSION')",
      ],
    })
  })

  t.test('absurd numbers of partitions are refused', async (t) => {
    const absurd = [-1, 121, 2_147_483_647, -2_147_483_648, 'null']
    await attack(t, {
      url: place.serviceUrl,
      statements: [
        ...absurd.map((ahead): [string, string] => [`select crossline.audit_add_partitions(${ahead})`, 'P0001']),
        ['select crossline.audit_add_partitions(9999999999)', '42883'],
      ],
    })
    t.same(
      await withClient(
        place.serviceUrl,
        async (client) => (await client.query('select crossline.audit_add_partitions(12) as made')).rows,
      ),
      [{ made: 0 }],
    )
  })

  t.test('the reader sees its scope, and nothing at all without one', async (t) => {
    const client = await connect(place.serviceUrl)
    t.teardown(() => client.end())
    const seen = async (scope: Record<string, string>) => {
      await client.query('begin')
      for (const [name, value] of Object.entries(scope))
        await client.query('select set_config($1, $2, true)', [`crossline.${name}`, value])
      await client.query('set local role crossline_reader')
      const { rows } = await client.query<{ country: string }>('select country from crossline.audit_entry order by country')
      await client.query('rollback')
      return rows.map(({ country }) => country)
    }
    t.same(await seen({}), [])
    t.same(await seen({ countries: '', members: '' }), [])
    t.same(await seen({ countries: 'SE' }), ['SE'])
    t.same(await seen({ members: 'hotline-gb' }), ['GB'])
    t.same(await seen({ countries: 'S,E,SE%' }), [])
    t.same(await seen({ network_wide: 'on' }), ['GB', 'SE'])
    await attack(t, {
      url: place.serviceUrl,
      as: ['set role crossline_reader'],
      statements: [
        entryOf({ country: 'SE' }),
        'select * from crossline.audit_payload',
        'select * from crossline.subject_key',
        'select * from crossline.audit_pending',
        'select * from crossline.item',
        `select * from crossline.${place.partition}`,
        'select crossline.audit_add_partitions(1)',
      ],
    })
    await client.query('begin')
    await client.query('set local row_security = off')
    await client.query('set local role crossline_reader')
    await t.rejects(client.query('select * from crossline.audit_entry'), { code: notAllowed }, 'row security can not be left out')
    await client.query('rollback')
  })

  t.test('a table of the same name in pg_temp is not taken for ours', async (t) => {
    const { adminUrl, serviceUrl, name } = place
    const login = serviceLoginOf(name)
    await withClient(adminUrl, (client) => client.query(`grant temp on database ${name} to ${login}`))
    t.teardown(() => withClient(adminUrl, (client) => client.query(`revoke temp on database ${name} from ${login}`)))
    await withClient(serviceUrl, async (client) => {
      const tables = ['audit_pending (id bigint, leaf bytea)', 'migration_window (name text, xid xid8)', 'audit_entry ()']
      for (const table of tables) await client.query(`create temp table ${table}`)
      await client.query('create function pg_temp.sha256(bytea) returns bytea language sql as $$ select $1 $$')
      await client.query('set search_path = pg_temp, crossline')
      await client.query(entryOf({ country: 'SE' }))
      const { rows } = await client.query(`select (select count(*)::int from pg_temp.audit_pending) as shadow,
        (select count(*)::int from crossline.audit_entry e left join crossline.audit_pending p using (id) where p.leaf is distinct from e.leaf) as missed`)
      t.same(rows, [{ shadow: 0, missed: 0 }])
      await client.query('select crossline.audit_add_partitions(13)')
      t.same((await client.query('select * from pg_temp.migration_window')).rows, [])
    })
  })

  t.test('the owner can not change or remove an entry, whatever it switches off', async (t) => {
    const { adminUrl, partition } = place
    const statements = [
      "update audit_entry set event = 'x'",
      'delete from audit_entry',
      'truncate audit_entry',
      'truncate audit_entry cascade',
      `truncate ${partition}`,
      `update ${partition} set event = 'x'`,
      `delete from ${partition}`,
      "update migration_window set name = 'x'",
      'delete from migration_window',
      'truncate migration_window cascade',
      ...attacksOnQueue,
    ]
    await attack(t, { url: adminUrl, as: asOwner, statements })
    await attack(t, { url: adminUrl, as: ['set session_replication_role = replica', ...asOwner], statements })
    await attack(t, {
      url: adminUrl,
      as: ['set session_replication_role = replica', "set search_path = 'crossline'"],
      statements,
    })
  })

  t.test('the sealer’s role can take no entry out of the queue without giving it a place', async (t) => {
    const year = 2020
    // The tree of a year that has room for one leaf, as the sealer's role itself could say.
    const tree = `insert into crossline.audit_shard (year, origin, size, root, edge, last_at)
      values (${year}, 'x/audit/${year}', 1, sha256('x'), sha256('x'), now())`
    const as = ['set local role crossline_sealer', tree]
    const waiting = 'select count(*)::int as count from crossline.audit_pending'
    await attack(t, { url: place.serviceUrl, as, statements: attacksOfSealer(year) })
    await withClient(place.serviceUrl, async (client) => {
      await client.query('begin')
      for (const setting of as) await client.query(setting)
      const [before] = (await client.query(waiting)).rows
      t.ok(before.count >= 2)
      await client.query(placeFirst(year))
      t.same((await client.query(waiting)).rows, [{ count: before.count - 1 }], 'with its place it goes')
      await client.query('delete from crossline.audit_pending where false')
      await client.query('rollback')
    })
  })

  t.test('an entry that the owner puts straight into a partition still reaches the sealer', async (t) => {
    await withClient(place.adminUrl, async (client) => {
      await client.query('begin')
      await client.query('set session_replication_role = replica')
      await client.query(
        `insert into crossline.${place.partition} (id, recorded_at, ${columns}) overriding system value
         values (4711, now(), 'item.traced', sha256('x'), 1, '{}')`,
      )
      t.equal((await client.query('select from crossline.audit_pending where id = 4711')).rowCount, 1)
      await client.query('rollback')
    })
  })

  t.test('the schema can not be changed outside a migration window, by the owner or a superuser', async (t) => {
    const { adminUrl, partition } = place
    const statements = schemaChanges(partition)
    // What it would take a superuser to undo (dropping or disabling the event triggers) is not the owner's to do.
    const guards = [
      'drop function crossline_guard.refuse_ddl() cascade',
      'drop schema crossline_guard cascade',
      'alter function crossline_guard.refuse_ddl() rename to other',
      'drop event trigger crossline_drop',
      'alter event trigger crossline_ddl disable',
    ]
    await attack(t, { url: adminUrl, as: ['set role crossline_owner'], statements: [...statements, ...guards] })
    await attack(t, {
      url: adminUrl,
      statements: [
        ...statements,
        'alter table crossline.audit_entry set schema public',
        `alter table crossline.${partition} set schema public`,
        'alter table crossline.audit_entry owner to current_user',
        'alter schema crossline rename to other',
        'alter schema crossline owner to current_user',
      ],
    })
  })

  t.test('who works beside our schema is left alone', async (t) => {
    await withClient(place.adminUrl, async (client) => {
      await client.query('begin')
      for (const statement of [
        'create schema beside',
        'create table beside.note (n int)',
        'grant select on beside.note to public',
        'create view beside.seen as select n from beside.note',
        'drop schema beside cascade',
        'reindex table crossline.audit_head',
      ])
        t.ok(await client.query(statement), statement)
      await client.query('rollback')
    })
  })

  t.test('a migration window lets the change through, and becomes an entry', async (t) => {
    await withClient(place.adminUrl, async (client) => {
      await client.query('begin')
      await client.query('set local role crossline_owner')
      await client.query("insert into crossline.migration_window (name) values ('a proper change')")
      await client.query('create table crossline.proper ()')
      await client.query('grant select on crossline.proper to crossline_service')
      await client.query('commit')
      await t.rejects(client.query('drop table crossline.proper'), { code: notAllowed }, 'the window closes with its transaction')
    })
    const db = openDatabase({ url: place.serviceUrl, applicationName: 'rights test' })
    t.teardown(() => db.close())
    const keys = deriveKeys(randomBytes(32))
    const ctx = { self: 'hotline-gb', db, keys, now: () => new Date(), checkpoint: () => null } as unknown as StepContext
    await recordMigrations(ctx)
    await recordMigrations(ctx)
    const windows = await db.selectFrom('migration_window').select('name').orderBy('id').execute()
    const recorded = await db.selectFrom('audit_entry').select('id').where('event', '=', 'schema.migrated').execute()
    t.equal(recorded.length, windows.length, 'each window once')
    t.ok(windows.some(({ name }) => name === 'a proper change'))
  })

  t.test('after all of that the log is as it was', async (t) => {
    const db = openDatabase({ url: place.serviceUrl, applicationName: 'rights test' })
    t.teardown(() => db.close())
    const { rowCount } = await withClient(place.adminUrl, (client) =>
      client.query("select from crossline.audit_entry where event = 'item.traced'"),
    )
    t.equal(rowCount, 3)
    await t.rejects(checkAuditLog(db), /seen is missing/, 'the entries of this test are no real ones, and the check says so')
  })
}

t.test('on the embedded server', async (t) => {
  behaviour(t, async (t) => {
    const server = await openTestServer()
    t.teardown(() => server.stop())
    return server.adminUrl
  })
})

t.test('on PostgreSQL 15', { skip: noPostgres15 }, async (t) => {
  behaviour(t, startPostgres15)
})
