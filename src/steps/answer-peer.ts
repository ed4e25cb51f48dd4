// The small signed answers to a peer: the echo of a ping, what this node serves, an error, the directory as it was served to us.

import { signCapabilities } from '#crypto/capabilities.ts'
import { fingerprintOf } from '#crypto/certificates.ts'
import { digest } from '#crypto/digests.ts'
import { signPong } from '#crypto/pong.ts'
import { signError } from '#crypto/signed-error.ts'
import { CrosslineError, type ErrorCode } from '#errors.ts'
import { maxMessages } from '#schema/message.ts'
import { findDocument } from '#storage/directory-store.ts'
import type { AdmittedCall, StepContext } from './context.ts'
import { noteSecurityEvent } from './note-security-event.ts'

/** Versions of the protocol that this node serves, and its limits for one batch. */
const served = {
  versions: [1],
  limits: { maxMessages, maxBytes: 4 * 1024 * 1024, maxInflated: 16 * 1024 * 1024 },
} as const

export async function answerPing(ctx: StepContext, call: AdmittedCall, { nonce }: { nonce: string }): Promise<{ pong: string }> {
  return { pong: await signPong(ctx.signingKey(), { iss: ctx.self, aud: call.member, nonce, now: ctx.now() }) }
}

export async function stateCapabilities(ctx: StepContext, member: string): Promise<{ capabilities: string }> {
  const { version, hash } = ctx.directory()
  const { versions, limits } = served
  const claims = {
    iss: ctx.self,
    aud: member,
    versions: [...versions],
    limits,
    directory: { version, hash },
    lifetimeS: 300,
    now: ctx.now(),
  }
  return { capabilities: await signCapabilities(ctx.signingKey(), claims) }
}

export interface RefusedCall {
  certificate: Buffer | undefined
  code: ErrorCode
  trace: string
}

/** The signed half of an error document. */
export async function signRefusal(
  ctx: StepContext,
  refusal: { code: ErrorCode; status: number; retryAfterS?: number; certificate: Buffer | undefined; proof: string | undefined },
): Promise<string> {
  const { code, status, retryAfterS, certificate, proof } = refusal
  const member = findOwner(ctx, certificate).member
  return signError(ctx.signingKey(), {
    iss: ctx.self,
    ...(member === '' ? {} : { aud: member }),
    ...(proof === undefined ? {} : { proof: digest(proof) }),
    code,
    status,
    ...(retryAfterS === undefined ? {} : { retryAfter: retryAfterS }),
    now: ctx.now(),
  })
}

/** Answers that are part of the ordinary course: asking for the next root, or for a receipt that is not there yet. */
const ordinary: ReadonlySet<ErrorCode> = new Set(['not_found', 'maintenance', 'overloaded', 'rate_limited'])

/** Counts a refused call; never throws. */
export function recordRefusal(ctx: StepContext, { certificate, code, trace }: RefusedCall): void {
  if (ordinary.has(code)) return
  noteSecurityEvent(ctx, { ...findOwner(ctx, certificate), code, trace })
}

/** Whose certificate it is, whatever the state of the certificate; '' if nobody's. */
function findOwner(ctx: StepContext, certificate: Buffer | undefined): { member: string; fingerprint: string } {
  if (!certificate) return { member: '', fingerprint: '' }
  const fingerprint = fingerprintOf(certificate)
  const owner = ctx
    .directory()
    .document.members.find((member) => member.certificates.some((each) => each.fingerprint === fingerprint))
  return { member: owner?.id ?? '', fingerprint }
}

/** A directory as it was served and verified: the current one, or an older version. */
export async function findDirectory(ctx: StepContext, version: number | undefined): Promise<Buffer> {
  const held = ctx.directory()
  if (version === undefined || version === held.version) return held.bytes
  return getDocument(ctx, 'directory', version)
}

export function findRoot(ctx: StepContext, number: number): Promise<Buffer> {
  return getDocument(ctx, 'root', number)
}

async function getDocument(ctx: StepContext, kind: 'root' | 'directory', number: number): Promise<Buffer> {
  const document = await findDocument(ctx.db, kind, number)
  if (!document) throw new CrosslineError('not_found')
  return document.bytes
}
