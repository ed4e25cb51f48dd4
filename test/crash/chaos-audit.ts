// The chaos run of the audit log: writers append without a pause, two sealers are killed with SIGKILL at every step and at any moment and
// started again at once, and now and then the database itself is killed. Promise: what it finds was looked at after everything has settled.
import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { deriveKeys } from '#crypto/sealed-text.ts'
import { createLogger } from '#log.ts'
import { appendAudit } from '#steps/append-audit.ts'
import { lookAtLog } from '#steps/look-at-sealing.ts'
import { createSealer, type SealContext } from '#steps/seal-audit.ts'
import { createSealing } from '#steps/sealing.ts'
import { findOrMakeKey } from '#steps/stable-keys.ts'
import { stableSubject } from '#steps/subject-keys.ts'
import { type Database, inTransactionOrAgain, openDatabase } from '#storage/database.ts'
import { type EmbeddedServer, ensureDatabase, startEmbeddedServer } from '#storage/embedded-server.ts'
import { prepareDatabase } from '#storage/prepare-database.ts'
import { readPublished } from '#storage/published-checkpoint.ts'
import { migrationsFolder, type Teardown } from '../database.ts'
import { makeFolder, waitForEnd } from '../storage/fixtures.ts'
import { type ChaosFindings, checkChaos } from './chaos-check.ts'
import type { SealerOrder } from './sealer-child.ts'

export interface ChaosPlan {
  kills: number
  /** No kill comes later. */
  seconds: number
  onProgress?: (kills: number) => void
}

export interface ChaosResult extends ChaosFindings {
  kills: number
  killsByStep: Record<string, number>
  /** How often the published checkpoint was looked at after a kill, and how often the database did not hold it. */
  looks: number
  ahead: number
  /** What sealers said when they halted, recorded or not. */
  halts: string[]
  databaseStops: number
  seconds: number
}

/** Nothing is lost, doubled, left out, unsigned or ahead of the database, and nothing had to halt. */
export const isUnharmed = (result: ChaosResult): boolean =>
  result.lost + result.doubled + result.gaps + result.badCheckpoints + result.ahead === 0 &&
  result.isPublished &&
  result.halts.length === 0 &&
  result.haltedWhy === null &&
  result.fsck === 'valid'

/** Where a sealer ends itself, in the order of a pass; `anywhen` is killed from outside. */
export const steps = [
  'locked',
  'taken',
  'leaves',
  'tiles',
  'tree',
  'signed',
  'placed',
  'committing',
  'committed',
  'published',
  'anywhen',
] as const
const writers = 5
const sealers = 2
/** A sealer that does not come to its step in this time, because the other is at work, is killed where it is. */
const patienceMs = 3000

interface Run {
  plan: ChaosPlan
  server: EmbeddedServer
  dataDir: string
  url: string
  db: Database
  ctx: SealContext
  auditFolder: string
  order: Omit<SealerOrder, 'url' | 'step'>
  acknowledged: Set<string>
  children: Set<ChildProcess>
  killsByStep: Record<string, number>
  kills: number
  looks: number
  ahead: number
  halts: string[]
  databaseStops: number
  /** By performance.now(). */
  until: number
  isOver: boolean
  /** While the database is being killed and started again. */
  pause: Promise<void> | undefined
}

export async function runChaos(t: Teardown, plan: ChaosPlan): Promise<ChaosResult> {
  const started = performance.now()
  const { run, logKey } = await prepare(t, plan)
  const writing = Array.from({ length: writers }, (_, n) => write(run, n))
  const looking = keepLooking(run)
  await Promise.all([...Array.from({ length: sealers }, (_, n) => keepSealing(run, n)), stopDatabases(run)])
  run.isOver = true
  await Promise.all([...writing, looking])
  await settle(run)
  const { db, acknowledged, auditFolder, ctx } = run
  const findings = await checkChaos({ ...ctx, db }, { db, logKey, acknowledged, published: readPublished(auditFolder) })
  const { kills, killsByStep, looks, ahead, databaseStops, halts } = run
  return {
    kills,
    killsByStep,
    databaseStops,
    ...findings,
    looks,
    ahead,
    halts,
    seconds: Math.round((performance.now() - started) / 100) / 10,
  }
}

