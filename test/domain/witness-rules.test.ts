// What a witness makes of a checkpoint, as a table: every tree up to nine leaves that follows on every smaller one, and what does not.

import { generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import { formatAddCheckpoint, parseAddCheckpoint } from '#domain/add-checkpoint.ts'
import { judgeSubmission } from '#domain/witness-rules.ts'
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

t.test('a request is read as it was written', async (t) => {
  const written = [0, 3, 9].map((old) => ({ old, path: log.proof(old), note: log.note() }))
  for (const request of written) t.same(parseAddCheckpoint(Buffer.from(formatAddCheckpoint(request))), request)
  for (const request of written)
    t.equal(formatAddCheckpoint(request), log.body(request.old), 'as another implementation writes it')
})
