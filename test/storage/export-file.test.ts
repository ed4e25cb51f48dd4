// The file of an export that two write at once, as after a lease that was lost: neither writes into the other's, and the late one gets no name.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import t from 'tap'
import { createFile, exportFile, listExportFiles, removeExportFiles, removeUnfinished } from '#storage/export-file.ts'

const id = '019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071'
const other = '019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6072'

t.test('two builders of one export write into files of their own', async (t) => {
  const folder = t.testdir({})
  const path = exportFile(folder, id)
  const [slow, quick] = [await createFile(path), await createFile(path)]
  await slow.write(Buffer.from('slow 1 '))
  await quick.write(Buffer.from('quick'))
  await slow.write(Buffer.from('slow 2'))
  await quick.finish()
  t.equal(readFileSync(path, 'utf8'), 'quick')
  await t.rejects(
    slow.finish(async () => {
      throw new Error('lost')
    }),
    { message: 'lost' },
    'who has lost it is told before the name is given',
  )
  await slow.discard()
  t.equal(readFileSync(path, 'utf8'), 'quick', 'what has the name stays')
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.same(readdirSync(folder), [`${id}.tar`], 'and nothing is left behind')
})

t.test('files that are being written are found by their export, and removed with it', async (t) => {
  const folder = t.testdir({ [`${other}.tar`]: 'done', [`${other}.tar.new`]: 'half', 'notes.txt': 'x', [other]: 'no suffix' })
  const begun = await createFile(exportFile(folder, id))
  t.same((await listExportFiles(folder)).sort(), [id, other])
  await removeUnfinished(folder, other)
  t.ok(readdirSync(folder).includes(`${other}.tar`), 'a finished one stays')
  t.notOk(readdirSync(folder).includes(`${other}.tar.new`))
  await removeExportFiles(folder, id)
  await removeExportFiles(folder, other)
  t.same(readdirSync(folder).sort(), [other, 'notes.txt'])
  await t.rejects(begun.finish(), { code: 'ENOENT' }, 'one whose file was removed gets no name')
  await begun.discard()
})
