// `crossline audit export`: the operator's bundle from the node's own database, written as the one of a liaison is; the order is an entry too.
import { randomUUIDv7 } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Config, type Environment, readConfig } from '#config.ts'
import { digest } from '#crypto/digests.ts'
import { toJcs } from '#domain/audit-entry.ts'
import { originOf } from '#domain/network-policy.ts'
import { CrosslineError } from '#errors.ts'
import { createLogger } from '#log.ts'
import { openHeldDirectory } from '#node-directory.ts'
import type { ExportFilter } from '#schema/audit-export.ts'
import { isExportFilter } from '#schema/validators.ts'
import { type AuditContext, appendAudit } from '#steps/append-audit.ts'
import { readFilter } from '#steps/find-entries.ts'
import { indexItems } from '#steps/index-items.ts'
import { choosePin, type ExportContext, openPin, type PinChoice } from '#steps/pin-export.ts'
import { makeSubjectKey } from '#steps/subject-keys.ts'
import { writeExport } from '#steps/write-export.ts'
import { inTransaction } from '#storage/database.ts'
import { findLastIndexId } from '#storage/index-store.ts'
import { insertSubjectKeys } from '#storage/report-store.ts'
import { findLatestCheckpoint } from '#storage/tree-store.ts'
import { openServiceDatabase } from './open-database.ts'

export interface ExportOptions extends Omit<ExportFilter, 'event'> {
  event?: string
  format: 'ndjson' | 'csv'
  out: string
  /** Indexes the items first, and waits until a checkpoint covers it: then the bundle is complete up to now. */
  fresh: boolean
}

type CommandContext = ExportContext & AuditContext & { log: ReturnType<typeof createLogger> }

/** How long a running node may take to seal the index, and its peers to cosign it. */
const patienceMs = 60_000

/** Writes the bundle and says what it holds. Throws `invalid_config` for wrong options, `not_found` where nothing is sealed yet. */
export async function exportByOperator(env: Environment, { format, out, fresh, ...options }: ExportOptions): Promise<string> {
  const path = resolve(out)
  if (existsSync(path)) throw new CrosslineError('invalid_config', { detail: '--out is there already: name a new file.' })
  const asked = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
  if (!isExportFilter(asked))
    throw new CrosslineError('invalid_config', {
      detail: 'A filter is not in its form: times are as 2026-01-31T00:00:00.000Z, ids in lower case.',
    })
  const config = readConfig(env)
  return withLog(env, config, async (ctx) => {
    const { after: _after, limit: _limit, ...filter } = await readFilter(ctx, asked)
    const createdAt = ctx.now()
    await recordOrder(ctx, { asked, format })
    const pin = fresh ? await pinFresh(ctx) : await choosePin(ctx)
    if (!pin) throw new CrosslineError('not_found', { detail: 'The log has no checkpoint yet: is the node running?' })
    const plan = {
      scope: { networkWide: true, countries: [], members: [] },
      filter,
      format,
      client: undefined,
      pin: await openPin(ctx, pin),
      maxRows: Number.MAX_SAFE_INTEGER,
      onProgress: async () => undefined,
    }
    const { rows, bytes, claim } = await writeExport(ctx, path, { plan, asked, createdAt })
    const complete = claim === 'none' ? 'not proven to be complete' : `complete for: ${claim}`
    return `wrote ${rows} entries (${bytes} bytes) under checkpoint ${pin.size} of ${originOf(ctx.self, pin.year)}; ${complete}`
  })
}

/** Indexes now, and waits for a checkpoint over it; one with a quorum if that comes in time. */
async function pinFresh(ctx: CommandContext): Promise<PinChoice | undefined> {
  await indexItems(ctx, { now: true })
  const index = await findLastIndexId(ctx.db)
  const end = Date.now() + patienceMs
  for (;;) {
    const pin = await choosePin(ctx)
    if (pin?.index_id === index || Date.now() > end) return pin
    await sleep(250)
  }
}

async function recordOrder(ctx: CommandContext, { asked, format }: { asked: ExportFilter; format: string }): Promise<void> {
  await inTransaction(ctx.db, async (trx) => {
    const key = makeSubjectKey(ctx, randomUUIDv7())
    await insertSubjectKeys(trx, [{ subject: key.subject, wrapped: key.wrapped }])
    await appendAudit(ctx, trx, [
      {
        event: 'audit.exported',
        subject: key,
        actor: { kind: 'operator' },
        payload: { query: { filter: digest(toJcs(asked)), format } },
      },
    ])
  })
}

async function withLog<T>(env: Environment, config: Config, work: (ctx: CommandContext) => Promise<T>): Promise<T> {
  const log = createLogger({ level: 'silent' })
  const now = () => new Date()
  const { db, keys, close } = await openServiceDatabase(env)
  try {
    const keeper = await openHeldDirectory(config, { db, now, log, onChange: () => {} })
    const latest = (await findLatestCheckpoint(db)) ?? null
    const auditPolicy = config.auditPolicy === undefined ? undefined : await readPolicy(config.auditPolicy)
    return await work({
      self: config.member,
      db,
      keys,
      now,
      log,
      checkpoint: () => latest,
      directory: keeper.current,
      auditPolicy,
    })
  } finally {
    await close()
  }
}

function readPolicy(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((cause: unknown) => {
    throw new CrosslineError('invalid_config', { detail: 'AUDIT_POLICY names a file that cannot be read.', cause })
  })
}
