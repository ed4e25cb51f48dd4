-- Refuses any change of the schema outside a migration window. Needs a superuser: event triggers can't be made by anyone else.
-- A schema of the superuser's own: whoever owns crossline could otherwise drop the function, and its event triggers with it.
create schema crossline_guard;
create function crossline_guard.refuse_ddl() returns event_trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  touched text;
begin
  if tg_event = 'sql_drop' then
    -- Triggers, policies and rules have no schema of their own, but the name of their table in their address.
    select object_identity into touched from pg_event_trigger_dropped_objects()
      where address_names[1] in ('crossline', 'crossline_guard') or schema_name in ('crossline', 'crossline_guard') limit 1;
  elsif tg_tag in ('GRANT', 'REVOKE', 'ALTER DEFAULT PRIVILEGES') then
    -- The command does not say what it changed: look for rows of the catalogue that this transaction wrote.
    select 'rights' into touched where exists (select from pg_namespace where nspname in ('crossline', 'crossline_guard') and age(xmin) <= 0)
      or exists (select from pg_class where relowner = 'crossline_owner'::regrole and age(xmin) <= 0)
      or exists (select from pg_class c join pg_attribute a on a.attrelid = c.oid where c.relowner = 'crossline_owner'::regrole and age(a.xmin) <= 0)
      or exists (select from pg_proc where proowner = 'crossline_owner'::regrole and age(xmin) <= 0)
      or exists (select from pg_default_acl where defaclrole = 'crossline_owner'::regrole and age(xmin) <= 0);
  elsif tg_tag <> 'REINDEX' then
    -- By the owner too: what was moved to another schema is still ours.
    select coalesce(object_identity, tg_tag) into touched from pg_event_trigger_ddl_commands()
      where schema_name in ('crossline', 'crossline_guard')
        or (pg_identify_object_as_address(classid, objid, objsubid)).object_names[1] in ('crossline', 'crossline_guard')
        or exists (select from pg_class where classid = 'pg_class'::regclass and oid = objid and relowner = 'crossline_owner'::regrole) limit 1;
    if not exists (select from pg_namespace where nspname = 'crossline' and nspowner = 'crossline_owner'::regrole) then
      touched := 'crossline';
    end if;
  end if;
  if touched is null then
    return;
  end if;
  if to_regclass('crossline.migration_window') is not null then
    if exists (select from crossline.migration_window where xid = pg_current_xact_id()) then
      return;
    end if;
  end if;
  raise exception 'outside a migration window: % is refused', tg_tag using errcode = 'insufficient_privilege';
end $$;
revoke all on function crossline_guard.refuse_ddl() from public;
create event trigger crossline_ddl on ddl_command_end execute function crossline_guard.refuse_ddl();
create event trigger crossline_drop on sql_drop execute function crossline_guard.refuse_ddl();
alter event trigger crossline_ddl enable always;
alter event trigger crossline_drop enable always;
