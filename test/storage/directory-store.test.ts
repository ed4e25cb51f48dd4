// Roots, directories and the evidence against them are kept as served, once, for ever.
import t from 'tap'
import { findDocument, findLatestDocument, insertDocument, recordConflict } from '#storage/directory-store.ts'
import { createTestDatabase } from '../database.ts'

const { database: db } = await createTestDatabase(t)
const document = (number: number, text = `${number}`) => ({
  kind: 'directory' as const,
  number,
  hash: `hash of ${text}`,
  rootNumber: 1,
  bytes: Buffer.from(text),
  receivedFrom: 'hotline-se',
})

t.test('gives back the bytes as they came, the latest and each by its number', async (t) => {
  t.equal(await findLatestDocument(db, 'directory'), undefined)
  for (const number of [2, 10, 9]) t.equal(await insertDocument(db, document(number)), true)
  t.same(await findLatestDocument(db, 'directory'), { number: 10, hash: 'hash of 10', bytes: Buffer.from('10'), rootNumber: 1 })
  t.equal((await findDocument(db, 'directory', 9))?.hash, 'hash of 9')
  t.equal(await findDocument(db, 'directory', 3), undefined)
  t.equal(await findLatestDocument(db, 'root'), undefined, 'a directory is no root')
})

t.test('never replaces a document under its number', async (t) => {
  t.equal(await insertDocument(db, document(10, 'other')), false)
  t.equal((await findDocument(db, 'directory', 10))?.hash, 'hash of 10')
})

t.test('keeps a contradiction once, however often it is served and however it is wrapped', async (t) => {
  const conflict = {
    kind: 'directory' as const,
    number: 10,
    heldHash: 'hash of 10',
    otherHash: 'hash of other',
    otherPayloadHash: 'hash of its payload',
    otherBytes: Buffer.from('other'),
    receivedFrom: 'hotline-jp',
  }
  t.equal(await recordConflict(db, conflict), true)
  t.equal(await recordConflict(db, { ...conflict, receivedFrom: 'hotline-gb' }), false)
  t.equal(await recordConflict(db, { ...conflict, otherHash: 'hash of the same, wrapped anew' }), false)
  t.equal(await recordConflict(db, { ...conflict, otherHash: 'hash of a third', otherPayloadHash: 'another' }), true)
})
