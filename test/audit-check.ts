// Verifies a whole audit log from its table up, as an outsider would: every entry re-hashed, every chain walked, every commitment opened.
// Throws with a list of all that is wrong, so that a test may run it after each scenario.
import { hash } from 'node:crypto'
import canonicalize from 'canonicalize'
import { sql } from 'kysely'
import { type DerivedKeys, deriveKeys, readMasterKey } from '#crypto/sealed-text.ts'
import { Entry } from '#schema/audit.ts'
import { type Opening, subjectRef } from '#steps/append-audit.ts'
import { openJson, openSubjectKey } from '#steps/subject-keys.ts'
import type { Database } from '#storage/database.ts'
import type { Db } from '#storage/report-store.ts'

export interface CheckedEntry {
  id: number
  event: string
  from: string | null
  to: string | null
  /** base64url, as in the entry. */
  ref: string
  n: number
  entry: Entry
  /** What opens its commitments; empty without keys. */
  opening: Opening
}

export interface CheckedLog {
  entries: CheckedEntry[]
  /** Entries about an item, in their order. Needs keys. */
  about(subject: string): CheckedEntry[]
}

interface Row {
  id: number
  event: string
  item_ref: Buffer
  item_seq: number
  from_member: string | null
  to_member: string | null
  country: string | null
  entry: Buffer
  leaf: Buffer
  /** As the sealer has it: waiting, or in its tree. */
  kept: Buffer | null
  subject: string | null
  sealed: Buffer | null
  wrapped: Buffer | null
  /** An entry of the same chain says that what opens this one was destroyed. */
  is_erased: boolean
}

type Complain = (what: string) => void

/** The keys of a node, from its master key's file. */
export async function readNodeKeys(path: string): Promise<DerivedKeys> {
  return deriveKeys((await readMasterKey(path)).key)
}

/** Checks the whole log of a database; with the node's keys its payloads too. */
export async function checkAuditLog(db: Database, keys?: DerivedKeys): Promise<CheckedLog> {
  // One view of both: the node may be writing.
  const { rows, heads } = await db
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute(async (trx) => ({ rows: await readRows(trx), heads: await readHeads(trx) }))
  const mistakes: string[] = []
  const entries = rows.map((row) => checkEntry(row, { keys, complain: (what) => mistakes.push(`entry ${row.id}: ${what}`) }))
  checkChains(rows, heads, (what) => mistakes.push(what))
  if (mistakes.length > 0) throw new Error(`the audit log is broken:\n${mistakes.join('\n')}`)
  const about = (subject: string) => {
    if (!keys) throw new Error('without keys nobody knows which item an entry is about')
    const ref = subjectRef({ keys }, subject).toString('base64url')
    return entries.filter((entry) => entry.ref === ref)
  }
  return { entries, about }
}

async function readRows(db: Db): Promise<Row[]> {
  const found = await sql<Row>`
    select e.id, e.event, e.item_ref, e.item_seq, e.from_member, e.to_member, e.country, e.entry, e.leaf, coalesce(w.leaf, s.hash) as kept, p.subject, p.sealed, k.wrapped,
      p.entry_id is null and exists (select from audit_entry later where later.item_ref = e.item_ref and later.item_seq > e.item_seq and later.event = 'entry.erased') as is_erased
    from audit_entry e left join audit_pending w on w.id = e.id left join audit_leaf s on s.entry_id = e.id left join audit_payload p on p.entry_id = e.id
    left join subject_key k on k.subject = p.subject order by e.id`.execute(db)
  return found.rows
}

async function readHeads(db: Db): Promise<Map<string, { n: number; leaf: Buffer }>> {
  const found = await sql<{ item_ref: Buffer; n: number; leaf: Buffer }>`select item_ref, n, leaf from audit_head`.execute(db)
  return new Map(found.rows.map((row) => [row.item_ref.toString('hex'), row]))
}

