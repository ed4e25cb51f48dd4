// Migration windows and which of them stand in the audit log.
import { sql } from 'kysely'
import { intArray } from './binary-array.ts'
import type { Trx } from './report-store.ts'

export interface MigrationWindow {
  id: number
  name: string
  digest: Buffer | null
  opened_at: Date
}

/** Windows without an audit entry; locks out another process that does the same. */
export async function findUnrecordedWindows(trx: Trx): Promise<MigrationWindow[]> {
  await sql`select pg_advisory_xact_lock(hashtext('crossline.migration_window'))`.execute(trx)
  const found = await sql<MigrationWindow>`
    select id, name, digest, opened_at from migration_window w where not exists (select from migration_window_record r where r.window_id = w.id) order by id`.execute(
    trx,
  )
  return found.rows
}

export async function insertWindowRecords(trx: Trx, ids: readonly number[]): Promise<void> {
  await sql`insert into migration_window_record (window_id) select * from unnest(${intArray(ids)}::int[])`.execute(trx)
}
