// The schema that the migrations end in, as stable text out of the catalogue: migrations/schema.sql, which a test compares and
// `npm run docs` writes. For reading and for reviews; it is never run.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Client } from 'pg'
import { withClient } from '#storage/admin-client.ts'
import { createTestDatabase, migrationsFolder } from '../database.ts'

export const schemaFile = join(migrationsFolder, 'schema.sql')

const intro = `-- The end state of the migrations in this folder, for reading: what a database of this version holds.
-- Written by \`npm run docs\` from the catalogue of a migrated PostgreSQL 18, compared by a test. Never run, never edited.
-- The monthly partitions of audit_entry are left out: they depend on the day. Each has these triggers of its own:
`

// Partitions depend on the day, and what belongs to them too.
const ours = "n.nspname in ('crossline', 'crossline_guard') and not c.relispartition"

// Each query gives lines of text in a fixed order.
const partitionTriggers = `
  select distinct format('--   %s', regexp_replace(pg_get_triggerdef(t.oid), 'audit_entry_\\d{4}_\\d{2}', 'audit_entry_YYYY_MM')
    || case t.tgenabled when 'A' then ' (always)' else '' end) as line
  from pg_trigger t join pg_class c on c.oid = t.tgrelid where c.relispartition and c.relnamespace = 'crossline'::regnamespace order by 1`

const schemas = `
  select format('create schema %I; -- owner: %s', nspname, case when r.rolsuper then 'the superuser that migrates' else r.rolname end) as line
  from pg_namespace n join pg_roles r on r.oid = n.nspowner where nspname in ('crossline', 'crossline_guard') order by nspname`

const tables = `
  select format(E'\\ncreate table %s (\\n%s\\n)%s%s;', c.oid::regclass, (
    select string_agg('  ' || line, E',\\n' order by kind, place, line) from (
      select 1 as kind, a.attnum as place, format('%I %s%s%s', a.attname, format_type(a.atttypid, a.atttypmod),
        case when a.attnotnull then ' not null' else '' end,
        case when a.attidentity = 'a' then ' generated always as identity'
          when a.attgenerated = 's' then ' generated always as (' || pg_get_expr(d.adbin, d.adrelid) || ') stored'
          when d.adbin is not null then ' default ' || pg_get_expr(d.adbin, d.adrelid) else '' end) as line
      from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      union all
      select 2, 0, format('constraint %I %s', conname, pg_get_constraintdef(oid)) from pg_constraint where conrelid = c.oid and contype in ('c', 'p', 'u', 'f')
    ) lines),
    case when c.relkind = 'p' then ' partition by ' || pg_get_partkeydef(c.oid) else '' end,
    case when c.reloptions is null then '' else ' with (' || array_to_string(c.reloptions, ', ') || ')' end)
    || case when c.relrowsecurity then format(E'\\nalter table %s enable row level security;', c.oid::regclass) else '' end as line
  from pg_class c join pg_namespace n on n.oid = c.relnamespace where ${ours} and c.relkind in ('r', 'p') order by c.oid::regclass::text`

const sequences = `
  select format('create sequence %s;', c.oid::regclass) as line from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where ${ours} and c.relkind = 'S' and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'i') order by 1`

const indexes = `
  select pg_get_indexdef(i.indexrelid) || ';' as line from pg_index i join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace
  where ${ours} and not exists (select from pg_constraint where conindid = i.indexrelid and contype in ('p', 'u')) order by 1`

const functions = `
  select E'\\n' || rtrim(pg_get_functiondef(p.oid)) || ';' as line from pg_proc p join pg_namespace n on n.oid = p.pronamespace
  where n.nspname in ('crossline', 'crossline_guard') order by p.oid::regprocedure::text`

const triggers = `
  select pg_get_triggerdef(t.oid) || case t.tgenabled when 'A' then '; -- always' else ';' end as line
  from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace where ${ours} and not t.tgisinternal
  union all
  select format('CREATE EVENT TRIGGER %I ON %s EXECUTE FUNCTION %s%s', evtname, evtevent, evtfoid::regprocedure, case evtenabled when 'A' then '; -- always' else ';' end)
  from pg_event_trigger order by 1`

const policies = `
  select format('CREATE POLICY %I ON %I.%I FOR %s TO %s USING (%s)%s;', policyname, schemaname, tablename, cmd, array_to_string(roles, ', '), qual,
    case when with_check is null then '' else ' WITH CHECK (' || with_check || ')' end) as line
  from pg_policies where schemaname = 'crossline' order by 1`

// What the owner may do goes without saying.
const grants = `
  with rights (object, acl, owner) as (
    select 'schema ' || nspname, nspacl, nspowner from pg_namespace where nspname in ('crossline', 'crossline_guard')
    union all select case c.relkind when 'S' then 'sequence ' else 'table ' end || c.oid::regclass, c.relacl, c.relowner
      from pg_class c join pg_namespace n on n.oid = c.relnamespace where ${ours}
    union all select format('table %s (%I)', c.oid::regclass, a.attname), a.attacl, c.relowner
      from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace where ${ours}
    union all select 'function ' || p.oid::regprocedure, coalesce(p.proacl, acldefault('f', p.proowner)), p.proowner
      from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname in ('crossline', 'crossline_guard')
  )
  select format('grant %s on %s to %s;', lower(string_agg(privilege_type, ', ' order by privilege_type)), object,
    case a.grantee when 0 then 'public' else a.grantee::regrole::text end) as line
  from rights, aclexplode(acl) a where a.grantee <> owner group by object, a.grantee
  union all
  select format('grant %s to %s;', m.roleid::regrole, m.member::regrole) from pg_auth_members m
  where m.roleid::regrole::text ~ '^crossline_(owner|service|reader|eraser)$' and m.member::regrole::text ~ '^crossline_(service|reader|eraser)$' order by 1`

const sections = {
  Schemas: schemas,
  Tables: tables,
  Sequences: sequences,
  Indexes: indexes,
  Functions: functions,
  Triggers: triggers,
  Policies: policies,
  Rights: grants,
}

/** The whole text of migrations/schema.sql for the database that the client is connected to. */
export async function renderSchema(client: Client): Promise<string> {
  const read = async (query: string) => (await client.query<{ line: string }>(query)).rows.map(({ line }) => line).join('\n')
  // With nothing in the search path every name is written with its schema.
  await client.query("set search_path = ''")
  let text = `${intro}${await read(partitionTriggers)}\n`
  for (const [title, query] of Object.entries(sections)) text += `\n-- ${title}\n${await read(query)}\n`
  return text
}

if (import.meta.main) {
  const ends: (() => unknown)[] = []
  const { adminUrl } = await createTestDatabase({ teardown: (clean) => void ends.push(clean) })
  writeFileSync(schemaFile, await withClient(adminUrl, renderSchema))
  for (const end of ends) await end()
}
