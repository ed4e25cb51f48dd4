// The verifier in one file: what `npm run verifier` bundles into verifier/crossline-verify.mjs. Plain arguments, plain words, exit codes.
import { parseArgs } from 'node:util'
import { verifyFile } from './verify-file.ts'

const usage = `usage: node crossline-verify.mjs <bundle.tar> --policy <policy.txt> [--since <old checkpoint>] [--json]

Verifies an audit bundle of Crossline. It reads the files that are named, nothing else: no network, no database.
Exit codes: 0 valid, 1 tampered, 2 incomplete or not witnessed enough, 3 unreadable, 4 asked wrongly.`

function readArguments(): { bundle: string; policy: string; since: string | undefined; json: boolean } | undefined {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { policy: { type: 'string' }, since: { type: 'string' }, json: { type: 'boolean' } },
    })
    const [bundle, ...more] = positionals
    if (bundle === undefined || more.length > 0 || values.policy === undefined) return undefined
    return { bundle, policy: values.policy, since: values.since, json: values.json === true }
  } catch {
    return undefined
  }
}

const asked = readArguments()
if (asked) {
  const { bundle, ...options } = asked
  const { text, exitCode } = verifyFile(bundle, { ...options, note: (line) => process.stderr.write(`${line}\n`) })
  process.stdout.write(`${text}\n`)
  process.exitCode = exitCode
} else {
  process.stderr.write(`${usage}\n`)
  process.exitCode = 4
}
