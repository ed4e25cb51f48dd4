// The demo as people start it: three nodes as processes, a database server, a report; and nothing left of it afterwards.
import { execFile, execFileSync } from 'node:child_process'
import { chmod, mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { demoItems, findDifferences } from '#commands/demo-scenario.ts'
import type { Item } from '#schema/report.ts'
import { findProcessesOf, type Running, start } from '../commands/program.ts'

const folder = await mkdtemp(join(tmpdir(), 'crossline-demo-test-'))
await chmod(folder, 0o711)
const data = join(folder, 'data')
const runs: Running[] = []
t.teardown(async () => {
  for (const run of runs) run.child.kill('SIGKILL')
  // What a failed test left: nobody else's processes name this folder.
  for (const { pid } of findProcessesOf(data)) process.kill(pid, 'SIGKILL')
  await rm(folder, { recursive: true, force: true })
})

function startDemo(...args: string[]): Running {
  const run = start(['demo', '--data', data, ...args])
  runs.push(run)
  return run
}

const upText = 'The demo stays up until you press Ctrl-C.'

t.test('stays up with calls that work as printed, takes no second demo, and leaves nothing behind on Ctrl-C', async (t) => {
  const demo = startDemo()
  await demo.printed(upText)
  const [read = '', submit = '', order = ''] = printedCalls(demo.output(), 'curl')

  await t.test('curl reads the report and submits another', { skip: !hasCurl() && 'curl is not installed' }, async (t) => {
    const report = JSON.parse((await promisify(execFile)('sh', ['-c', read])).stdout)
    t.equal(report.origin, 'hotline-se')
    t.equal(report.items.length, demoItems.length)
    const submitted = JSON.parse((await promisify(execFile)('sh', ['-c', submit])).stdout)
    t.match(submitted, { reference: 'BY-CURL', items: [{ state: 'received' }] })
    t.match(JSON.parse((await promisify(execFile)('sh', ['-c', order])).stdout), {
      state: /^(waiting|running|done)$/,
      format: 'ndjson',
    })
  })
  await t.test('the verifier finds the bundle valid, and refuses the copy with another byte', async (t) => {
    const [verify = ''] = printedCalls(demo.output(), 'node --permission')
    const env = { PATH: [dirname(process.execPath), process.env.PATH].join(delimiter) }
    const { stdout } = await promisify(execFile)('sh', ['-c', verify], { env })
    t.match(stdout, /^VALID:/)
    t.match(stdout, 'no entry of the item is left out')
    const altered = verify.replaceAll('hotline-se.tar', 'altered.tar')
    const refused = await promisify(execFile)('sh', ['-c', altered], { env }).catch((error: unknown) => error)
    t.match(refused, { code: 1, stdout: /^TAMPERED:[\s\S]*\[inclusion; hotline-se\/audit\/\d+, entry \d+\]/ })
    const [first = 0, ...more] = differingBytes(await readBundle('hotline-se'), await readBundle('altered'))
    t.ok(first > 0)
    t.same(more, [], 'one byte and no other was changed')
  })
  const second = await startDemo('--once').ended
  t.equal(second.code, 1)
  t.match(second.stderr, 'A demo already runs in this data folder')
  t.match(await readDemoFile(), {
    lab: { url: /^https:\/\/localhost:\d+$/, countries: ['PH'], runsNode: false },
    'hotline-us': { status: 'suspended', url: null },
  })
  for (const path of allFiles(await readDemoFile())) t.ok((await stat(path)).isFile(), path.slice(data.length))

  demo.child.kill('SIGINT')
  demo.child.kill('SIGINT') // npm forwards what the terminal has already sent
  t.equal((await demo.ended).code, 0)
  t.same(findProcessesOf(data), [])
})

t.test('after kill -9 it stops what was left, and over the same data it ends with the figures', async (t) => {
  const before = (await readDemoFile())['hotline-gb']?.url
  const killed = startDemo()
  await killed.printed('Three hotlines are up')
  t.match(killed.output(), 'directory version 1, as before')
  killed.child.kill('SIGKILL')
  await killed.ended
  const orphans = findProcessesOf(data).filter(({ line }) => line.includes('node start'))
  t.equal(orphans.length, 3)
  const squatter = createServer().listen(Number(new URL((await readDemoFile()).lab?.url as string).port), '127.0.0.1')
  t.teardown(() => squatter.close())

  const { code, stdout, stderr } = await startDemo('--once', '--json').ended
  t.equal(code, 0, stderr)
  t.match(stdout, 'Stopped 3 nodes that an earlier demo left behind.')
  t.match(stdout, 'directory version 2, now published', 'a port that is taken is replaced')
  t.equal((await readDemoFile())['hotline-gb']?.url, before, 'the others stay')
  const figures = JSON.parse(stdout.trimEnd().split('\n').at(-1) as string)
  t.match(figures, {
    members: 5,
    nodes: 3,
    items: { total: 16 },
    handoffs: 7,
    bundles: { valid: 2, refused: 1 },
    asExpected: true,
    differences: [],
  })
  t.match(figures.items.byOutcome, {
    home: 1,
    delivered: 5,
    removed: 1,
    refused: 1,
    needs_review: 3,
    orphaned: 1,
    untraceable: 3,
  })
  t.ok(figures.receipts >= 3 && figures.auditEntries['hotline-gb'] >= 9 && figures.auditEntries['hotline-se'] >= 40)
  t.match(
    stdout,
    /hotline-gb\.tar: VALID .*\n.*witnessed [23] of 3 \(2 are enough\) by .*;\n.*none of the item’s entries is missing/,
  )
  t.match(stdout, /ends with exit code 1:\n {4}TAMPERED: /)
  for (const event of ['item.routed', 'handoff.sent', 'handoff.received', 'handoff.receipt', 'item.closed'])
    t.match(
      stdout
        .split('\n')
        .filter((line) => line.includes('│'))
        .join('\n'),
      event,
      'the custody is whole, on both sides',
    )
  t.notMatch(stdout, /https?:\/\/[^/]*example/, 'URLs are shown so that nobody can click on them')
  t.ok(
    stdout
      .split('\n')
      .filter((line) => line.includes('│'))
      .every((line) => line.length <= 118),
    'the custody fits a terminal',
  )
  t.same(findProcessesOf(data), [])
})

t.test('stopped in the middle it leaves nothing behind either', async (t) => {
  const demo = startDemo('--once')
  await demo.printed('Three nodes, each a process of its own')
  demo.child.kill('SIGTERM')
  const { code, stderr } = await demo.ended
  t.equal(code, 1)
  t.match(stderr, 'The demo was stopped before its end.')
  t.same(findProcessesOf(data), [])
})

t.test('says in words what is not as expected', async (t) => {
  const home = demoItems[0]
  if (!home) throw new Error('the scenario is empty')
  const item = {
    state: 'routed',
    owner: 'hotline-se',
    hostingCountry: 'SE',
    route: { rule: 'home', flags: [] },
    hostingEvidence: null,
  } as unknown as Item
  t.same(findDifferences(item, home.expected), [])
  t.same(findDifferences({ ...item, state: 'orphaned' }, home.expected), ['its state is orphaned, expected was routed'])
  t.same(findDifferences({ ...item, hostingCountry: null }, home.expected), ['the hosting country is none, expected was SE'])
})

function hasCurl(): boolean {
  try {
    execFileSync('curl', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** The commands as they stand in the text, each with the lines that it goes on to. */
function printedCalls(text: string, beginning: string): string[] {
  return (text.match(/^\S.*\\\n(?:.*\\\n)*.*/gm) ?? []).filter((call) => call.startsWith(beginning))
}

const readBundle = (name: string): Promise<Buffer> => readFile(join(data, 'bundles', `${name}.tar`))

function differingBytes(one: Buffer, other: Buffer): number[] {
  return [...one].flatMap((byte, place) => (byte === other[place] ? [] : [place]))
}

type DemoMembers = Record<string, Record<string, unknown>>

async function readDemoFile(): Promise<DemoMembers> {
  const { members } = JSON.parse(await readFile(join(data, 'demo.json'), 'utf8')) as { members: { id: string }[] }
  return Object.fromEntries(members.map((member) => [member.id, member as unknown as Record<string, unknown>]))
}

function allFiles(value: unknown): string[] {
  if (typeof value === 'string') return value.startsWith(data) ? [value] : []
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(allFiles) : []
}
