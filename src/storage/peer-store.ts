// What a node remembers of its peers: when to try again, who holds the lease, which receipts were exchanged; and what went wrong.
import { sql } from 'kysely'
import type { Db, Trx } from './report-store.ts'

export interface PeerState {
  member: string
  failures: number
  failing_since: Date | null
  /** Null: nothing to wait for. */
  retry_at: Date | null
  held_reason: string | null
  last_error: string | null
  heard_at: Date | null
}

/** Clocks of processes differ, and a clock may be set back: what is further ahead than this beyond its maximum was written by another time. */
const clockToleranceMs = 60_000

// All times are those of the node's clock. A wait that began later than now was written before the clock went back: it is over.
const isDue = (now: Date) =>
  sql<boolean>`(peer.retry_at is null or peer.retry_at <= ${now} or peer.failed_at > ${later(now, clockToleranceMs)})`

const isUnleased = ({ now, holder, leaseMs }: { now: Date; holder: string; leaseMs: number }) => sql<boolean>`
  (peer.lease_until is null or peer.lease_until <= ${now} or peer.lease_until > ${later(now, leaseMs + clockToleranceMs)} or peer.lease_holder = ${holder})`

const later = (time: Date, ms: number): Date => new Date(time.getTime() + ms)

/** Destinations with something to send that are due and that nobody else is serving. */
export async function findDueDestinations(db: Db, query: { now: Date; holder: string; leaseMs: number }): Promise<string[]> {
  const found = await sql<{ destination: string }>`
    select destination from (
      select distinct destination from outbox where batch_id is null
      union select destination from outbound_batch where receipt is null and withdrawn_at is null
    ) work left join peer on peer.member = work.destination
    where ${isDue(query.now)} and ${isUnleased(query)}`.execute(db)
  return found.rows.map((row) => row.destination)
}

/** Takes or renews the lease on a destination that is due; undefined if another process serves it or it must wait. */
export async function claimPeer(
  db: Db,
  claim: { member: string; holder: string; now: Date; leaseMs: number },
): Promise<PeerState | undefined> {
  const found = await sql<PeerState>`
    insert into peer (member, lease_holder, lease_until) values (${claim.member}, ${claim.holder}, ${later(claim.now, claim.leaseMs)})
    on conflict (member) do update set lease_holder = excluded.lease_holder, lease_until = excluded.lease_until
      where ${isUnleased(claim)} and ${isDue(claim.now)}
    returning member, failures, failing_since, retry_at, held_reason, last_error, heard_at`.execute(db)
  return found.rows[0]
}

export async function renewLease(
  db: Db,
  { member, holder, until }: { member: string; holder: string; until: Date },
): Promise<void> {
  await db
    .updateTable('peer')
    .set({ lease_until: until })
    .where('member', '=', member)
    .where('lease_holder', '=', holder)
    .execute()
}

export async function releasePeers(db: Db, holder: string): Promise<void> {
  await db.updateTable('peer').set({ lease_until: null, lease_holder: null }).where('lease_holder', '=', holder).execute()
}

export async function recordPeerFailure(
  db: Db,
  failure: { member: string; error: string; held: boolean; now: Date; retryAt: Date },
): Promise<void> {
  await sql`insert into peer (member, failures, failing_since, last_error, held_reason, failed_at, retry_at)
    values (${failure.member}, 1, ${failure.now}, ${failure.error}, ${failure.held ? failure.error : null}, ${failure.now}, ${failure.retryAt})
    on conflict (member) do update set failures = peer.failures + 1, failing_since = coalesce(peer.failing_since, excluded.failing_since),
      last_error = excluded.last_error, held_reason = excluded.held_reason, failed_at = excluded.failed_at, retry_at = excluded.retry_at, lease_until = null`.execute(
    db,
  )
}

export async function recordPeerSuccess(db: Db, { member, now }: { member: string; now: Date }): Promise<void> {
  await sql`update peer set failures = 0, failing_since = null, last_error = null, held_reason = null, retry_at = null, heard_at = ${now}
    where member = ${member} and (failures > 0 or retry_at is not null or ${isHeardNews(now)})`.execute(db)
}

// Written at most every 10 seconds, and again when the clock went back.
const isHeardNews = (now: Date) => sql<boolean>`
  (heard_at is null or heard_at < ${now}::timestamptz - interval '10 seconds' or heard_at > ${now})`

/** Lets a destination be tried now: the peer was heard of, or the directory changed about it. Gives the members that were waiting. */
export async function clearPeerTimers(db: Db, members: readonly string[], now: Date): Promise<string[]> {
  if (members.length === 0) return []
  const cleared = await db
    .updateTable('peer')
    .set({ retry_at: now })
    .where('member', 'in', members)
    .where('failures', '>', 0)
    .where('retry_at', '>', now)
    .returning('member')
    .execute()
  return cleared.map((row) => row.member)
}

/** The same for one peer that could not be reached and now answered: a wait that it asked for, and one that a refusal brought, go on. */
export async function clearTimerOfReached(
  db: Db,
  { member, now, unreached }: { member: string; now: Date; unreached: readonly string[] },
): Promise<boolean> {
  const cleared = await db
    .updateTable('peer')
    .set({ retry_at: now })
    .where('member', '=', member)
    .where('failures', '>', 0)
    .where('held_reason', 'is', null)
    .where('last_error', 'in', unreached)
    .where('retry_at', '>', now)
    .returning('member')
    .execute()
  return cleared.length > 0
}

