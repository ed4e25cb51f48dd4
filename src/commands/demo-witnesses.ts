// The demo waits until the logs of both sides are proof: the items indexed, the entries sealed, and the checkpoint cosigned by enough peers.
import { createLogger } from '#log.ts'
import type { Status } from '#schema/status.ts'
import { indexItems } from '#steps/index-items.ts'
import { findLastIndexId, findSealedIndex } from '#storage/index-store.ts'
import type { Db } from '#storage/report-store.ts'
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
  const missing = await Promise.all(sides.map((side) => findMissing(side, signal)))
  return missing.flat()
}

async function findMissing({ id, env, api }: DemoHotline, signal: AbortSignal): Promise<string[]> {
  const size = await withRegistry(env, async (ctx) => {
    await indexItems({ ...ctx, log: createLogger({ level: 'silent' }) }, { now: true })
    return waitFor(() => findIndexedSize(ctx.db), { patienceMs, signal })
  })
  if (size === undefined) return [`the log of ${id} was not sealed in time`]
  const status = () => api.get<Status>('operator', '/operations/v1/status')
  const isWitnessed = async () => (((await status()).witnesses.quorumSize ?? 0) >= size ? true : undefined)
  return (await waitFor(isWitnessed, { patienceMs, signal })) ? [] : [`the log of ${id} was not witnessed in time`]
}

/** How large the log was with the newest index in it. From the database: the status of a node is up to a second old. */
async function findIndexedSize(db: Db): Promise<number | undefined> {
  const last = await findLastIndexId(db)
  const sealed = last === undefined ? undefined : await findSealedIndex(db, { year: 9999, index: 0 }, last)
  return sealed && sealed.place.index + 1
}
