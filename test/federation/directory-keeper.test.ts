// What a node believes of its directory over time: whoever wraps, repeats or rotates, the officers' next word is followed, also after a
// restart, and a database alone never says whom to trust.
import t, { type Test } from 'tap'
import { digest } from '#crypto/digests.ts'
import { signGeneralJws } from '#crypto/directory-signature.ts'
import { createLogger } from '#log.ts'
import type { Directory, Root } from '#schema/directory.ts'
import { openDirectoryKeeper } from '#steps/directory-keeper.ts'
import { operatorFile } from '#steps/keep-document.ts'
import { withClient } from '#storage/admin-client.ts'
import { createTestDatabase } from '../database.ts'
import { anyDigest, at, makeDirectory, makeMember, makeOfficers, makeRoot, now } from '../domain/directory-fixture.ts'

const log = createLogger({ level: 'silent' })
const officers = await makeOfficers(3)
const later = await makeOfficers(3)
const keysOf = (some: typeof officers) => ({ keys: some.map(({ publicJwk }) => publicJwk), threshold: 2 })

const sign = (document: object, typ: 'crossline-root+jws' | 'crossline-directory+jws', by = officers) =>
  signGeneralJws(Buffer.from(JSON.stringify(document)), typ, by.slice(0, 2))
const signRoot = (change: Partial<Root> = {}) => sign(makeRoot(officers, change), 'crossline-root+jws')
const signDirectory = (change: Partial<Directory> = {}, by = officers) =>
  sign(makeDirectory({ issuedAt: at(-20 * 60_000), ...change }), 'crossline-directory+jws', by)
/** The same signed content in other bytes, as any mirror can make them. */
const wrapAnew = (bytes: Buffer) => Buffer.from(` ${bytes}`)

const root = await signRoot()
const first = await signDirectory()
const second = await signDirectory({ version: 2, previous: digest(first) })

/** A database with the root, and keepers that open over it as a node does at each start. */
async function openPlace(t: Test) {
  const { database: db, adminUrl } = await createTestDatabase(t)
  let waitedMs = 0
  const open = () =>
    openDirectoryKeeper({ db, pins: [digest(root)], now: () => new Date(now.getTime() + waitedMs), log, onChange: () => {} })
  const keeper = await open()
  await keeper.considerRoot(root, operatorFile)
  const wait = (ms: number) => {
    waitedMs += ms
  }
  return { db, adminUrl, open, keeper, wait }
}

t.test('a mirror that wraps a version anew does not freeze the directory', async (t) => {
  const { open, keeper } = await openPlace(t)
  t.same(await keeper.considerDirectory(wrapAnew(first), 'hostile'), { kind: 'accept' })
  t.same(await keeper.considerDirectory(second, 'lab'), { kind: 'refused', reason: 'wrong_previous' })
  t.same(await keeper.considerDirectory(first, 'lab'), { kind: 'already_held' })
  await keeper.considerDirectory(wrapAnew(wrapAnew(first)), 'hostile')
  const again = await open()
  t.same(
    await again.considerDirectory(second, operatorFile),
    { kind: 'accept' },
    'the wrapping is remembered, also after a restart',
  )
  t.equal(again.current().hash, digest(second))
})

t.test('what a peer shows as the version before counts only with the same signed content', async (t) => {
  const { keeper, db } = await openPlace(t)
  await keeper.considerDirectory(wrapAnew(first), 'hostile')
  const other = await signDirectory({ members: [makeMember('hotline-gb'), makeMember('hotline-se')] })
  const follower = await signDirectory({ version: 2, previous: digest(other) })
  await keeper.considerServing(other, 'hostile')
  t.same(await keeper.considerDirectory(follower, 'hostile'), { kind: 'refused', reason: 'wrong_previous' })
  await keeper.considerServing(wrapAnew(other), 'hostile')
  const conflicts = await db.selectFrom('directory_conflict').select(['number', 'other_hash']).execute()
  t.same(conflicts, [{ number: 1, other_hash: digest(other) }], 'and one of other content is evidence, once')
  await keeper.considerServing(first, 'lab')
  t.same(await keeper.considerDirectory(second, 'lab'), { kind: 'accept' })
})

