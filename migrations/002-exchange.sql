-- Reports and items: what a hotline hands in, where each item is hosted, who owns it, what was found and done.
create sequence crossline.state_seq;

create table crossline.subject_key (
  subject uuid primary key,                                 -- report or item
  wrapped bytea not null                                    -- the key that seals its texts, wrapped by the node's master key
);

create table crossline.report (
  id uuid primary key,
  origin text not null check (origin ~ '^[a-z0-9-]{2,40}$'),
  received_at timestamptz not null,
  source text not null,
  source_item uuid,
  site_type text not null,
  commerciality text not null,
  payment_methods text[] not null,
  handling text not null,
  sealed bytea,                                             -- reference, referrer, memo, access credentials; null once erased
  content_digest bytea not null,                            -- keyed hash of what was submitted: tells a repetition from a conflict
  created_at timestamptz not null default now()
);

create table crossline.item (
  id uuid primary key,
  report_id uuid not null references crossline.report,
  position integer not null,
  content_type text not null,
  is_source boolean not null,
  url_key bytea,                                            -- keyed hash of the canonical URL; null without one
  state text not null check (state in ('received', 'traced', 'routed', 'sent', 'delivered', 'accepted', 'assessed', 'closed',
    'needs_review', 'orphaned', 'untraceable', 'refused', 'on_hold', 'reopened')),
  outcome text check (outcome in ('removed', 'unavailable', 'not_illegal', 'duplicate', 'withdrawn', 'expired')),
  refusal text,
  owner text not null,                                      -- exactly one, by being one column
  handed_by text,                                           -- who handed it to this node; null if it was submitted here
  handed_to text,                                           -- who it is or was handed to from here
  via text[] not null,
  hosting_country text check (hosting_country ~ '^[A-Z]{2}$'),
  assigned_country text check (assigned_country ~ '^[A-Z]{2}$'),
  route_rule text,
  route_flags text[] not null default '{}',
  trace_due_at timestamptz not null default '-infinity',    -- by the node's clock; at once
  trace_attempts integer not null default 0,
  state_seq bigint not null default nextval('crossline.state_seq'),
  changed_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  check ((state = 'closed') = (outcome is not null)),
  check ((state = 'refused') = (refusal is not null))
) with (fillfactor = 80);
create index item_queue on crossline.item (state, state_seq);
create index item_report on crossline.item (report_id, position);
create index item_url_key on crossline.item (url_key);

create table crossline.item_content (
  item_id uuid primary key,
  sealed bytea,                                             -- url, hashes, stated country, under the item's key; null once erased
  owner_reference bytea,                                    -- sealed file number of the owner
  refusal_details bytea                                     -- sealed note and evidence of the one that refused
) with (toast_tuple_target = 8160);
-- Sealed texts don't compress: kept in the row as they are, up to a page.
alter table crossline.item_content alter column sealed set storage external;

-- What this node found itself; an item that was handed over brings its evidence in its content.
create table crossline.item_evidence (
  item_id uuid primary key,
  sealed bytea not null
);

create table crossline.assessment (
  id uuid primary key,
  item_id uuid not null references crossline.item,
  position bigint generated always as identity,
  member text not null,
  record jsonb not null                                     -- schema Assessment; holds codes and a pseudonym only
);
create index assessment_item on crossline.assessment (item_id, position);

create table crossline.action (
  id uuid primary key,
  item_id uuid not null references crossline.item,
  position bigint generated always as identity,
  member text not null,
  action text not null,
  record jsonb not null,                                    -- schema Action; holds codes and a pseudonym only
  unique (item_id, action)                                  -- the same action twice is refused
);
-- At most one final action for an item, whoever tries at the same moment.
create unique index action_final on crossline.action (item_id) where action in ('removed', 'unavailable', 'not_illegal');

create table crossline.api_client (
  fingerprint text primary key check (fingerprint ~ '^[A-Za-z0-9_-]{43}$'),
  role text not null check (role in ('hotline', 'liaison', 'operator')),
  name text not null,
  countries text[] not null default '{}',
  network_wide boolean not null default false,
  added_at timestamptz not null default now(),
  revoked_at timestamptz
);

create table crossline.idempotency (
  client text not null,
  key text not null,                                        -- keyed hash of what the client sent
  request_digest bytea not null,                            -- keyed hash of method, path and body
  resource uuid not null,                                   -- the report or item that the first call answered
  created_at timestamptz not null default now(),
  primary key (client, key)
);
create index idempotency_age on crossline.idempotency (created_at);

grant usage on sequence crossline.state_seq to crossline_service;
grant select, insert on crossline.subject_key, crossline.report, crossline.item, crossline.item_content, crossline.item_evidence, crossline.assessment,
  crossline.action, crossline.api_client, crossline.idempotency to crossline_service;
grant update (state, outcome, refusal, owner, handed_by, handed_to, via, hosting_country, assigned_country, route_rule, route_flags,
  trace_due_at, trace_attempts, state_seq, changed_at) on crossline.item to crossline_service;
grant update (owner_reference, refusal_details) on crossline.item_content to crossline_service;
grant update (sealed) on crossline.item_evidence to crossline_service;
grant update (revoked_at) on crossline.api_client to crossline_service;
grant delete on crossline.idempotency to crossline_service;
