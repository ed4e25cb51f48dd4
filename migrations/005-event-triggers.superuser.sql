-- Refuses any change of the schema outside a migration window. Needs a superuser: event triggers can't be made by anyone else.
create function crossline.refuse_ddl() returns event_trigger language plpgsql security definer set search_path = crossline, pg_temp as $$
declare
  touched text;
begin
  if exists (select from migration_window where xid = pg_current_xact_id()) then
    return;
  end if;
  if tg_event = 'sql_drop' then
    select object_identity into touched from pg_event_trigger_dropped_objects()
      where schema_name = 'crossline' or (object_type = 'schema' and object_name = 'crossline') limit 1;
  else
    select object_identity into touched from pg_event_trigger_ddl_commands()
      where schema_name = 'crossline' or object_identity = 'crossline' limit 1;
  end if;
  if touched is not null then
    raise exception 'outside a migration window: % is refused', tg_tag using errcode = 'insufficient_privilege';
  end if;
end $$;
alter function crossline.refuse_ddl() owner to crossline_owner;
revoke all on function crossline.refuse_ddl() from public;
create event trigger crossline_ddl on ddl_command_end execute function crossline.refuse_ddl();
create event trigger crossline_drop on sql_drop execute function crossline.refuse_ddl();
alter event trigger crossline_ddl enable always;
alter event trigger crossline_drop enable always;
