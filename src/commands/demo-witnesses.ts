// The demo waits until the logs of both sides are proof: the items indexed, the entries sealed, and the checkpoint cosigned by enough peers.
import { createLogger } from '#log.ts'
import type { Status } from '#schema/status.ts'
import { indexItems } from '#steps/index-items.ts'
import { withRegistry } from './client-registry.ts'
import { waitFor } from './demo-api.ts'
import type { DemoHotline } from './demo-network.ts'

/** Who handed the item over, and who took it. */
export type Sides = readonly [DemoHotline, DemoHotline]

export interface Telling {
  say: (text: string) => void
  signal: AbortSignal
}

const patienceMs = 30_000

/** Indexes the items now rather than within the hour, then waits for a round of witnesses. Gives what is not as expected. */
export async function waitForWitnesses(sides: Sides, { say, signal }: Telling): Promise<string[]> {
  say(
    'Each log now states how many entries every item has, as it does once an hour. Then its peers cosign it, every ten seconds …\n',
  )
  await Promise.all(sides.map(indexNow))
  const missing = await Promise.all(sides.map((side) => findMissing(side, signal)))
  return missing.flat()
}

function indexNow({ env }: DemoHotline): Promise<number> {
  return withRegistry(env, (ctx) => indexItems({ ...ctx, log: createLogger({ level: 'silent' }) }, { now: true }))
}

async function findMissing({ id, api }: DemoHotline, signal: AbortSignal): Promise<string[]> {
  const status = () => api.get<Status>('operator', '/operations/v1/status')
  const isSealed = async () => ((await status()).audit.pending === 0 ? true : undefined)
  if (!(await waitFor(isSealed, { patienceMs, signal }))) return [`the log of ${id} was not sealed in time`]
  // Asked again: an answer may be older than its own count of what waits.
  const { audit } = await status()
  const size = audit.checkpoint?.size ?? 1
  const isWitnessed = async () => (((await status()).witnesses.quorumSize ?? 0) >= size ? true : undefined)
  return (await waitFor(isWitnessed, { patienceMs, signal })) ? [] : [`the log of ${id} was not witnessed in time`]
}
