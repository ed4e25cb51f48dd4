// We as a witness: takes a peer's checkpoint, checks that its log only grew, remembers it for ever, and cosigns (C2SP tlog-witness).
// Check, memory, entry and cosignature are one transaction: what was cosigned is never forgotten, and nothing else is ever cosigned.
import { cosignCheckpoint, verifySignature } from '#crypto/checkpoint-note.ts'
import { type AddCheckpoint, parseAddCheckpoint } from '#domain/add-checkpoint.ts'
import { type Checkpoint, parseCheckpoint } from '#domain/checkpoint.ts'
import { merkleRoot } from '#domain/merkle.ts'
import { witnessName } from '#domain/network-policy.ts'
import { formatNote, parseNote, type SignedNote } from '#domain/signed-note.ts'
import { isCurrentLog, isTooSoon, judgeSubmission, type Verdict } from '#domain/witness-rules.ts'
import { CrosslineError } from '#errors.ts'
import { inTransaction } from '#storage/database.ts'
import { findWrappedKeys, insertSubjectKeys, type Trx } from '#storage/report-store.ts'
import { findLatestCheckpoint } from '#storage/tree-store.ts'
import { type Evidence, findCosignatures, lockPeerLog, recordEvidence, recordPeerLog } from '#storage/witness-store.ts'
import { appendAudit } from './append-audit.ts'
import { cosigningKey, logKeys } from './audit-policy.ts'
import type { AdmittedCall, StepContext } from './context.ts'
import { noteSecurityEvent } from './note-security-event.ts'
import { makeSubjectKey, openSubjectKey, type SubjectKey, stableSubject } from './subject-keys.ts'

export type WitnessAnswer =
  /** Our signature lines under the checkpoint. */
  | { kind: 'cosigned'; lines: string }
  /** We hold another size. `held` is the note that shows it, signed by the log itself; '' before the first. */
  | { kind: 'conflict'; size: number; held: string }

/** What was submitted, its form and the log's signature checked. */
interface Submitted extends Omit<AddCheckpoint, 'note'> {
  text: string
  /** The text and the log's own signature: lines that we can't verify are not kept. */
  note: string
  checkpoint: Checkpoint
}

interface Weighed {
  verdict: Verdict
  /** What of it contradicts what was cosigned before. */
  kind: Evidence['kind'] | undefined
  size: number
  held: string
  cosignature: string
  /** Id of what was kept of a contradiction. */
  evidence: number | undefined
}

/**
 * Throws `malformed_request` (also for an old size past the new one), `unknown_log` (also of another year than this one, the last or the
 * next), `unsigned_checkpoint`, `broken_proof`, and `rate_limited` for a log that grew less than a second ago.
 * The same again is harmless: it is cosigned anew and leaves no second entry.
 */
export async function witnessCheckpoint(ctx: StepContext, call: AdmittedCall, body: Buffer): Promise<WitnessAnswer> {
  const submitted = readSubmission(ctx, call, body)
  const weighed = await ctx.turns.checkpoints.inTurn(call.member, () =>
    inTransaction(ctx.db, (trx) => weigh(ctx, trx, { call, submitted })),
  )
  alarm(ctx, { call, submitted, weighed })
  const { verdict, size, held, cosignature } = weighed
  if (verdict === 'broken_proof') throw new CrosslineError('broken_proof')
  return cosignature === '' ? { kind: 'conflict', size, held } : { kind: 'cosigned', lines: cosignature }
}

function readSubmission(ctx: StepContext, { member }: AdmittedCall, body: Buffer): Submitted {
  const { old, path, note } = parseAddCheckpoint(body)
  const { parsed, checkpoint } = readNote(note)
  if (!isCurrentLog(checkpoint.origin, { member, now: ctx.now() })) throw new CrosslineError('unknown_log')
  const line = findLogSignature(ctx, parsed, checkpoint.origin)
  if (old > checkpoint.size)
    throw new CrosslineError('malformed_request', { detail: 'The old size is larger than the size of the checkpoint.' })
  return { old, path, text: parsed.text, note: formatNote(parsed.text, [line]), checkpoint }
}

function readNote(note: string): { parsed: SignedNote; checkpoint: Checkpoint } {
  try {
    const parsed = parseNote(note)
    return { parsed, checkpoint: parseCheckpoint(parsed.text) }
  } catch (cause) {
    if (!(cause instanceof CrosslineError)) throw cause
    throw new CrosslineError('malformed_request', { detail: 'The checkpoint does not have its form.', cause })
  }
}

