// An export of the whole log and its verification, each in a process of its own, so that the peak of its memory is its own.
import { randomUUIDv7 } from 'node:crypto'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { indexItems } from '#steps/index-items.ts'
import type { BenchLog, LogAddress } from './audit-log.ts'
import { sizeOf } from './audit-sealing.ts'
import { rounded } from './figures.ts'
import type { Stage } from './stage.ts'

export interface BundleOrder extends LogAddress {
  work: 'export' | 'verify'
  path: string
}

/** What the process says when it is done. */
export interface BundleDone {
  seconds: number
  peakMiB: number
  idleMiB: number
  says: string
}

/** Indexes the items first, so that the bundle proves itself whole. */
export async function measureBundle(stage: Stage, log: BenchLog): Promise<object> {
  const from = performance.now()
  const items = await indexItems(log.ctx, { now: true })
  const indexSeconds = rounded((performance.now() - from) / 1000)
  await log.sealAll()
  const order = { ...log.address, path: join(stage.folder, `${randomUUIDv7()}.tar`) }
  const exported = await carryOut(stage, { ...order, work: 'export' })
  const verified = await carryOut(stage, { ...order, work: 'verify' })
  const entries = sizeOf(log)
  const rate = ({ seconds }: BundleDone) => Math.round(entries / seconds)
  return {
    entries,
    index: { items, seconds: indexSeconds },
    export: { ...exported, entriesPerSecond: rate(exported), bytes: statSync(order.path).size },
    verify: { ...verified, entriesPerSecond: rate(verified) },
  }
}

async function carryOut(stage: Stage, order: BundleOrder): Promise<BundleDone> {
  const child = stage.startProcess(new URL('./audit-bundle-child.ts', import.meta.url))
  return new Promise((resolve, reject) => {
    child.once('message', (done: BundleDone) => resolve(done))
    child.once('exit', (code) => reject(new Error(`the process that should ${order.work} ended with ${code}`)))
    child.send(order)
  })
}
