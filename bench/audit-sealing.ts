// The sealer: how many entries a second when it is behind, and how long an entry waits for its checkpoint under a steady load.

import { randomUUIDv7 } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { appendAudit } from '#steps/append-audit.ts'
import { createSealer } from '#steps/seal-audit.ts'
import { makeSubjectKey } from '#steps/subject-keys.ts'
import { inTransaction } from '#storage/database.ts'
import type { BenchLog } from './audit-log.ts'
import { percentile, rounded } from './figures.ts'

/** Entries a chunk: several passes of the sealer. */
const chunk = 100_000

export interface Filled {
  size: number
  fillSeconds: number
  sealSeconds: number
  sealedPerSecond: number
}

/** Fills the log up to a size and seals it, chunk by chunk, one after the other. */
export async function fillTo(log: BenchLog, size: number): Promise<Filled> {
  const begin = sizeOf(log)
  let [fillMs, sealMs] = [0, 0]
  while (sizeOf(log) < size) {
    const from = performance.now()
    await log.fill(Math.min(chunk, size - sizeOf(log)))
    const filled = performance.now()
    await log.sealAll()
    fillMs += filled - from
    sealMs += performance.now() - filled
  }
  const sealedPerSecond = Math.round((sizeOf(log) - begin) / (sealMs / 1000))
  return { size: sizeOf(log), fillSeconds: rounded(fillMs / 1000), sealSeconds: rounded(sealMs / 1000), sealedPerSecond }
}

export const sizeOf = ({ ctx }: BenchLog): number => ctx.sealing.checkpoint?.size ?? 0

/** A signed checkpoint a second at most, looked for as often as the worker does. */
const pollMs = 100
const writers = 4

/** From the commit of an entry to the commit of the checkpoint over it. */
export async function measureLag(log: BenchLog, { seconds, perSecond }: { seconds: number; perSecond: number }): Promise<object> {
  await log.sealAll()
  const sealer = createSealer(log.ctx)
  const committed: number[] = []
  const lags: number[] = []
  const end = performance.now() + seconds * 1000
  const sealed = async () => {
    while (performance.now() < end || lags.length < committed.length) {
      const before = sizeOf(log)
      await sealer.seal()
      const now = performance.now()
      const grown = sizeOf(log) - before
      for (const at of committed.slice(lags.length, lags.length + grown)) lags.push(now - at)
      await sleep(pollMs)
    }
  }
  const write = async () => {
    for (let due = performance.now(); due < end; due += (writers * 1000) / perSecond) {
      await sleep(Math.max(0, due - performance.now()))
      await appendOne(log)
      committed.push(performance.now())
    }
  }
  await Promise.all([sealed(), ...Array.from({ length: writers }, write)])
  return {
    asked: perSecond,
    entries: lags.length,
    entriesPerSecond: Math.round(lags.length / seconds),
    lagMs: { p50: Math.round(percentile(lags, 0.5)), p99: Math.round(percentile(lags, 0.99)) },
  }
}

async function appendOne({ ctx }: BenchLog): Promise<void> {
  const subject = makeSubjectKey(ctx, randomUUIDv7())
  await inTransaction(ctx.db, (trx) =>
    appendAudit(ctx, trx, [
      { event: 'item.traced', subject, country: 'SE', actor: { kind: 'node' }, payload: { status: 'stored' } },
    ]),
  )
}
