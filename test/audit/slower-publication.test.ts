// Two processes of one node publish one after the other: the one that comes late harms nobody.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { findPublished, publishCheckpoint } from '#steps/publish-checkpoint.ts'
import { findLatestCheckpoint } from '#storage/tree-store.ts'
import { openLog } from './own-log.ts'

t.test('a sealer that publishes an older checkpoint late halts nobody', async (t) => {
  const log = await openLog(t)
  const newest = async () => {
    const found = await findLatestCheckpoint(log.database.database)
    if (!found) throw new Error('nothing is signed')
    return found
  }
  const one = log.openProcess()
  await log.append('a')
  await one.sealAll()
  const before = findPublished(one.ctx).get(2026)
  await log.append('a')
  await one.sealAll()
  const late = await newest()
  await log.append('a')
  await one.sealAll()
  const next = await newest()
  writeFileSync(join(log.folder, 'audit', 'checkpoint-2026'), late.note)
  t.equal(publishCheckpoint(one.ctx, next, before), false, 'the next pass publishes')
  await log.append('a')
  await log.openProcess().sealAll()
  t.equal(findPublished(one.ctx).get(2026)?.size, 5)
  t.same(await log.ask('select halted_why from crossline.audit_state'), [{ halted_why: null }])
})
