// `npm run bench`: the floor of this machine and what our nodes reach of it, in one run, interleaved because machines are noisy.
// Prints one JSON document; ends by itself and leaves nothing behind.
import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { withClient } from '#storage/admin-client.ts'
import { type Floor, startFloor } from './floor.ts'
import { measureLatency } from './latency.ts'
import { type Ours, startOurs } from './ours.ts'
import { openStage, type Stage } from './stage.ts'

const { values: given } = parseArgs({
  options: {
    items: { type: 'string', default: '10000' },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '30' },
    'node-option': { type: 'string', multiple: true, default: [] },
  },
})
const plan = { items: readCount('items', 100_000), rounds: readCount('rounds', 20), seconds: readCount('seconds', 120) }
const singlesPerSecond = 20
/** Time for everything, before it is given up. */
const limitMs = 10 * 60_000

// How busy the machine was with other things.
const loadBefore = loadavg()[0]
const stage = await openStage()
const giveUp = (why: unknown) => {
  process.stderr.write(`given up: ${why instanceof Error ? why.message : String(why)}\n`)
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

interface Round {
  floor100: number
  floor1000: number
  bulk: number
  oneByOne: number
}

async function measure(on: Stage): Promise<object> {
  const floor = await startFloor(on)
  const ours = await startOurs(on, given['node-option'])
  try {
    await runRound({ floor, ours }, Math.min(plan.items, 2000))
    const rounds: Round[] = []
    for (let n = 0; n < plan.rounds; n++) rounds.push(await runRound({ floor, ours }, plan.items))
    const pace = { perSecond: singlesPerSecond, seconds: plan.seconds }
    const floorTimes = await measureLatency({ ...pace, receiverUrl: floor.receiverUrl, table: 'item', submit: floor.submitOne })
    const ourTimes = await measureLatency({
      ...pace,
      receiverUrl: ours.receiverUrl,
      table: 'crossline.item',
      submit: ours.submitOne,
    })
    const middle = (name: keyof Round) => median(rounds.map((round) => round[name]))
    const best = Math.max(middle('floor100'), middle('floor1000'))
    return {
      floor: { batch100: middle('floor100'), batch1000: middle('floor1000'), ...floorTimes },
      ours: { bulk: middle('bulk'), oneByOne: middle('oneByOne'), ...ourTimes },
      ratio: Math.round((middle('bulk') / best) * 1000) / 1000,
      ratioIs: 'ours.bulk / the better of floor.batch100 and floor.batch1000; medians of the rounds',
      units: 'items of 2,048 bytes per second; milliseconds',
      rounds,
      plan: { ...plan, singlesPerSecond },
      machine: await describeMachine(on),
    }
  } finally {
    await ours.close()
  }
}

async function runRound({ floor, ours }: { floor: Floor; ours: Ours }, items: number): Promise<Round> {
  const round = {
    floor100: Math.round(await floor.runBulk(items, 100)),
    bulk: Math.round(await ours.runReports(items, { size: 1000, connections: 2 })),
    floor1000: Math.round(await floor.runBulk(items, 1000)),
    oneByOne: Math.round(await ours.runReports(Math.ceil(items / 5), { size: 1, connections: 16 })),
  }
  console.error(JSON.stringify(round))
  return round
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}

async function describeMachine({ server }: Stage): Promise<object> {
  const postgres = await withClient(
    server.adminUrl,
    async (client) => (await client.query<{ server_version: string }>('show server_version')).rows[0]?.server_version,
  )
  return { cpus: cpus().length, cpu: cpus()[0]?.model, node: process.versions.node, postgres, loadBefore }
}

function readCount(name: 'items' | 'rounds' | 'seconds', most: number): number {
  const value = Number(given[name])
  if (Number.isInteger(value) && value >= 1 && value <= most) return value
  console.error(`--${name} must be a whole number from 1 to ${most}`)
  process.exit(2)
}
