// A database that was set back to an older state: what stands published outside it, and what a process remembers, halt the sealer. It
// never goes on from there by itself, and no operator can make it.
import { generateKeyPairSync } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { signCheckpoint } from '#crypto/checkpoint-note.ts'
import { resumeSealing } from '#steps/resume-sealing.ts'
import { findLatestCheckpoint } from '#storage/tree-store.ts'
import { expectHalt, type OwnLog, openLog, openSealedLog, restoreAs, tamper } from './own-log.ts'

t.test('a database that was set back to an older state', async (t) => {
  const { log, first } = await openSealedLog(t)
  const older = await restoreAs(t, log)
  await log.append('a', 3)
  await first.sealAll()
  t.match(await findLatestCheckpoint(log.database.database), { size: 7 })
  const node = older.openProcess()
  await node.sealAll()
  await expectHalt(t, older, { why: 'rollback', sealed: 4 })
  await older.append('b', 5)
  await older.openProcess().sealAll()
  await expectHalt(t, older, { why: 'rollback', sealed: 4 })
  await t.rejects(resumeSealing(node.ctx, 'we go on from the backup'), { code: 'audit_unavailable', facts: { why: 'rollback' } })
})

t.test('a database that was set back and has grown again', async (t) => {
  const { log, first } = await openSealedLog(t)
  const older = await restoreAs(t, log)
  await log.append('a', 3)
  await first.sealAll()
  rmSync(join(older.folder, 'audit', 'checkpoint-2026'))
  await older.append('b', 2)
  await older.openProcess().sealAll()
  await older.append('b', 3)
  await older.openProcess().sealAll()
  t.match(await findLatestCheckpoint(older.database.database), { size: 9 })
  // The file of the real log comes back.
  writeFileSync(join(older.folder, 'audit', 'checkpoint-2026'), (await findLatestCheckpoint(log.database.database))?.note ?? '')
  await older.append('b')
  await older.openProcess().sealAll()
  await expectHalt(t, older, { why: 'rollback', sealed: 9 })
})

t.test('a database that loses the whole year', async (t) => {
  const log = await openLog(t)
  const older = await restoreAs(t, log)
  await log.append('a')
  await log.openProcess().sealAll()
  await older.openProcess().sealAll()
  await expectHalt(t, older, { why: 'rollback', sealed: 0 })
})

t.test('a database that gets shorter while the process runs', async (t) => {
  const { log, first } = await openSealedLog(t)
  rmSync(join(log.folder, 'audit'), { recursive: true })
  await tamper(log, 'audit_checkpoint', 'delete from crossline.audit_checkpoint')
  await new Promise((resolve) => setTimeout(resolve, 1100))
  await first.sealAll()
  await expectHalt(t, log, { why: 'rollback' })
})

t.test('a published checkpoint that the database does not have', async (t) => {
  const noteOf = (log: OwnLog, size: number, root = Buffer.alloc(32, 7)) =>
    signCheckpoint({ origin: 'hotline-gb/audit/2026', size, root }, log.logKey)
  const stranger = generateKeyPairSync('ed25519').privateKey
  const cases: [string, string, (log: OwnLog, file: string) => void][] = [
    ['newer than the database', 'rollback', (log, file) => writeFileSync(file, noteOf(log, 5))],
    ['of another root at the same size', 'rollback', (log, file) => writeFileSync(file, noteOf(log, 4))],
    ['of a size that was never signed', 'rollback', (log, file) => writeFileSync(file, noteOf(log, 3))],
    ['of no form', 'published_unreadable', (_, file) => writeFileSync(file, 'checkpoint\n')],
    ['cut off', 'published_unreadable', (_, file) => writeFileSync(file, readFileSync(file).subarray(0, 60))],
    ['empty', 'published_unreadable', (_, file) => writeFileSync(file, '')],
    [
      'with a signature that is not good',
      'published_unreadable',
      (_, file) => writeFileSync(file, readFileSync(file, 'utf8').replace('\n4\n', '\n5\n')),
    ],
    [
      'of another log',
      'published_unreadable',
      (_, file) =>
        writeFileSync(file, signCheckpoint({ origin: 'hotline-se/audit/2026', size: 1, root: Buffer.alloc(32) }, stranger)),
    ],
    [
      'a folder',
      'published_unreadable',
      (_, file) => {
        rmSync(file)
        mkdirSync(file)
      },
    ],
  ]
  for (const [name, why, change] of cases) {
    const { log, fresh } = await openSealedLog(t)
    change(log, join(log.folder, 'audit', 'checkpoint-2026'))
    await fresh.sealAll()
    t.comment(name)
    await expectHalt(t, log, { why, sealed: 4 })
  }
})

t.test('a published checkpoint that is missing or older is put right, also when nothing waits', async (t) => {
  const { log, fresh } = await openSealedLog(t)
  const file = join(log.folder, 'audit', 'checkpoint-2026')
  const note = readFileSync(file, 'utf8')
  t.equal(note, (await findLatestCheckpoint(log.database.database))?.note, 'what is published is the signed note')
  rmSync(file)
  await fresh.sealAll()
  t.equal(readFileSync(file, 'utf8'), note)
  await log.append('a')
  await log.openProcess().sealAll()
  writeFileSync(file, note)
  await log.openProcess().sealAll()
  t.match(readFileSync(file, 'utf8'), '\n5\n')
})
