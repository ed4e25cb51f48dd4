// What peers cosigned of our log, what we hold of theirs as their witness, and the evidence of contradictions, which is never deleted.
import { hash } from 'node:crypto'
import { sql } from 'kysely'
import type { Db, Trx } from './report-store.ts'

/** A peer's log as we last cosigned it; size 0 and an empty note before the first time. */
export interface PeerLog {
  size: number
  root: Buffer
  note: string
  checkedAt: Date
}

/** The row of a peer's log, locked until the transaction ends; made if it is the first time. */
export async function lockPeerLog(
  trx: Trx,
  first: { origin: string; member: string; root: Buffer; now: Date },
): Promise<PeerLog> {
  const { origin, member, root, now } = first
  const found = await sql<PeerLog>`
    insert into peer_log (origin, member, size, root, note, checked_at) values (${origin}, ${member}, 0, ${root}, '', ${now})
    on conflict (origin) do update set checked_at = peer_log.checked_at returning size, root, note, checked_at as "checkedAt"`.execute(
    trx,
  )
  return found.rows[0] as PeerLog
}

export async function recordPeerLog(
  trx: Trx,
  { origin, size, root, note, checkedAt }: PeerLog & { origin: string },
): Promise<void> {
  await trx.updateTable('peer_log').set({ size, root, note, checked_at: checkedAt }).where('origin', '=', origin).execute()
}

export interface Evidence {
  /** fork: another root at the same size; rollback: less than before; broken_proof: the proof between the two failed. */
  kind: 'fork' | 'rollback' | 'broken_proof'
  member: string
  origin: string
  firstNote: string
  secondNote: string
}

/** Of one log, and of one member: who signs contradictions without end must not fill the disk, however many logs it names. */
const maxEvidence = { ofLog: 1000, ofMember: 3000 }

/** Keeps two notes for ever. The same again gives the id it has; undefined when there is more than anybody will read. */
export async function recordEvidence(db: Db, evidence: Evidence): Promise<number | undefined> {
  const { kind, member, origin, firstNote, secondNote } = evidence
  const digest = hash('sha256', JSON.stringify([kind, member, origin, firstNote, secondNote]), 'buffer')
  await sql`insert into audit_evidence (kind, member, origin, first_note, second_note, digest)
    select ${kind}, ${member}, ${origin}, ${firstNote}, ${secondNote}, ${digest}
    where (select count(*) from audit_evidence where origin = ${origin}) < ${maxEvidence.ofLog}
      and (select count(*) from audit_evidence where member = ${member}) < ${maxEvidence.ofMember}
    on conflict (digest) do nothing`.execute(db)
  return (await db.selectFrom('audit_evidence').select('id').where('digest', '=', digest).executeTakeFirst())?.id
}

export async function countEvidence(db: Db): Promise<number> {
  const found = await sql<{ count: number }>`select count(*)::int as count from audit_evidence`.execute(db)
  return found.rows[0]?.count ?? 0
}

export interface Cosignature {
  year: number
  size: number
  /** Name of the witness' key. */
  witness: string
  line: string
  cosignedAt: Date
}

/** Keeps a verified cosignature; the first of a witness for a checkpoint stays. */
export async function insertCosignature(db: Db, { year, size, witness, line, cosignedAt }: Cosignature): Promise<void> {
  await db
    .insertInto('cosignature')
    .values({ year, size, witness, line, cosigned_at: cosignedAt })
    .onConflict((clash) => clash.columns(['year', 'size', 'witness']).doNothing())
    .execute()
}

/** The signature lines of the witnesses of one checkpoint, by witness. */
export async function findCosignatures(db: Db, year: number, size: number): Promise<Cosignature[]> {
  const rows = await db
    .selectFrom('cosignature')
    .selectAll()
    .where('year', '=', year)
    .where('size', '=', size)
    .orderBy('witness')
    .execute()
  return rows.map(({ cosigned_at: cosignedAt, witness, line }) => ({ year, size, witness, line, cosignedAt }))
}

export async function hasCosigned(
  db: Db,
  { year, size, witness }: Pick<Cosignature, 'year' | 'size' | 'witness'>,
): Promise<boolean> {
  const query = db.selectFrom('cosignature').select('size').where('year', '=', year).where('size', '=', size)
  return (await query.where('witness', '=', witness).executeTakeFirst()) !== undefined
}

/** The newest sizes that at least so many witnesses cosigned; the policy says whether these are the right ones. */
export async function findCosignedSizes(
  db: Db,
  { year, witnesses, limit }: { year: number; witnesses: number; limit: number },
): Promise<number[]> {
  const rows = await db
    .selectFrom('cosignature')
    .select('size')
    .where('year', '=', year)
    .groupBy('size')
    .having((count) => count.fn.countAll(), '>=', witnesses)
    .orderBy('size', 'desc')
    .limit(limit)
    .execute()
  return rows.map(({ size }) => size)
}

/** What each witness cosigned last. */
export async function findLastCosignatures(db: Db): Promise<{ witness: string; year: number; size: number; cosignedAt: Date }[]> {
  const found = await sql<{ witness: string; year: number; size: number; cosignedAt: Date }>`
    with recursive witnesses as (
      (select witness from cosignature order by witness limit 1)
      union all select (select witness from cosignature c where c.witness > w.witness order by witness limit 1) from witnesses w where w.witness is not null
    )
    select w.witness, last.year, last.size, last.cosigned_at as "cosignedAt" from witnesses w
    cross join lateral (select year, size, cosigned_at from cosignature c where c.witness = w.witness order by year desc, size desc limit 1) last
    order by w.witness`.execute(db)
  return found.rows
}
