// `npm run chaos:audit`: kills the sealers of an audit log under load, and its database, as often as asked, and prints one JSON document of
// what was lost by it. Exit 1 when anything was.
import { parseArgs } from 'node:util'
import { isUnharmed, runChaos } from '../test/crash/chaos-audit.ts'

const { values: given } = parseArgs({
  options: { kills: { type: 'string', default: '1000' }, seconds: { type: 'string', default: '1200' } },
})
const [kills, seconds] = [given.kills, given.seconds].map(Number) as [number, number]
if (!(Number.isInteger(kills) && kills >= 1 && kills <= 100_000 && seconds >= 1 && seconds <= 86_400)) {
  console.error('--kills must be a whole number from 1 to 100,000, --seconds from 1 to 86,400')
  process.exit(2)
}

const cleanups: (() => unknown)[] = []
const cleanUp = async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean()
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void cleanUp().finally(() => process.exit(1)))
try {
  const onProgress = (done: number) => {
    if (done % 50 === 0) process.stderr.write(`${done} kills\n`)
  }
  const result = await runChaos({ teardown: (clean) => void cleanups.push(clean) }, { kills, seconds, onProgress })
  console.log(JSON.stringify(result, undefined, 2))
  process.exitCode = isUnharmed(result) ? 0 : 1
} finally {
  await cleanUp()
}