/**
 * Remembers a jti and that the peer was heard of; false if the jti was seen. Durable with the transaction that stores what the call brings:
 * a crash that loses it also loses the storing, and then the repetition is the first time.
 */
export async function rememberProof(
  db: Db,
  proof: { issuer: string; jti: string; expiresAt: Date; now: Date },
): Promise<{ isNew: boolean; wasWaiting: boolean }> {
  return db.transaction().execute(async (trx) => {
    await sql`set local synchronous_commit = off`.execute(trx)
    const found = await sql<{ is_new: boolean; was_waiting: boolean }>`
      with remembered as (
        insert into seen_proof (issuer, jti, expires_at) values (${proof.issuer}, ${proof.jti}, ${proof.expiresAt}) on conflict do nothing returning 1
      ), heard as (
        update peer set heard_at = ${proof.now}, retry_at = case when retry_at > ${proof.now} then ${proof.now} else retry_at end where member = ${proof.issuer} and exists (select from remembered)
          and (failures > 0 or ${isHeardNews(proof.now)}) returning failures
      )
      select exists (select from remembered) as is_new, exists (select from heard where failures > 0) as was_waiting`.execute(trx)
    return { isNew: found.rows[0]?.is_new === true, wasWaiting: found.rows[0]?.was_waiting === true }
  })
}

export async function forgetExpiredProofs(db: Db, before: Date): Promise<void> {
  await db.deleteFrom('seen_proof').where('expires_at', '<', before).execute()
}

/** Locks what we know of a peer, and gives the digest of the last receipt that we gave it. */
export async function lockReceiptChain(trx: Trx, member: string): Promise<string | null> {
  const found = await sql<{ last_receipt_given: string | null }>`
    insert into peer (member) values (${member}) on conflict (member) do update set member = excluded.member returning last_receipt_given`.execute(
    trx,
  )
  return found.rows[0]?.last_receipt_given ?? null
}

export async function recordReceiptGiven(trx: Trx, member: string, receiptDigest: string): Promise<void> {
  await trx.updateTable('peer').set({ last_receipt_given: receiptDigest }).where('member', '=', member).execute()
}

/** Records the last receipt that a peer gave us; gives the one before. */
export async function recordReceiptTaken(trx: Trx, member: string, receiptDigest: string): Promise<string | null> {
  const found = await sql<{ before: string | null }>`
    update peer set last_receipt_taken = ${receiptDigest} from (select member, last_receipt_taken from peer where member = ${member} for update) held
    where peer.member = held.member returning held.last_receipt_taken as before`.execute(trx)
  return found.rows[0]?.before ?? null
}

/** Counts a refused call or a broken promise of a peer, per minute: a flood fills a counter, not the disk. */
export async function countSecurityEvent(
  db: Db,
  event: { at: Date; fingerprint: string; member: string; code: string; trace: string },
): Promise<void> {
  const minute = new Date(Math.floor(event.at.getTime() / 60_000) * 60_000)
  await sql`insert into security_event (minute, fingerprint, member, code, trace)
    values (${minute}, ${event.fingerprint}, ${event.member}, ${event.code}, ${event.trace})
    on conflict (minute, fingerprint, code) do update set count = security_event.count + 1`.execute(db)
}

export async function forgetSecurityEvents(db: Db, before: Date): Promise<void> {
  await db.deleteFrom('security_event').where('minute', '<', before).execute()
}

/** One line per peer for the operator. */
export async function findPeerStates(db: Db) {
  const found = await sql<PeerState & { waiting: number; in_flight: number; oldest_waiting_at: Date | null }>`
    select coalesce(peer.member, work.destination) as member, coalesce(failures, 0) as failures, failing_since, retry_at, held_reason, last_error, heard_at,
      coalesce(waiting, 0)::int as waiting, coalesce(in_flight, 0)::int as in_flight,
      (select m.stored_at from outbox o join message m on m.author = o.author and m.id = o.message_id
        where o.destination = work.destination and o.batch_id is null order by o.seq limit 1) as oldest_waiting_at
    from peer full join (
      select destination, sum(waiting) as waiting, sum(in_flight) as in_flight from (
        select destination, count(*) as waiting, 0 as in_flight from outbox where batch_id is null group by destination
        union all select destination, 0, size from outbound_batch where receipt is null and withdrawn_at is null
      ) each group by destination
    ) work on work.destination = peer.member order by 1`.execute(db)
  return found.rows
}

export async function findRecentSecurityEvents(db: Db, since: Date): Promise<{ code: string; member: string; count: number }[]> {
  const found = await sql<{ code: string; member: string; count: number }>`
    select code, member, sum(count)::int as count from security_event where minute >= ${since} group by code, member order by code, member`.execute(
    db,
  )
  return found.rows
}

/** The newest messages that a peer did not take, or that we can't read, and that no person has looked at. */
export async function findQuarantined(
  db: Db,
  limit: number,
): Promise<{ message_id: string; item_id: string; destination: string; code: string; quarantined_at: Date }[]> {
  return db
    .selectFrom('quarantine')
    .select(['message_id', 'item_id', 'destination', 'code', 'quarantined_at'])
    .where('resolved_at', 'is', null)
    .orderBy('id', 'desc')
    .limit(limit)
    .execute()
}

export async function countQuarantined(db: Db): Promise<number> {
  const found = await sql<{ count: number }>`select count(*)::int as count from quarantine where resolved_at is null`.execute(db)
  return found.rows[0]?.count ?? 0
}
