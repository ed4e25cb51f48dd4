// The sealer's work within its transaction: the trees as they are, the entries that wait put into them, and what has grown signed.
import { signCheckpoint } from '#crypto/checkpoint-note.ts'
import { edgeTiles } from '#domain/tiles.ts'
import { isRefusedData } from '#storage/database.ts'
import type { Trx } from '#storage/report-store.ts'
import {
  actAsSealer,
  actAsService,
  findShards,
  insertCheckpoint,
  insertLeaves,
  type PendingEntry,
  readPending,
  readPendingLeaf,
  removePending,
  type ShardRow,
  saveShard,
  writeTiles,
} from '#storage/seal-store.ts'
import { findCheckpointAt, readTiles } from '#storage/tree-store.ts'
import { type AuditContext, appendAudit } from './append-audit.ts'
import type { StepContext } from './context.ts'
import { SealingHalt } from './sealing-halt.ts'
import { emptyShard, growShard, originOf, readShard, type Shard, toRow, yearOfEntry } from './shard.ts'
import { findOrMakeKey } from './stable-keys.ts'
import { stableSubject } from './subject-keys.ts'

/** By year, the oldest first. */
export type Shards = ReadonlyMap<number, Shard>

/** Entries that are placed at once … */
const entriesPerRound = 8192
/** … and how often before a pass commits: what one transaction holds is bounded. */
const roundsPerPass = 8

/** The trees as committed. Throws a halt when the database does not have what this process has seen in it, or contradicts itself. */
export async function loadShards(trx: Trx, known: Shards): Promise<Shards> {
  const rows = await findShards(trx)
  const shards = new Map<number, Shard>()
  for (const row of rows) shards.set(row.year, await loadShard(trx, row, known.get(row.year)))
  for (const [year, { edge }] of known) {
    if (!shards.has(year)) throw new SealingHalt('rollback', { year, held: 0, known: edge.size })
  }
  return shards
}

async function loadShard(trx: Trx, row: ShardRow, known: Shard | undefined): Promise<Shard> {
  const { year, size, root } = row
  if (known && known.edge.size >= size) {
    const isSame = known.edge.size === size && known.root.equals(root)
    if (!isSame) throw new SealingHalt('rollback', { year, held: size, known: known.edge.size })
    return { ...known, isOpen: row.state === 'open', signedAt: row.last_at }
  }
  // Another process has sealed, or this one has just started.
  if (known) await requireCheckpoint(trx, { year, size: known.edge.size, root: known.root }, 'rollback')
  await requireCheckpoint(trx, { year, size, root }, 'broken_tree')
  return readShard(row, await readTiles(trx, year, edgeTiles(size)))
}

async function requireCheckpoint(
  trx: Trx,
  { year, size, root }: { year: number; size: number; root: Buffer },
  why: 'rollback' | 'broken_tree',
): Promise<void> {
  const found = await findCheckpointAt(trx, year, size)
  if (!found?.root.equals(root)) throw new SealingHalt(why, { year, size, part: 'checkpoint' })
}

/** Puts what waits into the trees. `isEmpty` when nothing was left behind. Throws a halt; then nothing of it may stand. */
export async function placePending(ctx: AuditContext, trx: Trx, before: Shards): Promise<{ shards: Shards; isEmpty: boolean }> {
  let shards = before
  for (let round = 0; round < roundsPerPass; round++) {
    const pending = await readPending(trx, entriesPerRound)
    const byYear = Map.groupBy(pending, (entry) => yearOfEntry(ctx.self, entry))
    for (const [year, entries] of [...byYear].sort(([one], [other]) => one - other)) {
      shards = new Map([...shards, [year, await placeIn(ctx, trx, { before, shards, year, entries })]])
    }
    if (pending.length < entriesPerRound) return { shards, isEmpty: true }
  }
  return { shards, isEmpty: false }
}

