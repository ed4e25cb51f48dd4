// `npm run verifier`: bundles the verifier into one file of plain JavaScript that any Node from 20.12 runs, without this repository.
// With --check it compares only: what a court runs must be what this source says.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from 'esbuild'

const root = join(import.meta.dirname, '..', '..')
const target = join(root, 'verifier', 'crossline-verify.mjs')
const banner = `#!/usr/bin/env node
// Verifies an audit bundle of Crossline: one file, no dependency, no network. How to use it: README.md beside it.
// Generated from src/ by \`npm run verifier\`; \`npm run check\` compares. License: Apache-2.0.`

/** The whole text of the file, the same on every machine. */
export async function renderVerifier(): Promise<string> {
  const license = await readFile(join(root, 'node_modules', 'csv-stringify', 'LICENSE'), 'utf8')
  const { outputFiles } = await build({
    entryPoints: [join(root, 'src', 'commands', 'verifier-main.ts')],
    absWorkingDir: root,
    bundle: true,
    write: false,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    charset: 'utf8',
    legalComments: 'none',
    banner: { js: banner },
    footer: { js: `/*\nWith parts of csv-stringify:\n\n${license.trim()}\n*/` },
    logLevel: 'silent',
  })
  return outputFiles[0]?.text ?? ''
}

if (import.meta.main) {
  const text = await renderVerifier()
  if (!process.argv.includes('--check')) await writeFile(target, text)
  else if ((await readFile(target, 'utf8').catch(() => '')) !== text) {
    console.error('verifier/crossline-verify.mjs differs from its source: run `npm run verifier`')
    process.exitCode = 1
  }
}
