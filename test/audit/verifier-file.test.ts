// The verifier in one file, run as a liaison runs it: a process with a file and nothing else.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { bundleOf, growLog, leafOf, membersOf, newNetwork, signTree } from '../bundle.ts'
import { renderVerifier } from '../house/build-verifier.ts'

const folder = mkdtempSync(join(tmpdir(), 'crossline-verifier-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
const place = (name: string) => join(folder, name)
const built = join(import.meta.dirname, '..', '..', 'verifier', 'crossline-verify.mjs')
writeFileSync(place('verify.mjs'), readFileSync(built))

const network = newNetwork()
const log = growLog(
  network,
  Array.from({ length: 300 }, (_, n) => ({ item: `item ${n % 9}` })),
  { seenEvery: 50 },
)
const leaves = log.map(({ entry }) => leafOf(entry))
const bundle = await bundleOf(membersOf(network, { lines: log, leaves }), { complete: 'log' })
writeFileSync(place('bundle.tar'), bundle)
writeFileSync(place('policy.txt'), network.policy)
writeFileSync(place('old'), signTree(network, leaves.slice(0, 99)))
const bent = Buffer.from(bundle)
const at = bent.indexOf('item.routed', bent.length / 2)
bent.write('item.traced', at)
writeFileSync(place('bent.tar'), bent)

const names = ['verify.mjs', 'bundle.tar', 'bent.tar', 'policy.txt', 'old']
const locked = ['--permission', ...names.map((name) => `--allow-fs-read=${place(name)}`)]

/** A process that may read these files and may do nothing else. */
function run(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...locked, place('verify.mjs'), ...args], {
    cwd: folder,
    env: {},
    encoding: 'utf8',
  })
  return { status, stdout, stderr }
}
const policy = ['--policy', place('policy.txt')]

t.test('the file in the repository is what the source gives', async (t) => {
  t.equal(readFileSync(built, 'utf8'), await renderVerifier(), 'run `npm run verifier`')
})

t.test('it imports nothing but Node, and nothing of Node that reaches a network, a process or writes', async (t) => {
  const text = readFileSync(built, 'utf8')
  const imports = [...text.matchAll(/^import .* from "([^"]+)";$/gm)].map(([, name]) => name)
  t.notMatch(text, /\b(?:import|require|fetch|eval|Function|WebSocket)\(|process\.(?:env|binding|dlopen)/)
  t.notMatch(text, /\b(?:write|append|unlink|rename|mkdir|rm)(?:File)?Sync/)
  t.same([...new Set(imports)].sort(), ['node:buffer', 'node:crypto', 'node:fs', 'node:util'])
})

t.test('says that a good bundle is valid, in words and as data, without any right but to read', async (t) => {
  const { status, stdout, stderr } = run(place('bundle.tar'), ...policy, '--since', place('old'))
  t.equal(status, 0, stderr)
  t.match(stdout, /^VALID/)
  t.match(stdout, /witnessed 2 of 2/)
  t.match(stdout, /the log only grew since/)
  t.match(stdout, /Not proven:/)
  const { stdout: json } = run(place('bundle.tar'), ...policy, '--json')
  t.match(JSON.parse(json), { exitCode: 0, verdict: 'valid', complete: 'log', counts: { entries: 300 } })
})

t.test('says which entry was changed', async (t) => {
  const { status, stdout } = run(place('bent.tar'), ...policy)
  t.equal(status, 1)
  t.match(stdout, /^TAMPERED/)
  t.match(stdout, /entry \d+/)
})

t.test('a file that is not there, not a bundle or not a policy is unreadable; a wrong command is told apart', async (t) => {
  t.equal(run(place('nothing.tar'), ...policy).status, 3)
  t.equal(run(place('policy.txt'), ...policy).status, 3)
  t.equal(run(place('bundle.tar'), '--policy', place('bundle.tar')).status, 3)
  t.equal(run(place('bundle.tar'), ...policy, '--since', place('nothing')).status, 3)
  for (const args of [[], [place('bundle.tar')], [place('bundle.tar'), ...policy, '--fast'], ['a', 'b', ...policy]]) {
    const { status, stderr } = run(...args)
    t.equal(status, 4)
    t.match(stderr, /usage/)
  }
})
