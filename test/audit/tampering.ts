// What the test of tampering does to a hotline whose administrator is the attacker: copies of its database, changed as superuser, looked at
// with `fsck`, exported, started as a node with the real keys. The real database and the peers are left as they are.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import canonicalize from 'canonicalize'
import type { Test } from 'tap'
import { exportByOperator } from '#commands/audit-export.ts'
import { auditFsck } from '#commands/audit-fsck.ts'
import { verifyFile } from '#commands/verify-file.ts'
import { readConfig } from '#config.ts'
import { growEdge } from '#domain/right-edge.ts'
import type { Verification } from '#domain/verification.ts'
import { createLogger } from '#log.ts'
import { type Node, startNode } from '#node.ts'
import { withClient } from '#storage/admin-client.ts'
import { leafOf, rootOf } from '../bundle.ts'
import { roundMs } from '../federation/witness-network.ts'
import { type Network, never, type RunningMember } from '../network.ts'
import { readAuditKey, verifierKey } from '../witness-log.ts'
import { cloneDatabase, envOf } from './erasing.ts'
import { tamper } from './own-log.ts'

/** A copy of a hotline's database, and a folder without what the hotline published outside it. */
export interface Copy {
  url: string
  adminUrl: string
  env: Record<string, string>
  /** As superuser, with the triggers of a table off for a moment. */
  change(table: string, sql: string): Promise<void>
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into whatever came back
  ask(query: string, values?: unknown[]): Promise<any[]>
}

let copies = 0

/** Copies the database of a member that is stopped. */
export async function copyOf(t: Test, network: Network, member: RunningMember): Promise<Copy> {
  const { url, adminUrl } = await cloneDatabase(t, member.database)
  const dataDir = join(network.folder, `copy-${copies++}`)
  mkdirSync(dataDir, { mode: 0o700 })
  const env = { ...envOf(network, member, url), DATA_DIR: dataDir, MASTER_KEY: member.config.masterKey }
  const ask = (query: string, values: unknown[] = []) =>
    withClient(adminUrl, async (client) => (await client.query(query, values.length > 0 ? values : undefined)).rows)
  return { url, adminUrl, env, ask, change: (table, sql) => tamper({ ask }, table, sql) }
}

/** Starts a member's node on a copy; `alone`: it asks no peer to cosign. Ends with what `use` does. */
export async function withNode<T>({ env }: Copy, { alone }: { alone: boolean }, use: (node: Node) => Promise<T>): Promise<T> {
  const log = createLogger({ level: 'silent' })
  const times = alone ? { witnessRoundMs: never, witnessPatienceMs: 0 } : { witnessRoundMs: roundMs, witnessPatienceMs: 1000 }
  const node = await startNode(readConfig(env), { log, ...times, peerWaitMs: 2000 })
  try {
    return await use(node)
  } finally {
    await node.stop()
  }
}

export interface Looked extends Verification {
  exitCode: number
}

export async function fsck(env: Record<string, string>): Promise<Looked> {
  return JSON.parse((await auditFsck(env, { json: true }, () => {})).text) as Looked
}

/** The policy that a liaison holds: the log's key and its two witnesses, both of whom must have cosigned. */
export function writePolicy(network: Network, { log, witnesses }: { log: string; witnesses: readonly string[] }): string {
  const file = join(network.folder, 'liaison-policy.txt')
  const origin = `${log}/audit/${new Date().getUTCFullYear()}`
  const lines = [
    `log ${verifierKey(origin, 1, readAuditKey(network.folder, log))}`,
    ...witnesses.map((id) => `witness ${id} ${verifierKey(`${id}/witness`, 4, readAuditKey(network.folder, id))}`),
    `group both ${witnesses.length} ${witnesses.join(' ')}`,
    'quorum both\n',
  ]
  writeFileSync(file, lines.join('\n'))
  return file
}