async function prepare(t: Teardown, plan: ChaosPlan): Promise<{ run: Run; logKey: KeyObject }> {
  const dataDir = makeFolder(t)
  const server = await startEmbeddedServer({ dataDir })
  const { serviceUrl: url } = await prepareDatabase({
    url: await ensureDatabase(server.adminUrl, 'crossline_chaos'),
    folder: migrationsFolder,
    servicePassword: randomBytes(16).toString('hex'),
  })
  const { privateKey: logKey } = generateKeyPairSync('ed25519')
  const masterKey = randomBytes(32)
  const auditFolder = join(makeFolder(t), '..', 'audit')
  const db = openDatabase({ url, applicationName: 'chaos writer' })
  const sealing = createSealing()
  const ctx: SealContext = {
    self: 'hotline-gb',
    keys: deriveKeys(masterKey),
    log: createLogger({ level: 'fatal', destination: process.stderr }),
    sealing,
    db,
    now: () => new Date(),
    auditKey: () => ({ key: logKey, kid: '', publicJwk: { kty: 'OKP', crv: 'Ed25519', x: '' } }),
    checkpoint: () => sealing.checkpoint,
    auditFolder,
  }
  const order = {
    auditFolder,
    masterKey: masterKey.toString('base64'),
    logKey: logKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
  const killsByStep = Object.fromEntries([...steps, 'standby'].map((step) => [step, 0]))
  const counts = { killsByStep, kills: 0, looks: 0, ahead: 0, databaseStops: 0, halts: [] as string[] }
  const state = { acknowledged: new Set<string>(), children: new Set<ChildProcess>(), isOver: false, pause: undefined }
  const until = performance.now() + plan.seconds * 1000
  const run: Run = { plan, server, dataDir, url, db, ctx, auditFolder, order, ...state, ...counts, until }
  t.teardown(async () => {
    run.isOver = true
    for (const child of run.children) child.kill('SIGKILL')
    await run.db.close()
    await run.server.stop()
    rmSync(auditFolder, { recursive: true, force: true })
  })
  return { run, logKey }
}

const isDone = (run: Run) => run.isOver || run.kills >= run.plan.kills || performance.now() > run.until

/** One writer: entries of items that it shares with others, now and then taken back. Remembers what it was told that it stands. */
async function write(run: Run, writer: number): Promise<void> {
  for (let n = 0; !run.isOver; n++) {
    await sleep(Math.random() * 20)
    await run.pause
    const leaves = await appendSome(run, `item ${(writer * 3 + n) % 40}`, { count: 1 + (n % 4), isTakenBack: n % 11 === 5 })
    for (const leaf of leaves) run.acknowledged.add(leaf.toString('hex'))
  }
}

async function appendSome(
  run: Run,
  subject: string,
  { count, isTakenBack }: { count: number; isTakenBack: boolean },
): Promise<Buffer[]> {
  const { ctx, db } = run
  return inTransactionOrAgain(db, async (trx) => {
    const key = await findOrMakeKey(ctx, trx, stableSubject(subject))
    const entry = { event: 'item.traced' as const, subject: key, actor: { kind: 'node' as const }, payload: { test: subject } }
    const leaves = await appendAudit(
      ctx,
      trx,
      Array.from({ length: count }, () => entry),
    )
    if (isTakenBack) throw new Error('taken back')
    return leaves
  }).catch(() => [])
}

/** As every process of a node does: what the writers state as seen. */
async function keepLooking(run: Run): Promise<void> {
  while (!run.isOver) {
    await run.pause
    await lookAtLog({ ...run.ctx, db: run.db }).catch(() => undefined)
    await sleep(100)
  }
}

/** One place for a sealer: killed, looked after, started again. */
async function keepSealing(run: Run, place: number): Promise<void> {
  for (let n = place * Math.floor(steps.length / 2); !isDone(run); n++) {
    await run.pause
    const step = steps[n % steps.length] as string
    const ended = await runSealer(run, step)
    if (isDone(run)) return
    run.kills += 1
    run.killsByStep[ended] = (run.killsByStep[ended] ?? 0) + 1
    run.plan.onProgress?.(run.kills)
    await lookAtPublished(run)
  }
}

/** Resolves with where it was killed: at its step, anywhen, or while it stood by. */
async function runSealer(run: Run, step: string): Promise<string> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'sealer-child.ts')], {
    // Without the options of this process, which make tap watch over what it runs.
    env: { NODE_COMPILE_CACHE: join(run.dataDir, '..', 'compiled') },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  // A halt counts even when the kill came before it was recorded.
  createInterface({ input: child.stderr }).on('line', (line) => {
    if (line.includes('"level":"fatal"')) run.halts.push(line)
    else process.stderr.write(`${line}\n`)
  })
  run.children.add(child)
  const ended = once(child, 'exit')
  child.stdin.on('error', () => undefined)
  child.stdin.end(JSON.stringify({ ...run.order, url: run.url, step } satisfies SealerOrder))
  await Promise.race([once(child.stdout, 'data'), ended])
  const isLate = new AbortController()
  const wait = step === 'anywhen' ? Math.random() * 150 : patienceMs
  const late = await Promise.race([ended.then(() => false), sleep(wait, true, { signal: isLate.signal })])
  isLate.abort()
  if (late) child.kill('SIGKILL')
  const [code, signal] = await ended
  run.children.delete(child)
  if (signal !== 'SIGKILL') throw new Error(`a sealer ended by itself, with ${code ?? signal}`)
  if (run.pause !== undefined) return 'database'
  return late && step !== 'anywhen' ? 'standby' : step
}

