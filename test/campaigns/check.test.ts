// One planted fault for every other rule of the house: a check that can't fail checks nothing.
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import t from 'tap'
import { lintTree, plantTree, runTool } from '../house/planted-tree.ts'

const faults: Record<string, { rule: string; path: string; text: string; beside?: Record<string, string> }> = {
  'an import cycle, by values': {
    rule: 'noImportCycles',
    path: 'src/steps/one.ts',
    text: `import { two } from './two.ts'\n\nexport const one = () => two\n`,
    beside: { 'src/steps/two.ts': `import { one } from '#steps/one.ts'\n\nexport const two = () => one\n` },
  },
  'an import cycle, by types': {
    rule: 'noImportCycles',
    path: 'src/domain/one.ts',
    text: `import type { Two } from './two.ts'\n\nexport type One = { two: Two }\n`,
    beside: { 'src/domain/two.ts': `import type { One } from './one.ts'\n\nexport type Two = { one: One }\n` },
  },
  'the environment read in a step': {
    rule: 'noProcessEnv',
    path: 'src/steps/reads.ts',
    text: 'export const home = process.env.HOME\n',
  },
  'the environment imported': {
    rule: 'noRestrictedImports',
    path: 'src/config.ts',
    text: `import { env } from 'node:process'\n\nexport const home = env.HOME\n`,
  },
  'a promise of another file that nobody waits for': {
    rule: 'noFloatingPromises',
    path: 'src/steps/hurries.ts',
    text: `import { slow } from './slow.ts'\n\nexport function hurry(): void {\n  slow()\n}\n`,
    beside: { 'src/steps/slow.ts': `export async function slow(): Promise<number> {\n  return await Promise.resolve(1)\n}\n` },
  },
  'a promise taken for a truth': {
    rule: 'noMisusedPromises',
    path: 'src/steps/mistakes.ts',
    text: `const isReady = async (): Promise<boolean> => true\n\nexport const go = (): number => {\n  if (isReady()) return 1\n  return 0\n}\n`,
  },
  'a default export': {
    rule: 'noDefaultExport',
    path: 'src/steps/defaults.ts',
    text: 'export default function run(): number {\n  return 1\n}\n',
  },
  'a barrel': { rule: 'noBarrelFile', path: 'src/steps/barrel.ts', text: `export { a } from './a.ts'\n` },
  'a star export': { rule: 'noReExportAll', path: 'src/steps/star.ts', text: `export * from './a.ts'\n` },
  'an any': { rule: 'noExplicitAny', path: 'src/steps/any.ts', text: 'export const anything = 1 as any\n' },
  'a non-null assertion': {
    rule: 'noNonNullAssertion',
    path: 'src/steps/asserts.ts',
    text: 'export const first = (list: number[]): number => list[0]!\n',
  },
  'a type imported as a value': {
    rule: 'useImportType',
    path: 'src/steps/type.ts',
    text: `import { A } from './a.ts'\n\nexport type B = A\n`,
  },
  'an import without an extension': {
    rule: 'useImportExtensions',
    path: 'src/steps/extension.ts',
    text: `import { a } from './a'\n\nexport const b = a\n`,
    beside: { 'src/steps/a.ts': 'export const a = 1\n' },
  },
  'a Node module without its prefix': {
    rule: 'useNodejsImportProtocol',
    path: 'src/steps/prefix.ts',
    text: `import { readFileSync } from 'fs'\n\nexport const read = readFileSync\n`,
  },
  'a require': { rule: 'noCommonJs', path: 'src/steps/require.ts', text: `export const a = require('#storage/a.ts')\n` },
  'a name that is not kebab-case': {
    rule: 'useFilenamingConvention',
    path: 'src/steps/camelCase.ts',
    text: 'export const a = 1\n',
  },
  'four positional parameters': {
    rule: 'useMaxParams',
    path: 'src/steps/many.ts',
    text: 'export const sum = (a: number, b: number, c: number, d: number): number => a + b + c + d\n',
  },
  'a console line outside commands': {
    rule: 'noConsole',
    path: 'src/steps/speaks.ts',
    text: `export const say = (): void => console.log('x')\n`,
  },
  'a package that production does not install': {
    rule: 'noUndeclaredDependencies',
    path: 'src/steps/tests.ts',
    text: `import fc from 'fast-check'\n\nexport const a = fc\n`,
  },
  'an unused import': {
    rule: 'noUnusedImports',
    path: 'src/steps/unused.ts',
    text: `import { a } from './a.ts'\n\nexport const b = 1\n`,
  },
  'a test left focused': {
    rule: 'noFocusedTests',
    path: 'test/steps/focused.test.ts',
    text: `it.only('is focused', () => {})\n`,
  },
}

const sound = {
  'src/main.ts': `import { a } from '#steps/a.ts'\n\nconsole.log(a, process.env.HOME)\n`,
  'src/steps/a.ts': 'export const a = 1\n',
}

