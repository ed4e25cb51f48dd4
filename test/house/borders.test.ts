// The border table of ARCHITECTURE.md against what the linter really refuses: every pair of folders, every owned package.
import t from 'tap'
import { type Files, lintTree, readBorderTable } from './planted-tree.ts'

const table = readBorderTable()
const everything = table.find((row) => row.mayImport.includes('everything'))
const folders = table.filter((row) => row !== everything)
const names = [...folders.map((row) => row.folder), 'commands']
const packages = ['typebox', 'jose', 'node-forge', 'kysely', 'pg', 'fastify', '@fastify/*']

const read = (specifier: string) => `import * as planted from '${specifier}'\n\nexport const use = planted\n`
const readType = (specifier: string) => `import type { planted } from '${specifier}'\n\nexport type Use = planted\n`

t.test('the table names every folder of src and everything that may be imported', async (t) => {
  t.match(names, ['schema', 'domain', 'crypto', 'storage', 'clients', 'steps', 'workers', 'http', 'commands'])
  t.equal(everything?.folder, 'commands, node.ts')
})

t.test('lets each folder import what its row names, and refuses every other folder, values and types alike', async (t) => {
  const files: Files = {}
  for (const from of names) {
    for (const to of names) {
      files[`src/${from}/reads-${to}.ts`] = read(`#${to}/planted.ts`)
      files[`src/${from}/types-${to}.ts`] = readType(`#${to}/planted.ts`)
    }
  }
  const refused = refusedFiles(files)
  for (const from of names) {
    const row = folders.find(({ folder }) => folder === from)
    for (const to of names) {
      const allowed = from === to || row === undefined || row.mayImport.includes(to)
      for (const kind of ['reads', 'types']) {
        t.equal(
          refused.has(`src/${from}/${kind}-${to}.ts`),
          !allowed,
          `${from} ${kind} ${to}: ${allowed ? 'allowed' : 'refused'}`,
        )
      }
    }
  }
})

t.test('keeps each package to the folder that owns it, types and sub-paths included', async (t) => {
  const files: Files = {}
  for (const place of names) {
    for (const [index, name] of packages.entries()) {
      const specifier = name.replace('*', 'swagger')
      files[`src/${place}/value-${index}.ts`] = read(specifier)
      files[`src/${place}/type-${index}.ts`] = readType(specifier)
      files[`src/${place}/sub-${index}.ts`] = read(`${specifier}/part`)
    }
  }
  const refused = refusedFiles(files)
  for (const place of names) {
    for (const [index, name] of packages.entries()) {
      const owner = folders.find((row) => row.owns.includes(name))?.folder
      t.ok(owner, `${name} has an owner in the table`)
      for (const kind of ['value', 'type', 'sub']) {
        t.equal(
          refused.has(`src/${place}/${kind}-${index}.ts`),
          place !== owner,
          `${place}, ${kind} of ${name}, owned by ${owner}`,
        )
      }
    }
  }
})

t.test('keeps owned packages out of node.ts and main.ts too', async (t) => {
  const body = packages.map((name) => `import '${name.replace('*', 'swagger')}'`).join('\n')
  const found = lintTree({ 'src/node.ts': body, 'src/main.ts': body }).filter(isBorder)
  t.equal(found.filter(({ path }) => path === 'src/node.ts').length, packages.length)
  t.equal(found.filter(({ path }) => path === 'src/main.ts').length, packages.length)
})

t.test('keeps sockets to clients, http and commands', async (t) => {
  const sockets = ['node:http', 'node:https', 'node:net', 'node:tls', 'node:dgram', 'node:dns', 'node:dns/promises', 'undici']
  const files: Files = {}
  for (const name of names) {
    for (const [index, module] of sockets.entries()) files[`src/${name}/socket-${index}.ts`] = read(module)
    files[`src/${name}/calls-fetch.ts`] = `export const call = () => fetch('/')\n`
  }
  const found = lintTree(files)
  const refused = new Set(found.filter(isBorder).map(({ path }) => path))
  for (const name of names) {
    for (const [index, module] of sockets.entries()) {
      const allowed = ['clients', 'commands'].includes(name) || (name === 'http' && index < 4)
      t.equal(refused.has(`src/${name}/socket-${index}.ts`), !allowed, `${name} reads ${module}`)
    }
    const fetched = found.some(({ path, rule }) => path === `src/${name}/calls-fetch.ts` && rule === 'noRestrictedGlobals')
    t.equal(fetched, !['clients', 'commands'].includes(name), `${name} calls fetch`)
  }
})

t.test('lets errors.ts be imported by all but schema, log.ts and config.ts by few', async (t) => {
  const files: Files = {}
  for (const name of names) {
    for (const file of ['errors', 'log', 'config']) files[`src/${name}/reads-${file}.ts`] = read(`#${file}.ts`)
  }
  const refused = refusedFiles(files)
  const may: Record<string, string[]> = {
    errors: names.filter((name) => name !== 'schema'),
    log: ['clients', 'steps', 'workers', 'http', 'commands'],
    config: ['commands'],
  }
  for (const name of names) {
    for (const file of ['errors', 'log', 'config']) {
      t.equal(refused.has(`src/${name}/reads-${file}.ts`), !may[file]?.includes(name), `${name} reads ${file}.ts`)
    }
  }
})

t.test('lets domain hash, and nothing else of the world outside', async (t) => {
  const found = refusedFiles({
    'src/domain/hashes.ts': `import { createHmac, hash } from 'node:crypto'\n\nexport const use = [createHmac, hash]\n`,
    'src/domain/signs.ts': `import { createSign } from 'node:crypto'\n\nexport const use = createSign\n`,
    'src/domain/takes-all.ts': `import * as crypto from 'node:crypto'\n\nexport const use = crypto\n`,
    'src/domain/reads-a-file.ts': read('node:fs'),
    'src/domain/waits.ts': read('node:timers/promises'),
  })
  t.same(
    [...found].sort(),
    ['reads-a-file', 'signs', 'takes-all', 'waits'].map((name) => `src/domain/${name}.ts`),
  )
})

t.test('refuses every way round a border', async (t) => {
  const found = refusedFiles({
    'src/steps/climbs.ts': read('../http/a.ts'),
    'src/steps/climbs-slowly.ts': read('./../http/a.ts'),
    'src/steps/climbs-from-afar.ts': read('#schema/../http/a.ts'),
    'src/steps/goes-down.ts': read('./office/a.ts'),
    'src/http/waits-for-it.ts': `export const load = () => import('#storage/a.ts')\n`,
    'src/http/passes-on.ts': `export { a } from '#storage/a.ts'\n`,
    'src/http/side-effect.ts': `import '#storage/a.ts'\n`,
    'src/http/stays.ts': read('./a.ts'),
  })
  t.same([...found].sort(), [
    'src/http/passes-on.ts',
    'src/http/side-effect.ts',
    'src/http/waits-for-it.ts',
    'src/steps/climbs-from-afar.ts',
    'src/steps/climbs-slowly.ts',
    'src/steps/climbs.ts',
    'src/steps/goes-down.ts',
  ])
})

function refusedFiles(files: Files): Set<string> {
  return new Set(
    lintTree(files)
      .filter(isBorder)
      .map(({ path }) => path),
  )
}

function isBorder({ rule }: { rule: string }): boolean {
  return rule === 'noRestrictedImports'
}
