// A start that can't succeed ends at once, names the setting at fault, and leaves the database as it was.
import { randomBytes } from 'node:crypto'
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { escapeIdentifier } from 'pg'
import t from 'tap'
import { makeDevelopmentCertificates } from '#commands/certs-dev.ts'
import { memberFiles, networkFiles } from '#commands/dev-files.ts'
import { authorDevNetwork } from '#commands/office-dev-network.ts'
import { readConfig } from '#config.ts'
import { auditKeyFile } from '#crypto/audit-keys.ts'
import { createLogger } from '#log.ts'
import { startNode } from '#node.ts'
import { withClient, withDatabase } from '#storage/admin-client.ts'
import { makeTestCertificates } from '../certificates.ts'
import { openTestServer } from '../database.ts'
import { defaultMembers, environmentOf } from '../network.ts'
import { run } from './program.ts'

const folder = await mkdtemp(join(tmpdir(), 'crossline-start-'))
t.teardown(() => rm(folder, { recursive: true, force: true }))
await makeTestCertificates({ folder, members: defaultMembers })
await author(folder)
const elsewhere = join(folder, 'elsewhere')
// The copies of makeTestCertificates would have the same keys.
await makeDevelopmentCertificates({ folder: elsewhere, members: defaultMembers })
await author(elsewhere)
const empty = await createEmptyDatabase()
const env = environmentOf('hotline-gb', { folder, port: 0, dnsPort: 53 }, empty)
const gb = memberFiles(folder, 'hotline-gb')

async function author(network: string): Promise<void> {
  const members = defaultMembers.map(({ hosts: _hosts, runs: _runs, ...member }) => ({
    ...member,
    url: 'https://localhost:8443',
  }))
  await authorDevNetwork({ folder: network, members, routes: [{ country: 'GB', primary: 'hotline-gb' }] })
}

async function createEmptyDatabase(): Promise<string> {
  const server = await openTestServer()
  const name = `t_${process.pid}_${randomBytes(4).toString('hex')}`
  await withClient(server.adminUrl, (client) => client.query(`create database ${escapeIdentifier(name)}`))
  t.teardown(async () => {
    await withClient(server.adminUrl, (client) => client.query(`drop database ${escapeIdentifier(name)} with (force)`))
    await server.stop()
  })
  return withDatabase(server.adminUrl, name)
}

/** A file with this text, for its owner alone. */
function fileOf(text: string | Buffer): string {
  const path = join(folder, `file-${randomBytes(4).toString('hex')}`)
  writeFileSync(path, text, { mode: 0o600 })
  return path
}

function openToOthers(path: string): string {
  const copy = fileOf('')
  copyFileSync(path, copy)
  chmodSync(copy, 0o644)
  return copy
}

const start = (change: Record<string, string>) =>
  startNode(readConfig({ ...env, DATA_DIR: join(folder, 'data', randomBytes(4).toString('hex')), ...change }), {
    log: createLogger({ level: 'silent' }),
  })

const absent = join(folder, 'absent')
const aFolder = join(folder, 'a-folder')
mkdirSync(aFolder)
const secret = 'not-to-be-told-0123456789'
const noise = fileOf(secret)
const auditKey = auditKeyFile(gb.audit, new Date().getUTCFullYear())
const wrong: [string, ...string[]][] = [
  ['TLS_CERT', absent, aFolder, noise, gb.node.key, memberFiles(folder, 'hotline-se').node.certificate],
  ['TLS_KEY', absent, aFolder, noise, gb.node.certificate, gb.sign, openToOthers(gb.node.key)],
  ['TLS_CA', absent, aFolder, noise, gb.node.key, gb.node.certificate, fileOf('')],
  ['SIGN_KEY', absent, aFolder, noise, gb.node.key, auditKey, openToOthers(gb.sign)],
  [
    'AUDIT_KEY',
    absent,
    aFolder,
    noise,
    gb.node.key,
    gb.sign,
    openToOthers(auditKey),
    join(folder, 'no-{year}.key'),
    join(absent, '{year}'),
  ],
  ['MASTER_KEY', aFolder, noise, join(noise, 'below'), '/proc/x/master.key'],
  ['GEO_COUNTRY_DB', absent, aFolder, noise, env.GEO_ASN_DB ?? ''],
  ['GEO_ASN_DB', absent, aFolder, noise, env.GEO_COUNTRY_DB ?? ''],
  ['CDN_RANGES_FILE', absent, aFolder, noise, fileOf('{}')],
  ['ROOT_FILE', '', absent, aFolder, noise, networkFiles(folder).directory],
  ['DIRECTORY_FILE', '', absent, aFolder, noise, networkFiles(folder).root, networkFiles(elsewhere).directory],
]

