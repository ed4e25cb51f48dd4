// The key of a subject that has entries again and again: made with the first, found by the others.
import { findWrappedKeys, insertSubjectKeys, type Trx } from '#storage/report-store.ts'
import type { StepContext } from './context.ts'
import { makeSubjectKey, openSubjectKey, type SubjectKey } from './subject-keys.ts'

/** Throws a unique violation when another transaction makes the same key at the same moment: again, it is found. */
export async function findOrMakeKey(ctx: Pick<StepContext, 'keys'>, trx: Trx, subject: string): Promise<SubjectKey> {
  const wrapped = (await findWrappedKeys(trx, [subject])).get(subject)
  if (wrapped) return openSubjectKey(ctx, subject, wrapped)
  const made = makeSubjectKey(ctx, subject)
  await insertSubjectKeys(trx, [{ subject, wrapped: made.wrapped }])
  return made
}
