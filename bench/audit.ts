// `npm run bench:audit`: what the audit log costs and how quickly it answers, at the sizes asked for. Prints one JSON document; ends by itself
// and leaves nothing behind. Other work on the machine moves every figure; ratios are of ways that took turns in the same run.
import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { withClient } from '#storage/admin-client.ts'
import { measureBundle } from './audit-bundle.ts'
import { measureInserts } from './audit-insert.ts'
import { analyze, type BenchLog, openBenchLog } from './audit-log.ts'
import { measureProofs, measureQuestions } from './audit-questions.ts'
import { fillTo, measureLag } from './audit-sealing.ts'
import { openStage, type Stage } from './stage.ts'

const { values: given } = parseArgs({
  options: {
    sizes: { type: 'string', default: '100000,1000000' },
    seconds: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '3' },
    samples: { type: 'string', default: '30' },
    rate: { type: 'string', default: '500' },
    minutes: { type: 'string', default: '12' },
    only: { type: 'string', default: 'insert,log,bundle' },
  },
})
const sizes = given.sizes.split(',').map((size) => readCount('sizes', size, 20_000_000))
const plan = {
  sizes,
  secondsPerWay: readCount('seconds', given.seconds, 60),
  rounds: readCount('rounds', given.rounds, 20),
  samples: readCount('samples', given.samples, 1000),
  entriesPerSecond: readCount('rate', given.rate, 10_000),
}
/** Time for everything, before it is given up. */
const limitMs = readCount('minutes', given.minutes, 120) * 60_000
const parts = given.only.split(',')

const loadBefore = loadavg()[0]
const begun = performance.now()
const stage = await openStage()
const giveUp = (why: unknown) => {
  process.stderr.write(`given up: ${why instanceof Error ? (why.stack ?? why.message) : String(why)}\n`)
  void stage.close().finally(() => process.exit(1))
}
for (const event of ['SIGINT', 'SIGTERM', 'uncaughtException'] as const) process.once(event, giveUp)
const late = setTimeout(giveUp, limitMs, 'it took too long')
try {
  console.log(JSON.stringify(await measure(stage), undefined, 2))
} finally {
  clearTimeout(late)
  await stage.close()
}

async function measure(on: Stage): Promise<object> {
  const inserts = parts.includes('insert') ? await withLog(on, 'bench_insert', measurePartInserts) : undefined
  const log = parts.includes('log') ? await withLog(on, 'bench_log', (opened) => measureLog(on, opened)) : undefined
  return { bench: 'audit', inserts, ...log, plan, machine: await describeMachine(on) }
}

async function withLog<T>(on: Stage, name: string, work: (log: BenchLog) => Promise<T>): Promise<T> {
  const log = await openBenchLog(on, { name, connections: 16 })
  try {
    return await work(log)
  } finally {
    await log.close()
  }
}

async function measurePartInserts(log: BenchLog): Promise<object> {
  const inserts = await measureInserts(log, { seconds: plan.secondsPerWay, rounds: plan.rounds })
  return tell('inserts', inserts)
}

async function measureLog(on: Stage, log: BenchLog): Promise<object> {
  const at: object[] = []
  for (const size of sizes) {
    const filled = tell('filled', await fillTo(log, size))
    await analyze(log)
    const inclusionMs = tell('inclusion', await measureProofs(log, plan.samples * 10))
    const pageMs = tell('pages', await measureQuestions(log, plan.samples))
    at.push({ ...filled, inclusionMs, pageMs })
  }
  const lag = tell('lag', await measureLag(log, { seconds: 15, perSecond: plan.entriesPerSecond }))
  const bundle = parts.includes('bundle') ? tell('bundle', await measureBundle(on, log)) : undefined
  return { at, lag, bundle }
}

function tell<T extends object>(what: string, figures: T): T {
  const load = loadavg()[0]?.toFixed(1)
  console.error(`${Math.round((performance.now() - begun) / 1000)} s, load ${load}: ${what} ${JSON.stringify(figures)}`)
  return figures
}

async function describeMachine({ server }: Stage): Promise<object> {
  const postgres = await withClient(
    server.adminUrl,
    async (client) => (await client.query<{ server_version: string }>('show server_version')).rows[0]?.server_version,
  )
  const seconds = Math.round((performance.now() - begun) / 1000)
  return {
    cpus: cpus().length,
    cpu: cpus()[0]?.model,
    node: process.versions.node,
    postgres,
    loadBefore,
    loadAfter: loadavg()[0],
    seconds,
  }
}

function readCount(name: string, text: string, most: number): number {
  const value = Number(text)
  if (Number.isInteger(value) && value >= 1 && value <= most) return value
  console.error(`--${name} must be whole numbers from 1 to ${most}`)
  process.exit(2)
}
