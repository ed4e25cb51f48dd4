// .ci/run with a stand-in for npm: whatever fails, the last line counts it and the exit code says so.
import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import t from 'tap'

type Outcome = { status: number | null; lastLine: string | undefined; output: string }

// One line per call that .ci/run makes; anything else is an error.
const standIn = `#!/bin/sh
case "$*" in
  "ci --no-audit --no-fund") exit \${F_INSTALL:-0} ;;
  "run check") exit \${F_CHECK:-0} ;;
  "test") echo "vectors: \${CROSSLINE_VECTORS:-none}, CI: $CI"; echo "\${T_LINE:-12 passed, 0 failed, 3 skipped}"; exit \${F_TEST:-0} ;;
  "run demo -- --once --json") exit \${F_DEMO:-0} ;;
  *) echo "unexpected: npm $*"; exit 9 ;;
esac
`

t.test('is executable', async (t) => {
  t.ok(statSync('.ci/run').mode & 0o100)
})

t.test('passes on the count of the tests when everything went well', async (t) => {
  t.match(runGate({}), { status: 0, lastLine: '12 passed, 0 failed, 3 skipped' })
  t.match(runGate({ T_LINE: '5 passed, 0 failed' }), { status: 0, lastLine: '5 passed, 0 failed' })
})

t.test('counts a failed check and a failed demo, and still runs the tests', async (t) => {
  t.match(runGate({ F_CHECK: '1' }), { status: 1, lastLine: '12 passed, 1 failed, 3 skipped' })
  t.match(runGate({ F_DEMO: '1' }), { status: 1, lastLine: '12 passed, 1 failed, 3 skipped' })
  t.match(runGate({ F_DEMO: '1', F_CHECK: '2' }), { status: 1, lastLine: '12 passed, 2 failed, 3 skipped' })
})

t.test('fails when the tests fail, crash, or never say how many there were', async (t) => {
  t.match(runGate({ T_LINE: '7 passed, 2 failed', F_TEST: '1' }), { status: 1, lastLine: '7 passed, 2 failed' })
  t.match(runGate({ F_TEST: '1' }), { status: 1, lastLine: '12 passed, 1 failed, 3 skipped' })
  t.match(runGate({ T_LINE: 'Segmentation fault', F_TEST: '139' }), { status: 1, lastLine: '0 passed, 1 failed' })
  t.match(runGate({ T_LINE: 'nothing to see' }), { status: 1, lastLine: '0 passed, 1 failed' })
})

t.test('stops at a failed installation', async (t) => {
  const outcome = runGate({ F_INSTALL: '1' })
  t.match(outcome, { status: 1, lastLine: '0 passed, 1 failed' })
  t.notMatch(outcome.output, '=== test')
})

t.test('shows the tests the vectors when they lie beside the checkout', async (t) => {
  t.match(runGate({}).output, 'vectors: none, CI: true')
  t.match(runGate({}, 'shared/vectors').output, /vectors: .*\/shared\/vectors, CI/)
})

function runGate(faults: Record<string, string>, beside?: string): Outcome {
  const folder = mkdtempSync(join(tmpdir(), 'crossline-gate-'))
  try {
    mkdirSync(join(folder, 'checkout', '.ci'), { recursive: true })
    mkdirSync(join(folder, 'bin'))
    if (beside) mkdirSync(join(folder, beside), { recursive: true })
    copyFileSync('.ci/run', join(folder, 'checkout', '.ci', 'run'))
    // Not root, so that nothing is installed.
    for (const [name, text] of [
      ['npm', standIn],
      ['id', '#!/bin/sh\necho 1000\n'],
    ] as const) {
      writeFileSync(join(folder, 'bin', name), text)
      chmodSync(join(folder, 'bin', name), 0o755)
    }
    return runFrom(folder, faults)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function runFrom(folder: string, faults: Record<string, string>): Outcome {
  const { CROSSLINE_VECTORS: _, ...rest } = process.env
  const env = { ...rest, ...faults, PATH: [join(folder, 'bin'), rest.PATH].join(delimiter) }
  const run = spawnSync(join(folder, 'checkout', '.ci', 'run'), [], { encoding: 'utf8', env, timeout: 30_000 })
  const output = run.stdout + run.stderr
  return { status: run.status, output, lastLine: run.stdout.trimEnd().split('\n').at(-1) }
}
