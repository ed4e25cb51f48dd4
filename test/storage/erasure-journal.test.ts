// The journal of erasures: what was written is read again, and what was changed behind its back is noticed.
import { randomUUIDv7 } from 'node:crypto'
import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { ErasureRecord } from '#schema/erasure.ts'
import { openErasureJournal } from '#storage/erasure-journal.ts'
import { makeFolder } from './fixtures.ts'

const key = Buffer.alloc(32, 7)
const at = '2026-11-02T08:20:32.002Z'

const erased = (): ErasureRecord => ({
  ...{ kind: 'erased', subject: randomUUIDv7(), of: 'item', by: 'node', basis: 'retention', outcome: 'removed', at },
})

async function fill(t: Parameters<typeof makeFolder>[0], count: number) {
  const folder = join(makeFolder(t), 'audit')
  const records = Array.from({ length: count }, erased)
  const journal = openErasureJournal({ folder, key })
  for (const record of records) await journal.append([record])
  const path = join(folder, 'erasures')
  const open = (other = key) => openErasureJournal({ folder, key: other })
  return { folder, path, records, journal, open, lines: () => readFileSync(path, 'latin1').split(/(?<=\n)/) }
}

t.test('gives back what was written, in order, to whoever opens it', async (t) => {
  const { path, records, journal, open } = await fill(t, 3)
  t.same([...journal.read()], records)
  const other = open()
  const hold: ErasureRecord = { kind: 'released', hold: randomUUIDv7(), at }
  await other.append([hold])
  await journal.append([records[0] as ErasureRecord])
  t.same([...open().read()], [...records, hold, records[0]], 'two writers take turns')
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.same([...openErasureJournal({ folder: join(makeFolder(t), 'none'), key }).read()], [], 'no file is an empty journal')
})

t.test('reads more than fits into one read', async (t) => {
  const { open } = await fill(t, 0)
  const many = Array.from({ length: 2000 }, erased)
  await open().append(many)
  t.same([...open().read()], many)
})

t.test('a line that a crash left half written is as none, and the next one takes its place', async (t) => {
  const { path, records, open } = await fill(t, 3)
  truncateSync(path, statSync(path).size - 5)
  t.same([...open().read()], records.slice(0, 2))
  await open().append(records.slice(2))
  t.same([...open().read()], records)
})

t.test('notices a line that was changed, taken out, moved, repeated or put in, and another key', async (t) => {
  const { path, open, records, lines } = await fill(t, 4)
  const [a, b, c, d] = lines() as [string, string, string, string]
  const bent: Record<string, string[]> = {
    changed: [a, b.replace('retention', 'retentiom'), c, d],
    'taken out': [a, c, d],
    'without the first': [b, c, d],
    moved: [a, c, b, d],
    repeated: [a, b, b, c, d],
    'an empty line': [a, '\n', b, c, d],
    'another mac': [a, `${'A'.repeat(43)}${b.slice(43)}`, c, d],
    'no space': [a, `${b.slice(0, 43)}x${b.slice(44)}`, c, d],
  }
  for (const [what, text] of Object.entries(bent)) {
    writeFileSync(path, text.join(''))
    t.throws(() => [...open().read()], { code: 'broken_file' }, what)
    await t.rejects(open().append(records), { code: 'broken_file' }, `nothing is added after it: ${what}`)
  }
  writeFileSync(path, [a, b, c, d].join(''))
  t.throws(() => [...open(Buffer.alloc(32, 8)).read()], { code: 'broken_file' })
  t.same([...open().read()], records)
})

t.test('a writer notices that the file was cut behind it', async (t) => {
  const { path, journal, records, lines } = await fill(t, 3)
  writeFileSync(path, lines().slice(0, 2).join(''))
  await t.rejects(journal.append(records), { code: 'broken_file' })
})
