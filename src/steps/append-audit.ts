// Adds audit entries in the transaction of the change that they record (audit.md): the change and its entry commit together or not at all.
import { randomUUIDv7 } from 'node:crypto'
import { generateSalt, keyedHash } from '#crypto/sealed-text.ts'
import { buildEntry, type Committed, emptyTree } from '#domain/audit-entry.ts'
import { CrosslineError } from '#errors.ts'
import type { AuditEvent } from '#schema/audit.ts'
import { type AuditHead, type AuditRow, insertAuditRows, lockAuditHeads } from '#storage/audit-store.ts'
import { isTransient } from '#storage/database.ts'
import type { Trx } from '#storage/report-store.ts'
import type { StepContext } from './context.ts'
import { type SubjectKey, sealJson } from './subject-keys.ts'

/** Who did it, as committed: a program of ours, the operator at the command line, a client by its certificate, or a peer. */
export type Actor =
  | { kind: 'node' }
  | { kind: 'operator' }
  | { kind: 'client'; fingerprint: string }
  | { kind: 'peer'; member: string }

/** What writing an entry needs. */
export type AuditContext = Pick<StepContext, 'self' | 'keys' | 'now' | 'checkpoint'>

export interface NewEntry {
  event: AuditEvent
  /** The item, report or query that the entry is about, with the key that seals what it commits to. */
  subject: SubjectKey
  /** Whose chain the entry goes on with, when that is another than the key's: it must stay open when the texts of `about` are erased. */
  about?: string | undefined
  from?: string | undefined
  to?: string | undefined
  /** Country that the entry is about: decides which liaison sees it; added to what the entry commits to. */
  country?: string | undefined
  actor: Actor
  /** One member for each field that may be disclosed alone. No URL and no personal data. */
  payload: Record<string, unknown>
  /** Digest of the counterparty's proof or receipt. */
  peer?: string | undefined
  /** Whose log it belongs to, where that is not the year of the clock. */
  year?: number
}

/** Keyed pseudonym of an item, report or query. */
export function subjectRef({ keys }: Pick<StepContext, 'keys'>, subject: string): Buffer {
  const known = knownRefs(keys)
  const held = known.get(subject)
  if (held) return held
  const ref = keyedHash(keys.itemRef, subject)
  if (known.size >= maxKnownRefs) known.clear()
  known.set(subject, ref)
  return ref
}

// An item gets its entries within seconds, one after the other: its pseudonym is worked out once.
const maxKnownRefs = 20_000
const refsByKeys = new WeakMap<StepContext['keys'], Map<string, Buffer>>()

function knownRefs(keys: StepContext['keys']): Map<string, Buffer> {
  const known = refsByKeys.get(keys) ?? new Map<string, Buffer>()
  refsByKeys.set(keys, known)
  return known
}

/** Appends entries in the order given, and gives their leaf hashes. Throws `audit_unavailable` if they can't be written: then nothing of the transaction may stand. */
export async function appendAudit(ctx: AuditContext, trx: Trx, entries: readonly NewEntry[]): Promise<Buffer[]> {
  if (entries.length === 0) return []
  try {
    return await writeEntries(ctx, trx, entries)
  } catch (cause) {
    if (isTransient(cause)) throw cause
    throw new CrosslineError('audit_unavailable', { cause })
  }
}

async function writeEntries(ctx: AuditContext, trx: Trx, entries: readonly NewEntry[]): Promise<Buffer[]> {
  const refs = new Map(entries.map(chainOf).map((subject) => [subject, subjectRef(ctx, subject)]))
  const held = await lockAuditHeads(trx, [...refs.values()])
  const moved = new Map<string, AuditHead>()
  const begun = new Map<string, AuditHead>()
  const rows: AuditRow[] = []
  for (const entry of entries) {
    const ref = refs.get(chainOf(entry)) as Buffer
    const name = ref.toString('base64url')
    const head = moved.get(name) ?? begun.get(name) ?? held.get(name)
    const row = buildRow(ctx, entry, { ref, head })
    ;(held.has(name) ? moved : begun).set(name, { n: row.n, leaf: row.leaf, country: entry.country ?? head?.country })
    rows.push(row)
  }
  await insertAuditRows(trx, rows, { begun, moved })
  return rows.map(({ leaf }) => leaf)
}

const chainOf = ({ about, subject }: NewEntry): string => about ?? subject.subject

function buildRow(ctx: AuditContext, entry: NewEntry, { ref, head }: { ref: Buffer; head: AuditHead | undefined }): AuditRow {
  const at = ctx.now()
  const { event, from, to, country, subject, peer } = entry
  const n = (head?.n ?? 0) + 1
  const log = `${ctx.self}/audit/${entry.year ?? at.getUTCFullYear()}`
  const actor = withSalt(entry.actor)
  const payload = commitPayload(entry)
  const built = buildEntry(
    {
      log,
      id: randomUUIDv7(),
      event,
      at,
      from,
      to,
      ref,
      n,
      prev: head?.leaf,
      seen: seenOf(ctx, log),
      peer,
    },
    actor,
    payload,
  )
  return {
    event,
    ref,
    n,
    from,
    to,
    country,
    entry: built.bytes,
    leaf: built.leaf,
    subject: subject.subject,
    sealed: sealJson(subject, 'audit', opening(actor, payload)),
  }
}

/** The last checkpoint of the same log: the entry is not older than that. Of another year's it would say nothing that this tree can show. */
function seenOf(ctx: AuditContext, log: string): { size: number; root: string } {
  const last = ctx.checkpoint()
  return last?.origin === log ? { size: last.size, root: last.root.toString('base64url') } : emptyTree
}

/** The country decides who may see an entry: what stands in its column is committed to like any other fact. */
function commitPayload({ payload, country }: NewEntry): Record<string, Committed> {
  const stated = country === undefined ? payload : { ...payload, country }
  return Object.fromEntries(Object.entries(stated).map(([name, value]) => [name, withSalt(value)]))
}

const withSalt = (value: unknown): Committed => ({ salt: generateSalt(), value })

/** What opens the commitments of an entry: salt and value of the actor and of each field. */
export type Opening = Record<string, { salt: string; value: unknown }>

function opening(actor: Committed, payload: Record<string, Committed>): Opening {
  const out: Opening = { actor: { salt: actor.salt.toString('base64url'), value: actor.value } }
  for (const [name, { salt, value }] of Object.entries(payload)) out[name] = { salt: salt.toString('base64url'), value }
  return out
}
