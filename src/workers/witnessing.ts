// When peers are asked to cosign our log: every round, or sooner when much has been added. One conversation per peer at a time, so that one
// that hangs delays no other.
import type { StepContext } from '#steps/context.ts'
import { findDueWitnesses, gatherFrom, recallWitnesses } from '#steps/gather-cosignatures.ts'
import { type Loop, startLoop } from './loop.ts'

/** An edit within this time of its entry can pass unseen: the witnesses have not seen the entry yet. */
export const witnessRoundMs = 10_000
const manyEntries = 1000
const lookMs = 1000

export function startWitnessing(ctx: StepContext, { roundMs }: { roundMs: number }): Loop {
  const busy = new Map<string, Promise<void>>()
  let isRecalled = false
  let sentSize = 0
  // The first round comes after one interval. A clock that can't be set counts.
  let roundAt = performance.now()

  function ask(): void {
    for (const witness of findDueWitnesses(ctx)) {
      if (busy.has(witness.id)) continue
      const asking = gatherFrom(ctx, witness)
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
      const isDue = performance.now() - roundAt >= roundMs || Math.abs((own?.size ?? 0) - sentSize) >= manyEntries
      if (own === null || !isDue) return false
      roundAt = performance.now()
      sentSize = own.size
      ask()
      return false
    },
  })
  return {
    wake: loop.wake,
    stop: async () => {
      await loop.stop()
      await Promise.all(busy.values())
    },
  }
}