for (const [setting, ...values] of wrong) {
  t.test(`names ${setting}, and migrates nothing`, async (t) => {
    for (const value of values) {
      const failure = await start({ [setting]: value }).then(
        () => undefined,
        (error: { code: string; message: string }) => error,
      )
      const what = value.replace(folder, '')
      t.match(failure?.message, setting, what)
      t.notMatch(failure?.message, /not-to-be-told|PRIVATE KEY|BEGIN/)
      t.ok(['invalid_config', 'broken_file', 'bad_directory'].includes(failure?.code ?? ''), `${failure?.code}`)
    }
    t.equal(await countOurTables(), 0)
  })
}

t.test('names what does not go with what is trusted, or with the member', async (t) => {
  const { root, directory } = networkFiles(elsewhere)
  const pin = 'A'.repeat(43)
  await t.rejects(start({ ROOT_FILE: root }), { code: 'bad_directory', message: /^DIRECTORY_FILE/ })
  await t.rejects(start({ ROOT_FILE: root, DIRECTORY_FILE: directory, ROOT_FINGERPRINT: pin }), { message: /^ROOT_FILE.*trusts/ })
  const elsewhereMember = memberFiles(elsewhere, 'hotline-gb')
  await t.rejects(start({ TLS_CERT: elsewhereMember.node.certificate }), { message: /TLS_KEY/ })
  t.equal(await countOurTables(), 0)
})

t.test('names DATABASE_URL when nobody answers there, and never its password', async (t) => {
  for (const host of ['127.0.0.1:1', 'nowhere.invalid:5432']) {
    const DATABASE_URL = `postgres://someone:${secret}@${host}/none`
    const failure = await start({ DATABASE_URL }).catch((error: Error) => error)
    t.match(failure, { code: 'database_unavailable', message: /DATABASE_URL/ })
    t.notMatch((failure as Error).message, new RegExp(`${secret}|nowhere|someone`))
  }
})

const unwritable = ['/proc/x', '/proc/x/y', '/sys/x', join(noise, 'below')]
for (const DATA_DIR of process.platform === 'linux' ? unwritable : unwritable.slice(-1)) {
  t.test(`ends at once where nothing can be written: ${DATA_DIR.replace(folder, '')}`, { timeout: 20_000 }, async (t) => {
    for (const database of [empty, '']) {
      const { code, stderr } = await run(['node', 'start'], { ...env, DATA_DIR, DATABASE_URL: database, LOG_LEVEL: 'silent' })
      t.equal(code, 2)
      t.match(stderr, /^crossline: invalid_config: .*DATA_DIR/)
    }
    const out = await run(['client', 'list'], { MEMBER_ID: 'hotline-gb', DATA_DIR })
    t.match(out, { code: 2, stderr: /invalid_config: The data folder / })
  })
}

t.test('starts with the same settings when nothing is wrong', async (t) => {
  const node = await start({})
  await node.stop()
  t.ok((await countOurTables()) > 0)
})

async function countOurTables(): Promise<number> {
  const ask = "select count(*)::int as count from pg_class where relnamespace = to_regnamespace('crossline')"
  return withClient(empty, async (client) => (await client.query<{ count: number }>(ask)).rows[0]?.count ?? 0)
}
