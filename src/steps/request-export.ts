// A liaison asks for an export, watches it and fetches the bundle. The asking is an entry of the log, committed before anything goes out;
// nobody but the client that asked gets it, and only while its certificate still has the scope that it asked in.
import { randomUUIDv7 } from 'node:crypto'
import type { Readable } from 'node:stream'
import { digest } from '#crypto/digests.ts'
import { keyedHash, open, seal } from '#crypto/sealed-text.ts'
import { toJcs } from '#domain/audit-entry.ts'
import { originOf } from '#domain/network-policy.ts'
import { CrosslineError } from '#errors.ts'
import type { AuditExport, ExportFilter, ExportInput } from '#schema/audit-export.ts'
import { claimIdempotencyKey } from '#storage/client-store.ts'
import { inTransaction } from '#storage/database.ts'
import { exportFile, readFileRange, sizeOfFile } from '#storage/export-file.ts'
import { countOpenExports, type ExportRow, findExport, insertExport, restartExport } from '#storage/export-store.ts'
import { insertSubjectKeys, type Trx } from '#storage/report-store.ts'
import { appendAudit } from './append-audit.ts'
import { rememberCases } from './case-numbers.ts'
import type { Caller, StepContext } from './context.ts'
import { readFilter } from './find-entries.ts'
import { admitQuestion, scopeOf } from './record-query.ts'
import { hideIdempotencyKey, makeSubjectKey } from './subject-keys.ts'

/** How long a bundle can be fetched. */
const keptMs = 7 * 86_400_000
/** Exports of one client that may wait or run at a time. */
const maxOpen = 2

/**
 * Takes the order; a worker builds the bundle. The same call with the same Idempotency-Key gives the same export. Throws as `findEntries`,
 * and `export_limit`, `idempotency_conflict`.
 */
export async function requestExport(ctx: StepContext, input: ExportInput, caller: Caller): Promise<AuditExport> {
  await admitQuestion(ctx, input, caller)
  await readFilter(ctx, filterOf(input))
  const id = await inTransaction(ctx.db, (trx) => orderOnce(ctx, trx, { input, caller }))
  ctx.log.info(
    { step: 'request-export', trace: caller.trace, export: id, countries: caller.client.countries },
    'export asked for',
  )
  ctx.wake('export')
  return showExport(ctx, id, caller)
}

interface Order {
  input: ExportInput
  caller: Caller
}

async function orderOnce(ctx: StepContext, trx: Trx, { input, caller }: Order): Promise<string> {
  const id = randomUUIDv7()
  const first = await claimKey(ctx, trx, { id, input, caller })
  if (first !== undefined) return first
  const { client } = caller
  if ((await countOpenExports(trx, client.fingerprint)) >= maxOpen)
    throw new CrosslineError('export_limit', { detail: 'Wait until one of yours is done.', retryAfterS: 30 })
  const { networkWide, countries, members } = scopeOf(ctx, caller)
  await insertExport(trx, {
    id,
    client: client.fingerprint,
    network_wide: networkWide,
    countries: [...countries],
    members: [...members],
    filter: sealFilter(ctx, id, filterOf(input)),
    format: input.format ?? 'ndjson',
    created_at: ctx.now(),
    expires_at: new Date(ctx.now().getTime() + keptMs),
  })
  await recordOrder(ctx, trx, { id, input, caller })
  return id
}

async function claimKey(ctx: StepContext, trx: Trx, { id, input, caller }: Order & { id: string }): Promise<string | undefined> {
  if (caller.idempotencyKey === undefined) return undefined
  const requestDigest = keyedHash(ctx.keys.contentKey, `export ${toJcs(input)}`)
  const first = await claimIdempotencyKey(trx, {
    client: caller.client.fingerprint,
    key: hideIdempotencyKey(ctx, caller.idempotencyKey),
    requestDigest,
    resource: id,
  })
  if (first && !first.requestDigest.equals(requestDigest)) throw new CrosslineError('idempotency_conflict')
  return first?.resource
}

async function recordOrder(ctx: StepContext, trx: Trx, { id, input, caller }: Order & { id: string }): Promise<void> {
  const { purpose = '', caseReference } = input
  const key = makeSubjectKey(ctx, id)
  await insertSubjectKeys(trx, [{ subject: key.subject, wrapped: key.wrapped }])
  await appendAudit(ctx, trx, [
    {
      event: 'audit.exported',
      subject: key,
      actor: { kind: 'client', fingerprint: caller.client.fingerprint },
      payload: {
        query: { filter: digest(toJcs(filterOf(input))), format: input.format ?? 'ndjson', export: id },
        purpose: { purpose: purpose.trim(), ...(caseReference === undefined ? {} : { case: caseReference }) },
        trace: caller.trace,
      },
    },
  ])
  if (caseReference !== undefined) await rememberCases(ctx, trx, [{ reference: caseReference, subject: key.subject }])
}

