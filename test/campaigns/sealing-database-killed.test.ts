// What happens under a sealer: its database is killed in the middle of a pass, its disk is full, the disk of what it publishes is full. It
// neither loses nor doubles an entry, and goes on by itself.
import { execFileSync } from 'node:child_process'
import { chmodSync, closeSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { findLatestCheckpoint } from '#storage/tree-store.ts'
import { checkSealed, type OwnLog, openLog } from '../audit/own-log.ts'
import { startMortalServer } from '../crash/mortal-server.ts'
import { holdTable } from '../crash/node-process.ts'
import type { Teardown } from '../database.ts'
import { eventually } from '../network.ts'
import { isRoot, makeFolder } from '../storage/fixtures.ts'

const needsRoot = isRoot ? false : 'only root can mount a small disk'
const file = ({ folder }: OwnLog) => join(folder, 'audit', 'checkpoint-2026')

/** A disk of its own at this folder; false where nobody may mount one. */
function mountDisk(t: Teardown, folder: string, size: string): boolean {
  mkdirSync(folder, { recursive: true })
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', folder], { stdio: 'ignore' })
  } catch {
    return false
  }
  t.teardown(() => execFileSync('umount', [folder]))
  return true
}

/** Takes every byte that is left. Gives what frees them again. */
function fillDisk(folder: string): () => void {
  const path = join(folder, 'filler')
  const filler = openSync(path, 'w')
  // Large pieces first, then what is left of the last page.
  for (const size of [1 << 20, 1 << 12, 1]) {
    try {
      for (;;) writeSync(filler, Buffer.alloc(size))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    }
  }
  closeSync(filler)
  return () => rmSync(path)
}

async function checkWhole(t: Test, log: OwnLog, size: number): Promise<void> {
  const [shard] = await checkSealed(log.database.database, log.logKey)
  t.equal(shard?.size, size, 'every entry has one leaf')
  t.equal(readFileSync(file(log), 'utf8'), (await findLatestCheckpoint(log.database.database))?.note, 'and it is published')
  t.same(await log.ask('select halted_why from crossline.audit_state'), [{ halted_why: null }], 'nothing had to halt')
}

t.test('a database that is killed in the middle of a pass', { timeout: 60_000 }, async (t) => {
  const server = await startMortalServer(t)
  const log = await openLog(t, { on: { ...server, name: 'crossline_mortal' } })
  const { sealer, sealAll } = log.openProcess()
  await log.append('a', 3)
  await sealAll()
  await log.append('a', 300)
  const held = await holdTable(server.adminUrl, 'audit_checkpoint')
  const failing = t.rejects(sealer.seal(), 'the pass fails')
  await held.untilSomebodyWaits()
  await server.kill()
  await failing
  await held.release().catch(() => undefined)
  await server.start()
  await eventually('the database answers', () =>
    log.append('b', 2).then(
      () => true,
      () => false,
    ),
  )
  await sealAll()
  await checkWhole(t, log, 306)
})

t.test('a database whose disk is full', { skip: needsRoot, timeout: 60_000 }, async (t) => {
  const dataDir = makeFolder(t)
  if (!mountDisk(t, dataDir, '300m')) return void t.pass('mounted', { skip: 'this machine lets nobody mount' })
  chmodSync(dataDir, 0o711)
  const server = await startMortalServer(t, dataDir)
  const log = await openLog(t, { on: { ...server, name: 'crossline_mortal' } })
  const { sealer, sealAll } = log.openProcess()
  await log.append('a', 3)
  await sealAll()
  // More leaves than the pages that the tables have can hold.
  await log.append('a', 4000)
  const free = fillDisk(dataDir)
  await t.rejects(sealer.seal(), 'nothing is sealed')
  let appended = 0
  for (let n = 0; n < 5; n++)
    appended += await log.append('b', 200).then(
      () => 200,
      () => 0,
    )
  await t.rejects(sealer.seal(), 'nor at the next try')
  free()
  // PostgreSQL ends itself when it can't write its journal.
  if (!server.isRunning()) await server.start()
  appended += await eventually('the database answers', () =>
    log.append('c', 2).then(
      () => 2,
      () => 0,
    ),
  )
  await sealAll()
  await checkWhole(t, log, 1 + 4003 + appended)
})

t.test('a disk that is full where the checkpoint is published', { skip: needsRoot, timeout: 60_000 }, async (t) => {
  const log = await openLog(t)
  const folder = join(log.folder, 'audit')
  if (!mountDisk(t, folder, '64k')) return void t.pass('mounted', { skip: 'this machine lets nobody mount' })
  const { sealer, sealAll } = log.openProcess()
  await log.append('a', 3)
  await sealAll()
  const before = readFileSync(file(log), 'utf8')
  const free = fillDisk(folder)
  await log.append('a', 3)
  await t.rejects(sealer.seal(), 'it is not published')
  await t.rejects(sealer.seal(), 'nor at the next try')
  t.equal(readFileSync(file(log), 'utf8'), before, 'the old one stands there, whole')
  t.equal((await findLatestCheckpoint(log.database.database))?.size, 7, 'what was committed stays')
  free()
  await sealAll()
  await checkWhole(t, log, 7)
})
