// The hourly index.root entry: the tree that it states is the items as they were at one moment, computed here a second time from nothing
// but the entries; one process writes it, when it is time, and what is proven from it later is what it states.
import { createHash } from 'node:crypto'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { chunkLeaves, decodeIndexLeaf, encodeIndexLeaf, indexPaths, splitIndexChunk } from '#domain/index-tree.ts'
import type { Entry } from '#schema/audit.ts'
import { appendAudit, type Opening } from '#steps/append-audit.ts'
import { indexItems } from '#steps/index-items.ts'
import { findOrMakeKey } from '#steps/stable-keys.ts'
import { openJson, openSubjectKey, stableSubject } from '#steps/subject-keys.ts'
import { inTransactionOrAgain } from '#storage/database.ts'
import { findIndexChunk, findSealedIndex, type SealedIndex } from '#storage/index-store.ts'
import { type OwnLog, openLog, type SealingProcess } from './own-log.ts'

const sha256 = (...parts: Uint8Array[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest()

/** RFC 9162 §2.1.1 as it is written there. */
function rootOf(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 1) return leaves[0] as Buffer
  let split = 1
  while (split * 2 < leaves.length) split *= 2
  return sha256(Buffer.of(1), rootOf(leaves.slice(0, split)), rootOf(leaves.slice(split)))
}

interface Item {
  country: string
  ref: string
  n: number
  last: Buffer
}

/** The items of a log as entries tell of them, sorted as the tree is. */
async function itemsOf(log: OwnLog, before = Number.MAX_SAFE_INTEGER): Promise<Item[]> {
  const rows = await log.ask('select country, entry from crossline.audit_entry where id < $1 order by id', [before])
  const items = new Map<string, Item>()
  for (const { country, entry } of rows) {
    const { ref } = JSON.parse(entry.toString()) as Entry
    const item = items.get(ref) ?? { country: '\0\0', ref, n: 0, last: Buffer.alloc(0) }
    items.set(ref, { country: country ?? item.country, ref, n: item.n + 1, last: sha256(Buffer.of(0), entry) })
  }
  return [...items.values()].sort((one, other) => Buffer.compare(keyOf(one), keyOf(other)))
}

const keyOf = ({ country, ref }: Item): Buffer => Buffer.concat([Buffer.from(country), Buffer.from(ref, 'base64url')])

function leafOf(item: Item): Buffer {
  const n = Buffer.alloc(8)
  n.writeUInt32BE(item.n, 4)
  return sha256(Buffer.of(0), keyOf(item), n, item.last)
}

/** Adds entries about items, each with its country or none. */
async function write({ ctx }: SealingProcess, entries: readonly (readonly [item: string, country?: string])[]): Promise<void> {
  await inTransactionOrAgain(ctx.db, async (trx) => {
    for (const [item, country] of entries) {
      const subject = await findOrMakeKey(ctx, trx, stableSubject(item))
      await appendAudit(ctx, trx, [{ event: 'item.traced', subject, country, actor: { kind: 'node' }, payload: {} }])
    }
  })
}

interface Stated {
  id: number
  root: string
  size: number
}

/** What the index.root entries disclose, the last one last. */
async function findStated(log: OwnLog): Promise<Stated[]> {
  const { rows } = await sql<{ id: number; entry: Buffer; subject: string; sealed: Buffer; wrapped: Buffer }>`
    select e.id, e.entry, p.subject, p.sealed, k.wrapped from audit_entry e join audit_payload p on p.entry_id = e.id
    join subject_key k on k.subject = p.subject where e.event = 'index.root' order by e.id`.execute(log.database.database)
  return rows.map(({ id, subject, sealed, wrapped }) => {
    const { root, size } = openJson(openSubjectKey(log, subject, wrapped), 'audit', sealed) as Opening
    return { id, root: root?.value as string, size: size?.value as number }
  })
}

const end = { year: 9999, index: 0 }
const findIndex = async (log: OwnLog): Promise<SealedIndex> => {
  const index = await findSealedIndex(log.database.database, end)
  if (!index) throw new Error('there is no index')
  return index
}

t.test('states the tree over all items: country, ref, number of entries, last leaf', async (t: Test) => {
  const log = await openLog(t)
  const process = log.openProcess()
  await write(process, [['a', 'SE'], ['b', 'GB'], ['c'], ['a'], ['d', 'SE'], ['b', 'FR'], ['b'], ['e']])
  t.equal(await indexItems(process.ctx, { now: true }), 5)
  const [stated] = await findStated(log)
  const items = await itemsOf(log, stated?.id)
  t.same(new Set(items.map(({ country, n }) => `${country} ${n}`)), new Set(['\0\0 1', 'FR 3', 'SE 1', 'SE 2']))
  t.equal(stated?.size, 5)
  t.equal(stated?.root, rootOf(items.map(leafOf)).toString('base64url'))
})

t.test('and what is proven later leads to it, whatever was written since', async (t) => {
  const log = await openLog(t)
  const process = log.openProcess()
  const many = 2 * chunkLeaves + 37
  await process.ctx.db.transaction().execute(async (trx) => {
    const subject = await findOrMakeKey(process.ctx, trx, stableSubject('one'))
    await appendAudit(process.ctx, trx, [{ event: 'item.traced', subject, country: 'GB', actor: { kind: 'node' }, payload: {} }])
  })
  // Heads alone: the index reads nothing else.
  await log.ask(
    `insert into crossline.audit_head (item_ref, n, leaf, country) select sha256(i::text::bytea), 1 + i % 5, sha256(('x' || i)::bytea),
       (array[null, 'GB', 'SE'])[1 + i % 3] from generate_series(1, ${many}) i`,
  )
  await indexItems(process.ctx, { now: true })
  await process.sealAll()
  await log.ask("update crossline.audit_head set n = n + 1, country = 'US'")
  const index = await findIndex(log)
  const [stated] = await findStated(log)
  t.equal(index.root.toString('base64url'), stated?.root)
  t.equal(index.chunkRoots.length, 3)
  const leaves: Buffer[] = []
  const paths: Buffer[][] = []
  for (let n = 0; n < index.chunkRoots.length; n++) {
    const chunk = (await findIndexChunk(log.database.database, index.id, n)) as Buffer
    const pathOf = indexPaths(chunk, { n, roots: index.chunkRoots })
    for (const [place, record] of splitIndexChunk(chunk).entries()) {
      if (!encodeIndexLeaf(decodeIndexLeaf(record)).equals(record)) t.fail('a leaf is not read as it was written')
      leaves.push(sha256(Buffer.of(0), record))
      paths.push(pathOf(place))
    }
  }
  t.equal(leaves.length, many + 1)
  t.equal(rootOf(leaves).toString('base64url'), stated?.root, 'the leaves that are kept are the ones that were stated')
  for (const place of [0, 1, chunkLeaves - 1, chunkLeaves, 2 * chunkLeaves - 1, 2 * chunkLeaves, many]) {
    const root = climb(leaves[place] as Buffer, { place, size: leaves.length, path: [...(paths[place] as Buffer[])] })
    t.equal(root.toString('base64url'), stated?.root, `leaf ${place}`)
  }
})

/** Up from a leaf by halving the tree from the top, as RFC 9162 defines the path. */
function climb(leaf: Buffer, { place, size, path }: { place: number; size: number; path: Buffer[] }): Buffer {
  if (size === 1) return leaf
  let split = 1
  while (split * 2 < size) split *= 2
  const sibling = path.pop() as Buffer
  return place < split
    ? sha256(Buffer.of(1), climb(leaf, { place, size: split, path }), sibling)
    : sha256(Buffer.of(1), sibling, climb(leaf, { place: place - split, size: size - split, path }))
}

t.test('comes when an hour has passed and something was added', async (t) => {
  const log = await openLog(t)
  const { ctx, sealAll } = log.openProcess()
  const pass = (minutes: number) => {
    log.clock.now = new Date(log.clock.now.getTime() + minutes * 60_000)
  }
  t.equal(await indexItems(ctx), 0, 'of an empty log there is none')
  await log.append('a')
  const [{ recorded_at: begun }] = await log.ask('select recorded_at from crossline.audit_entry limit 1')
  log.clock.now = begun
  pass(59)
  t.equal(await indexItems(ctx), 0)
  pass(2)
  t.equal(await indexItems(ctx), 1)
  await log.append('b')
  pass(59)
  t.equal(await indexItems(ctx), 0, 'not yet')
  pass(2)
  t.equal(await indexItems(ctx), 3, 'the last index is an item too')
  pass(600)
  t.equal(await indexItems(ctx), 0, 'nothing is new but the index itself')
  await log.append('b')
  pass(-1200)
  t.ok(await indexItems(ctx), 'a clock that was set back makes nothing wait')
  await sealAll()
})

t.test('is written once when two processes want to', async (t) => {
  const log = await openLog(t)
  const [one, other] = [log.openProcess(), log.openProcess()]
  for (let round = 1; round <= 5; round++) {
    await log.append(`item ${round}`)
    await Promise.all([one, other, one, other].map(({ ctx }) => indexItems(ctx, { now: true })))
    t.equal((await findStated(log)).length, round)
  }
})

t.test('the last two are kept, and one that an export stands on', async (t) => {
  const log = await openLog(t)
  const { ctx } = log.openProcess()
  const ids = async () => (await log.ask('select id from crossline.audit_index order by entry_id')).map(({ id }) => id as string)
  const next = async () => {
    await log.append('a')
    await indexItems(ctx, { now: true })
  }
  for (let round = 0; round < 2; round++) await next()
  const [first, second] = await ids()
  await log.ask(
    `insert into crossline.audit_export (id, client, network_wide, countries, members, filter, format, index_id, created_at, expires_at)
     values (gen_random_uuid(), 'c', false, '{}', '{}', '', 'csv', $1, now(), now())`,
    [first],
  )
  for (let round = 0; round < 3; round++) await next()
  const kept = await ids()
  t.equal(kept.length, 3)
  t.equal(kept[0], first)
  t.notOk(kept.includes(second as string))
  const chunks = await log.ask('select distinct index_id as id from crossline.audit_index_chunk')
  t.same(new Set(chunks.map(({ id }) => id)), new Set(kept), 'and nothing of the others')
})

t.test('while many write, each counts what stands before it and nothing behind it', async (t) => {
  const log = await openLog(t)
  const writers = Array.from({ length: 4 }, () => log.openProcess())
  let isOver = false
  const writing = writers.map(async (process, place) => {
    for (let round = 0; !isOver; round++)
      await write(process, [[`own ${place} ${round % 7}`, round % 2 ? 'GB' : 'SE'], [`shared ${round % 3}`]])
  })
  const sealing = (async () => {
    const { sealer } = log.openProcess()
    while (!isOver) await sealer.seal()
    while (await sealer.seal());
  })()
  for (let round = 0; round < 8; round++) await indexItems(writers[0]?.ctx as SealingProcess['ctx'], { now: true })
  isOver = true
  await Promise.all(writing)
  await log.openProcess().sealAll()
  await sealing
  const rows = await log.ask(
    'select l.leaf_index::int as place, e.entry, e.event, e.id::int from crossline.audit_leaf l join crossline.audit_entry e on e.id = l.entry_id order by 1',
  )
  const placeOf = new Map(rows.map(({ entry, place }) => [sha256(Buffer.of(0), entry).toString('hex'), place as number]))
  const index = await findIndex(log)
  const leaves: Buffer[] = []
  for (let n = 0; n < index.chunkRoots.length; n++) {
    for (const record of splitIndexChunk((await findIndexChunk(log.database.database, index.id, n)) as Buffer)) {
      const { last, ref, n: count } = decodeIndexLeaf(record)
      leaves.push(sha256(Buffer.of(0), record))
      const place = placeOf.get(last.toString('hex')) ?? Number.NaN
      if (!(place < index.place.index)) t.fail('the index counts an entry that is sealed after it')
      const entry = JSON.parse(rows[place].entry.toString()) as Entry
      if (entry.ref !== ref.toString('base64url') || entry.n !== count) t.fail('a leaf says something else than its last entry')
    }
  }
  t.equal(rootOf(leaves).toString('base64url'), (await findStated(log)).at(-1)?.root)
  t.ok(rows.length > 50, `${rows.length} entries were written`)
})
