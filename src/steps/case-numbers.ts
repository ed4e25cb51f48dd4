// Which reports, items and questions carry a file number: remembered under a keyed hash, so that a liaison that knows a number finds what
// carries it, and nobody reads numbers from the table. Erasing a report or an item forgets its numbers.
import { keyedHash } from '#crypto/sealed-text.ts'
import { insertCases } from '#storage/liaison-store.ts'
import type { Trx } from '#storage/report-store.ts'
import type { StepContext } from './context.ts'

/** A file number as it is remembered. */
export function hideCase({ keys }: Pick<StepContext, 'keys'>, reference: string): Buffer {
  return keyedHash(keys.contentKey, `case ${reference.normalize('NFC').trim()}`)
}

/** Remembers what carries which number; twice is as once. */
export async function rememberCases(
  ctx: Pick<StepContext, 'keys'>,
  trx: Trx,
  carriers: readonly { reference: string; subject: string }[],
): Promise<void> {
  await insertCases(
    trx,
    carriers.map(({ reference, subject }) => ({ caseKey: hideCase(ctx, reference), subject })),
  )
}
