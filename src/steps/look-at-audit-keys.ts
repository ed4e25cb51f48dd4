// Says at the start and then once a day what keys of the audit log lack. Nothing waits for them: a log without its own key is signed with
// another year's, and reports are taken as ever.
import { findKeyGaps, type KeyGap } from '#domain/audit-key-gaps.ts'
import type { StepContext } from './context.ts'

const dayMs = 86_400_000

/** A look that tells each day once, by the node's clock, and again when something else lacks. */
export function watchAuditKeys(ctx: Pick<StepContext, 'self' | 'auditKey' | 'directory' | 'now' | 'log'>): () => void {
  let told = ''
  return () => {
    const now = ctx.now()
    const gaps = findKeyGaps(ctx.auditKey, { listed: ctx.directory().findMember(ctx.self)?.keys ?? [], now })
    const news = JSON.stringify([Math.floor(now.getTime() / dayMs), gaps])
    if (news !== told) for (const gap of gaps) tell(ctx, gap)
    told = news
  }
}

function tell({ log }: Pick<StepContext, 'log'>, { year, lacks, isNext }: KeyGap): void {
  const facts = { step: 'audit-keys', year, lacks }
  const says =
    lacks === 'key'
      ? 'the audit log of that year has no key of its own: make one (AUDIT_KEY with {year}) and have the office list it'
      : 'the directory does not list the key of the audit log of that year: have the office list it'
  if (isNext) log.warn(facts, says)
  else log.error(facts, says)
}
