// What stands published outside the database, and what that says of the database: one that is behind it, or tells it otherwise, was set
// back, and whoever went on from there would sign a second history. Only what is committed is ever published.
import { verifierKeyOf, verifySignature } from '#crypto/checkpoint-note.ts'
import { type Checkpoint, parseCheckpoint } from '#domain/checkpoint.ts'
import { parseNote } from '#domain/signed-note.ts'
import { CrosslineError } from '#errors.ts'
import { readPublished, swapPublished } from '#storage/published-checkpoint.ts'
import type { Db } from '#storage/report-store.ts'
import { findCheckpointAt } from '#storage/tree-store.ts'
import type { StepContext } from './context.ts'
import { SealingHalt } from './sealing-halt.ts'
import { originOf, type Shard } from './shard.ts'

export type PublishContext = Pick<StepContext, 'self' | 'auditKey' | 'auditFolder'>

export interface Published extends Checkpoint {
  note: string
}

/** The published checkpoint of each year. Throws a halt for a file that can't be read, or that no log of ours can have left. */
export function findPublished(ctx: PublishContext): Map<number, Published> {
  const notes = readFiles(ctx)
  return new Map([...notes].map(([year, note]) => [year, readNote(ctx, { year, note })]))
}

function readFiles({ auditFolder }: PublishContext): Map<number, string> {
  try {
    return readPublished(auditFolder)
  } catch (error) {
    throw new SealingHalt('published_unreadable', { reason: (error as { code?: string }).code ?? 'unknown' })
  }
}

function readNote({ self, auditKey }: PublishContext, { year, note }: { year: number; note: string }): Published {
  try {
    const parsed = parseNote(note)
    const checkpoint = parseCheckpoint(parsed.text)
    const origin = originOf(self, year)
    // A key that was changed since has no line here; a line of the key in use must be good.
    verifySignature(parsed, verifierKeyOf(origin, 1, auditKey(year).key))
    if (checkpoint.origin === origin) return { ...checkpoint, note }
  } catch (error) {
    if (!(error instanceof CrosslineError)) throw error
  }
  throw new SealingHalt('published_unreadable', { year })
}

/** Throws the halt `rollback` unless the database holds everything that was published, exactly so. */
export async function guardPublished(
  db: Db,
  shards: ReadonlyMap<number, Shard>,
  published: ReadonlyMap<number, Published>,
): Promise<void> {
  for (const [year, { size, root }] of published) {
    const shard = shards.get(year)
    const facts = { year, published: size, held: shard?.edge.size ?? 0 }
    if (!shard || shard.edge.size < size) throw new SealingHalt('rollback', facts)
    const held = shard.edge.size === size ? shard : await findCheckpointAt(db, year, size)
    if (!held?.root.equals(root)) throw new SealingHalt('rollback', facts)
  }
}

export interface Publication extends Checkpoint {
  year: number
  note: string
}

/**
 * Puts a committed checkpoint in the place of the one that was read before. True when it, or a later one, stands there. Throws a halt
 * when something stands there that does not go with it, and the error of the file system.
 */
export function publishCheckpoint(ctx: PublishContext, next: Publication, before: Published | undefined): boolean {
  const { year, note } = next
  const result = swapPublished(ctx.auditFolder, { year, expected: before?.note, note })
  if (result !== 'changed') return result === 'swapped'
  // Another process of this node has sealed on and was quicker.
  const found = findPublished(ctx).get(year)
  if (found && (found.size > next.size || (found.size === next.size && found.root.equals(next.root)))) return true
  // It was slower: an older one of ours. The next pass reads it, under the lock, and halts unless the database holds it.
  if (found && found.size < next.size) return false
  throw new SealingHalt('rollback', { year, published: found?.size ?? 0, held: next.size })
}
