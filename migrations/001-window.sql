-- The migration window: who changed the schema, when. Every later change of the schema must stand here, or the database refuses it (005).
create table crossline.migration_window (
  id bigint generated always as identity primary key,
  name text not null,
  digest bytea,                                             -- SHA-256 of the file's text
  xid xid8 not null default pg_current_xact_id(),           -- the transaction that may change the schema
  opened_at timestamptz not null default clock_timestamp()
);
do $$
declare name text;
begin
  -- crossline_reader: the liaison's view (row-level security); crossline_eraser: the only role that may destroy payloads.
  foreach name in array array['crossline_service', 'crossline_reader', 'crossline_eraser'] loop
    if not exists (select from pg_roles where rolname = name) then
      raise exception 'role % is missing: migrate creates the roles before the first migration', name;
    end if;
  end loop;
end $$;
grant usage on schema crossline to crossline_service, crossline_reader, crossline_eraser;
grant select on crossline.migration_window to crossline_service;

-- Which windows stand in the audit log: the node adds each before it serves.
create table crossline.migration_window_record (
  window_id bigint primary key references crossline.migration_window,
  recorded_at timestamptz not null default clock_timestamp()
);
grant select, insert (window_id) on crossline.migration_window_record to crossline_service;
