// `npm run check`: runs every `check:*` script of package.json, in order, all of them even when one fails,
// and says at the end which ones failed. Exit 0 only when there was one and all of them passed.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> }
const checks = Object.keys(scripts).filter((name) => name.startsWith('check:'))
const failed = checks.filter((name) => !passes(name))
const passed = checks.length > 0 && failed.length === 0

console.log(passed ? `check: all ${checks.length} passed` : `check: FAILED ${failed.join(', ')}`)
process.exitCode = passed ? 0 : 1

function passes(name: string): boolean {
  console.log(`\n== ${name}`)
  const run = spawnSync('npm', ['run', '--silent', name], { stdio: ['ignore', 'inherit', 'inherit'] })
  return run.status === 0
}
