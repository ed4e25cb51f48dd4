// The doctor's look at the witnesses of the audit log: who has not cosigned for a minute, whose clock is another, whether anything contradicts.
import type { HeldDirectory } from '#domain/held-directory.ts'
import { witnessName } from '#domain/network-policy.ts'
import { findWitnesses } from '#steps/audit-policy.ts'
import type { Database } from '#storage/database.ts'
import { findRecentSecurityEvents } from '#storage/peer-store.ts'
import { findCheckpointAfter, findLatestCheckpoint } from '#storage/tree-store.ts'
import { countEvidence, findLastCosignatures } from '#storage/witness-store.ts'
import { type Finding, failed, ok, warning } from './doctor-findings.ts'

const check = 'witnesses'
/** A checkpoint that a peer has not cosigned for so long is late: a round comes every ten seconds, and six were missed. */
const lateMs = 60_000
const dayMs = 24 * 3_600_000

export async function examineWitnesses(
  db: Database,
  { self, directory, now }: { self: string; directory: HeldDirectory; now: Date },
): Promise<Finding[]> {
  const [own, last, evidence, skewed] = await Promise.all([
    findLatestCheckpoint(db),
    findLastCosignatures(db),
    countEvidence(db),
    findSkewed(db, now),
  ])
  const members = findWitnesses({ self, directory: () => directory }).map(({ id }) => id)
  const findings: Finding[] = [...(evidence === 0 ? [] : [contradiction(evidence)]), ...skewed]
  if (!own)
    return [...findings, warning(check, 'The audit log has no checkpoint yet.', 'Start the node; it seals within a second.')]
  if (members.length === 0)
    return [
      ...findings,
      warning(check, 'No other member could cosign the audit log.', 'Until one joins, only this node speaks for it.'),
    ]
  const waiting = await Promise.all(
    members.map((member) =>
      findCheckpointAfter(
        db,
        last.find(({ witness }) => witness === witnessName(member)),
      ),
    ),
  )
  const late = members.filter((_member, place) => now.getTime() - (waiting[place]?.signedAt ?? now).getTime() > lateMs)
  if (late.length === 0)
    return [...findings, ok(check, `All ${members.length} peers have cosigned the audit log within a minute.`)]
  return [...findings, ...late.map(isLate)]
}

/** Whose cosignatures of the last day were not kept for their time. */
async function findSkewed(db: Database, now: Date): Promise<Finding[]> {
  const events = await findRecentSecurityEvents(db, new Date(now.getTime() - dayMs))
  return events
    .filter(({ code }) => code === 'witness_clock_skew')
    .map(({ member, count }) =>
      warning(
        check,
        `${member} cosigned with a time more than a minute from ours, ${count} times in the last day: not kept.`,
        'Let both machines take their time from NTP.',
      ),
    )
}

const isLate = (member: string): Finding =>
  warning(
    check,
    `${member} has not cosigned the audit log for more than a minute.`,
    'GET /operations/v1/status says why. If the reason is clock_skew, let both machines take their time from NTP.',
  )

const contradiction = (count: number): Finding =>
  failed(
    check,
    `${count} pairs of signed notes contradict each other.`,
    'A log was taken back or forked: look into crossline.audit_evidence, and call the network office.',
  )
