// A small source tree in a temporary folder, held to the project's own rules, so that a test can plant faults in it.
// Promise: the tools and configuration files are the ones that `npm run check` uses; nothing outside the folder changes.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '../..')

export type Files = Record<string, string>
export type Finding = { path: string; rule: string; message: string }

/** Writes the files beside copies of the project's tool configuration and package.json; the caller removes the folder. */
export function plantTree(files: Files): { folder: string; remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'crossline-planted-'))
  for (const name of ['biome.json', 'knip.json', 'redocly.yaml', 'tsconfig.json', 'package.json']) {
    cpSync(join(root, name), join(folder, name))
  }
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

/** Runs one of the project's installed tools in the folder, without a terminal, for at most 60 seconds. */
export function runTool(folder: string, command: string): { status: number | null; output: string } {
  const path = [join(root, 'node_modules', '.bin'), process.env.PATH].join(delimiter)
  const env = { ...process.env, PATH: path, REDOCLY_TELEMETRY: 'off', NO_COLOR: '1' }
  // The test runner puts its loader into NODE_OPTIONS of every child; tsc can't start under it.
  const run = spawnSync(`unset NODE_OPTIONS; ${command}`, { cwd: folder, env, shell: true, encoding: 'utf8', timeout: 60_000 })
  return { status: run.status, output: run.stdout + run.stderr }
}

/** What the linter says about a tree of these files, under the project's biome.json. */
export function lintTree(files: Files): Finding[] {
  const { folder, remove } = plantTree(files)
  try {
    const run = runTool(folder, 'biome lint --vcs-enabled=false --reporter=json --max-diagnostics=none 2>/dev/null')
    const { diagnostics } = JSON.parse(run.output) as { diagnostics: BiomeDiagnostic[] }
    return diagnostics.filter((one) => one.severity === 'error').map(toFinding)
  } finally {
    remove()
  }
}

type BiomeDiagnostic = { severity: string; category: string; message: string; location: { path: string } }

function toFinding({ category, message, location }: BiomeDiagnostic): Finding {
  return { path: location.path, rule: category.split('/').at(-1) ?? category, message }
}

export type Border = { folder: string; mayImport: string[]; owns: string[] }

/** The border table of ARCHITECTURE.md: `| folder | may import | owns |`, one row per folder. */
export function readBorderTable(): Border[] {
  const lines = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8').split('\n')
  const head = lines.findIndex((line) => /^\|\s*folder\s*\|\s*may import\s*\|\s*owns\s*\|/.test(line))
  if (head < 0) throw new Error('ARCHITECTURE.md has no table with the head | folder | may import | owns |')
  const rows = lines.slice(head + 2)
  const end = rows.findIndex((line) => !line.startsWith('|'))
  return (end < 0 ? rows : rows.slice(0, end)).map(toBorder)
}

function toBorder(row: string): Border {
  const [folder = '', mayImport = '', owns = ''] = row
    .split('|')
    .slice(1)
    .map((cell) => cell.trim().replaceAll('`', ''))
  const list = (cell: string) => (cell === '–' || cell === '-' ? [] : cell.split(',').map((word) => word.trim()))
  return { folder, mayImport: list(mayImport), owns: list(owns) }
}