/** What a liaison gets who asks the hotline for its whole log now, and what the verifier says of it. */
export async function exportAndVerify(
  { env }: Pick<Copy, 'env'>,
  { policy, since }: { policy: string; since?: string },
): Promise<Looked> {
  const out = join(env.DATA_DIR as string, `bundle-${copies++}.tar`)
  await exportByOperator(env, { format: 'ndjson', out, fresh: false })
  return JSON.parse(verifyFile(out, { policy, since, json: true }).text) as Looked
}

/**
 * Writes the log anew from an edited entry on, as whoever holds the real key would: each `prev` and `seen` that follows is made to fit; the
 * tree goes back to its first checkpoint, from where the node seals and signs all of it again when it starts.
 */
export async function rebuild(copy: Copy, id: number, edit: (entry: string) => string): Promise<void> {
  const [first] = await copy.ask('select year, size::int, root from crossline.audit_checkpoint order by size limit 1')
  // What stays sealed, then the rest in the order in which it will be sealed.
  const rows = await copy.ask(
    `select e.id::int, e.entry from crossline.audit_entry e left join crossline.audit_leaf l on l.entry_id = e.id and l.leaf_index < ${first.size}
     order by l.leaf_index nulls last, e.id`,
  )
  const leaves: Buffer[] = []
  const moved = new Map<string, string>()
  const changes: string[] = []
  for (const row of rows) {
    const old = row.entry.toString() as string
    const now = refit(row.id === id ? edit(old) : old, { leaves, moved })
    const [oldLeaf, leaf] = [leafOf(old), leafOf(now)]
    leaves.push(leaf)
    if (now === old) continue
    moved.set(oldLeaf.toString('base64url'), leaf.toString('base64url'))
    changes.push(
      `update crossline.audit_entry set entry = convert_to('${now}', 'UTF8') where id = ${row.id}`,
      `update crossline.audit_head set leaf = '\\x${leaf.toString('hex')}' where leaf = '\\x${oldLeaf.toString('hex')}'`,
    )
  }
  await copy.change('audit_entry', changes.join(';\n'))
  await shrink(copy, first, leaves)
}

async function shrink(copy: Copy, first: { size: number; root: Buffer }, leaves: readonly Buffer[]): Promise<void> {
  const hex = (hashes: readonly Buffer[]) => `'\\x${Buffer.concat(hashes).toString('hex')}'`
  const kept = leaves.slice(0, first.size)
  const { hashes } = growEdge({ size: 0, hashes: [] }, kept)
  await copy.change('cosignature', 'delete from crossline.cosignature')
  await copy.change('audit_checkpoint', `delete from crossline.audit_checkpoint where size > ${first.size}`)
  for (const table of ['audit_leaf', 'audit_place'])
    await copy.change(table, `delete from crossline.${table} where leaf_index >= ${first.size}`)
  await copy.change(
    'audit_shard',
    `update crossline.audit_shard set size = ${first.size}, root = ${hex([first.root])}, edge = ${hex(hashes)}`,
  )
  await copy.change('audit_tile', `update crossline.audit_tile set hashes = ${hex(kept)}`)
  await copy.ask(`insert into crossline.audit_pending (id, leaf, recorded_at) select id, leaf, recorded_at from crossline.audit_entry
    where id not in (select entry_id from crossline.audit_leaf) on conflict (id) do update set leaf = excluded.leaf`)
}

function refit(text: string, { leaves, moved }: { leaves: readonly Buffer[]; moved: ReadonlyMap<string, string> }): string {
  const entry = JSON.parse(text)
  if (entry.prev) entry.prev = moved.get(entry.prev) ?? entry.prev
  if (moved.size > 0 && entry.seen.size > 0) entry.seen.root = rootOf(leaves.slice(0, entry.seen.size)).toString('base64url')
  return canonicalize(entry) as string
}

/** Gives the sealed entries of a copy other places; `sql` changes the rows of the temporary table "moving". */
export async function moveLeaves(copy: Copy, from: number, sql: string): Promise<void> {
  for (const table of ['audit_leaf', 'audit_place'])
    await copy.change(
      table,
      `create temp table moving on commit drop as select * from crossline.${table} where leaf_index >= ${from};
       delete from crossline.${table} where leaf_index >= ${from};
       ${sql};
       insert into crossline.${table} select * from moving`,
    )
}
