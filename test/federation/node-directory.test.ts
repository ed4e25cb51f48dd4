// Whom a node trusts for its directory at start, what it does without usable files, and what a change closes at once.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { digest } from '#crypto/digests.ts'
import { signGeneralJws } from '#crypto/directory-signature.ts'
import { holdDirectory } from '#domain/held-directory.ts'
import { createLogger } from '#log.ts'
import { applyDirectory, openDirectory, openHeldDirectory } from '#node-directory.ts'
import type { Directory } from '#schema/directory.ts'
import type { StepContext } from '#steps/context.ts'
import { withClient } from '#storage/admin-client.ts'
import { createTestDatabase } from '../database.ts'
import { makeDirectory, makeMember, makeOfficers, makeRoot, now } from '../domain/directory-fixture.ts'

const log = createLogger({ level: 'silent' })
const [good, evil] = [await makeOfficers(2), await makeOfficers(2)]
const documents = async (officers: typeof good, change: Partial<Directory> = {}) => ({
  root: await signGeneralJws(Buffer.from(JSON.stringify(makeRoot(officers))), 'crossline-root+jws', officers),
  directory: await signGeneralJws(Buffer.from(JSON.stringify(makeDirectory(change))), 'crossline-directory+jws', officers),
})
const ours = await documents(good)
const theirs = await documents(evil, { members: [makeMember('hotline-gb'), makeMember('intruder')], routes: [] })

/** A node's folder with its files, and a database. */
async function openPlace(t: Test, pins: string[] = []) {
  const { database: db, adminUrl } = await createTestDatabase(t)
  const dataDir = await mkdtemp(join(tmpdir(), 'crossline-directory-'))
  t.teardown(() => rm(dataDir, { recursive: true, force: true }))
  const files = { root: join(dataDir, 'root.json'), directory: join(dataDir, 'directory.json') }
  const write = async ({ root, directory }: typeof ours) => {
    await writeFile(files.root, root)
    await writeFile(files.directory, directory)
  }
  await write(ours)
  const config = { dataDir, directory: { ...files, pins } }
  const needs = { db, now: () => now, log, onChange: () => {} }
  /** What whoever can write to the database could do. */
  const forge = () =>
    withClient(adminUrl, async (client) => {
      const update = 'update crossline.directory_document set bytes = $1, hash = $2 where kind = $3'
      for (const kind of ['root', 'directory'] as const) await client.query(update, [theirs[kind], digest(theirs[kind]), kind])
    })
  return {
    config,
    files,
    write,
    forge,
    open: () => openDirectory(config, needs),
    openHeld: () => openHeldDirectory(config, needs),
  }
}

t.test('a network that stands in the database alone is not trusted, pinned or not', async (t) => {
  for (const pins of [[digest(ours.root)], []]) {
    const { open, openHeld, forge, write } = await openPlace(t, pins)
    t.equal((await open()).current().hash, digest(ours.directory))
    await forge()
    await t.rejects(openHeld(), { code: 'bad_directory' })
    await t.rejects(open(), { code: 'bad_directory' })
    await write(theirs)
    await t.rejects(open(), { code: 'bad_directory' }, 'nor with files that say the same')
  }
})

t.test('the root that a node met first stays its anchor when ROOT_FILE moves on', async (t) => {
  const { open, files } = await openPlace(t)
  await open()
  const next = await signGeneralJws(Buffer.from(JSON.stringify({ ...makeRoot(good), number: 2 })), 'crossline-root+jws', good)
  await writeFile(files.root, next)
  t.equal((await open()).rootNumber(), 2)
  t.equal((await open()).current().hash, digest(ours.directory))
})

t.test('a bad or absent file stops the start only where nothing is held', async (t) => {
  const { open, files } = await openPlace(t)
  await writeFile(files.directory, '{}')
  await t.rejects(open(), { code: 'bad_directory' })
  await writeFile(files.directory, ours.directory)
  await open()
  for (const path of [files.directory, files.root]) {
    await writeFile(path, 'no directory')
    t.equal((await open()).current().hash, digest(ours.directory), 'bad')
    await rm(path)
    t.equal((await open()).current().hash, digest(ours.directory), 'absent')
  }
})

t.test('a directory file is read although the root file can not be', async (t) => {
  const { open, files } = await openPlace(t)
  await open()
  const change = { version: 2, previous: digest(ours.directory) }
  await writeFile(files.directory, (await documents(good, change)).directory)
  await rm(files.root)
  t.equal((await open()).current().version, 2)
})

t.test('connections of a certificate or member that is gone from the directory are closed at once', async (t) => {
  const { database: db } = await createTestDatabase(t)
  const self = makeMember('hotline-gb')
  const [kept, gone, suspended, renewed] = ['hotline-se', 'hotline-jp', 'hotline-us', 'hotline-ph'].map((id) => makeMember(id))
  const fingerprintOf = (member: typeof self | undefined) => member?.certificates[0]?.fingerprint ?? ''
  const heldOf = (...members: (typeof self | undefined)[]) => {
    const document = makeDirectory({ members: members.filter((member) => member !== undefined), routes: [] })
    return holdDirectory({ document, version: 1, hash: '', bytes: Buffer.alloc(0), root: makeRoot(good) })
  }
  const before = heldOf(self, kept, gone, suspended, renewed)
  const held = heldOf(self, kept, makeMember('hotline-us', { ...suspended, status: 'suspended' }), makeMember('hotline-ph'))
  let isClosed = (_fingerprint: string) => false
  const places: string[] = []
  const peers = { keepOnly: (some: readonly { url: string }[]) => void places.push(...some.map(({ url }) => url)) }
  const ctx = { self: self.id, db, peers, now: () => now, wake: () => {} } as unknown as StepContext
  await applyDirectory(ctx, {
    held,
    before,
    server: {
      closeSocketsOf: (isRevoked) => {
        isClosed = isRevoked
        return 0
      },
    },
  })
  const closed = [kept, gone, suspended, renewed].map((member) => isClosed(fingerprintOf(member)))
  t.same(closed, [false, true, true, true])
  t.equal(isClosed('a client of the hotline'), false)
  t.same(places.sort(), ['https://hotline-ph.example', 'https://hotline-se.example'])
})
