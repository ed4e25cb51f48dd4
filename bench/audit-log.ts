// A log for the benchmarks: a database of its own on the stage's server, filled by the same steps as a node's, sealed by the real sealer.
// Items have five entries each, so chains, commitments and sealed payloads are all as in life; only the members and countries are made up.
import { generateKeyPairSync, type KeyObject, randomBytes, randomUUIDv7 } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { migrationsFolder } from '#commands/open-database.ts'
import { verifierKeyOf } from '#crypto/checkpoint-note.ts'
import { deriveKeys } from '#crypto/sealed-text.ts'
import { describePolicy, originOf } from '#domain/network-policy.ts'
import { createLogger } from '#log.ts'
import type { AuditEvent } from '#schema/audit.ts'
import { appendAudit, type NewEntry } from '#steps/append-audit.ts'
import { rememberCases } from '#steps/case-numbers.ts'
import type { StepContext } from '#steps/context.ts'
import { createSealer, type Sealer } from '#steps/seal-audit.ts'
import { createSealing } from '#steps/sealing.ts'
import { makeSubjectKey, type SubjectKey } from '#steps/subject-keys.ts'
import { withClient } from '#storage/admin-client.ts'
import { inTransaction, openDatabase } from '#storage/database.ts'
import { ensureDatabase } from '#storage/embedded-server.ts'
import { prepareDatabase } from '#storage/prepare-database.ts'
import { insertSubjectKeys } from '#storage/report-store.ts'
import type { Stage } from './stage.ts'

export const self = 'hotline-gb'
/** Where content is hosted; the numbers are the sums up to there, of 100. */
const hosts: readonly (readonly [string, number])[] = [
  ['US', 60],
  ['GB', 80],
  ['NL', 94],
  ['SE', 99],
  ['JP', 100],
]
const members = ['GB', 'SE', 'JP', 'US', 'NL'].map((country) => ({
  id: `hotline-${country.toLowerCase()}`,
  countries: [country],
}))
const itemsPerBatch = 1000
const itemsPerCase = 5

/** What a process of its own needs to read the same log. */
export interface LogAddress {
  url: string
  master: string
  policy: string
}

export interface BenchLog {
  ctx: StepContext
  sealer: Sealer
  adminUrl: string
  address: LogAddress
  /** Some of the items, and the time, at each thousand of them. */
  marks: { item: string; at: Date }[]
  /** Appends about so many entries. */
  fill(entries: number): Promise<void>
  sealAll(): Promise<void>
  close(): Promise<void>
}

export async function openBenchLog(
  stage: Stage,
  { name, connections = 4 }: { name: string; connections?: number },
): Promise<BenchLog> {
  const adminUrl = await ensureDatabase(stage.server.adminUrl, name)
  const master = randomBytes(32)
  const keys = deriveKeys(master)
  const { serviceUrl: url } = await prepareDatabase({
    url: adminUrl,
    folder: migrationsFolder,
    servicePassword: keys.servicePassword,
  })
  const db = openDatabase({ url, applicationName: 'crossline bench', maxConnections: connections })
  const { privateKey } = generateKeyPairSync('ed25519')
  const policy = join(stage.folder, `${name}.policy`)
  writeFileSync(policy, policyFor(privateKey))
  const ctx = makeContext({ db, keys, key: privateKey, folder: join(stage.folder, name) })
  const sealer = createSealer(ctx, { gapMs: 0 })
  const marks: BenchLog['marks'] = []
  return {
    ctx,
    sealer,
    adminUrl,
    address: { url, master: master.toString('hex'), policy },
    marks,
    fill: (entries) => fill(ctx, marks, Math.ceil(entries / (itemsPerBatch * steps.length))),
    sealAll: async () => {
      while (await sealer.seal());
    },
    close: () => db.close(),
  }
}

/** What is measured is a log whose tables the database knows: it looks by itself, but only once a minute. */
export async function analyze({ adminUrl }: BenchLog): Promise<void> {
  await withClient(adminUrl, (client) => client.query('analyze'))
}

function policyFor(key: KeyObject): string {
  const origin = originOf(self, new Date().getUTCFullYear())
  return describePolicy({ logs: [verifierKeyOf(origin, 1, key)], witnesses: [] })
}

/** All that sealing, proving and asking use; the rest of a node is not there. */
function makeContext({
  db,
  keys,
  key,
  folder,
}: { key: KeyObject; folder: string } & Pick<StepContext, 'db' | 'keys'>): StepContext {
  const sealing = createSealing()
  const ctx = {
    self,
    db,
    keys,
    sealing,
    log: createLogger({ level: 'silent' }),
    now: () => new Date(),
    auditKey: () => ({ key, kid: '', publicJwk: { kty: 'OKP', crv: 'Ed25519', x: '' } }),
    checkpoint: () => sealing.checkpoint,
    auditFolder: folder,
    directory: () => directory,
    witnesses: () => [],
    liaison: { questions: () => 0, hashes: () => 0, rowsPerDay: Number.MAX_SAFE_INTEGER },
  }
  return ctx as unknown as StepContext
}

const directory = { findMember: (id: string) => members.find((member) => member.id === id), document: { members } }

/** Two batches at a time: one is built while the other is written. */
async function fill(ctx: StepContext, marks: BenchLog['marks'], batches: number): Promise<void> {
  let left = batches
  const work = async () => {
    while (left-- > 0) marks.push(await appendBatch(ctx))
  }
  await Promise.all([work(), work()])
}

interface Item {
  key: SubjectKey & { wrapped: Buffer }
  country: string
}

async function appendBatch(ctx: StepContext): Promise<BenchLog['marks'][number]> {
  const items = Array.from(
    { length: itemsPerBatch },
    (): Item => ({ key: makeSubjectKey(ctx, randomUUIDv7()), country: drawCountry() }),
  )
  const at = new Date()
  await inTransaction(ctx.db, async (trx) => {
    await insertSubjectKeys(
      trx,
      items.map(({ key: { subject, wrapped } }) => ({ subject, wrapped })),
    )
    await appendAudit(
      ctx,
      trx,
      steps.flatMap((step) => items.map((item, n) => step(item, n))),
    )
    const first = items.slice(0, itemsPerCase)
    const reference = caseOf(first[0]?.key.subject ?? '')
    await rememberCases(
      ctx,
      trx,
      first.map(({ key }) => ({ reference, subject: key.subject })),
    )
  })
  return { item: items[0]?.key.subject ?? '', at }
}

export const caseOf = (item: string): string => `case ${item}`

function drawCountry(): string {
  const drawn = Math.random() * 100
  return hosts.find(([, below]) => drawn < below)?.[0] ?? 'US'
}

const node = { kind: 'node' } as const

function entry(event: AuditEvent, { key, country }: Item, rest: Partial<NewEntry>): NewEntry {
  return {
    event,
    subject: key,
    country,
    actor: node,
    payload: { status: 'stored', evidence: { rule: 'agreed', countries: [country] } },
    ...rest,
  }
}

const peerOf = ({ country }: Item) => ({ from: self, to: `hotline-${country.toLowerCase()}` })

const steps: readonly ((item: Item, n: number) => NewEntry)[] = [
  (item) => entry('item.traced', item, {}),
  (item) => entry('item.routed', item, peerOf(item)),
  (item) => entry('handoff.sent', item, peerOf(item)),
  (item) => entry('handoff.receipt', item, peerOf(item)),
  (item, n) => entry(n === 0 ? 'hold.placed' : 'action.recorded', item, {}),
]
