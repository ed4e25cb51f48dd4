// `crossline audit erase`, `hold`, `release-hold`, `holds` and `replay-erasures`: the operator's acts on what may be destroyed. None of them
// prints or logs anything but ids, codes and counts.
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Environment } from '#config.ts'
import { digest } from '#crypto/digests.ts'
import { isUuidV7 } from '#domain/exact-forms.ts'
import { CrosslineError } from '#errors.ts'
import { erasureBases, holdBases } from '#schema/erasure.ts'
import { type ErasureContext, eraseSubject } from '#steps/erase-subject.ts'
import { listHolds, placeHold, releaseHold } from '#steps/legal-hold.ts'
import { type Replay, replayErasures } from '#steps/replay-erasures.ts'
import { openErasureJournal } from '#storage/erasure-journal.ts'
import { withRegistry } from './client-registry.ts'

/** What an order is about: one of the two. */
export interface Named {
  item?: string
  report?: string
}

/** Erases an item, or a report with its items. Throws `not_found`, `item_live`, `legal_hold`. */
export async function eraseByOperator(env: Environment, order: Named & { basis: string; reasonFile?: string }): Promise<string> {
  const named = readNamed(order)
  const basis = readBasis(order.basis, erasureBases)
  const reason = order.reasonFile === undefined ? undefined : digest(await readReason(order.reasonFile))
  return withErasing(env, async (ctx) => {
    await replayErasures(ctx)
    const { subjects } = await eraseSubject(ctx, { ...named, by: 'operator', basis, reason })
    if (subjects === 0) return `${named.of} ${named.id} was erased before: nothing is left to erase`
    return `erased ${named.of} ${named.id}: ${subjects} keys and all that they sealed are gone; a running node forgets within a minute. Backups made before still hold them`
  })
}

/** Places a hold; nothing of it is erased until it ends or is released. Throws `not_found`, `erased`. */
export async function holdByOperator(env: Environment, order: Named & { basis: string; until?: string }): Promise<string> {
  const named = readNamed(order)
  const basis = readBasis(order.basis, holdBases)
  const until = order.until === undefined ? undefined : readDay(order.until)
  return withErasing(env, async (ctx) => {
    if (until !== undefined && until <= ctx.now())
      throw new CrosslineError('invalid_config', { detail: '--until is over already.' })
    const hold = await placeHold(ctx, { ...named, by: 'operator', basis, until })
    return `hold ${hold} on ${named.of} ${named.id}, ${until ? `until ${until.toISOString()}` : 'until it is released'}`
  })
}

/** Releases a hold. Throws `not_found` for one that is not there or was released before. */
export async function releaseByOperator(env: Environment, hold: string): Promise<string> {
  if (!isUuidV7(hold))
    throw new CrosslineError('invalid_config', { detail: 'A hold is named by the id that `audit hold` printed.' })
  return withErasing(env, async (ctx) => {
    await releaseHold(ctx, hold)
    return `released hold ${hold}`
  })
}

/** One line for each hold, those that are over too. */
export async function describeHolds(env: Environment): Promise<string> {
  const holds = await withErasing(env, listHolds)
  if (holds.length === 0) return 'there is no hold'
  return holds
    .map(({ id, kind, subject, basis, until, released_at }) => {
      const end = released_at
        ? `released ${released_at.toISOString()}`
        : until
          ? `until ${until.toISOString()}`
          : 'until released'
      return [id, kind, subject, basis, end].join('  ')
    })
    .join('\n')
}

/** Compares the database with the journal beside it, both ways, and does again what a restored database does not know. */
export async function replayByOperator(env: Environment, { dryRun }: { dryRun: boolean }): Promise<string> {
  const done = await withErasing(env, (ctx) => replayErasures(ctx, { dryRun }))
  const verb = dryRun ? 'would be' : 'were'
  const said: [keyof Replay, string][] = [
    ['erased', `erasures ${verb} done again`],
    ['holds', `holds ${verb} placed or released again`],
    ['held', 'stay because of a legal hold'],
    ['added', `lines ${verb} added to the journal from the database`],
  ]
  const lines = said.filter(([name]) => done[name] > 0).map(([name, text]) => `${done[name]} ${text}`)
  return lines.length > 0 ? lines.join('\n') : 'database and journal know the same'
}

function withErasing<T>(env: Environment, work: (ctx: ErasureContext) => Promise<T>): Promise<T> {
  const folder = join(resolve(env.DATA_DIR?.trim() || 'data'), 'audit')
  if (!existsSync(join(folder, 'erasures')))
    throw new CrosslineError('invalid_config', {
      detail: 'DATA_DIR holds no journal of erasures: name the folder of the node, and start the node once.',
    })
  return withRegistry(env, (ctx) => work({ ...ctx, erasures: openErasureJournal({ folder, key: ctx.keys.erasures }) }))
}

function readNamed({ item, report }: Named): { of: 'item' | 'report'; id: string } {
  const id = item ?? report
  if (id === undefined || (item !== undefined && report !== undefined))
    throw new CrosslineError('invalid_config', { detail: 'Name one: --item or --report.' })
  if (!isUuidV7(id)) throw new CrosslineError('invalid_config', { detail: 'An id is a UUIDv7 in lower case.' })
  return { of: item === undefined ? 'report' : 'item', id }
}

function readBasis<T extends string>(code: string, known: Record<T, string>): T {
  if (Object.hasOwn(known, code)) return code as T
  throw new CrosslineError('invalid_config', { detail: `--basis is one of ${Object.keys(known).join(', ')}.` })
}

/** A day (its end, UTC) or a whole time. */
function readDay(text: string): Date {
  const time = new Date(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T23:59:59.999Z` : text)
  if (!/^\d{4}-\d\d-\d\d(T[\d:.]+Z)?$/.test(text) || Number.isNaN(time.getTime()))
    throw new CrosslineError('invalid_config', { detail: '--until is a day, as 2027-01-31, or a time in UTC.' })
  return time
}

async function readReason(path: string): Promise<Buffer> {
  return readFile(path).catch((cause: unknown) => {
    throw new CrosslineError('broken_file', { detail: '--reason-file can not be read.', cause })
  })
}
