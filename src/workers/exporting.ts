// Puts exports together, one after the other, removes those that have expired, and once an hour has the items indexed.
import { randomUUIDv7 } from 'node:crypto'
import { buildExport, removeExpired } from '#steps/build-export.ts'
import type { StepContext } from '#steps/context.ts'
import { indexItems } from '#steps/index-items.ts'
import { type Loop, startLoop } from './loop.ts'

/** How often it looks for work that nobody woke it for. */
const intervalMs = 2000
const tidyMs = 60_000

export function startExporting(ctx: StepContext): Loop {
  const holder = randomUUIDv7()
  let isStopping = false
  const building = startLoop({
    name: 'export',
    intervalMs,
    log: ctx.log,
    work: () => buildExport(ctx, { holder, isStopping: () => isStopping }),
  })
  const tidying = startLoop({
    name: 'index',
    intervalMs: tidyMs,
    log: ctx.log,
    work: async () => {
      await indexItems(ctx)
      await removeExpired(ctx)
      return false
    },
  })
  return {
    wake: building.wake,
    stop: async () => {
      isStopping = true
      await Promise.all([building.stop(), tidying.stop()])
    },
  }
}