const soundOpenapi = {
  openapi: '3.1.0',
  info: { title: 'Planted', version: '1', license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
  security: [{ clientCertificate: [] }],
  components: { securitySchemes: { clientCertificate: { type: 'mutualTLS' } } },
  paths: {
    '/a': {
      get: { operationId: 'getA', summary: 'Gets a.', responses: { 200: { description: 'a' }, 404: { description: 'none' } } },
    },
  },
}

t.test('the linter refuses each planted fault in its own file, and nothing in a sound one', async (t) => {
  const files: Record<string, string> = { ...sound }
  for (const [index, { path, text, beside }] of Object.values(faults).entries()) {
    files[moved(path, index)] = retarget(text, index)
    for (const [other, otherText] of Object.entries(beside ?? {})) files[moved(other, index)] = retarget(otherText, index)
  }
  const found = lintTree(files)
  for (const [index, [name, { rule, path }]] of Object.entries(faults).entries()) {
    t.ok(
      found.some((one) => one.path === moved(path, index) && one.rule === rule),
      `${name} is refused by ${rule}`,
    )
  }
  t.same(
    found.filter(({ path }) => path in sound),
    [],
  )
})

t.test('the formatter refuses a file that it would write otherwise', async (t) => {
  const check = (text: string) =>
    inTree({ 'src/main.ts': text }, 'biome check --vcs-enabled=false --error-on-warnings src').status
  t.equal(check('export const a = [1]\n'), 0)
  t.equal(check('export const a = [ 1 ];\n'), 1)
})

t.test('the type checker refuses a wrong type, a missing index check and syntax that Node cannot strip', async (t) => {
  const types = resolve('node_modules/@types')
  const check = (text: string) => inTree({ 'src/main.ts': text }, `tsc --noEmit --typeRoots "${types}"`)
  t.match(check('export const a: number = 1\n'), { status: 0, output: '' })
  t.match(check(`export const a: number = '1'\n`), { output: /TS2322/ })
  t.match(check('export const a = (list: number[]): number => list[0]\n'), { output: /TS2322/ })
  t.match(check('export enum A {\n  one,\n}\n'), { output: /TS1294/ })
  t.match(check('export class A {\n  constructor(readonly a: number) {}\n}\n'), { output: /TS1294/ })
})

t.test('knip refuses a dead export, a dead file and a package that nobody uses', async (t) => {
  const knip = (files: Record<string, string>) => inTree({ ...sound, ...files }, 'knip --include files,exports --no-config-hints')
  t.match(knip({}), { status: 0 })
  t.match(knip({ 'src/steps/a.ts': 'export const a = 1\nexport const dead = 2\n' }), {
    status: 1,
    output: /dead\s+src\/steps\/a\.ts/,
  })
  t.match(knip({ 'src/steps/b.ts': 'export const b = 1\n' }), { status: 1, output: /src\/steps\/b\.ts/ })
  const packages = inTree(sound, 'knip --include dependencies --no-config-hints')
  t.match(packages, { status: 1, output: /kysely\s+package\.json/ })
})

t.test('the OpenAPI lint refuses a missing document, an invalid one and one without 4xx answers', async (t) => {
  const lint = (document?: unknown) =>
    inTree(document ? { 'openapi/openapi.json': JSON.stringify(document) } : {}, 'redocly lint openapi/openapi.json').status
  t.equal(lint(soundOpenapi), 0)
  t.equal(lint(), 1)
  t.equal(lint({ ...soundOpenapi, info: { title: 'Planted' } }), 1)
  const silent = { '/a': { get: { operationId: 'getA', summary: 'Gets a.', responses: { 200: { description: 'a' } } } } }
  t.equal(lint({ ...soundOpenapi, paths: silent }), 1)
})

t.test('npm run check goes on after a failure, names what failed and exits 1', async (t) => {
  const runner = readFileSync(new URL('../house/check.ts', import.meta.url), 'utf8')
  const run = (scripts: Record<string, string>) =>
    inTree({ 'package.json': JSON.stringify({ type: 'module', scripts }), 'check.ts': runner }, 'node check.ts')
  t.match(run({ 'check:a': 'exit 0', 'check:b': 'exit 0', other: 'exit 1' }), { status: 0, output: /check: all 2 passed/ })
  t.match(run({ 'check:a': 'exit 3', 'check:b': 'echo went on', 'check:c': 'exit 1' }), {
    status: 1,
    output: /went on[\s\S]*check: FAILED check:a, check:c/,
  })
  t.match(run({ other: 'exit 0' }), { status: 1 }, 'no check at all is a failure')
})

t.test('every tool of the check is among its scripts', async (t) => {
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> }
  const lines = Object.entries(scripts).flatMap(([name, line]) => (name.startsWith('check:') ? [line] : []))
  for (const tool of ['biome check', 'tsc --noEmit', 'knip', 'redocly lint openapi/openapi.json', 'openapi --check']) {
    t.ok(
      lines.some((line) => line.includes(tool)),
      tool,
    )
  }
})

function inTree(files: Record<string, string>, command: string): { status: number | null; output: string } {
  const { folder, remove } = plantTree(files)
  try {
    return runTool(folder, command)
  } finally {
    remove()
  }
}

/** Each fault has a folder of its own, so that its neighbours are not those of another fault; fixed places stay. */
function moved(path: string, index: number): string {
  return path === 'src/config.ts' ? path : path.replace('/steps/', `/steps/n${index}/`).replace('/domain/', `/domain/n${index}/`)
}

function retarget(text: string, index: number): string {
  return text.replace('#steps/one', `#steps/n${index}/one`)
}
