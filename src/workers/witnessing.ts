// When peers are asked to cosign our log: every round, or sooner when much has been added. One conversation per peer at a time, so that one
// that hangs delays no other. After a start they are asked at once, and until enough have answered nothing is sealed.
import type { StepContext } from '#steps/context.ts'
import { findDueWitnesses, gatherFrom, recallWitnesses } from '#steps/gather-cosignatures.ts'
import { createWitnessFirst, witnessPatienceMs } from '#steps/witness-first.ts'
import { type Loop, startLoop } from './loop.ts'

/** An edit within this time of its entry can pass unseen: the witnesses have not seen the entry yet. */
const witnessRoundMs = 10_000
const manyEntries = 1000
const lookMs = 1000

export interface WitnessTimes {
  /** How often peers are asked to cosign the log. */
  witnessRoundMs?: number | undefined
  /** How long sealing waits for witnesses after a start; 0: not at all. */
  witnessPatienceMs?: number | undefined
}

export interface Witnessing extends Loop {
  /** Whether nothing may be signed yet, for the witnesses have not been asked. */
  isWaiting(): boolean
}

export function startWitnessing(ctx: StepContext, times: WitnessTimes): Witnessing {
  const roundMs = times.witnessRoundMs ?? witnessRoundMs
  const first = createWitnessFirst(ctx, times.witnessPatienceMs ?? witnessPatienceMs)
  const busy = new Map<string, Promise<unknown>>()
  let isRecalled = false
  let sentSize = 0
  // Where nobody is asked first, the first round comes after one interval. A clock that can't be set counts.
  let roundAt = performance.now()

  function ask(witnesses: Awaited<ReturnType<typeof findDueWitnesses>>): void {
    roundAt = performance.now()
    sentSize = ctx.checkpoint()?.size ?? 0
    for (const witness of witnesses) {
      if (busy.has(witness.id)) continue
      const asking = gatherFrom(ctx, witness)
        .then((isDone) => isDone && first.answered(witness.id))
        .catch((error: unknown) =>
          ctx.log.error({ worker: 'witness', peer: witness.id, err: error }, 'asking a witness failed and is tried again'),
        )
        .finally(() => busy.delete(witness.id))
      busy.set(witness.id, asking)
    }
  }

  const loop = startLoop({
    name: 'witness',
    intervalMs: Math.min(lookMs, roundMs),
    log: ctx.log,
    work: async () => {
      if (!isRecalled) await recallWitnesses(ctx)
      isRecalled = true
      const own = ctx.checkpoint()
      if (first.isWaiting()) ask(first.unanswered())
      const isDue = performance.now() - roundAt >= roundMs || Math.abs((own?.size ?? 0) - sentSize) >= manyEntries
      if (own !== null && isDue) ask(await findDueWitnesses(ctx))
      return false
    },
  })
  return {
    wake: loop.wake,
    isWaiting: first.isWaiting,
    stop: async () => {
      await loop.stop()
      await Promise.all(busy.values())
    },
  }
}
