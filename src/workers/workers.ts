// What runs without a request: tracing, delivering to each peer, following the directory, tidying. Each is one loop with one step.
import { randomUUIDv7 } from 'node:crypto'
import type { StepContext, Wake } from '#steps/context.ts'
import { deliverBatch, findDestinations, keepLease, letGo } from '#steps/deliver-batch.ts'
import type { DirectoryKeeper } from '#steps/directory-keeper.ts'
import { eraseExpired, forgetErased } from '#steps/erase-expired.ts'
import { watchAuditKeys } from '#steps/look-at-audit-keys.ts'
import { type DirectoryFiles, mirrorDirectory, watchDirectoryFiles } from '#steps/refresh-directory.ts'
import { createSealer } from '#steps/seal-audit.ts'
import { tidyUp } from '#steps/tidy-up.ts'
import { traceItems } from '#steps/trace-items.ts'
import { startExporting } from './exporting.ts'
import { type Loop, startLoop } from './loop.ts'
import { startWitnessing, type WitnessTimes } from './witnessing.ts'

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

export interface WorkerParts extends WitnessTimes {
  keeper: DirectoryKeeper
  files: DirectoryFiles
}

export function startWorkers(ctx: StepContext, { keeper, files, ...times }: WorkerParts): Workers {
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
  const witnessing = startWitnessing(ctx, times)
  const sealer = createSealer(ctx, { isWaiting: witnessing.isWaiting })
  const sealing = startLoop({ name: 'seal', intervalMs: 100, log: ctx.log, work: () => sealer.seal() })
  const tidying = startLoop({ name: 'tidy', intervalMs: 60_000, log: ctx.log, work: async () => tidyUp(ctx) })
  const keys = startWatchingKeys(ctx)
  const erasing = startErasing(ctx)
  const exporting = startExporting(ctx)
  const wakened = { trace: tracing, deliver: delivering, export: exporting }
  return {
    wake: (what) => wakened[what].wake(),
    askForDirectory: (member) => {
      hints.add(member)
      following.wake()
    },
    stop: async () => {
      const loops = [tracing, delivering, following, sealing, tidying, keys, erasing, witnessing, exporting]
      await Promise.all(loops.map((loop) => loop.stop()))
    },
  }
}

/** At once, then every minute: by itself, so that a database that is down keeps nobody from hearing of it. */
function startWatchingKeys(ctx: StepContext): Loop {
  const look = watchAuditKeys(ctx)
  return startLoop({
    name: 'audit-keys',
    intervalMs: 60_000,
    log: ctx.log,
    work: async () => {
      look()
      return false
    },
  })
}

/** Retention, and forgetting in memory what any process erased. */
function startErasing(ctx: StepContext): Loop {
  let since = new Date(0)
  return startLoop({
    name: 'erase',
    intervalMs: 60_000,
    log: ctx.log,
    work: async () => {
      since = await forgetErased(ctx, since)
      return eraseExpired(ctx, { days: ctx.policy.retentionDays })
    },
  })
}

/** One conversation per destination at a time; a peer that is slow or down costs the others nothing. */
function startDelivering(ctx: StepContext): Loop {
  const holder = randomUUIDv7()
  const busy = new Map<string, Promise<void>>()
  const woken = new Set<string>()

  async function serve(destination: string): Promise<void> {
    let limit = batchLimit
    let quarantined = 0
    const renewing = setInterval(() => void keepLease(ctx, { destination, holder }), leaseRenewalMs)
    try {
      for (;;) {
        const delivery = await deliverBatch(ctx, { destination, holder, limit, quarantined })
        quarantined = delivery.kind === 'quarantined' ? quarantined + 1 : 0
        if (delivery.kind === 'quarantined') limit = 1
        else if (delivery.kind === 'split') limit = delivery.size
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

/** A peer that names another directory is asked at most this often, and may make us ask others no oftener. */
const hintGapMs = 60_000

interface Following {
  keeper: DirectoryKeeper
  files: DirectoryFiles
  /** Members that named another directory than ours. */
  hints: Set<string>
}

/** One look at the files, at the peers that named another directory, and at any peer when it is time. */
function followDirectory(ctx: StepContext, { keeper, files, hints }: Following): () => Promise<boolean> {
  const askedAt = new Map<string, number>()
  let mirroredAt = Number.NEGATIVE_INFINITY
  let isMisled = false
  const readFiles = watchDirectoryFiles(keeper, files)
  // A clock that was set back makes nothing wait.
  const isPast = (since: number, gapMs: number) => Math.abs(ctx.now().getTime() - since) >= gapMs

  async function followHints(): Promise<void> {
    for (const member of [...hints]) {
      if (!isPast(askedAt.get(member) ?? Number.NEGATIVE_INFINITY, hintGapMs)) continue
      hints.delete(member)
      askedAt.set(member, ctx.now().getTime())
      if (!(await mirrorDirectory(ctx, keeper, member))) isMisled = true
    }
  }

  return async () => {
    await readFiles().catch((error: unknown) =>
      ctx.log.warn({ step: 'directory', err: error }, 'the directory files could not be used'),
    )
    await followHints()
    const gapMs = keeper.current().document.refreshSeconds * 1000
    // Who makes us look in vain is not the last that we ask, but makes us ask the others no oftener than once a minute.
    if (isPast(mirroredAt, isMisled ? Math.min(gapMs, hintGapMs) : gapMs)) {
      mirroredAt = ctx.now().getTime()
      isMisled = false
      await mirrorFromAnyone(ctx, keeper)
    }
    return false
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
