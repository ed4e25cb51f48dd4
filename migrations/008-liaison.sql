-- What a liaison's questions are answered from: where each sealed entry stands, by all that may be asked for, and what each liaison has read.
create table crossline.audit_place (
  year integer not null,
  leaf_index bigint not null,
  entry_id bigint not null,
  recorded_at timestamptz not null,      -- with the id, the key of the entry: one partition is read, not all
  event text not null,
  from_member text,
  to_member text,
  country text,
  primary key (year, leaf_index)
);
-- One for each filter, alone and with an event, each in the order of the log: a page is read off the index from its cursor on, however long
-- the log is. New rows go to one place in each of them for each value, so that they are cheap. An item is found by audit_entry's own index.
create index audit_place_event on crossline.audit_place (event, year, leaf_index);
create index audit_place_country on crossline.audit_place (country, year, leaf_index) where country is not null;
create index audit_place_country_event on crossline.audit_place (country, event, year, leaf_index) where country is not null;
create index audit_place_from on crossline.audit_place (from_member, year, leaf_index) where from_member is not null;
create index audit_place_from_event on crossline.audit_place (from_member, event, year, leaf_index) where from_member is not null;
create index audit_place_to on crossline.audit_place (to_member, year, leaf_index) where to_member is not null;
create index audit_place_to_event on crossline.audit_place (to_member, event, year, leaf_index) where to_member is not null;
-- For what is asked for within a scope: a member, or another country's entries.
create index audit_place_country_from on crossline.audit_place (country, from_member, year, leaf_index)
  where country is not null and from_member is not null;
create index audit_place_country_to on crossline.audit_place (country, to_member, year, leaf_index)
  where country is not null and to_member is not null;
create index audit_place_from_to on crossline.audit_place (from_member, to_member, year, leaf_index)
  where from_member is not null and to_member is not null;

-- The times that each stretch of 1,024 leaves was recorded in. Leaves stand in the order of their commits, not of their times: a range of
-- times is a range of stretches, and a late writer's entry is in it all the same.
create table crossline.audit_stretch (
  year integer not null,
  n bigint not null,
  earliest timestamptz not null,
  latest timestamptz not null,
  primary key (year, n)
) with (fillfactor = 80);

-- A plan that was kept from when the log was small would go through all of it for every batch.
create function crossline.audit_place_leaves() returns trigger language plpgsql security definer
set search_path = crossline, pg_temp set plan_cache_mode = force_custom_plan as $$
declare
  low bigint;
  high bigint;
begin
  select min(entry_id), max(entry_id) into low, high from added;
  with placed as (
    insert into audit_place (year, leaf_index, entry_id, recorded_at, event, from_member, to_member, country)
    select a.year, a.leaf_index, a.entry_id, e.recorded_at, e.event, e.from_member, e.to_member, e.country
    from added a join audit_entry e on e.id = a.entry_id
    where e.id between low and high
    returning year, leaf_index, recorded_at
  )
  insert into audit_stretch (year, n, earliest, latest)
  select year, leaf_index / 1024, min(recorded_at), max(recorded_at) from placed group by 1, 2
  on conflict (year, n) do update
    set earliest = least(audit_stretch.earliest, excluded.earliest), latest = greatest(audit_stretch.latest, excluded.latest);
  return null;
end $$;
revoke all on function crossline.audit_place_leaves() from public;
create trigger audit_place_leaves after insert on crossline.audit_leaf
  referencing new table as added for each statement execute function crossline.audit_place_leaves();
alter table crossline.audit_leaf enable always trigger audit_place_leaves;

create trigger place_no_change before update or delete on crossline.audit_place
  for each row execute function crossline.refuse_change();
create trigger place_no_truncate before truncate on crossline.audit_place
  for each statement execute function crossline.refuse_change();
alter table crossline.audit_place enable always trigger place_no_change;
alter table crossline.audit_place enable always trigger place_no_truncate;

-- The same scope as the entries': nobody learns from an index what the entry would not tell.
alter table crossline.audit_place enable row level security;
create policy liaison_scope on crossline.audit_place for select to crossline_reader using (
  current_setting('crossline.network_wide', true) = 'on'
  or country = any (string_to_array(current_setting('crossline.countries', true), ','))
  or from_member = any (string_to_array(current_setting('crossline.members', true), ','))
  or to_member = any (string_to_array(current_setting('crossline.members', true), ','))
);

-- Which reports, items and questions carry a file number, under a keyed hash of it.
create table crossline.audit_case (
  case_key bytea not null check (length(case_key) = 32),
  subject uuid not null,
  primary key (case_key, subject)
);
create index audit_case_subject on crossline.audit_case (subject);

-- How much each liaison has asked for and been shown, by its certificate and the day (UTC).
create table crossline.liaison_use (
  fingerprint text not null,
  day date not null,
  queries bigint not null,
  rows bigint not null,
  primary key (fingerprint, day)
);

-- For `audit fsck` alone: whether the places say what the entries say.
create policy service_all on crossline.audit_place for select to crossline_service using (true);
grant select on crossline.audit_place to crossline_reader, crossline_service;
grant select on crossline.audit_leaf to crossline_reader;
grant select on crossline.audit_stretch to crossline_service;
grant select, insert on crossline.audit_case to crossline_service;
grant select, insert, update on crossline.liaison_use to crossline_service;
