-- Sealing: each entry gets one place in a Merkle tree of its year, whose checkpoints are signed (audit.md). The sealer alone writes here.
do $$
begin
  if not exists (select from pg_roles where rolname = 'crossline_sealer') then
    raise exception 'role crossline_sealer is missing: migrate creates the roles before the migrations';
  end if;
end $$;
grant usage on schema crossline to crossline_sealer;
grant crossline_sealer to crossline_service;

-- When an entry was recorded tells which partition holds it, and how long it waits.
alter table crossline.audit_pending add column recorded_at timestamptz;
update crossline.audit_pending p set recorded_at = e.recorded_at from crossline.audit_entry e where e.id = p.id;
alter table crossline.audit_pending alter column recorded_at set not null;
-- A queue: what was taken must not lie about until a fifth of the table is dead.
alter table crossline.audit_pending set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);
create or replace function crossline.audit_enqueue() returns trigger language plpgsql security definer set search_path = crossline, pg_temp as $$
begin
  insert into audit_pending (id, leaf, recorded_at) select id, leaf, recorded_at from added;
  return null;
end $$;

-- One row: its lock is the election of the sealer. A halt stays until an operator resumes.
create table crossline.audit_state (
  id integer primary key check (id = 1),
  halted_at timestamptz,
  halted_why text check (halted_why ~ '^[a-z_]{2,40}$'),
  halted_facts jsonb,
  check ((halted_at is null) = (halted_why is null))
);
insert into crossline.audit_state (id) values (1);

-- The tree of one year: all that must be kept to let it grow.
create table crossline.audit_shard (
  year integer primary key check (year between 1970 and 9999),
  origin text not null unique,
  size bigint not null check (size > 0),
  root bytea not null check (length(root) = 32),
  edge bytea not null check (length(edge) % 32 = 0),        -- full subtrees along the right edge, largest first
  last_at timestamptz not null,                             -- the last checkpoint, by the node's clock: never sign before it
  state text not null default 'open' check (state in ('open', 'closed'))
);

-- No foreign keys here: a check for each leaf would cost more than all the rest.
create table crossline.audit_leaf (
  year integer not null,
  leaf_index bigint not null check (leaf_index >= 0),
  entry_id bigint not null unique,
  hash bytea not null check (length(hash) = 32),
  primary key (year, leaf_index)
);

-- C2SP tlog-tiles, height 8.
create table crossline.audit_tile (
  year integer not null,
  level smallint not null check (level between 0 and 6),
  n bigint not null check (n >= 0),
  hashes bytea not null check (length(hashes) between 32 and 8192 and length(hashes) % 32 = 0),
  primary key (year, level, n)
);
alter table crossline.audit_tile alter column hashes set storage external;  -- hashes don't compress

create table crossline.audit_checkpoint (
  year integer not null references crossline.audit_shard,
  size bigint not null check (size > 0),
  root bytea not null check (length(root) = 32),
  note text not null,                                       -- C2SP signed note with our own signature
  signed_at timestamptz not null,
  primary key (year, size)
);

-- A tree only grows, a tile too, and one that is full is final: for everybody, the owner included.
create function crossline.shard_grows() returns trigger language plpgsql set search_path = crossline, pg_temp as $$
begin
  if (new.year, new.origin) is distinct from (old.year, old.origin) or new.size < old.size
    or new.size = old.size and (new.root, new.edge) is distinct from (old.root, old.edge) then
    raise exception 'append-only: a shard only grows' using errcode = 'insufficient_privilege';
  end if;
  return new;
end $$;
create function crossline.tile_grows() returns trigger language plpgsql set search_path = crossline, pg_temp as $$
begin
  if (new.year, new.level, new.n) is distinct from (old.year, old.level, old.n) or length(new.hashes) <= length(old.hashes)
    or substr(new.hashes, 1, length(old.hashes)) <> old.hashes then
    raise exception 'append-only: a tile only grows' using errcode = 'insufficient_privilege';
  end if;
  return new;
end $$;
revoke all on function crossline.shard_grows() from public;
revoke all on function crossline.tile_grows() from public;

do $$
declare
  name text;
  growing text;
begin
  foreach name in array array['audit_shard', 'audit_leaf', 'audit_tile', 'audit_checkpoint', 'audit_state'] loop
    growing := case name when 'audit_shard' then 'shard_grows' when 'audit_tile' then 'tile_grows' end;
    if name <> 'audit_state' then
      execute format('create trigger audit_no_change before update on crossline.%I for each row execute function crossline.%I()',
        name, coalesce(growing, 'refuse_change'));
      execute format('alter table crossline.%I enable always trigger audit_no_change', name);
    end if;
    execute format('create trigger audit_no_delete before delete on crossline.%I for each row execute function crossline.refuse_change()', name);
    execute format('create trigger audit_no_truncate before truncate on crossline.%I for each statement execute function crossline.refuse_change()', name);
    execute format('alter table crossline.%I enable always trigger audit_no_delete', name);
    execute format('alter table crossline.%I enable always trigger audit_no_truncate', name);
  end loop;
end $$;

-- The queue only loses what stands in a tree: nobody exchanges what waits in it, empties it at once, or takes an entry out that has no leaf.
-- A leaf outside of the tree of its year is none: the sealer halts when the tree grows without it. The bounds name the index of the leaves; a
-- plan that was kept from when the log was small would go through all of it for every batch.
create function crossline.refuse_unplaced() returns trigger language plpgsql
set search_path = crossline, pg_temp set plan_cache_mode = force_custom_plan as $$
declare
  low bigint;
  high bigint;
begin
  select min(id), max(id) into low, high from gone;
  if exists (
    select id, leaf from gone
    except
    select l.entry_id, l.hash from audit_leaf l join audit_shard s on s.year = l.year and l.leaf_index < s.size
    where l.entry_id between low and high
  ) then
    raise exception 'append-only: an entry leaves the queue for its place in the tree only' using errcode = 'insufficient_privilege';
  end if;
  return null;
end $$;
revoke all on function crossline.refuse_unplaced() from public;
create trigger audit_no_change before update on crossline.audit_pending for each row execute function crossline.refuse_change();
create trigger audit_no_loss after delete on crossline.audit_pending
  referencing old table as gone for each statement execute function crossline.refuse_unplaced();
create trigger audit_no_truncate before truncate on crossline.audit_pending for each statement execute function crossline.refuse_change();
alter table crossline.audit_pending enable always trigger audit_no_change;
alter table crossline.audit_pending enable always trigger audit_no_loss;
alter table crossline.audit_pending enable always trigger audit_no_truncate;

create policy sealer_all on crossline.audit_entry for select to crossline_sealer using (true);
grant select (id, recorded_at, entry) on crossline.audit_entry to crossline_sealer;
grant select, delete on crossline.audit_pending to crossline_sealer;
grant select, update (halted_at, halted_why, halted_facts) on crossline.audit_state to crossline_sealer;
grant select, insert, update (size, root, edge, last_at, state) on crossline.audit_shard to crossline_sealer;
grant select, insert, update (hashes) on crossline.audit_tile to crossline_sealer;
grant select, insert on crossline.audit_leaf, crossline.audit_checkpoint to crossline_sealer;
grant select on crossline.audit_state, crossline.audit_shard, crossline.audit_leaf, crossline.audit_tile, crossline.audit_checkpoint
  to crossline_service;
