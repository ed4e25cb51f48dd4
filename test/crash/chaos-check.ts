// What is left after a run of kills, looked at three times: row by row, by RFC 6962's own recursion, and by the node's `audit fsck`.
import { createPublicKey, hash, type KeyObject, verify } from 'node:crypto'
import { verifierKeyOf } from '#crypto/checkpoint-note.ts'
import { verifyConsistency } from '#domain/consistency.ts'
import type { HeldDirectory } from '#domain/held-directory.ts'
import { checkLog } from '#steps/check-log.ts'
import type { SealContext } from '#steps/seal-audit.ts'
import type { Database } from '#storage/database.ts'
import { leafOf, nodeOf } from '../domain/rfc-6962.ts'

export interface ChaosFindings {
  /** Committed entries. */
  entries: number
  checkpoints: number
  /** Entries without a leaf, and entries whose writer was told that they stand and that do not. */
  lost: number
  /** Leaves too many of an entry. */
  doubled: number
  /** Indexes of a tree that no leaf has. */
  gaps: number
  /** Checkpoints that are not signed, not the root by definition, or do not follow from the one before. */
  badCheckpoints: number
  /** Whether the newest one stands published. */
  isPublished: boolean
  haltedWhy: string | null
  fsck: string
}

interface Seen {
  db: Database
  logKey: KeyObject
  /** Leaf hashes whose commit was answered, as hex. */
  acknowledged: ReadonlySet<string>
  published: ReadonlyMap<number, string>
}

export async function checkChaos(ctx: SealContext, { db, logKey, acknowledged, published }: Seen): Promise<ChaosFindings> {
  const entries = await db.selectFrom('audit_entry').select(['id', 'entry']).orderBy('id').execute()
  const leaves = await db.selectFrom('audit_leaf').selectAll().orderBy('year').orderBy('leaf_index').execute()
  const checkpoints = await db.selectFrom('audit_checkpoint').selectAll().orderBy('year').orderBy('size').execute()
  const bytes = new Map(entries.map(({ id, entry }) => [id, entry]))
  const sealed = Map.groupBy(leaves, (leaf) => leaf.entry_id)
  const found = new Set(leaves.map((leaf) => leaf.hash.toString('hex')))
  const unsealed = entries.filter(({ id }) => !sealed.has(id)).length
  const gone = [...acknowledged].filter((leaf) => !found.has(leaf)).length
  let gaps = 0
  let badCheckpoints = 0
  for (const [year, of] of Map.groupBy(leaves, (leaf) => leaf.year)) {
    gaps += (of.at(-1)?.leaf_index ?? -1) + 1 - new Set(of.map((leaf) => leaf.leaf_index)).size
    const tree = treeOf(of.map(({ entry_id }) => bytes.get(entry_id) ?? Buffer.alloc(0)))
    const own = checkpoints.filter((checkpoint) => checkpoint.year === year)
    badCheckpoints += own.filter((one, place) => !isGood(one, { before: own[place - 1], tree, logKey })).length
    if (own.at(-1)?.size !== of.length) badCheckpoints += 1
  }
  const newest = checkpoints.at(-1)
  const { halted_why } = await db.selectFrom('audit_state').select('halted_why').executeTakeFirstOrThrow()
  return {
    entries: entries.length,
    checkpoints: checkpoints.length,
    lost: unsealed + gone,
    doubled: leaves.length - sealed.size + (leaves.length - found.size),
    gaps,
    badCheckpoints,
    isPublished: newest !== undefined && published.get(newest.year) === newest.note,
    haltedWhy: halted_why,
    fsck: await fsck(ctx, { logKey, years: [...new Set(checkpoints.map(({ year }) => year))] }),
  }
}

interface Row {
  year: number
  size: number
  root: Buffer
  note: string
}

function isGood(one: Row, { before, tree, logKey }: { before: Row | undefined; tree: Tree; logKey: KeyObject }): boolean {
  const [text = '', lines = ''] = one.note.split('\n\n')
  const signature = Buffer.from(lines.trimEnd().split(' ')[2] ?? '', 'base64').subarray(4)
  const body = `hotline-gb/audit/${one.year}\n${one.size}\n${one.root.toString('base64')}`
  if (text !== body || !verify(null, Buffer.from(`${body}\n`), createPublicKey(logKey), signature)) return false
  if (one.size > tree.size || !tree.root(0, one.size).equals(one.root)) return false
  if (!before) return true
  try {
    const path = tree.consistency(before.size, one.size)
    verifyConsistency({ first: before.size, firstRoot: before.root, second: one.size, secondRoot: one.root, path })
    return true
  } catch {
    return false
  }
}

interface Tree {
  size: number
  /** MTH(D[from:to]) */
  root(from: number, to: number): Buffer
  /** PROOF(first, D[second]) */
  consistency(first: number, second: number): Buffer[]
}

/** The recursions of RFC 6962 §2.1 over the bytes of the entries; full subtrees are worked out once, for there are many checkpoints. */
function treeOf(entries: readonly Buffer[]): Tree {
  const known = new Map<string, Buffer>()
  const root = (from: number, to: number): Buffer => {
    const name = `${from}-${to}`
    const held = known.get(name)
    if (held) return held
    const count = to - from
    if (count === 0) return hash('sha256', '', 'buffer')
    const k = splitOf(count)
    const made = count === 1 ? leafOf(entries[from] as Buffer) : nodeOf(root(from, from + k), root(from + k, to))
    if (count === 1 || k * 2 === count) known.set(name, made)
    return made
  }
  const proof = (m: number, from: number, to: number, isWhole: boolean): Buffer[] => {
    const count = to - from
    if (m === count) return isWhole ? [] : [root(from, to)]
    const k = splitOf(count)
    if (m <= k) return [...proof(m, from, from + k, isWhole), root(from + k, to)]
    return [...proof(m - k, from + k, to, false), root(from, from + k)]
  }
  return { size: entries.length, root, consistency: (first, second) => proof(first, 0, second, true) }
}

function splitOf(count: number): number {
  let k = 1
  while (k * 2 < count) k *= 2
  return k
}

/** 'valid', or the first thing that is wrong. */
async function fsck(ctx: SealContext, { logKey, years }: { logKey: KeyObject; years: number[] }): Promise<string> {
  const logs = years.map((year) => `log ${verifierKeyOf(`hotline-gb/audit/${year}`, 1, logKey).text}\n`)
  const first = verifierKeyOf('hotline-gb', 1, logKey)
  const found = await checkLog(
    {
      self: ctx.self,
      db: ctx.db,
      keys: ctx.keys,
      auditPolicy: `${logs.join('')}quorum none\n`,
      auditKey: () => ({
        key: logKey,
        kid: '',
        publicJwk: { kty: 'OKP', crv: 'Ed25519', x: first.publicKey.toString('base64url') },
      }),
      directory: () => ({ findMember: () => undefined, auditKeys: () => [], peersOf: () => [] }) as unknown as HeldDirectory,
    },
    () => {},
  )
  return found.verdict === 'valid' ? 'valid' : `${found.verdict}: ${found.faults[0]?.says ?? 'no fault named'}`
}
