// What the operator sees: peers, queues, ages, counts. Ids, countries and codes only.
import type { PeerStatus, Status } from '#schema/status.ts'
import { countItemsByState } from '#storage/item-store.ts'
import { countQuarantined, findPeerStates, findQuarantined, findRecentSecurityEvents } from '#storage/peer-store.ts'
import { countEvidence } from '#storage/witness-store.ts'
import { findWitnesses } from './audit-policy.ts'
import type { StepContext } from './context.ts'
import type { DirectoryKeeper } from './directory-keeper.ts'
import type { Sealing } from './sealing.ts'

const dayMs = 24 * 3_600_000
const maxQuarantineShown = 100

export async function findStatus(ctx: StepContext, keeper: DirectoryKeeper): Promise<Status> {
  const directory = ctx.directory()
  const now = ctx.now()
  const [peers, items, quarantined, quarantine, events, evidence] = await Promise.all([
    findPeerStates(ctx.db),
    countItemsByState(ctx.db),
    countQuarantined(ctx.db),
    findQuarantined(ctx.db, maxQuarantineShown),
    findRecentSecurityEvents(ctx.db, new Date(now.getTime() - dayMs)),
    countEvidence(ctx.db),
  ])
  return {
    member: ctx.self,
    directory: {
      version: directory.version,
      hash: directory.hash,
      expires: directory.document.expires,
      ageS: Math.max(0, Math.floor((now.getTime() - keeper.refreshedAt().getTime()) / 1000)),
    },
    peers: peers.map((row) => showPeer(row, now)),
    items: Object.entries(items).map(([state, count]) => ({ state: state as Status['items'][number]['state'], count })),
    witnesses: showWitnesses(ctx, evidence),
    quarantined,
    quarantine: quarantine.map((row) => ({
      message: row.message_id,
      item: row.item_id,
      peer: row.destination,
      code: row.code,
      since: row.quarantined_at.toISOString(),
    })),
    audit: showSealing(ctx.sealing),
    securityEvents: [...Map.groupBy(events, (event) => event.code)].map(([code, some]) => ({
      code,
      count: some.reduce((sum, event) => sum + event.count, 0),
    })),
  }
}

function showSealing(sealing: Sealing): Status['audit'] {
  const { checkpoint, pending, halt } = sealing
  return {
    checkpoint: checkpoint && { origin: checkpoint.origin, size: checkpoint.size, root: checkpoint.root.toString('base64url') },
    pending,
    oldestPendingS: Math.floor(sealing.oldestMs() / 1000),
    halted: halt && { why: halt.why, since: halt.at.toISOString() },
  }
}

function showWitnesses(ctx: StepContext, evidence: number): Status['witnesses'] {
  const { quorum } = ctx.witnessBoard
  return {
    witnessed: quorum?.k ?? 0,
    of: quorum?.n ?? ctx.witnesses().length,
    quorumSize: quorum?.size ?? null,
    quorumAgeS: quorum ? Math.max(0, Math.floor((ctx.now().getTime() - quorum.at.getTime()) / 1000)) : null,
    evidence,
    peers: findWitnesses(ctx).map(({ id }) => {
      const { size, cosignedAt, failures, lastError } = ctx.witnessBoard.peer(id)
      return { member: id, size, cosignedAt: cosignedAt?.toISOString() ?? null, failures, lastError }
    }),
  }
}

type PeerRow = Awaited<ReturnType<typeof findPeerStates>>[number]

function stateOf(row: PeerRow, now: Date): PeerStatus['state'] {
  if (row.held_reason) return 'held'
  if (row.failures === 0) return 'open'
  const isWaiting = row.retry_at !== null && row.retry_at > now
  return row.in_flight === 1 && !isWaiting ? 'probing' : 'backing_off'
}

function showPeer(row: PeerRow, now: Date): PeerStatus {
  return {
    member: row.member,
    state: stateOf(row, now),
    waiting: row.waiting,
    oldestWaitingAt: row.oldest_waiting_at?.toISOString() ?? null,
    inFlight: row.in_flight,
    failures: row.failures,
    retryAt: row.retry_at?.toISOString() ?? null,
    lastError: row.last_error,
    heldReason: row.held_reason,
    lastHeardAt: row.heard_at?.toISOString() ?? null,
  }
}
