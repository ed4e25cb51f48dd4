import fc from 'fast-check'
import t from 'tap'
import { parseCheckpoint } from '#domain/checkpoint.ts'
import { verifyInclusion } from '#domain/merkle.ts'
import { parseNote } from '#domain/signed-note.ts'
import { formatTlogProof, parseTlogProof } from '#domain/tlog-proof.ts'
import { auditPath, entriesOf, leafOf, treeHash } from './rfc-6962.ts'

const refused = { code: 'bad_evidence' }
const entries = entriesOf(11)
const root = treeHash(entries)
const line = `— hotline-nl/audit/2026 ${Buffer.alloc(68, 3).toString('base64')}\n`
const noteOf = (size: number) => `hotline-nl/audit/2026\n${size}\n${root.toString('base64')}\n\n${line}`
const note = noteOf(11)
const path = auditPath(6, entries)
const hashes = path.map((hash) => `${hash.toString('base64')}\n`).join('')

t.test('writes the text of the specification and reads it back', async (t) => {
  const text = `c2sp.org/tlog-proof@v1\nindex 6\n${hashes}\n${note}`
  t.equal(formatTlogProof({ index: 6, path, note }), text)
  t.same(parseTlogProof(text), { index: 6, path, note })
  const extra = Buffer.from('what the entry was made of')
  const withExtra = `c2sp.org/tlog-proof@v1\nextra ${extra.toString('base64')}\nindex 6\n${hashes}\n${note}`
  t.equal(formatTlogProof({ index: 6, path, note, extra }), withExtra)
  t.same(parseTlogProof(withExtra), { index: 6, path, note, extra })
})

t.test('needs no path in a log of one entry', async (t) => {
  const text = `c2sp.org/tlog-proof@v1\nindex 0\n\n${noteOf(1)}`
  t.equal(formatTlogProof({ index: 0, path: [], note: noteOf(1) }), text)
  t.same(parseTlogProof(text), { index: 0, path: [], note: noteOf(1) })
})

t.test('carries all that inclusion needs', async (t) => {
  entries.forEach((entry, index) => {
    const proof = parseTlogProof(formatTlogProof({ index, path: auditPath(index, entries), note }))
    const checkpoint = parseCheckpoint(parseNote(proof.note).text)
    t.doesNotThrow(() => verifyInclusion({ ...proof, ...checkpoint, leaf: leafOf(entry) }), `entry ${index}`)
    t.throws(() => verifyInclusion({ ...proof, ...checkpoint, index: (index + 1) % 11, leaf: leafOf(entry) }), refused)
  })
})

t.test('gives every proof back as it was', async (t) => {
  const aHash = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes))
  const aProof = fc.record(
    {
      index: fc.maxSafeInteger().map((index) => Math.max(0, Math.abs(index) - 1)),
      path: fc.array(aHash, { maxLength: 53 }),
      note: fc.constant(noteOf(Number.MAX_SAFE_INTEGER)),
      extra: fc.uint8Array({ minLength: 1, maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    },
    { requiredKeys: ['index', 'path', 'note'] },
  )
  fc.assert(
    fc.property(aProof, (proof) => {
      t.same(parseTlogProof(formatTlogProof(proof)), proof)
    }),
  )
})

t.test('refuses what is not exactly a proof', async (t) => {
  const head = 'c2sp.org/tlog-proof@v1\n'
  const texts: [string, string][] = [
    ['nothing', ''],
    ['no checkpoint', `${head}index 6\n${hashes}`],
    ['another version', `c2sp.org/tlog-proof@v2\nindex 6\n${hashes}\n${note}`],
    ['a line before', `\n${head}index 6\n${hashes}\n${note}`],
    ['no index', `${head}${hashes}\n${note}`],
    ['an index with a zero before', `${head}index 06\n${hashes}\n${note}`],
    ['a negative index', `${head}index -1\n${hashes}\n${note}`],
    ['an index of two numbers', `${head}index 6 7\n${hashes}\n${note}`],
    ['an index without a number', `${head}index \n${hashes}\n${note}`],
    ['two indexes', `${head}index 6\nindex 6\n${hashes}\n${note}`],
    ['an index beyond the tree', `${head}index 11\n${hashes}\n${note}`],
    ['an index past 2^53', `${head}index 9007199254740992\n${hashes}\n${note}`],
    ['extra data behind the index', `${head}index 6\nextra AAAA\n${hashes}\n${note}`],
    ['extra data twice', `${head}extra AAAA\nextra AAAA\nindex 6\n${hashes}\n${note}`],
    ['no extra data', `${head}extra \nindex 6\n${hashes}\n${note}`],
    ['extra data that are not base64', `${head}extra AAA\nindex 6\n${hashes}\n${note}`],
    ['a hash that is too short', `${head}index 6\nAAAA\n${hashes}\n${note}`],
    ['a hash without padding', `${head}index 6\n${hashes.replace('=', '')}\n${note}`],
    ['a space behind a hash', `${head}index 6\n${hashes.replace('=', '= ')}\n${note}`],
    ['CRLF', `${head}index 6\n${hashes}\n`.replaceAll('\n', '\r\n') + note],
    ['a path that is too long for any tree', `${head}index 6\n${hashes.repeat(14)}\n${note}`],
  ]
  for (const [name, text] of texts) t.throws(() => parseTlogProof(text), refused, name)
})

t.test('refuses a checkpoint that is none', async (t) => {
  const head = `c2sp.org/tlog-proof@v1\nindex 6\n${hashes}\n`
  const bad = { code: 'bad_checkpoint' }
  for (const text of [
    '',
    '\n',
    line,
    'x\n11\n',
    note.slice(0, -1),
    `${note}\n`,
    `${note}x`,
    `\n${note}`,
    note.replace('\n11\n', '\n011\n'),
  ])
    t.throws(() => parseTlogProof(head + text), bad, JSON.stringify(text))
})

t.test('writes nothing that it would not read', async (t) => {
  const good = { index: 6, path, note }
  for (const index of [-1, 0.5, 11, 2 ** 53, Number.NaN])
    t.throws(() => formatTlogProof({ ...good, index }), refused, `index ${index}`)
  t.throws(() => formatTlogProof({ ...good, path: [Buffer.alloc(31)] }), refused)
  t.throws(() => formatTlogProof({ ...good, extra: Buffer.alloc(0) }), refused)
  t.throws(() => formatTlogProof({ ...good, note: `${note}x` }), { code: 'bad_checkpoint' })
})
