// The checkpoints that an export puts beside entries, to say when they were written.
import { toJcs } from '#domain/audit-entry.ts'
import { describeQuorum } from '#domain/tlog-policy.ts'
import { findBracketNotes } from '#storage/bracket-store.ts'
import { findAuditPolicy } from './audit-policy.ts'
import type { ExportContext } from './pin-export.ts'

/** Lines for the entries at these places; empty where no checkpoint is witnessed, or the policy asks for no witness. */
export async function findBracketLines(
  ctx: ExportContext,
  { year, size, indexes }: { year: number; size: number; indexes: readonly number[] },
): Promise<string> {
  const { policy } = findAuditPolicy(ctx, year)
  if (describeQuorum(policy).needed === 0) return ''
  const notes = await findBracketNotes(ctx.db, { year, policy, indexes, before: size })
  return notes.map((note) => `${toJcs({ note })}\n`).join('')
}
