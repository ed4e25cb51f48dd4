// Runs the tests, or those named, with one database server for the whole run, and says at the end what failed and how many passed. The
// campaigns, which kill processes and databases by the hundred or run the demo whole, take as long as all others together: CI runs them
// too (CI=true), and `--all` does.
// A test file is a plain Node program: none of tap's own hooks, which cost each process half a second and reach into what it starts.
import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { PassThrough } from 'node:stream'
import { parseArgs } from 'node:util'
import t from 'tap'
import { openTestServer } from './database.ts'

const compileCache = join(import.meta.dirname, '..', 'node_modules', '.cache', 'crossline')
// One waits for the disk or a timer while another computes.
const filesAtOnce = 4
const timeoutMs = 120_000

// Every test file opens the same server; holding it here spares them starting and stopping it again and again.
const server = await openTestServer()
try {
  const { values, positionals: named } = parseArgs({ options: { all: { type: 'boolean' } }, allowPositionals: true })
  const campaigns = globSync('test/campaigns/*.test.ts')
  const withCampaigns = values.all || Boolean(process.env.CI)
  if (withCampaigns) process.env.CROSSLINE_CAMPAIGNS = '1'
  const failures = await runFiles(named.length > 0 ? named : [...(withCampaigns ? campaigns : []), ...findQuickTests()])
  if (named.length === 0 && !withCampaigns) console.log(`${campaigns.length} campaigns not run: \`npm run test:all\` does`)
  if (failures.length > 0) console.log(['', '=== what failed', ...failures, ''].join('\n'))
  const isUnsteady = failures.length > 0 && Boolean(process.env.CI) && runAgain(failures)
  const { total, pass, fail, skip, todo } = t.assertTotals
  console.log(`${pass} passed, ${isUnsteady ? 0 : fail} failed${skip + todo > 0 ? `, ${skip + todo} skipped` : ''}`)
  process.exitCode = (t.passing() || isUnsteady) && total > 0 ? 0 : 1
} finally {
  await server.stop()
}

/**
 * In CI a file that failed runs once more, alone: true if it passes then. On a machine that others load, too, a time-out says little; what failed
 * stands in the output all the same, as unsteady. More than two files are no accident.
 */
function runAgain(failures: readonly string[]): boolean {
  const files = failures.flatMap((line) => /^not ok \d+ - (test\/\S+)/.exec(line)?.[1] ?? [])
  if (files.length === 0 || files.length > 2) return false
  const { status } = spawnSync(process.execPath, [import.meta.filename, ...files], {
    stdio: 'inherit',
    env: { ...process.env, CI: '' },
  })
  if (status === 0) console.log(`\nunsteady, passed when run again: ${files.join(', ')}`)
  return status === 0
}

function findQuickTests(): string[] {
  return globSync('test/**/*.test.ts', { exclude: ['test/campaigns/**'] }).sort()
}

/** The lines that tell of failures. Ctrl-C reaches the tests by itself; we wait for their end and then let go of the server. */
async function runFiles(files: string[]): Promise<string[]> {
  process.on('SIGINT', () => undefined)
  const output = createInterface({ input: t.pipe(new PassThrough()) })
  t.setTimeout(0)
  t.jobs = filesAtOnce
  const env = {
    ...process.env,
    CROSSLINE_TEST_SERVER_KEPT: '1',
    NODE_COMPILE_CACHE: compileCache,
    TAP_TIMEOUT: String(timeoutMs / 1000),
  }
  for (const file of files) {
    void t.spawn('env', ['-u', 'NODE_OPTIONS', process.execPath, file], { env, buffered: true, timeout: timeoutMs }, file)
  }
  t.end()
  const failures: string[] = []
  let failing = false
  for await (const line of output) {
    console.log(line)
    failing = isOfFailure(line, failing)
    if (failing) failures.push(line)
  }
  return failures
}

// A failure is its `not ok` line and the YAML under it. Those of the tests around it follow with their names, the file's last.
function isOfFailure(line: string, failing: boolean): boolean {
  if (/^ *not ok /.test(line)) return true
  return failing && !/^ *(ok \d|# |\d+\.\.\d|\}$)/.test(line) && line !== ''
}
