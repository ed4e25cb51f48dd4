// What the service's login can really do, asked of the database itself: the promises of the audit log rest on what it can't.
import { withClient } from './admin-client.ts'

export interface LoginFacts {
  /** Superuser, or may make roles or databases, pass row-level security, or act as the owner of the schema. */
  isPowerful: boolean
  /** May update, delete or truncate audit entries, in the table or in any of its partitions. */
  mayChangeEntries: boolean
  /** May choose the time of an audit entry. */
  mayDateEntries: boolean
  /** Whether the event triggers stand that refuse changes of the schema outside a migration window. */
  hasEventTriggers: boolean
  /** The database's clock. */
  now: Date
}

const question = `
  with entry as (
    select 'crossline.audit_entry'::regclass::oid as id
    union all select inhrelid from pg_inherits where inhparent = 'crossline.audit_entry'::regclass
  )
  select
    rolsuper or rolcreaterole or rolcreatedb or rolbypassrls or pg_has_role(oid, 'crossline_owner', 'member') as "isPowerful",
    exists (select from entry where has_table_privilege(id, 'update, delete, truncate') or has_any_column_privilege(id, 'update'))
      as "mayChangeEntries",
    exists (select from entry where has_column_privilege(id, 'recorded_at', 'insert')) as "mayDateEntries",
    (select count(*) = 2 from pg_event_trigger where evtname in ('crossline_ddl', 'crossline_drop') and evtenabled = 'A')
      as "hasEventTriggers",
    clock_timestamp() as now
  from pg_roles where rolname = current_user`

/** Logs in with this address and asks. Throws database_unavailable when that fails. */
export async function examineLogin(serviceUrl: string): Promise<LoginFacts> {
  return withClient(serviceUrl, async (client) => {
    const { rows } = await client.query<LoginFacts>(question)
    return rows[0] as LoginFacts
  })
}
