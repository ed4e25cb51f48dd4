// Migrations and roles, on the embedded PostgreSQL 18 and on PostgreSQL 15 where it is installed.
import { randomBytes } from 'node:crypto'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { QueryResult } from 'pg'
import t, { type Test } from 'tap'
import { withClient, withDatabase, withLogin } from '#storage/admin-client.ts'
import { ensureDatabase, startEmbeddedServer } from '#storage/embedded-server.ts'
import { migrate, pendingMigrations } from '#storage/migrate.ts'
import { prepareDatabase } from '#storage/prepare-database.ts'
import { canAdminister } from '#storage/roles.ts'
import { ensureServiceLogin, serviceLoginOf } from '#storage/service-login.ts'
import { migrationsFolder, openTestServer, type Teardown } from '../database.ts'
import { makeFolder, makeMigrations, noPostgres15, startPostgres15, windowSql } from '../storage/fixtures.ts'

const password = 'synthetic-password'
const twoFiles = {
  '001-window.sql': windowSql,
  '002-note.sql':
    '-- Notes.\ncreate table crossline.note (n int);\ngrant select, insert on crossline.note to crossline_service;\n',
}
const superuserFile = `-- Refuses DDL outside a window.
create function crossline.refuse() returns event_trigger language plpgsql as $$ begin
  if not exists (select from crossline.migration_window where xid = pg_current_xact_id()) then raise exception 'refused'; end if;
end $$;
create event trigger crossline_test on ddl_command_end execute function crossline.refuse();
`

async function run(url: string, query: string): Promise<QueryResult> {
  return await withClient(url, (client) => client.query(query))
}

/** An empty database of its own, and a login that may create roles and owns it, but is no superuser. */
async function makeDatabase(t: Teardown, admin: string): Promise<{ url: string; lesser: string }> {
  const id = randomBytes(4).toString('hex')
  const name = `t_${process.pid}_m${id}`
  const url = await ensureDatabase(admin, name)
  await run(admin, `create role lesser_${id} login createrole password '${password}'`)
  await run(admin, `alter database ${name} owner to lesser_${id}`)
  t.teardown(async () => {
    await run(admin, `drop database if exists ${name} with (force)`)
    await run(admin, `drop role if exists ${serviceLoginOf(name)}`)
    // A role that gave others membership can't be dropped before that is taken back.
    await run(admin, `reassign owned by lesser_${id} to current_user`)
    await run(admin, `drop owned by lesser_${id} cascade`)
    await run(admin, `drop role if exists lesser_${id}`).catch(() => undefined)
  })
  return { url, lesser: withLogin(url, `lesser_${id}`, password) }
}