function checkEntry(row: Row, { keys, complain }: { keys: DerivedKeys | undefined; complain: Complain }): CheckedEntry {
  const text = row.entry.toString()
  const entry = JSON.parse(text) as Entry
  if (canonicalize(entry) !== text) complain('the bytes are not the canonical form')
  if (!leafOf(row.entry).equals(row.leaf)) complain('the leaf is not the hash of the bytes')
  if (!row.kept?.equals(row.leaf)) complain('the sealer would not find it')
  checkMembers(entry, complain)
  checkColumns(row, entry, complain)
  const opening = keys ? openPayload(row, keys) : {}
  if (keys && !row.is_erased) checkOpening(entry, opening, complain)
  if (keys && !row.is_erased && (opening.country?.value ?? null) !== row.country)
    complain('the country is another than the one committed to')
  return { id: row.id, event: row.event, from: row.from_member, to: row.to_member, ref: entry.ref, n: entry.n, entry, opening }
}

function leafOf(bytes: Buffer): Buffer {
  return hash('sha256', Buffer.concat([Buffer.of(0), bytes]), 'buffer')
}

const required = Object.keys(Entry.properties).filter((name) => !['from', 'to', 'prev', 'peer'].includes(name))

function checkMembers(entry: Entry, complain: Complain): void {
  for (const name of required) if (!(name in entry)) complain(`${name} is missing`)
  for (const name of Object.keys(entry)) if (!(name in Entry.properties)) complain(`${name} is no member of an entry`)
}

function checkColumns(row: Row, entry: Entry, complain: Complain): void {
  const columns = [row.event, row.item_ref.toString('base64url'), row.item_seq, row.from_member, row.to_member]
  const members = [entry.event, entry.ref, entry.n, entry.from ?? null, entry.to ?? null]
  if (JSON.stringify(columns) !== JSON.stringify(members)) complain('the columns say something else than the entry')
}

function openPayload({ subject, sealed, wrapped }: Row, keys: DerivedKeys): Opening {
  if (!subject || !sealed || !wrapped) return {}
  return openJson(openSubjectKey({ keys }, subject, wrapped), 'audit', sealed) as Opening
}

function checkOpening(entry: Entry, opening: Opening, complain: Complain): void {
  const committed = { actor: entry.actor, ...entry.payload }
  if (Object.keys(opening).sort().join() !== Object.keys(committed).sort().join()) complain('the payload opens other commitments')
  for (const [name, { salt, value }] of Object.entries(opening)) {
    const bytes = Buffer.concat([Buffer.from(salt, 'base64url'), Buffer.from(canonicalize(value) ?? '')])
    const opened = hash('sha256', bytes, 'base64url')
    if (Buffer.from(salt, 'base64url').length !== 32) complain(`the salt of ${name} has not 32 bytes`)
    if (opened !== committed[name as keyof typeof committed]) complain(`the commitment ${name} does not open`)
  }
}

function checkChains(rows: readonly Row[], heads: ReadonlyMap<string, { n: number; leaf: Buffer }>, complain: Complain): void {
  const last = new Map<string, { n: number; leaf: Buffer }>()
  for (const row of rows) {
    const ref = row.item_ref.toString('hex')
    const before = last.get(ref)
    const { prev } = JSON.parse(row.entry.toString()) as Entry
    if (row.item_seq !== (before?.n ?? 0) + 1) complain(`entry ${row.id}: n does not follow on the entry before`)
    if (prev !== before?.leaf.toString('base64url')) complain(`entry ${row.id}: prev is not the leaf of the entry before`)
    last.set(ref, { n: row.item_seq, leaf: row.leaf })
  }
  if (heads.size !== last.size) complain(`${heads.size} heads stand for ${last.size} chains`)
  for (const [ref, { n, leaf }] of last) {
    const head = heads.get(ref)
    if (head?.n !== n || !head.leaf.equals(leaf)) complain(`a head is not the last entry of its chain (n = ${n})`)
  }
}
