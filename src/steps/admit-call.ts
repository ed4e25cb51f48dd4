// Who is calling, and may it? Every check of protocol.md up to the body, in its order, asked anew on every request: the directory held
// in memory decides, never what the connection was when it opened.
import { fingerprintOf } from '#crypto/certificates.ts'
import { digest } from '#crypto/digests.ts'
import { type ProofClaims, verifyProof } from '#crypto/proof.ts'
import { CrosslineError } from '#errors.ts'
import { rememberProof } from '#storage/peer-store.ts'
import type { AdmittedCall, StepContext } from './context.ts'
import { noteSecurityEvent } from './note-security-event.ts'

export interface IncomingCall {
  /** DER of the certificate on the socket. */
  certificate: Buffer | undefined
  /** Every `Crossline-Proof` header. */
  proofs: readonly string[]
  method: string
  path: string
  /** When the headers arrived. */
  arrivedAt: Date
  /** Whether the call must carry root and size. */
  withRoot: boolean
  trace: string
}

const proofMemoryMs = 120_000

/** Admits a call with its proof; its jti is used up. Throws the code of the first check that fails. */
export async function admitCall(ctx: StepContext, call: IncomingCall): Promise<AdmittedCall> {
  const { member, fingerprint } = admitMember(ctx, call)
  const [proof, ...others] = call.proofs
  if (proof === undefined || others.length > 0)
    throw new CrosslineError('malformed_proof', { detail: 'A call carries exactly one Crossline-Proof.' })
  const claims = await verifyProof(proof, {
    arrivedAt: call.arrivedAt,
    self: ctx.self,
    member,
    certificateFingerprint: fingerprint,
    findKey: (kid) =>
      ctx
        .directory()
        .signingKeys(member)
        .find((key) => key.kid === kid),
    method: call.method,
    path: call.path,
    withRoot: call.withRoot,
  })
  await useProof(ctx, member, claims)
  const newerDirectory = watchDirectoryView(ctx, member, { claims, trace: call.trace })
  return {
    member,
    proof,
    proofDigest: digest(proof),
    bodyDigest: claims.dig,
    root: claims.root,
    size: claims.size,
    trace: call.trace,
    ...(newerDirectory === undefined ? {} : { newerDirectory }),
  }
}

/** Certificate and status only: `capabilities` carries no proof. */
export function admitMember(
  ctx: StepContext,
  { certificate }: Pick<IncomingCall, 'certificate'>,
): { member: string; fingerprint: string } {
  if (!certificate) throw new CrosslineError('not_a_member')
  if (ctx.directoryAge() === 'expired')
    throw new CrosslineError('maintenance', { detail: 'The directory of this node has expired.', retryAfterS: 300 })
  const fingerprint = fingerprintOf(certificate)
  const found = ctx.directory().findMemberByFingerprint(fingerprint, ctx.now())
  if (!found || found.member.id === ctx.self) throw new CrosslineError('not_a_member')
  if (found.member.status === 'left') throw new CrosslineError('not_a_member')
  if (!ctx.directory().mayExchange(ctx.self, found.member.id)) throw new CrosslineError('member_suspended')
  return { member: found.member.id, fingerprint }
}

async function useProof(ctx: StepContext, member: string, { jti, exp }: ProofClaims): Promise<void> {
  const now = ctx.now()
  const proof = { issuer: member, jti, expiresAt: new Date(exp * 1000 + proofMemoryMs), now }
  // It may wait for the peer's row, which a batch of the same peer holds: with one connection, not with all of them.
  const { isNew, wasWaiting } = await ctx.turns.proofs.inTurn(member, () => rememberProof(ctx.db, proof))
  if (!isNew) throw new CrosslineError('replayed_proof')
  // The peer is alive: what waits for it need not wait out its timer.
  if (wasWaiting) ctx.wake('deliver')
}

/** Another view of the directory is never a reason to refuse; it is a reason to look, or to tell the caller of ours if that is newer. */
function watchDirectoryView(
  ctx: StepContext,
  member: string,
  { claims, trace }: { claims: ProofClaims; trace: string },
): string | undefined {
  const { version, hash } = ctx.directory()
  const [seen = '0', seenHash = ''] = claims.dir.split(':')
  const isConflict = Number(seen) === version && seenHash !== hash
  if (isConflict) noteSecurityEvent(ctx, { member, code: 'directory_differs', trace })
  if (Number(seen) > version || isConflict) ctx.directoryHint({ member, version: Number(seen), isConflict, trace })
  return Number(seen) < version ? `${version}:${hash}` : undefined
}

/** The body's bytes against the proof. Throws `digest_mismatch`. */
export function checkBody(call: AdmittedCall, body: Buffer): void {
  if (digest(body) !== call.bodyDigest)
    throw new CrosslineError('digest_mismatch', { detail: 'The body is not the one that was signed.' })
}
