// Counts what must not pass unseen: refused calls, broken promises of peers, contradictions. Never throws and never makes a caller wait.
import { countSecurityEvent } from '#storage/peer-store.ts'
import type { StepContext } from './context.ts'

export interface SecurityEvent {
  /** Fingerprint of the certificate on the socket; '' without one or for our own calls. */
  fingerprint?: string
  /** Its owner; '' if unknown. */
  member: string
  code: string
  trace: string
}

export function noteSecurityEvent(ctx: StepContext, { fingerprint = '', member, code, trace }: SecurityEvent): void {
  ctx.log.warn({ step: 'security', peer: member, code, trace }, 'security event')
  countSecurityEvent(ctx.db, { at: ctx.now(), fingerprint, member, code, trace }).catch((error: unknown) => {
    ctx.log.error({ step: 'security', err: error }, 'security event could not be counted')
  })
}
