// Runs the tests, all or those named, with one database server for the whole run, and says at the end what failed and how many passed.
// Its exit code is tap's, or 1 when tap counted no test at all.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { openTestServer } from './database.ts'

const modules = join(import.meta.dirname, '..', 'node_modules')
const tap = join(modules, '.bin', 'tap')
// One waits for the disk or a timer while another computes.
const filesAtOnce = 3
// Every test file opens the same server; holding it here spares them starting and stopping it again and again.
const server = await openTestServer()
try {
  const { code, summary, failures } = await runTap(process.argv.slice(2))
  if (failures.length > 0) console.log(['', '=== what failed', ...failures, ''].join('\n'))
  console.log(describe(summary))
  process.exitCode = summary.total > 0 ? code : 1
} finally {
  await server.stop()
}

interface Summary {
  total: number
  pass: number
  fail: number
  skip: number
  todo: number
}

function runTap(args: string[]): Promise<{ code: number; summary: Summary; failures: string[] }> {
  const summary: Summary = { total: 0, pass: 0, fail: 0, skip: 0, todo: 0 }
  const failures: string[] = []
  const child = spawn(process.execPath, [tap, 'run', '--reporter=tap', `--jobs=${filesAtOnce}`, ...args], {
    stdio: ['inherit', 'pipe', 'inherit'],
    env: { ...process.env, CROSSLINE_TEST_SERVER_KEPT: '1', NODE_COMPILE_CACHE: join(modules, '.cache', 'crossline') },
  })
  // We wait for tap's end and then let go of the server. Ctrl-C reaches tap without us, and a second one would break it off.
  process.on('SIGINT', () => undefined)
  process.on('SIGTERM', () => child.kill('SIGTERM'))
  let failing = false
  createInterface({ input: child.stdout }).on('line', (line) => {
    console.log(line)
    failing = isOfFailure(line, failing)
    if (failing) failures.push(line)
    if (line.startsWith('# { total:')) readSummary(line, summary)
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ code: code ?? 1, summary, failures }))
  })
}

// A failure is its `not ok` line and the YAML under it. Those of the tests around it follow with their names, the file's last.
function isOfFailure(line: string, failing: boolean): boolean {
  if (/^ *not ok /.test(line)) return true
  return failing && !/^ *(ok \d|# |\d+\.\.\d|\}$)/.test(line) && line !== ''
}

// `# { total: 5, pass: 3, skip: 2 }`: what is zero is left out.
function readSummary(line: string, summary: Summary): void {
  for (const [, name, count] of line.matchAll(/(\w+): (\d+)/g)) {
    if (name && name in summary) summary[name as keyof Summary] = Number(count)
  }
}

function describe({ pass, fail, skip, todo }: Summary): string {
  return `${pass} passed, ${fail} failed${skip + todo > 0 ? `, ${skip + todo} skipped` : ''}`
}
