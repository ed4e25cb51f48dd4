// What runs without a request: tracing, delivering to each peer, following the directory, tidying. Each is one loop with one step.
import { randomUUIDv7 } from 'node:crypto'
import type { StepContext, Wake } from '#steps/context.ts'
import { deliverBatch, findDestinations, keepLease, letGo } from '#steps/deliver-batch.ts'
import type { DirectoryKeeper } from '#steps/directory-keeper.ts'
import { type DirectoryFiles, mirrorDirectory, watchDirectoryFiles } from '#steps/refresh-directory.ts'
import { tidyUp } from '#steps/tidy-up.ts'
import { traceItems } from '#steps/trace-items.ts'
import { type Loop, startLoop } from './loop.ts'

export interface Workers {
  wake(what: Wake): void
  /** A peer seems to hold a newer directory: asks it at once. */
  askForDirectory(member: string): void
  stop(): Promise<void>
}

const traceLimit = 500
const batchLimit = 1000
/** A call may take longer than the lease, which is short so that a killed process delays nobody. */
const leaseRenewalMs = 3000

export function startWorkers(ctx: StepContext, { keeper, files }: { keeper: DirectoryKeeper; files: DirectoryFiles }): Workers {
  const hints = new Set<string>()
  const tracing = startLoop({
    name: 'trace',
    intervalMs: 1000,
    log: ctx.log,
    work: async () => (await traceItems(ctx, traceLimit)) > 0,
  })
  const delivering = startDelivering(ctx)
  const following = startLoop({
    name: 'directory',
    intervalMs: 5000,
    log: ctx.log,
    work: followDirectory(ctx, { keeper, files, hints }),
  })
  const tidying = startLoop({ name: 'tidy', intervalMs: 60_000, log: ctx.log, work: async () => tidyUp(ctx) })
  return {
    wake: (what) => (what === 'trace' ? tracing : delivering).wake(),
    askForDirectory: (member) => {
      hints.add(member)
      following.wake()
    },
    stop: async () => {
      await Promise.all([tracing, delivering, following, tidying].map((loop) => loop.stop()))
    },
  }
}

/** One conversation per destination at a time; a peer that is slow or down costs the others nothing. */
function startDelivering(ctx: StepContext): Loop {
  const holder = randomUUIDv7()
  const busy = new Map<string, Promise<void>>()
  const woken = new Set<string>()

  async function serve(destination: string): Promise<void> {
    let limit = batchLimit
    const renewing = setInterval(() => void keepLease(ctx, { destination, holder }), leaseRenewalMs)
    try {
      for (;;) {
        const delivery = await deliverBatch(ctx, { destination, holder, limit })
        if (delivery.kind === 'split') limit = delivery.size
        else if (delivery.kind === 'delivered') limit = Math.min(limit * 2, batchLimit)
        else return
        woken.delete(destination)
      }
    } catch (error) {
      ctx.log.error({ worker: 'deliver', peer: destination, err: error }, 'delivery failed and is tried again')
    } finally {
      clearInterval(renewing)
      busy.delete(destination)
      if (woken.delete(destination)) loop.wake()
    }
  }

  const loop = startLoop({
    name: 'deliver',
    intervalMs: 1000,
    log: ctx.log,
    work: async () => {
      for (const destination of await findDestinations(ctx, holder)) {
        if (busy.has(destination)) woken.add(destination)
        else busy.set(destination, serve(destination))
      }
      return false
    },
  })
  return {
    wake: loop.wake,
    stop: async () => {
      await loop.stop()
      await Promise.all(busy.values())
      await letGo(ctx, holder)
    },
  }
}

function followDirectory(
  ctx: StepContext,
  { keeper, files, hints }: { keeper: DirectoryKeeper; files: DirectoryFiles; hints: Set<string> },
): () => Promise<boolean> {
  let nextMirrorAt = 0
  const readFiles = watchDirectoryFiles(keeper, files)
  return async () => {
    await readFiles().catch((error: unknown) =>
      ctx.log.warn({ step: 'directory', err: error }, 'the directory files could not be used'),
    )
    const asked = [...hints]
    hints.clear()
    // Who makes us look and then has none that verifies is not the last that we ask.
    for (const member of asked) if (!(await mirrorDirectory(ctx, keeper, member))) nextMirrorAt = 0
    const now = ctx.now().getTime()
    if (now >= nextMirrorAt) {
      nextMirrorAt = now + keeper.current().document.refreshSeconds * 1000
      await mirrorFromAnyone(ctx, keeper)
    }
    return hints.size > 0
  }
}

/** One reachable peer is enough; a different one each time, so that no single one decides what a node gets to hear. */
async function mirrorFromAnyone(ctx: StepContext, keeper: DirectoryKeeper): Promise<void> {
  const peers = ctx
    .directory()
    .peersOf(ctx.self)
    .map((member) => member.id)
    .sort(() => Math.random() - 0.5)
  for (const member of peers) if (await mirrorDirectory(ctx, keeper, member)) return
}
