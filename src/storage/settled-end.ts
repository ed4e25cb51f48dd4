// Cursors over what is numbered before it commits. Promise: below a settled end nothing can still appear, so a cursor passes nobody by.
import { setTimeout as sleep } from 'node:timers/promises'
import { type Kysely, sql } from 'kysely'
import type { Tables } from './tables.ts'

/** A table whose rows take their number from a sequence, and the last number that stands in it. */
export interface Numbered {
  table: 'item'
  findLast: () => Promise<number>
}

/**
 * The last number up to which no row can still appear. A number is given before its transaction commits, so a slow writer's row may turn up
 * below one that was read: a cursor that had passed it would never show it. Waits for the writers at work, and for nobody who comes later.
 * Undefined when one of them takes longer than `patienceMs`.
 */
export async function findSettledEnd(
  db: Kysely<Tables>,
  { table, findLast }: Numbered,
  patienceMs: number,
): Promise<number | undefined> {
  // First the number, then the writers: whoever holds a lower number than this one is at work now, or has committed.
  const last = await findLast()
  const giveUpAt = Date.now() + patienceMs
  const writers = await findWriters(db, table)
  for (let now = writers; now.some((writer) => writers.includes(writer)); now = await findWriters(db, table)) {
    if (Date.now() > giveUpAt) return undefined
    await sleep(10)
  }
  return last
}

// Whoever has been given a number holds this lock on the table until it commits.
async function findWriters(db: Kysely<Tables>, table: Numbered['table']): Promise<string[]> {
  const found = await sql<{ writer: string }>`
    select virtualtransaction as writer from pg_locks where locktype = 'relation' and mode = 'RowExclusiveLock' and granted
      and relation = ${table}::regclass and database = (select oid from pg_database where datname = current_database())`.execute(
    db,
  )
  return found.rows.map((row) => row.writer)
}