t.test('a root with other directory keys keeps the directory that is held until the next one, over a restart too', async (t) => {
  const { keeper, open } = await openPlace(t)
  await keeper.considerDirectory(first, 'lab')
  const roles = { ...makeRoot(officers).roles, directory: keysOf(later) }
  t.ok(await keeper.considerRoot(await signRoot({ number: 2, roles }), 'lab'))
  const again = await open()
  t.equal(again.rootNumber(), 2)
  t.equal(again.current().hash, digest(first))
  const byOldKeys = await signDirectory({ version: 2, previous: digest(first) })
  await t.rejects(again.considerDirectory(byOldKeys, 'lab'), { code: 'bad_directory' })
  const byNewKeys = await signDirectory({ version: 2, previous: digest(first) }, later)
  t.same(await again.considerDirectory(byNewKeys, 'lab'), { kind: 'accept' })
  t.equal((await open()).current().hash, digest(byNewKeys))
})

t.test('a kept directory that does not verify is told, and another takes its place', async (t) => {
  const { keeper, open, adminUrl } = await openPlace(t)
  await keeper.considerDirectory(first, 'lab')
  await withClient(adminUrl, (client) =>
    client.query(`update crossline.directory_document set bytes = '\\x7b7d', hash = 'x' where kind = 'directory'`),
  )
  const again = await open()
  t.throws(() => again.current(), { code: 'bad_directory' })
  t.same(await again.considerDirectory(first, operatorFile), { kind: 'accept' })
  t.equal(again.current().hash, digest(first))
})

t.test('a root in the database that is not the pinned one is refused', async (t) => {
  const { open, adminUrl } = await openPlace(t)
  const evil = await sign(makeRoot(later), 'crossline-root+jws', later)
  await withClient(adminUrl, (client) =>
    client.query(`update crossline.directory_document set bytes = $1, hash = $2 where kind = 'root'`, [evil, digest(evil)]),
  )
  await t.rejects(open(), { code: 'bad_directory' })
})

t.test('only a peer’s answer makes a directory fresh: a restart and the operator’s file do not', async (t) => {
  const { keeper, open, wait } = await openPlace(t)
  await keeper.considerDirectory(first, operatorFile)
  t.equal(keeper.age(), 'fresh', 'the officers have just issued it')
  wait(2 * 3_600_000)
  t.equal(keeper.age(), 'stale')
  await keeper.considerDirectory(first, operatorFile)
  await keeper.considerDirectory(wrapAnew(first), operatorFile)
  t.equal(keeper.age(), 'stale')
  const again = await open()
  t.equal(again.age(), 'stale')
  await again.considerDirectory(first, 'lab')
  t.equal(again.age(), 'fresh')
  t.same(again.refreshedAt(), new Date(now.getTime() + 2 * 3_600_000))
})

t.test('of two processes with one database, the second goes by what the first kept', async (t) => {
  const { keeper, open, db } = await openPlace(t)
  const other = await open()
  await keeper.considerDirectory(wrapAnew(first), 'lab')
  await other.considerDirectory(first, 'lab')
  t.equal(other.current().hash, digest(wrapAnew(first)))
  const twin = await signDirectory({
    version: 2,
    previous: digest(first),
    members: [makeMember('hotline-gb'), makeMember('hotline-se')],
  })
  await keeper.considerDirectory(first, 'lab')
  await keeper.considerDirectory(second, 'lab')
  await other.considerDirectory(twin, 'hostile')
  t.equal(other.current().hash, digest(second))
  const conflicts = await db.selectFrom('directory_conflict').select('other_hash').execute()
  t.same(conflicts, [{ other_hash: digest(twin) }])
})

t.test('a directory more than a thousand versions ahead is taken from the operator’s file, never from a peer', async (t) => {
  const { keeper } = await openPlace(t)
  await keeper.considerDirectory(first, 'lab')
  const far = await signDirectory({ version: 5000, previous: anyDigest() })
  t.same(await keeper.considerDirectory(far, 'lab'), { kind: 'needs_person' })
  t.same(await keeper.considerDirectory(far, operatorFile), { kind: 'accept' })
})
