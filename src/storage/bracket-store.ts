// Which of our checkpoints bound the time of entries: the last one without an entry, and the first with it, that enough witnesses had cosigned.
// Promise: the database decides by the very policy; what it costs grows with the stretch of the log that is asked about, not with the log.
import { type RawBuilder, sql } from 'kysely'
import type { VerifierKey } from '#domain/signed-note.ts'
import type { Policy } from '#domain/tlog-policy.ts'
import { bigintArray } from './binary-array.ts'
import type { Db } from './report-store.ts'

export interface BracketQuestion {
  year: number
  policy: Policy
  /** Places of entries, ascending. */
  indexes: readonly number[]
  /** Only checkpoints of a smaller tree than this. */
  before: number
}

/** The notes with all their cosignatures, ascending by size, each once. The next entry that is looked at is always one behind the last note. */
export async function findBracketNotes(db: Db, { year, policy, indexes, before }: BracketQuestion): Promise<string[]> {
  if (indexes.length === 0) return []
  const list = sql`${bigintArray(indexes)}::bigint[]`
  const cosigned = sql`select c.size from cosignature c where c.year = ${year}::int and c.size < ${before}::bigint and ${isWitnessed(policy)}`
  const { rows } = await sql<{ note: string }>`
    with recursive bracket (n, earlier, later) as (
      select 0, null::bigint, (${list})[1]
      union all
      select b.n + 1, (${cosigned} and c.size <= next.index order by c.size desc limit 1),
        (${cosigned} and c.size > next.index order by c.size limit 1)
      from bracket b cross join lateral (select (${list})[width_bucket(b.later - 1, ${list}) + 1] as index) next
      where next.index is not null
    )
    select p.note || (select string_agg(s.line, '' order by s.witness) from cosignature s where s.year = p.year and s.size = p.size) as note
    from audit_checkpoint p where p.year = ${year}::int
      and p.size in (select earlier from bracket where n > 0 union select later from bracket where n > 0)
    order by p.size`.execute(db)
  return rows.map(({ note }) => note)
}

/** Whether the lines under a checkpoint meet the policy. They were verified when they were stored. */
function isWitnessed(policy: Policy): RawBuilder<boolean> {
  const parts = new Map<string, RawBuilder<boolean>>([['none', sql`true`]])
  for (const { name, key } of policy.witnesses)
    parts.set(name, sql`coalesce(bool_or(starts_with(s.line, ${beginningOf(key)})), false)`)
  for (const { name, threshold, members } of policy.groups) {
    const counted = members.map((member) => sql`(${parts.get(member)})::int`)
    parts.set(name, sql`(${sql.join(counted, sql` + `)} >= ${threshold}::int)`)
  }
  return sql`(select ${parts.get(policy.quorum)} from cosignature s where s.year = c.year and s.size = c.size)`
}

/** Of the lines that a key signs. Of the 32 bits of its id the last two share a character with the signature. */
const beginningOf = ({ name, keyId }: VerifierKey): string => `— ${name} ${keyId.toString('base64').slice(0, 5)}`
