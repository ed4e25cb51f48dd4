// One audit entry as bytes: RFC 8785 JSON with commitments in place of values (audit.md). Pure: time, ids and salts come in.
import { hash } from 'node:crypto'
import canonicalize from 'canonicalize'
import type { AuditEvent, Entry } from '#schema/audit.ts'
import { leafHash } from './merkle.ts'

/** What a checkpoint-less log has seen: the empty tree of RFC 9162 (2.1.1). */
export const emptyTree = { size: 0, root: '47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU' } as const

export interface EntryFacts {
  log: string
  id: string
  event: AuditEvent
  at: Date
  from?: string | undefined
  to?: string | undefined
  ref: Buffer
  n: number
  prev: Buffer | undefined
  seen: { size: number; root: string }
  peer?: string | undefined
}

/** A value that only its commitment shows until it is disclosed. */
export interface Committed {
  /** 32 random bytes. */
  salt: Buffer
  value: unknown
}

/** SHA-256(salt || JCS(value)), base64url: opens with the salt and the value, tells nothing without them. */
export function commit({ salt, value }: Committed): string {
  return hash('sha256', Buffer.concat([salt, Buffer.from(toJcs(value))]), 'base64url')
}

/** RFC 8785. For a string or a list of strings JSON.stringify is the same by definition, and quicker. */
export function toJcs(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  const text = canonicalize(value)
  if (text === undefined) throw new TypeError('only JSON values can be committed to')
  return text
}

/** The canonical bytes of an entry and its leaf hash. `payload` has one member per field that may be disclosed alone. */
export function buildEntry(
  facts: EntryFacts,
  actor: Committed,
  payload: Record<string, Committed>,
): { bytes: Buffer; leaf: Buffer } {
  const bytes = Buffer.from(canonicalEntry(facts, commit(actor), commitments(payload)))
  return { bytes, leaf: leafHash(bytes) }
}

function commitments(payload: Record<string, Committed>): Record<string, string> {
  const out: Record<string, string> = {}
  for (const name of Object.keys(payload).sort()) {
    const field = payload[name]
    if (field) out[name] = commit(field)
  }
  return out
}

// Members in the order of RFC 8785 (by UTF-16 code units): written in that order, JSON.stringify gives the canonical form of strings
// and integers. A test compares it with the library's.
function canonicalEntry(facts: EntryFacts, actor: string, payload: Record<string, string>): string {
  const { from, to, peer, prev } = facts
  const entry: Entry = {
    actor,
    at: facts.at.toISOString(),
    event: facts.event,
    ...(from === undefined ? {} : { from }),
    id: facts.id,
    log: facts.log,
    n: facts.n,
    payload,
    ...(peer === undefined ? {} : { peer }),
    ...(prev === undefined ? {} : { prev: prev.toString('base64url') }),
    ref: facts.ref.toString('base64url'),
    seen: { root: facts.seen.root, size: facts.seen.size },
    ...(to === undefined ? {} : { to }),
    v: 1,
  }
  return JSON.stringify(entry)
}
