// Statements that the database must refuse, each by itself: what would take the ground from under the audit log.

/** For the service's login: the tables beside the log, and everything that guards it. */
export function attacksOnFoundations(partition: string): string[] {
  return [
    'delete from crossline.audit_pending',
    "insert into crossline.audit_pending values (99, '\\x00')",
    'update crossline.audit_pending set id = id + 1',
    'truncate crossline.audit_pending',
    'delete from crossline.audit_payload',
    "update crossline.audit_payload set sealed = '\\x00'",
    'delete from crossline.audit_head',
    "insert into crossline.migration_window (name) values ('x')",
    'delete from crossline.migration_window_record',
    'alter table crossline.audit_entry disable trigger all',
    'alter table crossline.audit_entry disable trigger audit_no_change',
    `alter table crossline.${partition} disable trigger audit_no_change`,
    'alter table crossline.audit_entry disable row level security',
    `alter table crossline.audit_entry detach partition crossline.${partition}`,
    'drop trigger audit_no_change on crossline.audit_entry',
    'drop policy liaison_scope on crossline.audit_entry',
    'create policy mine on crossline.audit_entry using (true)',
    'create rule mine as on insert to crossline.audit_entry do instead nothing',
    'create trigger mine before insert on crossline.audit_entry for each row execute function crossline.refuse_change()',
    'drop event trigger crossline_ddl',
    'alter event trigger crossline_drop disable',
    'drop table crossline.audit_entry',
    `drop table crossline.${partition}`,
    'drop schema crossline cascade',
    'create table crossline.mine ()',
    'create table public.mine ()',
    'create temp table audit_pending ()',
    'create function crossline.mine() returns int language sql as $$ select 1 $$',
    'create or replace function crossline.refuse_change() returns trigger language plpgsql as $$ begin return new; end $$',
    'alter sequence crossline.audit_entry_id_seq restart with 1',
    "select setval('crossline.audit_entry_id_seq', 1)",
    "select nextval('crossline.audit_entry_id_seq')",
    'select crossline.audit_enqueue()',
  ]
}

/** For the owner and for a superuser, whatever they switch off: the queue loses only what has its place in the tree. */
export const attacksOnQueue = [
  "update crossline.audit_pending set leaf = '\\x00'",
  'update crossline.audit_pending set id = id + 1000',
  "update crossline.audit_pending set recorded_at = '2020-01-01'",
  'truncate crossline.audit_pending',
  'truncate crossline.audit_pending cascade',
  'delete from crossline.audit_pending',
  'delete from crossline.audit_pending where id = (select max(id) from crossline.audit_pending)',
]

const leafFor = (hash: string, { year, index }: { year: number; index: number }) =>
  `insert into crossline.audit_leaf (year, leaf_index, entry_id, hash) select ${year}, ${index}, id, ${hash} from crossline.audit_pending order by id limit 1`
const takeFirst = 'delete from crossline.audit_pending where id = (select min(id) from crossline.audit_pending)'

/** For the sealer's role: every way to take an entry out of the queue without giving it a place in the tree of a year that has one leaf. */
export const attacksOfSealer = (year: number): string[] => [
  ...attacksOnQueue,
  takeFirst,
  `merge into crossline.audit_pending p using (select min(id) as id from crossline.audit_pending) q on p.id = q.id when matched then delete`,
  `with gone as (delete from crossline.audit_pending returning id) select count(*) from gone`,
  // A leaf that nothing is built on, one of another hash, one at a place that is taken.
  `${leafFor('leaf', { year: 1970, index: 0 })}; ${takeFirst}`,
  `${leafFor('leaf', { year, index: 1 })}; ${takeFirst}`,
  `${leafFor("sha256('x')", { year, index: 0 })}; ${takeFirst}`,
  // What is placed goes, what is not stays: one of many is enough to refuse them all.
  `${leafFor('leaf', { year, index: 0 })}; delete from crossline.audit_pending`,
  // Rows that look like the tree to whoever looks for it elsewhere.
  `set local search_path = pg_temp, crossline; ${takeFirst}`,
  'alter table crossline.audit_pending disable trigger audit_no_loss',
  'set session_replication_role = replica',
  "select set_config('session_replication_role', 'replica', true)",
  'drop trigger audit_no_loss on crossline.audit_pending',
  'create or replace function crossline.refuse_unplaced() returns trigger language plpgsql as $$ begin return null; end $$',
  'create temp table audit_leaf ()',
]
/** The one way: a leaf with its hash, at a place in the tree. */
export const placeFirst = (year: number): string => `${leafFor('leaf', { year, index: 0 })}; ${takeFirst}`

/** For the owner and for a superuser: every way to change the schema outside a migration window. */
export function schemaChanges(partition: string): string[] {
  return [
    'create table crossline.mine ()',
    'create table crossline.mine as select 1 as n',
    'select 1 as n into crossline.mine',
    'create view crossline.mine as select 1 as n',
    'create index on crossline.audit_entry (country)',
    'create function crossline.mine() returns int language sql as $$ select 1 $$',
    'create or replace function crossline.refuse_change() returns trigger language plpgsql as $$ begin return new; end $$',
    'drop function crossline.refuse_change() cascade',
    'alter function crossline.refuse_change() rename to other',
    'alter table crossline.audit_entry add column mine int',
    'alter table crossline.audit_entry disable trigger audit_no_change',
    'alter table crossline.audit_entry disable trigger all',
    `alter table crossline.${partition} disable trigger audit_no_truncate`,
    'alter table crossline.audit_entry rename to other',
    'alter table crossline.audit_entry disable row level security',
    `alter table crossline.audit_entry detach partition crossline.${partition}`,
    'alter sequence crossline.audit_entry_id_seq restart with 1',
    'alter trigger audit_no_change on crossline.audit_entry rename to other',
    'drop trigger audit_no_change on crossline.audit_entry',
    'drop trigger audit_enqueue on crossline.audit_entry',
    'create trigger mine before insert on crossline.audit_entry for each row execute function crossline.refuse_change()',
    'create rule mine as on insert to crossline.audit_entry do instead nothing',
    'drop policy liaison_scope on crossline.audit_entry',
    'alter policy liaison_scope on crossline.audit_entry using (true)',
    'create policy mine on crossline.audit_entry using (true)',
    'grant update on crossline.audit_entry to crossline_service',
    'grant insert on crossline.audit_entry to crossline_service',
    'grant insert (recorded_at) on crossline.audit_entry to crossline_service',
    'grant create on schema crossline to crossline_service',
    'grant execute on function crossline.refuse_change() to public',
    'revoke select on crossline.audit_entry from crossline_service',
    'alter default privileges for role crossline_owner in schema crossline grant update on tables to crossline_service',
    "comment on table crossline.audit_entry is 'mine'",
    'drop index crossline.audit_entry_time',
    `drop table crossline.${partition}`,
    'drop table crossline.audit_entry',
    'alter table crossline.audit_pending disable trigger audit_no_change',
    'drop table crossline.audit_pending',
    'drop table crossline.migration_window cascade',
    'drop schema crossline cascade',
    'drop owned by crossline_owner cascade',
  ]
}
