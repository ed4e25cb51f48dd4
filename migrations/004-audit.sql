-- The audit log: entries that the service can only add, with the exact bytes that will be sealed (audit.md).
create table crossline.audit_entry (
  id bigint generated always as identity (cache 1),
  recorded_at timestamptz not null default clock_timestamp(),
  event text not null,
  item_ref bytea not null check (length(item_ref) = 32),    -- keyed pseudonym of the item (or report, or query)
  item_seq integer not null check (item_seq >= 1),          -- n: 1, 2, 3 … within the item
  from_member text,
  to_member text,
  country text,
  entry bytea not null,                                     -- RFC 8785 JSON: the only thing hashed
  leaf bytea generated always as (sha256('\x00'::bytea || entry)) stored,
  primary key (id, recorded_at)
) partition by range (recorded_at);
create index audit_entry_item on crossline.audit_entry (item_ref, item_seq);
create index audit_entry_time on crossline.audit_entry (recorded_at);

-- The only erasable part: salts and values that open an entry's commitments, sealed under the subject's key.
create table crossline.audit_payload (
  entry_id bigint primary key,
  subject uuid not null,
  sealed bytea not null
);

-- The last entry of each item: gives n and prev to the next one.
create table crossline.audit_head (
  item_ref bytea primary key,
  n integer not null,
  leaf bytea not null
) with (fillfactor = 70);

-- Filled by a trigger, emptied by the sealer.
create table crossline.audit_pending (
  id bigint primary key,
  leaf bytea not null
);

create function crossline.audit_enqueue() returns trigger language plpgsql security definer set search_path = crossline, pg_temp as $$
begin
  insert into audit_pending (id, leaf) select id, leaf from added;
  return null;
end $$;

create function crossline.refuse_change() returns trigger language plpgsql set search_path = crossline, pg_temp as $$
begin
  raise exception 'append-only: % on % is refused', tg_op, tg_table_name using errcode = 'insufficient_privilege';
end $$;

create trigger audit_enqueue after insert on crossline.audit_entry
  referencing new table as added for each statement execute function crossline.audit_enqueue();
create trigger audit_no_change before update or delete on crossline.audit_entry
  for each row execute function crossline.refuse_change();
create trigger audit_no_truncate before truncate on crossline.audit_entry
  for each statement execute function crossline.refuse_change();
alter table crossline.audit_entry enable always trigger audit_enqueue;
alter table crossline.audit_entry enable always trigger audit_no_change;
alter table crossline.audit_entry enable always trigger audit_no_truncate;

create trigger window_no_change before update or delete on crossline.migration_window
  for each row execute function crossline.refuse_change();
create trigger window_no_truncate before truncate on crossline.migration_window
  for each statement execute function crossline.refuse_change();
alter table crossline.migration_window enable always trigger window_no_change;
alter table crossline.migration_window enable always trigger window_no_truncate;

-- Makes the monthly partitions from last month to `ahead` months from now (a clock may be set back over the start of a month); opens its own
-- migration window, which is recorded.
create function crossline.audit_add_partitions(ahead integer) returns integer
language plpgsql security definer set search_path = crossline, pg_temp as $$
declare
  first date := date_trunc('month', now() at time zone 'UTC')::date;
  made integer := 0;
  part text;
  from_day date;
begin
  if ahead is null or ahead < 0 or ahead > 120 then
    raise exception 'ahead must be 0 to 120 months';
  end if;
  perform pg_advisory_xact_lock(hashtext('crossline.audit_add_partitions'));
  for k in -1..ahead loop
    from_day := (first + make_interval(months => k))::date;
    part := 'audit_entry_' || to_char(from_day, 'YYYY_MM');
    if to_regclass('crossline.' || part) is null then
      if made = 0 then
        insert into migration_window (name) values ('audit partitions');
      end if;
      execute format('create table crossline.%I partition of crossline.audit_entry for values from (%L) to (%L)', part,
        from_day::text || ' 00:00:00+00', (from_day + interval '1 month')::date::text || ' 00:00:00+00');
      -- Statement triggers aren't inherited: without them a partition could be truncated, or filled past the sealer, by its own name.
      execute format('create trigger audit_no_truncate before truncate on crossline.%I for each statement execute function crossline.refuse_change()', part);
      execute format('create trigger audit_enqueue after insert on crossline.%I referencing new table as added for each statement execute function crossline.audit_enqueue()', part);
      execute format('alter table crossline.%I enable always trigger audit_no_truncate', part);
      execute format('alter table crossline.%I enable always trigger audit_enqueue', part);
      execute format('alter table crossline.%I enable always trigger audit_no_change', part);
      made := made + 1;
    end if;
  end loop;
  return made;
end $$;
revoke all on function crossline.audit_add_partitions(integer) from public;
revoke all on function crossline.audit_enqueue() from public;
revoke all on function crossline.refuse_change() from public;
select crossline.audit_add_partitions(12);

alter table crossline.audit_entry enable row level security;
create policy service_all on crossline.audit_entry to crossline_service using (true) with check (true);
-- A liaison sees what touches its countries: hosted there, or handed from or to a hotline of it.
create policy liaison_scope on crossline.audit_entry for select to crossline_reader using (
  current_setting('crossline.network_wide', true) = 'on'
  or country = any (string_to_array(current_setting('crossline.countries', true), ','))
  or from_member = any (string_to_array(current_setting('crossline.members', true), ','))
  or to_member = any (string_to_array(current_setting('crossline.members', true), ','))
);

grant select on crossline.audit_entry to crossline_service, crossline_reader;
-- Not id, not recorded_at, not leaf: the service can't choose them.
grant insert (event, item_ref, item_seq, from_member, to_member, country, entry) on crossline.audit_entry to crossline_service;
grant select, insert on crossline.audit_payload to crossline_service;
grant select, insert, update on crossline.audit_head to crossline_service;
grant select on crossline.audit_pending to crossline_service;
grant execute on function crossline.audit_add_partitions(integer) to crossline_service;
grant crossline_reader to crossline_service;
