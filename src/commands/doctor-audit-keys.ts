// The doctor's look at the keys of the audit log: each year's log has its own, and from December on the next year's is there and listed.
import { findKeyGaps, type KeyGap, yearsAhead } from '#domain/audit-key-gaps.ts'
import type { HeldDirectory } from '#domain/held-directory.ts'
import type { Identity } from '#node-identity.ts'
import { type Finding, ok, warning } from './doctor-findings.ts'

const check = 'audit keys'

export function examineAuditKeys(
  self: string,
  { auditKeys }: Pick<Identity, 'auditKeys'>,
  { directory, now }: { directory: HeldDirectory; now: Date },
): Finding[] {
  const listed = directory.findMember(self)?.keys ?? []
  const gaps = findKeyGaps(auditKeys.forYear, { listed, now })
  if (gaps.length > 0) return gaps.filter(({ isNext, lacks }) => isNext || lacks === 'key').map(judgeGap)
  return [ok(check, `Each has its own and is listed: ${yearsAhead(now).join(', ')}.`)]
}

/** That the directory does not list this year's key is told under `membership`. */
function judgeGap({ year, lacks, isNext }: KeyGap): Finding {
  if (lacks === 'listing')
    return warning(
      check,
      `The directory does not list the key of the audit log of ${year}.`,
      'Have the office publish it as next before the year begins: until then nobody would cosign that log.',
    )
  const when = isNext ? 'would be' : 'is'
  return warning(
    check,
    `The audit log of ${year} has no key of its own: it ${when} signed with another year’s.`,
    'Make a key, set AUDIT_KEY to a name with {year} in it, and have the office list it for that year. Until then no bundle over both years verifies whole.',
  )
}
