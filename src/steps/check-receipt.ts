// Whether what a peer answered is the receipt of a batch: only then does anything count as delivered.
import { digest, encodeHash } from '#crypto/digests.ts'
import { isBeforeEnd } from '#crypto/evidence.ts'
import { openProof } from '#crypto/proof.ts'
import { type ReceiptClaims, verifyReceipt } from '#crypto/receipt.ts'
import type { EcMemberKey } from '#domain/held-directory.ts'
import { parseStrictObject } from '#domain/strict-json.ts'
import { CrosslineError } from '#errors.ts'
import type { StepContext } from './context.ts'
import type { OpenBatch } from './cut-batch.ts'
import { noteSecurityEvent } from './note-security-event.ts'

type CheckedReceipt =
  | { kind: 'good'; receipt: string; claims: ReceiptClaims }
  | { kind: 'bad'; code: 'bad_receipt' | 'revoked_receipt' }

/** The key may have been retired or revoked since the peer signed: it gives the same bytes for ever, so the date of the receipt decides. */
export async function checkReceipt(
  ctx: StepContext,
  { destination, batch, body }: { destination: string; batch: OpenBatch; body: Buffer },
): Promise<CheckedReceipt> {
  let key: EcMemberKey | undefined
  try {
    const { receipt } = parseStrictObject(body)
    const claims = await verifyReceipt(receipt, {
      issuer: destination,
      audience: ctx.self,
      batch: batch.id,
      root: encodeHash(batch.root),
      size: batch.messages.length,
      proofs: batch.proofs.map(digest),
      ids: batch.messages.map((message) => message.message_id),
      findKey: (kid) => (key = ctx.directory().findSigningKey(destination, kid)),
    })
    if (!key || isOfItsLife(key, claims, batch)) return { kind: 'good', receipt: receipt as string, claims }
  } catch (error) {
    if (!(error instanceof CrosslineError)) throw error
    key = undefined
  }
  const code = key?.revokedAt === undefined ? 'bad_receipt' : 'revoked_receipt'
  noteSecurityEvent(ctx, { member: destination, code, trace: batch.trace })
  return { kind: 'bad', code }
}

/** Most that a peer's clock may be behind ours, seconds: a proof that is more ahead is refused. */
const maxSkewS = 60

// Whoever holds a key that ended may date what he signs as he likes, but not before the proof that it names.
function isOfItsLife(key: EcMemberKey, { iat, proof }: ReceiptClaims, batch: OpenBatch): boolean {
  if (key.retiredAt === undefined && key.revokedAt === undefined) return true
  const named = batch.proofs.find((sent) => digest(sent) === proof)
  return named !== undefined && isBeforeEnd(key, iat) && iat >= openProof(named, true).claims.iat - maxSkewS
}