/** What is published was committed, whatever was killed since. */
async function lookAtPublished(run: Run): Promise<void> {
  for (const [year, note] of readPublished(run.auditFolder)) {
    try {
      const held = await run.db
        .selectFrom('audit_checkpoint')
        .select('size')
        .where('year', '=', year)
        .where('note', '=', note)
        .execute()
      run.looks += 1
      if (held.length === 0) run.ahead += 1
    } catch {
      // The database is being killed: the look after the next kill sees it.
    }
  }
}

/** Kills the database's first process after each third of the kills, together with both sealers, and starts everything again. */
async function stopDatabases(run: Run): Promise<void> {
  const often = Math.max(2, Math.min(8, Math.floor(run.plan.kills / 60)))
  for (let n = 1; n <= often; n++) {
    while (!isDone(run) && run.kills < (run.plan.kills * n) / (often + 1)) await sleep(20)
    if (isDone(run)) return
    run.pause = stopDatabase(run).finally(() => {
      run.pause = undefined
    })
    await run.pause
  }
}

async function stopDatabase(run: Run): Promise<void> {
  const { server: dead, db } = run
  process.kill(dead.pid, 'SIGKILL')
  await waitForEnd(dead.pid)
  for (const child of run.children) child.kill('SIGKILL')
  run.server = await startEmbeddedServer({ dataDir: run.dataDir })
  await dead.stop()
  const url = new URL(run.url)
  url.port = String(run.server.port)
  run.url = url.href
  run.db = openDatabase({ url: run.url, applicationName: 'chaos writer' })
  run.databaseStops += 1
  await lookAtPublished(run)
  void db.close().catch(() => undefined)
}

/** A sealer that nobody kills seals what is left, as the next start of the node would. */
async function settle(run: Run): Promise<void> {
  const sealer = createSealer({ ...run.ctx, db: run.db, sealing: createSealing() }, { gapMs: 0 })
  for (let quiet = 0; quiet < 3; ) {
    quiet = (await sealer.seal()) ? 0 : quiet + 1
    await sleep(20)
  }
}
