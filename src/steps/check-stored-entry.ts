// One entry as it stands in the tables, checked against itself: bytes, leaf, columns, and what opens its commitments.
import { toJcs } from '#domain/audit-entry.ts'
import { type EntryText, parseEntryText } from '#domain/entry-text.ts'
import type { LogCheck } from '#domain/log-check.ts'
import { leafHash } from '#domain/merkle.ts'
import type { Fault } from '#domain/verdict.ts'
import { CrosslineError } from '#errors.ts'
import type { StoredEntry } from '#storage/fsck-store.ts'
import type { Opening } from './append-audit.ts'
import type { StepContext } from './context.ts'
import { openJson, openSubjectKey } from './subject-keys.ts'

export type AddFault = (fault: Omit<Fault, 'log' | 'index'>) => void

/** The entry and its leaf, recomputed; nothing when there is none to read. */
export function readStored(row: StoredEntry, add: AddFault): { entry: EntryText; leaf: Buffer } | undefined {
  if (!row.entry) {
    add({ stage: 'inclusion', kind: 'tampered', says: 'The entry at this place is gone.' })
    return undefined
  }
  const leaf = leafHash(row.entry)
  if (!leaf.equals(row.noted) || !row.leaf || !leaf.equals(row.leaf))
    add({ stage: 'inclusion', kind: 'tampered', says: 'The bytes of the entry are not those of the leaf that was noted.' })
  const entry = parseEntryText(row.entry.toString('latin1'))
  if (!entry) {
    add({ stage: 'read', kind: 'tampered', says: 'The bytes of the entry are no entry.' })
    return undefined
  }
  checkColumns(row, entry, add)
  return { entry, leaf }
}

function checkColumns(row: StoredEntry, { event, ref, n }: EntryText, add: AddFault): void {
  const { from, to } = JSON.parse((row.entry as Buffer).toString()) as { from?: string; to?: string }
  const isSame =
    row.event === event &&
    row.ref.toString('base64url') === ref &&
    row.n === n &&
    row.from === (from ?? null) &&
    row.to === (to ?? null)
  if (!isSame)
    add({ stage: 'inclusion', kind: 'tampered', says: 'The columns beside the entry say something else than its bytes.' })
  if (row.isPlaced === false)
    add({
      stage: 'inclusion',
      kind: 'tampered',
      says: 'What questions find the entry by is not what the entry says: answers would leave it out, or show it where it is not.',
    })
}

/** Opens what can be opened. What was erased is no fault when the log says so; what is just gone is one. Gives the values. */
export function checkOpening(
  ctx: Pick<StepContext, 'keys'>,
  row: StoredEntry,
  { entry, index, check, add }: { entry: EntryText; index: number; check: LogCheck; add: AddFault },
): Opening {
  const opening = openStored(ctx, row, add)
  for (const [name, { salt, value }] of Object.entries(opening))
    check.disclosure(index, entry, { name, salt, value: toJcs(value) })
  if (opening.actor && (opening.country?.value ?? null) !== row.country)
    add({
      stage: 'disclosure',
      kind: 'tampered',
      says: 'The country beside the entry is another than the one that it commits to.',
    })
  return opening
}

function openStored(ctx: Pick<StepContext, 'keys'>, row: StoredEntry, add: AddFault): Opening {
  const { subject, sealed, wrapped, isErased } = row
  if (!subject || !sealed || !wrapped) {
    if (!isErased)
      add({
        stage: 'disclosure',
        kind: 'tampered',
        says: 'The opening of the entry is gone without an erasure: no later entry of its chain records one.',
      })
    return {}
  }
  try {
    return openJson(openSubjectKey(ctx, subject, wrapped), 'audit', sealed) as Opening
  } catch (error) {
    if (!(error instanceof CrosslineError)) throw error
    add({ stage: 'disclosure', kind: 'tampered', says: 'What would open the entry was changed: it does not open with its key.' })
    return {}
  }
}