interface Placing {
  before: Shards
  shards: Shards
  year: number
  entries: readonly PendingEntry[]
}

async function placeIn(ctx: AuditContext, trx: Trx, placing: Placing): Promise<Shard> {
  const { shards, year, entries } = placing
  const held = shards.get(year)
  const isPast = held ? !held.isOpen : [...shards.keys()].some((other) => other > year)
  if (isPast) throw new SealingHalt('straggler', { year, entry: entries[0]?.id ?? 0 })
  const added = held ? entries : [...(await openShard(ctx, trx, placing)), ...entries]
  const from = held ?? emptyShard(ctx.self, year)
  const { shard, written } = growShard(
    from,
    added.map(({ leaf }) => leaf),
  )
  await writeOnce({ year, size: from.edge.size }, async () => {
    await insertLeaves(trx, { year, first: from.edge.size, leaves: added })
    await writeTiles(trx, year, written)
    await saveShard(trx, toRow(shard, shard.signedAt ?? ctx.now()))
    // Last: nothing leaves the queue that has no place in the tree.
    await removePending(
      trx,
      added.map(({ id }) => id),
    )
  })
  return shard
}

// A place or an entry that has a leaf already, a tile or a tree that does not begin with what it held, an entry that left without its leaf: the
// tree in the database is not ours any more.
async function writeOnce(facts: { year: number; size: number }, write: () => Promise<void>): Promise<void> {
  try {
    await write()
  } catch (error) {
    const isRefused = isRefusedData(error) || (error as { code?: string }).code === '42501'
    throw isRefused ? new SealingHalt('broken_tree', { ...facts, part: 'write' }) : error
  }
}

/** The first leaf of a shard names the last checkpoint of the one before: one chain of years. */
async function openShard(ctx: AuditContext, trx: Trx, { before, year }: Placing): Promise<PendingEntry[]> {
  const last = [...before.values()].at(-1)
  const previous = last && { origin: last.origin, size: last.edge.size, root: last.root.toString('base64url') }
  const [leaf] = await appendAsService(trx, async () =>
    appendAudit(ctx, trx, [
      {
        event: 'shard.opened',
        year,
        subject: await findOrMakeKey(ctx, trx, stableSubject(`audit shard ${originOf(ctx.self, year)}`)),
        actor: { kind: 'node' },
        payload: previous ? { previous } : {},
      },
    ]),
  )
  const added = await readPendingLeaf(trx, leaf as Buffer)
  for (const entry of added) yearOfEntry(ctx.self, entry)
  return added
}

/** The sealer has no right to add entries, and the service none to seal them. */
export async function appendAsService<T>(trx: Trx, append: () => Promise<T>): Promise<T> {
  await actAsService(trx)
  const result = await append()
  await actAsSealer(trx)
  return result
}

interface Growth {
  before: Shards
  after: Shards
  at: Date
}

/** Signs the tree of each year that has grown, once, and keeps tree and signature in the transaction. */
export async function signGrown(
  ctx: Pick<StepContext, 'auditKey'>,
  trx: Trx,
  { before, after, at }: Growth,
): Promise<{ shards: Shards; grown: Shard[] }> {
  const shards = new Map<number, Shard>()
  const grown: Shard[] = []
  for (const [year, shard] of after) {
    const { origin, edge, root, isOpen } = shard
    const last = before.get(year)
    const hasGrown = edge.size > (last?.edge.size ?? 0)
    const signedAt = hasGrown ? at : (shard.signedAt ?? at)
    const signed = { ...shard, signedAt }
    shards.set(year, signed)
    if (hasGrown || last?.isOpen !== isOpen) await saveShard(trx, toRow(signed, signedAt))
    if (!hasGrown) continue
    const note = signCheckpoint({ origin, size: edge.size, root }, ctx.auditKey(year).key)
    await insertCheckpoint(trx, { year, size: edge.size, root, note, signed_at: at })
    grown.push(signed)
  }
  return { shards, grown }
}