/** What is looked for, without why and how. */
function filterOf({ purpose: _purpose, caseReference: _case, format: _format, ...filter }: ExportInput): ExportFilter {
  return filter
}

function sealFilter({ keys }: Pick<StepContext, 'keys'>, id: string, filter: ExportFilter): Buffer {
  return seal(keys.contentKey, toJcs(filter), `export:${id}`)
}

/** What an export was asked for. */
export function openFilter({ keys }: Pick<StepContext, 'keys'>, { id, filter }: Pick<ExportRow, 'id' | 'filter'>): ExportFilter {
  return JSON.parse(open(keys.contentKey, filter, `export:${id}`).toString()) as ExportFilter
}

/** How far an export is. Throws `not_found`, also for another client's and for one that has expired. */
export async function showExport(ctx: StepContext, id: string, caller: Caller): Promise<AuditExport> {
  const row = await getExport(ctx, id, caller)
  return {
    id,
    state: row.state as AuditExport['state'],
    format: row.format as AuditExport['format'],
    rows: row.rows,
    ...(row.total === null ? {} : { total: row.total }),
    bytes: row.bytes,
    filter: openFilter(ctx, row),
    checkpoint: row.year === null || row.size === null ? null : { origin: originOf(ctx.self, row.year), size: row.size },
    ...(row.complete === null ? {} : { complete: row.complete as NonNullable<AuditExport['complete']> }),
    ...(row.failure === null ? {} : { failure: row.failure as NonNullable<AuditExport['failure']> }),
    createdAt: row.created_at.toISOString(),
    ...(row.finished_at === null ? {} : { finishedAt: row.finished_at.toISOString() }),
    expiresAt: row.expires_at.toISOString(),
  }
}

async function getExport(ctx: StepContext, id: string, { client }: Caller): Promise<ExportRow> {
  const row = await findExport(ctx.db, id, client.fingerprint)
  const isSameScope = row?.network_wide === client.networkWide && row.countries.join() === client.countries.join()
  if (!row || row.expires_at <= ctx.now() || !isSameScope) throw new CrosslineError('not_found')
  return row
}

/** Which part of a bundle is asked for. */
export interface RangeAsked {
  range?: string | undefined
  ifRange?: string | undefined
}

/** A bundle, or the part of it that was asked for; `first` and `last` are bytes of it, both included. */
export interface OpenedBundle {
  kind: 'whole' | 'part'
  first: number
  last: number
  bytes: number
  etag: string
  read(): Readable
}

/** Opens a bundle that is done. Throws `not_found`, `export_not_ready`, `range_unsatisfiable`. */
export async function openBundle(
  ctx: StepContext,
  { id, range, ifRange }: RangeAsked & { id: string },
  caller: Caller,
): Promise<OpenedBundle> {
  const row = await getExport(ctx, id, caller)
  const path = exportFile(ctx.exports.folder, id)
  if (row.state === 'done' && (await sizeOfFile(path)) !== row.bytes) {
    // The folder was lost, or is another machine's: the same entries are put together once more.
    await restartExport(ctx.db, id)
    ctx.wake('export')
    throw notReady('waiting')
  }
  if (row.state !== 'done') throw notReady(row.state)
  const etag = `"${row.digest?.toString('base64url')}"`
  const { bytes } = row
  const part = ifRange === undefined || ifRange === etag ? readRange(range, bytes) : undefined
  const { first, last } = part ?? { first: 0, last: bytes - 1 }
  return { kind: part ? 'part' : 'whole', first, last, bytes, etag, read: () => readFileRange(path, { first, last }) }
}

const notReady = (state: string) =>
  new CrosslineError('export_not_ready', {
    facts: { state },
    ...(state === 'failed' ? { detail: 'The export failed: see `failure`, and ask again.' } : { retryAfterS: 2 }),
  })

/** One range of bytes (RFC 9110 §14.1.2); nothing for several, or another unit: then all is sent. Throws `range_unsatisfiable`. */
function readRange(range: string | undefined, bytes: number): { first: number; last: number } | undefined {
  const [, from = '', to = ''] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(range ?? '') ?? []
  if (from === '' && to === '') return undefined
  const first = from === '' ? Math.max(0, bytes - Number(to)) : Number(from)
  const last = from === '' || to === '' ? bytes - 1 : Math.min(Number(to), bytes - 1)
  if (from !== '' && to !== '' && Number(to) < Number(from)) return undefined
  if (first >= bytes) throw new CrosslineError('range_unsatisfiable')
  return { first, last }
}
