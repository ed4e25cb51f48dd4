-- Completeness and exports: the hourly index over all items with what is needed to prove from it, and the bundles that liaisons ask for.

-- The country that the index names for an item: the last one that an entry of it stated.
alter table crossline.audit_head add column country text;
update crossline.audit_head h set country = (
  select e.country from crossline.audit_entry e where e.item_ref = h.item_ref and e.country is not null order by e.item_seq desc limit 1
);

-- One index.root entry: the tree over all items at the moment of one statement. The last two are kept, and those that an export needs.
create table crossline.audit_index (
  id uuid primary key,
  entry_id bigint not null unique,                          -- its index.root entry
  size bigint not null check (size >= 1),                   -- items in it
  entries bigint not null,                                  -- entries that they counted together
  root bytea not null check (length(root) = 32),
  chunk_roots bytea not null,                               -- 32 bytes for each chunk: 1,024 leaves are a full subtree
  made_at timestamptz not null
);

-- Its leaves in order, 74 bytes each: country (2, zero for none), ref (32), n (8), last leaf hash (32); up to 1,024 in a chunk.
create table crossline.audit_index_chunk (
  index_id uuid not null references crossline.audit_index on delete cascade deferrable initially deferred,
  n integer not null,
  leaves bytea not null,
  primary key (index_id, n)
);
alter table crossline.audit_index_chunk alter column leaves set storage external;

create table crossline.audit_export (
  id uuid primary key,
  client text not null,                                     -- fingerprint of the liaison's certificate: nobody else gets it
  network_wide boolean not null,                            -- the scope at the time of the asking
  countries text[] not null,
  members text[] not null,
  filter bytea not null,                                    -- sealed: it may hold a file number
  format text not null check (format in ('ndjson', 'csv')),
  state text not null default 'waiting' check (state in ('waiting', 'running', 'done', 'failed')),
  failure text,
  year integer,                                             -- the checkpoint that it is pinned to, chosen once
  size bigint,
  index_id uuid references crossline.audit_index,
  rows bigint not null default 0,
  total bigint,
  bytes bigint not null default 0,
  digest bytea,                                             -- SHA-256 of the finished bundle
  complete text,
  created_at timestamptz not null,
  finished_at timestamptz,
  expires_at timestamptz not null,
  lease_holder text,
  lease_until timestamptz
);
create index audit_export_client on crossline.audit_export (client, state);
create index audit_export_work on crossline.audit_export (created_at) where state in ('waiting', 'running');

grant select, insert, delete on crossline.audit_index, crossline.audit_index_chunk to crossline_service;
grant select, insert, update, delete on crossline.audit_export to crossline_service;
