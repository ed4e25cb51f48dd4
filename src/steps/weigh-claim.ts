// A witness says that it holds another size of our log than we sent from. Only what we have signed ourselves counts against us: a peer that
// merely says so could stop any log. What it shows under our signature is kept for ever, and halts the sealing.
import { verifySignature } from '#crypto/checkpoint-note.ts'
import { type Checkpoint, parseCheckpoint } from '#domain/checkpoint.ts'
import { parseNote } from '#domain/signed-note.ts'
import { CrosslineError } from '#errors.ts'
import { findLatestCheckpoint, type StoredCheckpoint } from '#storage/tree-store.ts'
import { recordEvidence } from '#storage/witness-store.ts'
import { ownLogKeys } from './audit-policy.ts'
import type { StepContext } from './context.ts'
import { haltSealing } from './look-at-sealing.ts'
import { noteSecurityEvent } from './note-security-event.ts'
import { rootAt } from './prove-growth.ts'

interface Claim {
  member: string
  /** What we sent. */
  own: StoredCheckpoint
  /** What the peer says that it holds. */
  size: number
  /** Its header `Crossline-Checkpoint`: the note that shows it, base64url. */
  shown: string | string[] | undefined
}

/**
 * believed: it is a state that our log had; send from there. overtaken: another process of ours sent more in the meantime.
 * unproven: more than we hold, and nothing of ours that shows it. halted: it is proven that our log was taken back or forked.
 */
export async function weighClaim(ctx: StepContext, claim: Claim): Promise<'believed' | 'overtaken' | 'unproven' | 'halted'> {
  const { own, size } = claim
  const shown = readShown(ctx, claim)
  if (size > own.size) {
    // Asked again, not remembered: what another process of ours has committed and sent since is no rollback.
    const latest = (await findLatestCheckpoint(ctx.db, own.year)) ?? own
    if (latest.size >= size) return 'overtaken'
    return shown ? halt(ctx, { claim, shown, why: 'rollback' }) : 'unproven'
  }
  if (!shown) return 'believed'
  const root = size === own.size ? own.root : await rootAt(ctx.db, { year: own.year, size })
  return root.equals(shown.checkpoint.root) ? 'believed' : halt(ctx, { claim, shown, why: 'fork' })
}

interface Shown {
  note: string
  checkpoint: Checkpoint
}

/** The note that the peer shows, if it is ours and of the size that it names. */
function readShown(ctx: StepContext, { own, size, shown }: Claim): Shown | undefined {
  if (typeof shown !== 'string') return undefined
  try {
    const note = Buffer.from(shown, 'base64url').toString()
    const parsed = parseNote(note)
    const checkpoint = parseCheckpoint(parsed.text)
    const isSigned = ownLogKeys(ctx, own.origin).some((key) => verifySignature(parsed, key) === true)
    return isSigned && checkpoint.origin === own.origin && checkpoint.size === size ? { note, checkpoint } : undefined
  } catch (error) {
    if (error instanceof CrosslineError) return undefined
    throw error
  }
}

async function halt(
  ctx: StepContext,
  { claim: { member, own, size }, shown, why }: { claim: Claim; shown: Shown; why: 'rollback' | 'fork' },
): Promise<'halted'> {
  const evidence = await recordEvidence(ctx.db, {
    kind: why,
    member,
    origin: own.origin,
    firstNote: shown.note,
    secondNote: own.note,
  })
  noteSecurityEvent(ctx, { member, code: `own_log_${why}`, trace: '0'.repeat(32) })
  ctx.log.error(
    { step: 'gather-cosignatures', peer: member, origin: own.origin, kind: why, size: own.size, heldSize: size, evidence },
    'a witness holds what this log no longer has: both notes are kept as evidence, and sealing halts',
  )
  await haltSealing(ctx, why, { member, size: own.size, heldSize: size, ...(evidence === undefined ? {} : { evidence }) })
  return 'halted'
}
