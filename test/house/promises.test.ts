// The table of docs/audit.md that names the test of each promise of the log: it may not rot. Each row names a file that has that test.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

const root = join(import.meta.dirname, '..', '..')
const row = /^\| (?<promise>[^|]+) \| `(?<file>test\/[a-z0-9/-]+\.test\.ts)` \| (?<name>[^|]+) \|$/

const [, table = ''] = readFileSync(join(root, 'docs', 'audit.md'), 'utf8').split('## Each promise and its test\n')
const lines = table.split('\n').filter((line) => line.startsWith('|'))

/** The names that a file gives to tests, alone or as the first of the arguments on lines of their own. */
function readNames(file: string): Set<string> {
  const text = readFileSync(join(root, file), 'utf8')
  return new Set([...text.matchAll(/\bt\.test\(\s*'(?<name>[^'\n]+)'/g)].map(({ groups }) => groups?.name ?? ''))
}

t.test('each promise of the log names a test that there is', async (t) => {
  const rows = lines.slice(2)
  t.ok(rows.length > 50, 'the table is there')
  for (const line of rows) {
    const { promise, file = '', name = '' } = row.exec(line)?.groups ?? {}
    t.ok(promise, `the row has its form: ${line}`)
    if (promise) t.ok(readNames(file).has(name), `${file}: ${name}`)
  }
})

t.test('the ways of tampering have one test each', async (t) => {
  const names = readNames('test/campaigns/tampering.test.ts')
  const ways = lines.filter((line) => line.includes('`test/campaigns/tampering.test.ts`'))
  t.equal(ways.length, 8)
  for (const name of ways.map((line) => row.exec(line)?.groups?.name ?? '')) t.ok(names.has(name), name)
})
