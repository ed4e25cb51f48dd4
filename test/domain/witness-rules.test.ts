// What a witness makes of a checkpoint, as a table: every tree up to nine leaves that follows on every smaller one, and what does not.

import { generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import { formatAddCheckpoint, parseAddCheckpoint } from '#domain/add-checkpoint.ts'
import { isCurrentLog, isTooSoon, judgeSubmission } from '#domain/witness-rules.ts'
import { makeLog } from '../witness-log.ts'

const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i']
const log = makeLog('lab/audit/2026', generateKeyPairSync('ed25519').privateKey, names)
const state = (size: number) => ({ size, root: log.root(size) })

t.test('every larger tree with its proof follows, and no other proof does', async (t) => {
  for (let held = 0; held <= names.length; held++) {
    for (let size = held; size <= names.length; size++) {
      const path = log.proof(held, size)
      const judge = (change: object) => judgeSubmission(state(held), { old: held, path, ...state(size), ...change })
      const name = `${held} to ${size}`
      t.equal(judge({}), size === held ? 'repeat' : 'grown', name)
      t.equal(judge({ path: [...path, Buffer.alloc(32)] }), 'broken_proof', `${name}, a hash too many`)
      if (path.length > 0) t.equal(judge({ path: path.slice(1) }), 'broken_proof', `${name}, a hash too few`)
      if (held > 0) t.equal(judge({ old: held - 1 }), 'stale', `${name}, from a smaller one`)
      if (held > 0) t.equal(judge({ old: 0, path: [] }), 'stale', `${name}, from nothing`)
      const other = judge({ root: Buffer.alloc(32, 1) })
      t.equal(other, held === 0 && size > 0 ? 'grown' : size === held ? 'fork' : 'broken_proof', `${name}, another root`)
    }
    for (let size = 0; size < held; size++)
      t.equal(judgeSubmission(state(held), { old: size, path: [], ...state(size) }), 'rollback', `${held} back to ${size}`)
  }
})

t.test('a log that was seen growing is too soon again for a second', async (t) => {
  const checkedAt = new Date('2026-11-23T12:00:00.000Z')
  const after = (ms: number, size = 3) => isTooSoon({ size, checkedAt }, new Date(checkedAt.getTime() + ms))
  t.same(
    [-1, 0, 999, 1000].map((ms) => after(ms)),
    [false, true, true, false],
  )
  t.notOk(after(0, 0), 'not the first time')
})

t.test('a log is one of the member and of a year beside ours', async (t) => {
  const now = new Date('2026-12-31T23:59:59.999Z')
  const is = (origin: string) => isCurrentLog(origin, { member: 'lab', now })
  t.same(
    [2024, 2025, 2026, 2027, 2028].map((year) => is(`lab/audit/${year}`)),
    [false, true, true, true, false],
  )
  for (const origin of ['other/audit/2026', 'lab/log/2026', 'lab/audit/26', 'lab']) t.notOk(is(origin), origin)
})

t.test('a request is read as it was written', async (t) => {
  const written = [0, 3, 9].map((old) => ({ old, path: log.proof(old), note: log.note() }))
  for (const request of written) t.same(parseAddCheckpoint(Buffer.from(formatAddCheckpoint(request))), request)
  for (const request of written)
    t.equal(formatAddCheckpoint(request), log.body(request.old), 'as another implementation writes it')
})
