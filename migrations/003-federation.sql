-- Messages between nodes: written once, sent in batches, receipted; and what a node remembers of its peers.
create table crossline.message (
  author text not null,
  id uuid not null,
  leaf bytea not null check (length(leaf) = 32),            -- digest of the line; (author, id, leaf) is known for ever
  item_id uuid not null,
  kind text not null,
  receiver text not null,
  sealed bytea,                                             -- the line, under the item's key; null once erased
  inbound_batch uuid,                                       -- for a message from a peer: its batch and place
  inbound_index integer,
  stored_at timestamptz not null default now(),
  primary key (author, id)
) with (toast_tuple_target = 8160);
alter table crossline.message alter column sealed set storage external;
create index message_item on crossline.message (item_id);

create table crossline.outbox (
  seq bigint generated always as identity primary key,
  destination text not null,
  author text not null,
  message_id uuid not null,
  item_id uuid not null,
  kind text not null,
  leaf bytea not null,
  bytes integer not null,
  batch_id uuid,
  batch_index integer
);
create index outbox_waiting on crossline.outbox (destination, seq) where batch_id is null;
create index outbox_message on crossline.outbox (message_id);

create table crossline.outbound_batch (
  id uuid primary key,
  destination text not null,
  root bytea not null,
  size integer not null check (size between 1 and 1000),
  leaves bytea not null check (length(leaves) = size * 32),
  seqs bigint[] not null,                                   -- its messages in the outbox, in their order
  proofs text[] not null default '{}',                      -- every proof sent for it, until its receipt; then the one that it names
  trace text not null,                                      -- the same in both nodes' audit entries
  cut_at timestamptz not null default now(),
  receipt text,
  receipted_at timestamptz,
  -- given up by a person, or split because the peer found it too large: its messages went back to the outbox
  withdrawn_at timestamptz
);
-- One batch in flight between two members.
create unique index outbound_in_flight on crossline.outbound_batch (destination) where receipt is null and withdrawn_at is null;

create table crossline.inbound_batch (
  sender text not null,
  id uuid not null,
  root bytea not null,
  size integer not null,
  leaves bytea not null check (length(leaves) = size * 32),
  proof text not null,                                      -- the first proof accepted for it
  receipt text not null,                                    -- given again byte for byte
  stored_at timestamptz not null default now(),
  primary key (sender, id)
);

create table crossline.peer (
  member text primary key,
  failures integer not null default 0,
  failing_since timestamptz,
  failed_at timestamptz,                                    -- the last failure; this and what follows by the node's clock
  retry_at timestamptz,                                     -- null: nothing to wait for
  probing boolean not null default false,                   -- half open: one ping, one batch of one, then full speed
  last_error text,
  held_reason text,                                         -- why nothing is sent until the directory or a person changes something
  lease_holder uuid,
  lease_until timestamptz,
  last_receipt_given text,                                  -- digest of our last receipt to the peer
  last_receipt_taken text,                                  -- digest of its last receipt to us
  directory_version bigint,
  heard_at timestamptz
) with (fillfactor = 70);

create table crossline.seen_proof (
  issuer text not null,
  jti text not null,
  expires_at timestamptz not null,
  primary key (issuer, jti)
);
create index seen_proof_expiry on crossline.seen_proof (expires_at);

-- A message that a peer rejected, waiting for a person.
create table crossline.quarantine (
  id bigint generated always as identity primary key,
  destination text not null,
  message_id uuid not null,
  item_id uuid not null,
  code text not null,
  quarantined_at timestamptz not null default now(),
  resolved_at timestamptz
);

-- Refused calls and broken promises of peers, counted per minute so that a flood can't fill the disk.
create table crossline.security_event (
  minute timestamptz not null,
  fingerprint text not null,                                -- of the certificate on the socket; '' without one
  member text not null,                                     -- its owner in the directory; '' if unknown
  code text not null,
  count bigint not null default 1,
  trace text not null,                                      -- trace id of the first call
  primary key (minute, fingerprint, code)
);

create table crossline.directory_document (
  kind text not null check (kind in ('root', 'directory')),
  number bigint not null,
  hash text not null,
  root_number bigint,                                       -- of a directory: the root that it was verified under
  bytes bytea not null,                                     -- as served and signed; never serialised again
  received_from text not null,
  stored_at timestamptz not null default now(),
  primary key (kind, number)
);

-- Other servings of a directory that is held: the same signed payload in another wrapping. `previous` of the next may name any of them.
-- One for each source, so that nobody crowds out what another served.
create table crossline.directory_serving (
  version bigint not null,
  source text not null,
  hash text not null,
  primary key (version, source)
);

-- Another document of the same number: equivocation. Never deleted. One for each content, however often it is wrapped anew.
create table crossline.directory_conflict (
  id bigint generated always as identity primary key,
  kind text not null,
  number bigint not null,
  held_hash text not null,
  other_hash text not null,
  other_payload_hash text not null,
  other_bytes bytea not null,
  received_from text not null,
  recorded_at timestamptz not null default now(),
  unique (kind, number, other_payload_hash)
);

grant select, insert on crossline.message, crossline.outbox, crossline.outbound_batch, crossline.inbound_batch, crossline.peer,
  crossline.seen_proof, crossline.quarantine, crossline.security_event, crossline.directory_document, crossline.directory_serving,
  crossline.directory_conflict to crossline_service;
grant update (batch_id, batch_index) on crossline.outbox to crossline_service;
grant update (proofs, receipt, receipted_at, withdrawn_at) on crossline.outbound_batch to crossline_service;
grant update on crossline.peer to crossline_service;
grant delete on crossline.seen_proof, crossline.security_event to crossline_service;
grant update (hash) on crossline.directory_serving to crossline_service;
grant update (resolved_at) on crossline.quarantine to crossline_service;
grant update (count) on crossline.security_event to crossline_service;