function behaviour(t: Test, openServer: (t: Teardown) => Promise<string>): void {
  let admin = ''
  t.before(async () => {
    admin = await openServer(t)
  })

  t.test('applies each migration once, as the owner that can not log in, inside its window', async (t) => {
    const { url } = await makeDatabase(t, admin)
    const folder = makeMigrations(t, twoFiles)
    t.same(await migrate({ adminUrl: url, folder }), { applied: ['001-window', '002-note'] })
    t.same(await migrate({ adminUrl: url, folder }), { applied: [] })
    const { rows } = await run(
      url,
      "select relname, relowner::regrole::text as owner from pg_class where relname in ('note', 'kysely_migration', 'migration_window') and relnamespace = 'crossline'::regnamespace order by 1",
    )
    t.same(
      rows,
      ['kysely_migration', 'migration_window', 'note'].map((relname) => ({ relname, owner: 'crossline_owner' })),
    )
    const windows = await run(url, 'select name, length(digest) as bytes from crossline.migration_window order by id')
    t.same(windows.rows, [
      { name: '001-window', bytes: 32 },
      { name: '002-note', bytes: 32 },
    ])
    const owner = await run(url, "select rolcanlogin, rolsuper from pg_roles where rolname = 'crossline_owner'")
    t.same(owner.rows, [{ rolcanlogin: false, rolsuper: false }])
    await t.rejects(run(withLogin(url, 'crossline_owner', password), 'select 1'), { code: 'database_unavailable' })
  })

  t.test('lets many processes migrate one database, and many databases, at the same moment', async (t) => {
    const folder = makeMigrations(t, {
      ...twoFiles,
      '003-groups.sql': '-- Shared by all databases.\ngrant crossline_reader to crossline_service;\n',
    })
    const databases = await Promise.all([1, 2, 3].map(() => makeDatabase(t, admin)))
    const twice = [...databases, ...databases].map(({ url }) => prepareDatabase({ url, folder, servicePassword: password }))
    const prepared = await Promise.all(twice)
    t.equal(prepared.flatMap(({ migrated }) => migrated).length, 9)
    for (const { serviceUrl } of prepared) t.same((await run(serviceUrl, 'select 1 as one')).rows, [{ one: 1 }])
  })

  t.test('leaves nothing behind when a migration fails, and says which, where and why without a value', async (t) => {
    const { url } = await makeDatabase(t, admin)
    const broken = makeMigrations(t, { ...twoFiles, '003-broken.sql': '-- Broken.\n\nselect * from nowhere;\n' })
    await t.rejects(migrate({ adminUrl: url, folder: broken }), {
      code: 'migration_needed',
      message: 'The migration 003-broken failed (42P01, line 3): relation "nowhere" does not exist',
    })
    t.same((await pendingMigrations(url, broken)).pending, ['001-window', '002-note', '003-broken'])
    const telling = makeMigrations(t, { ...twoFiles, '003-telling.sql': "-- Telling.\nselect 'marker-4711'::uuid;\n" })
    const failure = await migrate({ adminUrl: url, folder: telling }).catch((error: Error) => error)
    t.match(failure, { code: 'migration_needed', facts: { sqlstate: '22P02', migration: '003-telling' } })
    t.notMatch(`${failure}${JSON.stringify(failure)}`, /marker-4711/)
    t.same((await migrate({ adminUrl: url, folder: makeMigrations(t, twoFiles) })).applied, ['001-window', '002-note'])
  })

  t.test('refuses a migration that was changed, that is gone, or that comes too late', async (t) => {
    const { url } = await makeDatabase(t, admin)
    const folder = makeMigrations(t, twoFiles)
    await migrate({ adminUrl: url, folder })
    writeFileSync(join(folder, '001-early.sql'), '-- Same number.\n')
    await t.rejects(migrate({ adminUrl: url, folder }), { code: 'invalid_config', message: /the number/ })
    rmSync(join(folder, '001-early.sql'))
    writeFileSync(join(folder, '000-early.sql'), '-- Too late.\n')
    await t.rejects(migrate({ adminUrl: url, folder }), { code: 'invalid_config', message: /000-early/ })
    rmSync(join(folder, '000-early.sql'))
    writeFileSync(join(folder, '002-note.sql'), `${twoFiles['002-note.sql']}-- one more line\n`)
    await t.rejects(migrate({ adminUrl: url, folder }), { code: 'invalid_config', message: /002-note was changed/ })
    await t.rejects(pendingMigrations(url, folder), { code: 'invalid_config', message: /002-note was changed/ })
    rmSync(join(folder, '002-note.sql'))
    await t.rejects(migrate({ adminUrl: url, folder }), { code: 'invalid_config', message: /002-note/ })
  })

  t.test('gives the service a login that can do what it was granted and nothing else', async (t) => {
    const { url } = await makeDatabase(t, admin)
    const folder = makeMigrations(t, twoFiles)
    const { serviceUrl } = await prepareDatabase({ url, folder, servicePassword: password })
    await run(serviceUrl, 'insert into crossline.note values (1)')
    const forbidden = [
      'create table crossline.mine ()',
      'create table public.mine ()',
      'alter table crossline.note add column m int',
      'delete from crossline.note',
      'insert into crossline.migration_window (name) values ($$x$$)',
      'set role crossline_owner',
      'create role another',
      'create schema mine',
      'create temp table mine ()',
    ]
    for (const query of forbidden) await t.rejects(run(serviceUrl, query), { code: '42501' }, query)
    t.equal(await canAdminister(serviceUrl), false)
    t.equal(await canAdminister(url), true)
    const again = await ensureServiceLogin({ adminUrl: url, password: 'another-synthetic-password' })
    t.same((await run(again, 'select 1 as one')).rows, [{ one: 1 }], 'a new password takes the place of the old')
    await t.rejects(run(serviceUrl, 'select 1'), { code: 'database_unavailable' })
  })

  t.test('keeps one node out of the database of another', async (t) => {
    const folder = makeMigrations(t, twoFiles)
    const [one, two] = await Promise.all([makeDatabase(t, admin), makeDatabase(t, admin)])
    const { serviceUrl } = await prepareDatabase({ url: one.url, folder, servicePassword: password })
    await prepareDatabase({ url: two.url, folder, servicePassword: password })
    const other = new URL(two.url).pathname.slice(1)
    await t.rejects(run(withDatabase(serviceUrl, other), 'select 1'), {
      code: 'database_unavailable',
      facts: { reason: '42501' },
    })
  })

  t.test('lets a login without rights start when nothing is pending, and tells it what to do otherwise', async (t) => {
    const { url } = await makeDatabase(t, admin)
    const folder = makeMigrations(t, twoFiles)
    const { serviceUrl } = await prepareDatabase({ url, folder, servicePassword: password })
    t.same(await prepareDatabase({ url: serviceUrl, folder, servicePassword: password }), { serviceUrl, migrated: [] })
    writeFileSync(join(folder, '003-more.sql'), '-- More.\ncreate table crossline.more ();\n')
    await t.rejects(prepareDatabase({ url: serviceUrl, folder, servicePassword: password }), {
      code: 'migration_needed',
      message: /crossline migrate/,
      facts: { pending: ['003-more'] },
    })
  })

  t.test('migrates as an owner that may create roles but is no superuser; what needs one waits and comes later', async (t) => {
    const { url, lesser } = await makeDatabase(t, admin)
    const folder = makeMigrations(t, {
      ...twoFiles,
      '003-event.superuser.sql': superuserFile,
      '004-after.sql': '-- After it.\ncreate table crossline.after ();\n',
    })
    const warned: object[] = []
    const log = { info() {}, warn: (facts: object) => void warned.push(facts) }
    // The groups of this server may be another login's; a role of its own may then not hand them on (PostgreSQL 16 and later).
    await withClient(admin, (client) =>
      client.query(
        `grant crossline_owner, crossline_service, crossline_reader, crossline_eraser to ${new URL(lesser).username} with admin option`,
      ),
    )
    const first = await prepareDatabase({ url: lesser, folder, servicePassword: password, log })
    t.same(first.migrated, ['001-window', '002-note', '004-after'])
    t.same(warned, [{ migration: '003-event.superuser' }])
    t.same(await pendingMigrations(first.serviceUrl, folder), { pending: [], awaitingSuperuser: ['003-event.superuser'] })
    t.same((await migrate({ adminUrl: url, folder })).applied, ['003-event.superuser'])
    await t.rejects(run(url, 'create table crossline.outside ()'), { message: 'refused' })
    writeFileSync(join(folder, '005-inside.sql'), '-- Inside a window.\ncreate table crossline.inside ();\n')
    t.same((await migrate({ adminUrl: lesser, folder })).applied, ['005-inside'])
  })

  t.test("applies the project's own migrations", async (t) => {
    const { url } = await makeDatabase(t, admin)
    const { serviceUrl, migrated } = await prepareDatabase({ url, folder: migrationsFolder, servicePassword: password })
    t.ok(migrated.includes('001-window'))
    t.same(await pendingMigrations(serviceUrl, migrationsFolder), { pending: [], awaitingSuperuser: [] })
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

t.test('makes every role as a login that may create roles, on a server that has none of them', async (t) => {
  const server = await startEmbeddedServer({ dataDir: makeFolder(t) })
  t.teardown(() => server.stop())
  await run(server.adminUrl, `create role lesser login createrole password '${password}'`)
  const url = await ensureDatabase(server.adminUrl, 'exchange')
  await run(server.adminUrl, 'alter database exchange owner to lesser')
  const folder = makeMigrations(t, {
    ...twoFiles,
    '003-groups.sql': '-- Groups.\ngrant crossline_reader to crossline_service;\n',
  })
  const { serviceUrl, migrated } = await prepareDatabase({
    url: withLogin(url, 'lesser', password),
    folder,
    servicePassword: password,
  })
  t.equal(migrated.length, 3)
  await run(serviceUrl, 'insert into crossline.note values (1)')
})

t.test('refuses a folder whose files do not say why they are there, or have no number', async (t) => {
  for (const files of [
    {},
    { '001-silent.sql': 'select 1;\n' },
    { '1-short.sql': '-- Why.\n' },
    { '001-Case.sql': '-- Why.\n' },
  ]) {
    await t.rejects(pendingMigrations('postgres://nobody@127.0.0.1:9/x', makeMigrations(t, files)), { code: 'invalid_config' })
  }
})