function findLogSignature(ctx: StepContext, parsed: SignedNote, origin: string): string {
  try {
    const key = logKeys(ctx, origin).find((each) => verifySignature(parsed, each) === true)
    const line = parsed.signatures.find(({ name, keyId }) => name === key?.name && keyId.equals(key.keyId))?.line
    if (line !== undefined) return line
  } catch (cause) {
    throw new CrosslineError('unsigned_checkpoint', { cause })
  }
  throw new CrosslineError('unsigned_checkpoint')
}

async function weigh(
  ctx: StepContext,
  trx: Trx,
  { call, submitted }: { call: AdmittedCall; submitted: Submitted },
): Promise<Weighed> {
  const { checkpoint, old, path, note, text } = submitted
  const { origin, size, root } = checkpoint
  // From here on nobody else weighs a checkpoint of this log.
  const held = await lockPeerLog(trx, { origin, member: call.member, root: merkleRoot([]), now: ctx.now() })
  const verdict = judgeSubmission(held, { old, path, size, root })
  // Thrown here, nothing of it stands: a member must not make us write an entry for each checkpoint that it can sign.
  if (verdict === 'grown' && isTooSoon(held, ctx.now())) throw new CrosslineError('rate_limited', { retryAfterS: 1 })
  if (verdict === 'grown') {
    await recordPeerLog(trx, { origin, size, root, note, checkedAt: ctx.now() })
    await recordEntry(ctx, trx, { call, checkpoint })
  }
  const isCosigned = verdict === 'grown' || verdict === 'repeat'
  const key = cosigningKey(ctx, origin)
  const kind = contradictionOf(verdict, held.size, size)
  return {
    verdict,
    kind,
    size: held.size,
    held: held.note,
    cosignature: isCosigned ? cosignCheckpoint(text, { name: witnessName(ctx.self), key, at: ctx.now() }) : '',
    evidence: kind && (await recordEvidence(trx, { kind, member: call.member, origin, firstNote: held.note, secondNote: note })),
  }
}

/** A proof that was not needed, or from an empty tree, contradicts nothing that we hold. */
function contradictionOf(verdict: Verdict, heldSize: number, size: number): Evidence['kind'] | undefined {
  if (verdict === 'fork' || verdict === 'rollback') return verdict
  return verdict === 'broken_proof' && heldSize > 0 && size > heldSize ? verdict : undefined
}

async function recordEntry(
  ctx: StepContext,
  trx: Trx,
  { call, checkpoint }: { call: AdmittedCall; checkpoint: Checkpoint },
): Promise<void> {
  const { origin, size, root } = checkpoint
  await appendAudit(ctx, trx, [
    {
      event: 'peer.checkpoint',
      subject: await keyOf(ctx, trx, origin),
      from: call.member,
      actor: { kind: 'peer', member: call.member },
      payload: { checkpoint: { origin, size, root: root.toString('base64url') } },
      peer: call.proofDigest,
    },
  ])
}

/** One subject for each log: what we cosigned of it is one chain. Its row is locked, so nobody else makes the key now. */
async function keyOf(ctx: StepContext, trx: Trx, origin: string): Promise<SubjectKey> {
  const subject = stableSubject(`log ${origin}`)
  const wrapped = (await findWrappedKeys(trx, [subject])).get(subject)
  if (wrapped) return openSubjectKey(ctx, subject, wrapped)
  const made = makeSubjectKey(ctx, subject)
  await insertSubjectKeys(trx, [{ subject, wrapped: made.wrapped }])
  return made
}

/** After the commit: what is told is kept. */
function alarm(
  ctx: StepContext,
  { call, submitted, weighed }: { call: AdmittedCall; submitted: Submitted; weighed: Weighed },
): void {
  const { kind, size, evidence } = weighed
  if (kind === undefined) return
  const { origin, size: submittedSize } = submitted.checkpoint
  noteSecurityEvent(ctx, { member: call.member, code: `checkpoint_${kind}`, trace: call.trace })
  ctx.log.error(
    { step: 'witness', trace: call.trace, peer: call.member, origin, kind, size, submittedSize, evidence },
    'the log of a peer contradicts what this node has cosigned of it: both notes are kept as evidence',
  )
}

/** Our own newest checkpoint, with the signatures of its witnesses so far. Throws `not_found` before the first. */
export async function findOwnCheckpoint(ctx: StepContext): Promise<string> {
  const own = await findLatestCheckpoint(ctx.db)
  if (!own) throw new CrosslineError('not_found')
  const cosignatures = await findCosignatures(ctx.db, own.year, own.size)
  return withCosignatures(
    own.note,
    cosignatures.map(({ line }) => line),
  )
}

/** A note with further signature lines under its own. */
export function withCosignatures(note: string, lines: readonly string[]): string {
  const { text, signatures } = parseNote(note)
  return formatNote(text, [...signatures.map(({ line }) => line), ...lines])
}
