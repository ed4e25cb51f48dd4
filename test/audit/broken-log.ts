// Makes an audit log unwritable for a moment, from outside, and tells whether anything of a database changed.
import { setTimeout as sleep } from 'node:timers/promises'
import { withClient } from '#storage/admin-client.ts'

/**
 * Takes the service's right to add entries away, or gives it back: inside a migration window, as the database demands. Once it is away,
 * whoever had added an entry before has committed too.
 */
export async function setAuditWritable(adminUrl: string, writable: boolean): Promise<void> {
  const change = writable
    ? 'grant insert (entry) on crossline.audit_entry to'
    : 'revoke insert (entry) on crossline.audit_entry from'
  await withClient(adminUrl, async (client) => {
    await client.query('begin')
    await client.query("insert into crossline.migration_window (name) values ('test of a broken log')")
    await client.query(`${change} crossline_service`)
    await client.query('commit')
    while ((await client.query(writers)).rowCount) await sleep(10)
  })
}

const writers = `select from pg_locks where relation = 'crossline.audit_entry'::regclass and mode = 'RowExclusiveLock'
  and database = (select oid from pg_database where datname = current_database()) and pid <> pg_backend_pid()`

// What a node remembers of calls, peers, refusals and directories is no state of an item; the window is this test's own. What is written
// in the log is sealed, witnessed and found again by others, which goes on.
const beside = [
  ...['peer', 'seen_proof', 'security_event', 'migration_window', 'migration_window_record'],
  ...[
    'audit_pending',
    'audit_state',
    'audit_shard',
    'audit_leaf',
    'audit_tile',
    'audit_checkpoint',
    'audit_place',
    'audit_stretch',
  ],
  ...['cosignature', 'peer_log'],
]

/** A digest of every row of every table that holds reports, items, messages, batches and the log. */
export async function readState(adminUrl: string): Promise<Record<string, string>> {
  return withClient(adminUrl, async (client) => {
    const { rows } = await client.query<{ name: string }>(
      "select tablename as name from pg_tables where schemaname = 'crossline' and tablename !~ '^(kysely|audit_entry_|directory_)' and tablename <> all ($1) order by 1",
      [beside],
    )
    const state: Record<string, string> = {}
    for (const { name } of rows) {
      const found = await client.query<{ digest: string }>(
        `select count(*) || ' ' || coalesce(md5(string_agg(t::text, '|' order by t::text)), '') as digest from crossline.${name} t`,
      )
      state[name] = found.rows[0]?.digest ?? ''
    }
    return state
  })
}
