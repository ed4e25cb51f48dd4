#!/usr/bin/env node
// The starter: plain JavaScript, so that an old Node can say what is wrong instead of dying on a `.ts` file.
// It hands over to the Node that this project pins (node_modules/.bin/node) when the one that runs it is too old.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import module from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const major = Number(process.versions.node.split('.')[0])

if (major >= 26) {
  // Starts take half the time when the types need not be stripped again. Kept with the installation, where only its owner writes.
  module.enableCompileCache(join(root, 'node_modules', '.cache', 'crossline'))
  await import('../src/main.ts')
} else {
  const pinned = join(root, 'node_modules', '.bin', 'node')
  if (!existsSync(pinned) || process.env.CROSSLINE_STARTED) {
    console.error(
      `crossline needs Node 26 and runs on ${process.versions.node}. Run \`npm ci\` in ${root}: it installs the right Node beside the project.`,
    )
    process.exit(2)
  }
  const run = spawn(pinned, process.argv.slice(1), { stdio: 'inherit', env: { ...process.env, CROSSLINE_STARTED: '1' } })
  // Whoever stops this process means the one that does the work.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => run.kill(signal))
  run.on('exit', (code, signal) => {
    process.exitCode = code ?? (signal === null ? 1 : 128)
  })
}
