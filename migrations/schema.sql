-- The end state of the migrations in this folder, for reading: what a database of this version holds.
-- Written by `npm run docs` from the catalogue of a migrated PostgreSQL 18, compared by a test. Never run, never edited.
-- The monthly partitions of audit_entry are left out: they depend on the day. Each has these triggers of its own:
--   CREATE TRIGGER audit_enqueue AFTER INSERT ON crossline.audit_entry_YYYY_MM REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crossline.audit_enqueue() (always)
--   CREATE TRIGGER audit_no_change BEFORE DELETE OR UPDATE ON crossline.audit_entry_YYYY_MM FOR EACH ROW EXECUTE FUNCTION crossline.refuse_change() (always)
--   CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON crossline.audit_entry_YYYY_MM FOR EACH STATEMENT EXECUTE FUNCTION crossline.refuse_change() (always)

-- Schemas
create schema crossline; -- owner: crossline_owner
create schema crossline_guard; -- owner: the superuser that migrates

-- Tables

create table crossline.action (
  id uuid not null,
  item_id uuid not null,
  "position" bigint not null generated always as identity,
  member text not null,
  action text not null,
  record jsonb not null,
  constraint action_item_id_action_key UNIQUE (item_id, action),
  constraint action_item_id_fkey FOREIGN KEY (item_id) REFERENCES crossline.item(id),
  constraint action_pkey PRIMARY KEY (id)
);

create table crossline.api_client (
  fingerprint text not null,
  role text not null,
  name text not null,
  countries text[] not null default '{}'::text[],
  network_wide boolean not null default false,
  added_at timestamp with time zone not null default now(),
  revoked_at timestamp with time zone,
  constraint api_client_fingerprint_check CHECK ((fingerprint ~ '^[A-Za-z0-9_-]{43}$'::text)),
  constraint api_client_pkey PRIMARY KEY (fingerprint),
  constraint api_client_role_check CHECK ((role = ANY (ARRAY['hotline'::text, 'liaison'::text, 'operator'::text])))
);

create table crossline.assessment (
  id uuid not null,
  item_id uuid not null,
  "position" bigint not null generated always as identity,
  member text not null,
  record jsonb not null,
  constraint assessment_item_id_fkey FOREIGN KEY (item_id) REFERENCES crossline.item(id),
  constraint assessment_pkey PRIMARY KEY (id)
);

create table crossline.audit_case (
  case_key bytea not null,
  subject uuid not null,
  constraint audit_case_case_key_check CHECK ((length(case_key) = 32)),
  constraint audit_case_pkey PRIMARY KEY (case_key, subject)
);

create table crossline.audit_checkpoint (
  year integer not null,
  size bigint not null,
  root bytea not null,
  note text not null,
  signed_at timestamp with time zone not null,
  constraint audit_checkpoint_pkey PRIMARY KEY (year, size),
  constraint audit_checkpoint_root_check CHECK ((length(root) = 32)),
  constraint audit_checkpoint_size_check CHECK ((size > 0)),
  constraint audit_checkpoint_year_fkey FOREIGN KEY (year) REFERENCES crossline.audit_shard(year)
);

create table crossline.audit_entry (
  id bigint not null generated always as identity,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  event text not null,
  item_ref bytea not null,
  item_seq integer not null,
  from_member text,
  to_member text,
  country text,
  entry bytea not null,
  leaf bytea generated always as (sha256(('\x00'::bytea || entry))) stored,
  constraint audit_entry_item_ref_check CHECK ((length(item_ref) = 32)),
  constraint audit_entry_item_seq_check CHECK ((item_seq >= 1)),
  constraint audit_entry_pkey PRIMARY KEY (id, recorded_at)
) partition by RANGE (recorded_at);
alter table crossline.audit_entry enable row level security;

create table crossline.audit_evidence (
  id bigint not null generated always as identity,
  kind text not null,
  member text not null,
  origin text not null,
  first_note text not null,
  second_note text not null,
  digest bytea not null,
  noticed_at timestamp with time zone not null default clock_timestamp(),
  constraint audit_evidence_digest_check CHECK ((length(digest) = 32)),
  constraint audit_evidence_digest_key UNIQUE (digest),
  constraint audit_evidence_kind_check CHECK ((kind = ANY (ARRAY['fork'::text, 'rollback'::text, 'broken_proof'::text]))),
  constraint audit_evidence_pkey PRIMARY KEY (id)
);

create table crossline.audit_export (
  id uuid not null,
  client text not null,
  network_wide boolean not null,
  countries text[] not null,
  members text[] not null,
  filter bytea not null,
  format text not null,
  state text not null default 'waiting'::text,
  failure text,
  year integer,
  size bigint,
  index_id uuid,
  rows bigint not null default 0,
  total bigint,
  bytes bigint not null default 0,
  digest bytea,
  complete text,
  created_at timestamp with time zone not null,
  finished_at timestamp with time zone,
  expires_at timestamp with time zone not null,
  lease_holder text,
  lease_until timestamp with time zone,
  constraint audit_export_format_check CHECK ((format = ANY (ARRAY['ndjson'::text, 'csv'::text]))),
  constraint audit_export_index_id_fkey FOREIGN KEY (index_id) REFERENCES crossline.audit_index(id),
  constraint audit_export_pkey PRIMARY KEY (id),
  constraint audit_export_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'running'::text, 'done'::text, 'failed'::text])))
);

create table crossline.audit_head (
  item_ref bytea not null,
  n integer not null,
  leaf bytea not null,
  country text,
  constraint audit_head_pkey PRIMARY KEY (item_ref)
) with (fillfactor=70);

create table crossline.audit_index (
  id uuid not null,
  entry_id bigint not null,
  size bigint not null,
  entries bigint not null,
  root bytea not null,
  chunk_roots bytea not null,
  made_at timestamp with time zone not null,
  constraint audit_index_entry_id_key UNIQUE (entry_id),
  constraint audit_index_pkey PRIMARY KEY (id),
  constraint audit_index_root_check CHECK ((length(root) = 32)),
  constraint audit_index_size_check CHECK ((size >= 1))
);

create table crossline.audit_index_chunk (
  index_id uuid not null,
  n integer not null,
  leaves bytea not null,
  constraint audit_index_chunk_index_id_fkey FOREIGN KEY (index_id) REFERENCES crossline.audit_index(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  constraint audit_index_chunk_pkey PRIMARY KEY (index_id, n)
);

create table crossline.audit_leaf (
  year integer not null,
  leaf_index bigint not null,
  entry_id bigint not null,
  hash bytea not null,
  constraint audit_leaf_entry_id_key UNIQUE (entry_id),
  constraint audit_leaf_hash_check CHECK ((length(hash) = 32)),
  constraint audit_leaf_leaf_index_check CHECK ((leaf_index >= 0)),
  constraint audit_leaf_pkey PRIMARY KEY (year, leaf_index)
);

create table crossline.audit_payload (
  entry_id bigint not null,
  subject uuid not null,
  sealed bytea not null,
  constraint audit_payload_pkey PRIMARY KEY (entry_id)
);

create table crossline.audit_pending (
  id bigint not null,
  leaf bytea not null,
  recorded_at timestamp with time zone not null,
  constraint audit_pending_pkey PRIMARY KEY (id)
) with (autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=20000);

create table crossline.audit_place (
  year integer not null,
  leaf_index bigint not null,
  entry_id bigint not null,
  recorded_at timestamp with time zone not null,
  event text not null,
  from_member text,
  to_member text,
  country text,
  constraint audit_place_pkey PRIMARY KEY (year, leaf_index)
);
alter table crossline.audit_place enable row level security;

create table crossline.audit_shard (
  year integer not null,
  origin text not null,
  size bigint not null,
  root bytea not null,
  edge bytea not null,
  last_at timestamp with time zone not null,
  state text not null default 'open'::text,
  constraint audit_shard_edge_check CHECK (((length(edge) % 32) = 0)),
  constraint audit_shard_origin_key UNIQUE (origin),
  constraint audit_shard_pkey PRIMARY KEY (year),
  constraint audit_shard_root_check CHECK ((length(root) = 32)),
  constraint audit_shard_size_check CHECK ((size > 0)),
  constraint audit_shard_state_check CHECK ((state = ANY (ARRAY['open'::text, 'closed'::text]))),
  constraint audit_shard_year_check CHECK (((year >= 1970) AND (year <= 9999)))
);

create table crossline.audit_state (
  id integer not null,
  halted_at timestamp with time zone,
  halted_why text,
  halted_facts jsonb,
  constraint audit_state_check CHECK (((halted_at IS NULL) = (halted_why IS NULL))),
  constraint audit_state_halted_why_check CHECK ((halted_why ~ '^[a-z_]{2,40}$'::text)),
  constraint audit_state_id_check CHECK ((id = 1)),
  constraint audit_state_pkey PRIMARY KEY (id)
);

create table crossline.audit_stretch (
  year integer not null,
  n bigint not null,
  earliest timestamp with time zone not null,
  latest timestamp with time zone not null,
  constraint audit_stretch_pkey PRIMARY KEY (year, n)
) with (fillfactor=80);

create table crossline.audit_tile (
  year integer not null,
  level smallint not null,
  n bigint not null,
  hashes bytea not null,
  constraint audit_tile_hashes_check CHECK ((((length(hashes) >= 32) AND (length(hashes) <= 8192)) AND ((length(hashes) % 32) = 0))),
  constraint audit_tile_level_check CHECK (((level >= 0) AND (level <= 6))),
  constraint audit_tile_n_check CHECK ((n >= 0)),
  constraint audit_tile_pkey PRIMARY KEY (year, level, n)
);

create table crossline.cosignature (
  year integer not null,
  size bigint not null,
  witness text not null,
  line text not null,
  cosigned_at timestamp with time zone not null,
  stored_at timestamp with time zone not null default clock_timestamp(),
  constraint cosignature_pkey PRIMARY KEY (year, size, witness),
  constraint cosignature_size_check CHECK ((size > 0))
);

create table crossline.directory_conflict (
  id bigint not null generated always as identity,
  kind text not null,
  number bigint not null,
  held_hash text not null,
  other_hash text not null,
  other_payload_hash text not null,
  other_bytes bytea not null,
  received_from text not null,
  recorded_at timestamp with time zone not null default now(),
  constraint directory_conflict_kind_number_other_payload_hash_key UNIQUE (kind, number, other_payload_hash),
  constraint directory_conflict_pkey PRIMARY KEY (id)
);

create table crossline.directory_document (
  kind text not null,
  number bigint not null,
  hash text not null,
  root_number bigint,
  bytes bytea not null,
  received_from text not null,
  stored_at timestamp with time zone not null default now(),
  constraint directory_document_kind_check CHECK ((kind = ANY (ARRAY['root'::text, 'directory'::text]))),
  constraint directory_document_pkey PRIMARY KEY (kind, number)
);

create table crossline.directory_serving (
  version bigint not null,
  source text not null,
  hash text not null,
  constraint directory_serving_pkey PRIMARY KEY (version, source)
);

create table crossline.erased_subject (
  subject uuid not null,
  kind text not null,
  ref bytea not null,
  through integer not null,
  who text not null,
  basis text not null,
  outcome text,
  replayed boolean not null,
  erased_at timestamp with time zone not null default clock_timestamp(),
  constraint erased_subject_basis_check CHECK ((basis ~ '^[a-z_]{2,40}$'::text)),
  constraint erased_subject_kind_check CHECK ((kind = ANY (ARRAY['item'::text, 'report'::text]))),
  constraint erased_subject_pkey PRIMARY KEY (subject),
  constraint erased_subject_ref_check CHECK ((length(ref) = 32)),
  constraint erased_subject_ref_key UNIQUE (ref),
  constraint erased_subject_through_check CHECK ((through >= 0)),
  constraint erased_subject_who_check CHECK ((who = ANY (ARRAY['operator'::text, 'node'::text])))
);

create table crossline.idempotency (
  client text not null,
  key text not null,
  request_digest bytea not null,
  resource uuid not null,
  created_at timestamp with time zone not null default now(),
  constraint idempotency_pkey PRIMARY KEY (client, key)
);

create table crossline.inbound_batch (
  sender text not null,
  id uuid not null,
  root bytea not null,
  size integer not null,
  leaves bytea not null,
  proof text not null,
  receipt text not null,
  stored_at timestamp with time zone not null default now(),
  constraint inbound_batch_check CHECK ((length(leaves) = (size * 32))),
  constraint inbound_batch_pkey PRIMARY KEY (sender, id)
);

create table crossline.item (
  id uuid not null,
  report_id uuid not null,
  "position" integer not null,
  content_type text not null,
  is_source boolean not null,
  url_key bytea,
  state text not null,
  outcome text,
  refusal text,
  owner text not null,
  handed_by text,
  handed_to text,
  via text[] not null,
  hosting_country text,
  assigned_country text,
  route_rule text,
  route_flags text[] not null default '{}'::text[],
  trace_due_at timestamp with time zone not null default '-infinity'::timestamp with time zone,
  trace_attempts integer not null default 0,
  state_seq bigint not null default nextval('crossline.state_seq'::regclass),
  changed_at timestamp with time zone not null default now(),
  created_at timestamp with time zone not null default now(),
  erased_at timestamp with time zone,
  constraint item_assigned_country_check CHECK ((assigned_country ~ '^[A-Z]{2}$'::text)),
  constraint item_check CHECK (((state = 'closed'::text) = (outcome IS NOT NULL))),
  constraint item_check1 CHECK (((state = 'refused'::text) = (refusal IS NOT NULL))),
  constraint item_hosting_country_check CHECK ((hosting_country ~ '^[A-Z]{2}$'::text)),
  constraint item_outcome_check CHECK ((outcome = ANY (ARRAY['removed'::text, 'unavailable'::text, 'not_illegal'::text, 'duplicate'::text, 'withdrawn'::text, 'expired'::text]))),
  constraint item_pkey PRIMARY KEY (id),
  constraint item_report_id_fkey FOREIGN KEY (report_id) REFERENCES crossline.report(id),
  constraint item_state_check CHECK ((state = ANY (ARRAY['received'::text, 'traced'::text, 'routed'::text, 'sent'::text, 'delivered'::text, 'accepted'::text, 'assessed'::text, 'closed'::text, 'needs_review'::text, 'orphaned'::text, 'untraceable'::text, 'refused'::text, 'on_hold'::text, 'reopened'::text])))
) with (fillfactor=80);

create table crossline.item_content (
  item_id uuid not null,
  sealed bytea,
  owner_reference bytea,
  refusal_details bytea,
  constraint item_content_pkey PRIMARY KEY (item_id)
) with (toast_tuple_target=8160);

create table crossline.item_evidence (
  item_id uuid not null,
  sealed bytea not null,
  constraint item_evidence_pkey PRIMARY KEY (item_id)
);

create table crossline.kysely_migration (
  name character varying(255) not null,
  "timestamp" character varying(255) not null,
  constraint kysely_migration_pkey PRIMARY KEY (name)
);

create table crossline.kysely_migration_lock (
  id character varying(255) not null,
  is_locked integer not null default 0,
  constraint kysely_migration_lock_pkey PRIMARY KEY (id)
);

create table crossline.legal_hold (
  id uuid not null,
  subject uuid not null,
  kind text not null,
  who text not null,
  basis text not null,
  until timestamp with time zone,
  placed_at timestamp with time zone not null default clock_timestamp(),
  released_at timestamp with time zone,
  constraint legal_hold_basis_check CHECK ((basis ~ '^[a-z_]{2,40}$'::text)),
  constraint legal_hold_kind_check CHECK ((kind = ANY (ARRAY['item'::text, 'report'::text]))),
  constraint legal_hold_pkey PRIMARY KEY (id),
  constraint legal_hold_who_check CHECK ((who = ANY (ARRAY['operator'::text, 'node'::text])))
);

create table crossline.liaison_use (
  fingerprint text not null,
  day date not null,
  queries bigint not null,
  rows bigint not null,
  constraint liaison_use_pkey PRIMARY KEY (fingerprint, day)
);

create table crossline.message (
  author text not null,
  id uuid not null,
  leaf bytea not null,
  item_id uuid not null,
  kind text not null,
  receiver text not null,
  sealed bytea,
  inbound_batch uuid,
  inbound_index integer,
  stored_at timestamp with time zone not null default now(),
  constraint message_leaf_check CHECK ((length(leaf) = 32)),
  constraint message_pkey PRIMARY KEY (author, id)
) with (toast_tuple_target=8160);

create table crossline.migration_window (
  id bigint not null generated always as identity,
  name text not null,
  digest bytea,
  xid xid8 not null default pg_current_xact_id(),
  opened_at timestamp with time zone not null default clock_timestamp(),
  constraint migration_window_pkey PRIMARY KEY (id)
);

create table crossline.migration_window_record (
  window_id bigint not null,
  recorded_at timestamp with time zone not null default clock_timestamp(),
  constraint migration_window_record_pkey PRIMARY KEY (window_id),
  constraint migration_window_record_window_id_fkey FOREIGN KEY (window_id) REFERENCES crossline.migration_window(id)
);

create table crossline.outbound_batch (
  id uuid not null,
  destination text not null,
  root bytea not null,
  size integer not null,
  leaves bytea not null,
  seqs bigint[] not null,
  proofs text[] not null default '{}'::text[],
  trace text not null,
  cut_at timestamp with time zone not null default now(),
  receipt text,
  receipted_at timestamp with time zone,
  withdrawn_at timestamp with time zone,
  constraint outbound_batch_check CHECK ((length(leaves) = (size * 32))),
  constraint outbound_batch_pkey PRIMARY KEY (id),
  constraint outbound_batch_size_check CHECK (((size >= 1) AND (size <= 1000)))
);

create table crossline.outbox (
  seq bigint not null generated always as identity,
  destination text not null,
  author text not null,
  message_id uuid not null,
  item_id uuid not null,
  kind text not null,
  leaf bytea not null,
  bytes integer not null,
  batch_id uuid,
  batch_index integer,
  constraint outbox_pkey PRIMARY KEY (seq)
);

create table crossline.peer (
  member text not null,
  failures integer not null default 0,
  failing_since timestamp with time zone,
  failed_at timestamp with time zone,
  retry_at timestamp with time zone,
  probing boolean not null default false,
  last_error text,
  held_reason text,
  lease_holder uuid,
  lease_until timestamp with time zone,
  last_receipt_given text,
  last_receipt_taken text,
  directory_version bigint,
  heard_at timestamp with time zone,
  constraint peer_pkey PRIMARY KEY (member)
) with (fillfactor=70);

create table crossline.peer_log (
  origin text not null,
  member text not null,
  size bigint not null,
  root bytea not null,
  note text not null,
  checked_at timestamp with time zone not null,
  constraint peer_log_pkey PRIMARY KEY (origin),
  constraint peer_log_root_check CHECK ((length(root) = 32))
) with (fillfactor=70);

create table crossline.quarantine (
  id bigint not null generated always as identity,
  destination text not null,
  message_id uuid not null,
  item_id uuid not null,
  code text not null,
  quarantined_at timestamp with time zone not null default now(),
  resolved_at timestamp with time zone,
  constraint quarantine_pkey PRIMARY KEY (id)
);

create table crossline.report (
  id uuid not null,
  origin text not null,
  received_at timestamp with time zone not null,
  source text not null,
  source_item uuid,
  site_type text not null,
  commerciality text not null,
  payment_methods text[] not null,
  handling text not null,
  sealed bytea,
  content_digest bytea not null,
  created_at timestamp with time zone not null default now(),
  erased_at timestamp with time zone,
  constraint report_origin_check CHECK ((origin ~ '^[a-z0-9-]{2,40}$'::text)),
  constraint report_pkey PRIMARY KEY (id)
);

create table crossline.security_event (
  minute timestamp with time zone not null,
  fingerprint text not null,
  member text not null,
  code text not null,
  count bigint not null default 1,
  trace text not null,
  constraint security_event_pkey PRIMARY KEY (minute, fingerprint, code)
);

create table crossline.seen_proof (
  issuer text not null,
  jti text not null,
  expires_at timestamp with time zone not null,
  constraint seen_proof_pkey PRIMARY KEY (issuer, jti)
);

create table crossline.subject_key (
  subject uuid not null,
  wrapped bytea not null,
  constraint subject_key_pkey PRIMARY KEY (subject)
);

-- Sequences
create sequence crossline.state_seq;

-- Indexes
CREATE INDEX assessment_item ON crossline.assessment USING btree (item_id, "position");
CREATE INDEX audit_case_subject ON crossline.audit_case USING btree (subject);
CREATE INDEX audit_entry_item ON ONLY crossline.audit_entry USING btree (item_ref, item_seq);
CREATE INDEX audit_entry_time ON ONLY crossline.audit_entry USING btree (recorded_at);
CREATE INDEX audit_evidence_origin ON crossline.audit_evidence USING btree (origin);
CREATE INDEX audit_export_client ON crossline.audit_export USING btree (client, state);
CREATE INDEX audit_export_work ON crossline.audit_export USING btree (created_at) WHERE (state = ANY (ARRAY['waiting'::text, 'running'::text]));
CREATE INDEX audit_place_country ON crossline.audit_place USING btree (country, year, leaf_index) WHERE (country IS NOT NULL);
CREATE INDEX audit_place_country_event ON crossline.audit_place USING btree (country, event, year, leaf_index) WHERE (country IS NOT NULL);
CREATE INDEX audit_place_country_from ON crossline.audit_place USING btree (country, from_member, year, leaf_index) WHERE ((country IS NOT NULL) AND (from_member IS NOT NULL));
CREATE INDEX audit_place_country_to ON crossline.audit_place USING btree (country, to_member, year, leaf_index) WHERE ((country IS NOT NULL) AND (to_member IS NOT NULL));
CREATE INDEX audit_place_event ON crossline.audit_place USING btree (event, year, leaf_index);
CREATE INDEX audit_place_from ON crossline.audit_place USING btree (from_member, year, leaf_index) WHERE (from_member IS NOT NULL);
CREATE INDEX audit_place_from_event ON crossline.audit_place USING btree (from_member, event, year, leaf_index) WHERE (from_member IS NOT NULL);
CREATE INDEX audit_place_from_to ON crossline.audit_place USING btree (from_member, to_member, year, leaf_index) WHERE ((from_member IS NOT NULL) AND (to_member IS NOT NULL));
CREATE INDEX audit_place_to ON crossline.audit_place USING btree (to_member, year, leaf_index) WHERE (to_member IS NOT NULL);
CREATE INDEX audit_place_to_event ON crossline.audit_place USING btree (to_member, event, year, leaf_index) WHERE (to_member IS NOT NULL);
CREATE INDEX cosignature_witness ON crossline.cosignature USING btree (witness, year, size);
CREATE INDEX erased_subject_time ON crossline.erased_subject USING btree (erased_at);
CREATE INDEX idempotency_age ON crossline.idempotency USING btree (created_at);
CREATE INDEX item_queue ON crossline.item USING btree (state, state_seq);
CREATE INDEX item_report ON crossline.item USING btree (report_id, "position");
CREATE INDEX item_unerased ON crossline.item USING btree (changed_at) WHERE ((state = 'closed'::text) AND (erased_at IS NULL));
CREATE INDEX item_url_key ON crossline.item USING btree (url_key);
CREATE INDEX legal_hold_subject ON crossline.legal_hold USING btree (subject);
CREATE INDEX message_item ON crossline.message USING btree (item_id);
CREATE INDEX outbox_message ON crossline.outbox USING btree (message_id);
CREATE INDEX outbox_waiting ON crossline.outbox USING btree (destination, seq) WHERE (batch_id IS NULL);
CREATE INDEX report_unerased ON crossline.report USING btree (created_at) WHERE (erased_at IS NULL);
CREATE INDEX seen_proof_expiry ON crossline.seen_proof USING btree (expires_at);
CREATE UNIQUE INDEX action_final ON crossline.action USING btree (item_id) WHERE (action = ANY (ARRAY['removed'::text, 'unavailable'::text, 'not_illegal'::text]));
CREATE UNIQUE INDEX outbound_in_flight ON crossline.outbound_batch USING btree (destination) WHERE ((receipt IS NULL) AND (withdrawn_at IS NULL));

-- Functions

CREATE OR REPLACE FUNCTION crossline.audit_add_partitions(ahead integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'crossline', 'pg_temp'
AS $function$
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
end $function$
;

CREATE OR REPLACE FUNCTION crossline.audit_enqueue()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'crossline', 'pg_temp'
AS $function$
begin
  insert into audit_pending (id, leaf, recorded_at) select id, leaf, recorded_at from added;
  return null;
end $function$
;

CREATE OR REPLACE FUNCTION crossline.audit_place_leaves()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'crossline', 'pg_temp'
 SET plan_cache_mode TO 'force_custom_plan'
AS $function$
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
end $function$
;

CREATE OR REPLACE FUNCTION crossline.erase_subject(p_subject uuid, p_kind text, p_ref bytea, p_who text, p_basis text, p_outcome text, p_replay boolean)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'crossline', 'pg_temp'
AS $function$
declare
  n integer;
  may text := lock_erasable(p_subject, p_kind, p_replay);
  destroyed integer := 0;
begin
  select max(item_seq) into n from audit_entry
    where item_ref = p_ref and event = 'entry.erased' and recorded_at > now() - interval '1 day' and xmin = pg_current_xact_id()::xid;
  if n is null then
    raise exception 'nothing is erased without its entry in the same transaction' using errcode = 'insufficient_privilege';
  end if;
  if may <> 'erasable' and not (may = 'absent' and p_replay) then
    raise exception 'refused: %', may using errcode = 'insufficient_privilege';
  end if;
  if may = 'absent' and exists (select from subject_key where subject = p_subject) then
    raise exception 'only items and reports can be erased' using errcode = 'insufficient_privilege';
  end if;
  delete from audit_payload p using audit_entry e
    where e.item_ref = p_ref and e.item_seq < n and p.entry_id = e.id and p.subject = p_subject;
  get diagnostics destroyed = row_count;
  if destroyed = 0 and p_kind = 'item' and not p_replay then
    raise exception 'the entry is about something else' using errcode = 'insufficient_privilege';
  end if;
  delete from subject_key where subject = p_subject;
  delete from audit_case where subject = p_subject;
  if p_kind = 'item' then
    delete from item_content where item_id = p_subject;
    delete from item_evidence where item_id = p_subject;
    update message set sealed = null where item_id = p_subject and sealed is not null;
    update item set state = 'closed', outcome = coalesce(p_outcome, 'expired'), refusal = null, state_seq = nextval('state_seq'), changed_at = now()
      where id = p_subject and state <> 'closed';
    update item set url_key = null, erased_at = clock_timestamp() where id = p_subject;
  else
    update report set sealed = null, erased_at = clock_timestamp() where id = p_subject;
  end if;
  insert into erased_subject (subject, kind, ref, through, who, basis, outcome, replayed)
    values (p_subject, p_kind, p_ref, n - 1, p_who, p_basis, p_outcome, p_replay);
  return destroyed;
end $function$
;

CREATE OR REPLACE FUNCTION crossline.hold_takes_turn()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'crossline', 'pg_temp'
AS $function$
begin
  perform take_erasing_turn();
  return new;
end $function$
;

CREATE OR REPLACE FUNCTION crossline.lock_erasable(p_subject uuid, p_kind text, p_replay boolean)
 RETURNS text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'crossline', 'pg_temp'
AS $function$
declare
  live boolean;
  parent uuid;
begin
  perform take_erasing_turn();
  if exists (select from erased_subject where subject = p_subject) then
    return 'erased';
  end if;
  if p_kind = 'item' then
    select state <> 'closed', report_id into live, parent from item where id = p_subject for update;
  else
    select false into live from report where id = p_subject for update;
  end if;
  if exists (
    select from legal_hold h where h.released_at is null and (h.until is null or h.until > clock_timestamp())
      and (h.subject in (p_subject, parent) or (p_kind = 'report' and h.subject in (select id from item where report_id = p_subject)))
  ) then
    return 'held';
  end if;
  if live is null then
    return 'absent';
  end if;
  if p_replay then
    return 'erasable';
  end if;
  if p_kind = 'item' then
    live := live or exists (
      select from message m join outbox o on o.message_id = m.id left join outbound_batch b on b.id = o.batch_id
      where m.item_id = p_subject and (b.id is null or (b.receipt is null and b.withdrawn_at is null)));
  else
    live := exists (select from item where report_id = p_subject and erased_at is null);
  end if;
  return case when live then 'live' else 'erasable' end;
end $function$
;

CREATE OR REPLACE FUNCTION crossline.peer_log_grows()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'crossline', 'pg_temp'
AS $function$
begin
  if new.origin <> old.origin or new.member <> old.member or new.size < old.size or (new.size = old.size and new.root <> old.root) then
    raise exception 'a log that was witnessed only grows' using errcode = 'insufficient_privilege';
  end if;
  return new;
end $function$
;

CREATE OR REPLACE FUNCTION crossline.refuse_change()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'crossline', 'pg_temp'
AS $function$
begin
  raise exception 'append-only: % on % is refused', tg_op, tg_table_name using errcode = 'insufficient_privilege';
end $function$
;

CREATE OR REPLACE FUNCTION crossline.refuse_unplaced()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'crossline', 'pg_temp'
 SET plan_cache_mode TO 'force_custom_plan'
AS $function$
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
end $function$
;

CREATE OR REPLACE FUNCTION crossline.shard_grows()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'crossline', 'pg_temp'
AS $function$
begin
  if (new.year, new.origin) is distinct from (old.year, old.origin) or new.size < old.size
    or new.size = old.size and (new.root, new.edge) is distinct from (old.root, old.edge) then
    raise exception 'append-only: a shard only grows' using errcode = 'insufficient_privilege';
  end if;
  return new;
end $function$
;

CREATE OR REPLACE FUNCTION crossline.take_erasing_turn()
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'crossline', 'pg_temp'
AS $function$ select pg_advisory_xact_lock(hashtext('crossline.erasing')) $function$
;

CREATE OR REPLACE FUNCTION crossline.tile_grows()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'crossline', 'pg_temp'
AS $function$
begin
  if (new.year, new.level, new.n) is distinct from (old.year, old.level, old.n) or length(new.hashes) <= length(old.hashes)
    or substr(new.hashes, 1, length(old.hashes)) <> old.hashes then
    raise exception 'append-only: a tile only grows' using errcode = 'insufficient_privilege';
  end if;
  return new;
end $function$
;

CREATE OR REPLACE FUNCTION crossline_guard.refuse_ddl()
 RETURNS event_trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
end $function$
;

-- Triggers
CREATE EVENT TRIGGER crossline_ddl ON ddl_command_end EXECUTE FUNCTION crossline_guard.refuse_ddl(); -- always
CREATE EVENT TRIGGER crossline_drop ON sql_drop EXECUTE FUNCTION crossline_guard.refuse_ddl(); -- always
CREATE TRIGGER audit_enqueue AFTER INSERT ON crossline.audit_entry REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crossline.audit_enqueue(); -- always
CREATE TRIGGER audit_no_change BEFORE DELETE OR UPDATE ON crossline.audit_entry FOR EACH ROW EXECUTE FUNCTION crossline.refuse_change(); -- always
CREATE TRIGGER audit_no_change BEFORE UPDATE ON crossline.audit_checkpoint FOR EACH ROW EXECUTE FUNCTION crossline.refuse_change(); -- always
CREATE TRIGGER audit_no_change BEFORE UPDATE ON crossline.audit_leaf FOR EACH ROW EXECUTE FUNCTION crossline.refuse_change(); -- always
CREATE TRIGGER audit_no_change BEFORE UPDATE ON crossline.audit_pending FOR EACH ROW EXECUTE FUNCTION crossline.refuse_change(); -- always
CREATE TRIGGER audit_no_change BEFORE UPDATE ON crossline.audit_shard FOR EACH ROW EXECUTE FUNCTION crossline.shard_grows(); -- always
CREATE TRIGGER audit_no_change BEFORE UPDATE ON crossline.audit_tile FOR EACH ROW EXECUTE FUNCTION crossline.tile_grows(); -- always
CREATE TRIGGER audit_no_delete BEFORE DELETE ON crossline.audit_checkpoint FOR EACH ROW EXECUTE FUNCTION crossline.refuse_change(); -- always
CREATE TRIGGER audit_no_delete BEFORE DELETE ON crossline.audit_leaf FOR EACH ROW EXECUTE FUNCTION crossline.refuse_change(); -- always
CREATE TRIGGER audit_no_delete BEFORE DELETE ON crossline.audit_shard FOR EACH ROW EXECUTE FUNCTION crossline.refuse_change(); -- always
CREATE TRIGGER audit_no_delete BEFORE DELETE ON crossline.audit_state FOR EACH ROW EXECUTE FUNCTION crossline.refuse_change(); -- always
CREATE TRIGGER audit_no_delete BEFORE DELETE ON crossline.audit_tile FOR EACH ROW EXECUTE FUNCTION crossline.refuse_change(); -- always
CREATE TRIGGER audit_no_loss AFTER DELETE ON crossline.audit_pending REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION crossline.refuse_unplaced(); -- always
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON crossline.audit_checkpoint FOR EACH STATEMENT EXECUTE FUNCTION crossline.refuse_change(); -- always
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON crossline.audit_entry FOR EACH STATEMENT EXECUTE FUNCTION crossline.refuse_change(); -- always
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON crossline.audit_leaf FOR EACH STATEMENT EXECUTE FUNCTION crossline.refuse_change(); -- always
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON crossline.audit_pending FOR EACH STATEMENT EXECUTE FUNCTION crossline.refuse_change(); -- always
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON crossline.audit_shard FOR EACH STATEMENT EXECUTE FUNCTION crossline.refuse_change(); -- always
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON crossline.audit_state FOR EACH STATEMENT EXECUTE FUNCTION crossline.refuse_change(); -- always
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON crossline.audit_tile FOR EACH STATEMENT EXECUTE FUNCTION crossline.refuse_change(); -- always
CREATE TRIGGER audit_place_leaves AFTER INSERT ON crossline.audit_leaf REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION crossline.audit_place_leaves(); -- always
CREATE TRIGGER cosignature_no_change BEFORE DELETE OR UPDATE ON crossline.cosignature FOR EACH ROW EXECUTE FUNCTION crossline.refuse_change(); -- always
CREATE TRIGGER cosignature_no_truncate BEFORE TRUNCATE ON crossline.cosignature FOR EACH STATEMENT EXECUTE FUNCTION crossline.refuse_change(); -- always
CREATE TRIGGER erased_no_change BEFORE DELETE OR UPDATE ON crossline.erased_subject FOR EACH ROW EXECUTE FUNCTION crossline.refuse_change(); -- always
CREATE TRIGGER erased_no_truncate BEFORE TRUNCATE ON crossline.erased_subject FOR EACH STATEMENT EXECUTE FUNCTION crossline.refuse_change(); -- always
CREATE TRIGGER evidence_no_change BEFORE DELETE OR UPDATE ON crossline.audit_evidence FOR EACH ROW EXECUTE FUNCTION crossline.refuse_change(); -- always
CREATE TRIGGER evidence_no_truncate BEFORE TRUNCATE ON crossline.audit_evidence FOR EACH STATEMENT EXECUTE FUNCTION crossline.refuse_change(); -- always
CREATE TRIGGER hold_no_change BEFORE UPDATE ON crossline.legal_hold FOR EACH ROW WHEN (((old.released_at IS NOT NULL) OR (((((((new.id IS DISTINCT FROM old.id) OR (new.subject IS DISTINCT FROM old.subject)) OR (new.kind IS DISTINCT FROM old.kind)) OR (new.who IS DISTINCT FROM old.who)) OR (new.basis IS DISTINCT FROM old.basis)) OR (new.until IS DISTINCT FROM old.until)) OR (new.placed_at IS DISTINCT FROM old.placed_at)))) EXECUTE FUNCTION crossline.refuse_change(); -- always
CREATE TRIGGER hold_no_delete BEFORE DELETE ON crossline.legal_hold FOR EACH ROW EXECUTE FUNCTION crossline.refuse_change(); -- always
CREATE TRIGGER hold_no_truncate BEFORE TRUNCATE ON crossline.legal_hold FOR EACH STATEMENT EXECUTE FUNCTION crossline.refuse_change(); -- always
CREATE TRIGGER hold_turn BEFORE INSERT ON crossline.legal_hold FOR EACH ROW EXECUTE FUNCTION crossline.hold_takes_turn(); -- always
CREATE TRIGGER peer_log_grows BEFORE UPDATE ON crossline.peer_log FOR EACH ROW EXECUTE FUNCTION crossline.peer_log_grows(); -- always
CREATE TRIGGER peer_log_no_delete BEFORE DELETE ON crossline.peer_log FOR EACH ROW EXECUTE FUNCTION crossline.refuse_change(); -- always
CREATE TRIGGER peer_log_no_truncate BEFORE TRUNCATE ON crossline.peer_log FOR EACH STATEMENT EXECUTE FUNCTION crossline.refuse_change(); -- always
CREATE TRIGGER place_no_change BEFORE DELETE OR UPDATE ON crossline.audit_place FOR EACH ROW EXECUTE FUNCTION crossline.refuse_change(); -- always
CREATE TRIGGER place_no_truncate BEFORE TRUNCATE ON crossline.audit_place FOR EACH STATEMENT EXECUTE FUNCTION crossline.refuse_change(); -- always
CREATE TRIGGER window_no_change BEFORE DELETE OR UPDATE ON crossline.migration_window FOR EACH ROW EXECUTE FUNCTION crossline.refuse_change(); -- always
CREATE TRIGGER window_no_truncate BEFORE TRUNCATE ON crossline.migration_window FOR EACH STATEMENT EXECUTE FUNCTION crossline.refuse_change(); -- always

-- Policies
CREATE POLICY liaison_scope ON crossline.audit_entry FOR SELECT TO crossline_reader USING (((current_setting('crossline.network_wide'::text, true) = 'on'::text) OR (country = ANY (string_to_array(current_setting('crossline.countries'::text, true), ','::text))) OR (from_member = ANY (string_to_array(current_setting('crossline.members'::text, true), ','::text))) OR (to_member = ANY (string_to_array(current_setting('crossline.members'::text, true), ','::text)))));
CREATE POLICY liaison_scope ON crossline.audit_place FOR SELECT TO crossline_reader USING (((current_setting('crossline.network_wide'::text, true) = 'on'::text) OR (country = ANY (string_to_array(current_setting('crossline.countries'::text, true), ','::text))) OR (from_member = ANY (string_to_array(current_setting('crossline.members'::text, true), ','::text))) OR (to_member = ANY (string_to_array(current_setting('crossline.members'::text, true), ','::text)))));
CREATE POLICY sealer_all ON crossline.audit_entry FOR SELECT TO crossline_sealer USING (true);
CREATE POLICY service_all ON crossline.audit_entry FOR ALL TO crossline_service USING (true) WITH CHECK (true);
CREATE POLICY service_all ON crossline.audit_place FOR SELECT TO crossline_service USING (true);

-- Rights
grant crossline_eraser to crossline_service;
grant crossline_reader to crossline_service;
grant delete, insert, select on table crossline.audit_index to crossline_service;
grant delete, insert, select on table crossline.audit_index_chunk to crossline_service;
grant delete, insert, select on table crossline.idempotency to crossline_service;
grant delete, insert, select on table crossline.security_event to crossline_service;
grant delete, insert, select on table crossline.seen_proof to crossline_service;
grant delete, insert, select, update on table crossline.audit_export to crossline_service;
grant delete, select on table crossline.audit_pending to crossline_sealer;
grant execute on function crossline.audit_add_partitions(integer) to crossline_service;
grant execute on function crossline.erase_subject(uuid,text,bytea,text,text,text,boolean) to crossline_eraser;
grant execute on function crossline.lock_erasable(uuid,text,boolean) to crossline_eraser;
grant insert on table crossline.audit_entry (country) to crossline_service;
grant insert on table crossline.audit_entry (entry) to crossline_service;
grant insert on table crossline.audit_entry (event) to crossline_service;
grant insert on table crossline.audit_entry (from_member) to crossline_service;
grant insert on table crossline.audit_entry (item_ref) to crossline_service;
grant insert on table crossline.audit_entry (item_seq) to crossline_service;
grant insert on table crossline.audit_entry (to_member) to crossline_service;
grant insert on table crossline.audit_evidence (digest) to crossline_service;
grant insert on table crossline.audit_evidence (first_note) to crossline_service;
grant insert on table crossline.audit_evidence (kind) to crossline_service;
grant insert on table crossline.audit_evidence (member) to crossline_service;
grant insert on table crossline.audit_evidence (origin) to crossline_service;
grant insert on table crossline.audit_evidence (second_note) to crossline_service;
grant insert on table crossline.cosignature (cosigned_at) to crossline_service;
grant insert on table crossline.cosignature (line) to crossline_service;
grant insert on table crossline.cosignature (size) to crossline_service;
grant insert on table crossline.cosignature (witness) to crossline_service;
grant insert on table crossline.cosignature (year) to crossline_service;
grant insert on table crossline.legal_hold (basis) to crossline_service;
grant insert on table crossline.legal_hold (id) to crossline_service;
grant insert on table crossline.legal_hold (kind) to crossline_service;
grant insert on table crossline.legal_hold (placed_at) to crossline_service;
grant insert on table crossline.legal_hold (subject) to crossline_service;
grant insert on table crossline.legal_hold (until) to crossline_service;
grant insert on table crossline.legal_hold (who) to crossline_service;
grant insert on table crossline.migration_window_record (window_id) to crossline_service;
grant insert, select on table crossline.action to crossline_service;
grant insert, select on table crossline.api_client to crossline_service;
grant insert, select on table crossline.assessment to crossline_service;
grant insert, select on table crossline.audit_case to crossline_service;
grant insert, select on table crossline.audit_checkpoint to crossline_sealer;
grant insert, select on table crossline.audit_leaf to crossline_sealer;
grant insert, select on table crossline.audit_payload to crossline_service;
grant insert, select on table crossline.audit_shard to crossline_sealer;
grant insert, select on table crossline.audit_tile to crossline_sealer;
grant insert, select on table crossline.directory_conflict to crossline_service;
grant insert, select on table crossline.directory_document to crossline_service;
grant insert, select on table crossline.directory_serving to crossline_service;
grant insert, select on table crossline.inbound_batch to crossline_service;
grant insert, select on table crossline.item to crossline_service;
grant insert, select on table crossline.item_content to crossline_service;
grant insert, select on table crossline.item_evidence to crossline_service;
grant insert, select on table crossline.message to crossline_service;
grant insert, select on table crossline.outbound_batch to crossline_service;
grant insert, select on table crossline.outbox to crossline_service;
grant insert, select on table crossline.peer_log to crossline_service;
grant insert, select on table crossline.quarantine to crossline_service;
grant insert, select on table crossline.report to crossline_service;
grant insert, select on table crossline.subject_key to crossline_service;
grant insert, select, update on table crossline.audit_head to crossline_service;
grant insert, select, update on table crossline.liaison_use to crossline_service;
grant insert, select, update on table crossline.peer to crossline_service;
grant select on table crossline.audit_checkpoint to crossline_service;
grant select on table crossline.audit_entry (entry) to crossline_sealer;
grant select on table crossline.audit_entry (id) to crossline_sealer;
grant select on table crossline.audit_entry (recorded_at) to crossline_sealer;
grant select on table crossline.audit_entry to crossline_reader;
grant select on table crossline.audit_entry to crossline_service;
grant select on table crossline.audit_evidence to crossline_service;
grant select on table crossline.audit_leaf to crossline_reader;
grant select on table crossline.audit_leaf to crossline_service;
grant select on table crossline.audit_pending to crossline_service;
grant select on table crossline.audit_place to crossline_reader;
grant select on table crossline.audit_place to crossline_service;
grant select on table crossline.audit_shard to crossline_service;
grant select on table crossline.audit_state to crossline_sealer;
grant select on table crossline.audit_state to crossline_service;
grant select on table crossline.audit_stretch to crossline_service;
grant select on table crossline.audit_tile to crossline_service;
grant select on table crossline.cosignature to crossline_service;
grant select on table crossline.erased_subject to crossline_service;
grant select on table crossline.kysely_migration to crossline_service;
grant select on table crossline.legal_hold to crossline_service;
grant select on table crossline.migration_window to crossline_service;
grant select on table crossline.migration_window_record to crossline_service;
grant update on table crossline.api_client (revoked_at) to crossline_service;
grant update on table crossline.audit_shard (edge) to crossline_sealer;
grant update on table crossline.audit_shard (last_at) to crossline_sealer;
grant update on table crossline.audit_shard (root) to crossline_sealer;
grant update on table crossline.audit_shard (size) to crossline_sealer;
grant update on table crossline.audit_shard (state) to crossline_sealer;
grant update on table crossline.audit_state (halted_at) to crossline_sealer;
grant update on table crossline.audit_state (halted_facts) to crossline_sealer;
grant update on table crossline.audit_state (halted_why) to crossline_sealer;
grant update on table crossline.audit_tile (hashes) to crossline_sealer;
grant update on table crossline.directory_serving (hash) to crossline_service;
grant update on table crossline.item (assigned_country) to crossline_service;
grant update on table crossline.item (changed_at) to crossline_service;
grant update on table crossline.item (handed_by) to crossline_service;
grant update on table crossline.item (handed_to) to crossline_service;
grant update on table crossline.item (hosting_country) to crossline_service;
grant update on table crossline.item (outcome) to crossline_service;
grant update on table crossline.item (owner) to crossline_service;
grant update on table crossline.item (refusal) to crossline_service;
grant update on table crossline.item (route_flags) to crossline_service;
grant update on table crossline.item (route_rule) to crossline_service;
grant update on table crossline.item (state) to crossline_service;
grant update on table crossline.item (state_seq) to crossline_service;
grant update on table crossline.item (trace_attempts) to crossline_service;
grant update on table crossline.item (trace_due_at) to crossline_service;
grant update on table crossline.item (via) to crossline_service;
grant update on table crossline.item_content (owner_reference) to crossline_service;
grant update on table crossline.item_content (refusal_details) to crossline_service;
grant update on table crossline.item_evidence (sealed) to crossline_service;
grant update on table crossline.legal_hold (released_at) to crossline_service;
grant update on table crossline.outbound_batch (proofs) to crossline_service;
grant update on table crossline.outbound_batch (receipt) to crossline_service;
grant update on table crossline.outbound_batch (receipted_at) to crossline_service;
grant update on table crossline.outbound_batch (withdrawn_at) to crossline_service;
grant update on table crossline.outbox (batch_id) to crossline_service;
grant update on table crossline.outbox (batch_index) to crossline_service;
grant update on table crossline.peer_log (checked_at) to crossline_service;
grant update on table crossline.peer_log (note) to crossline_service;
grant update on table crossline.peer_log (root) to crossline_service;
grant update on table crossline.peer_log (size) to crossline_service;
grant update on table crossline.quarantine (resolved_at) to crossline_service;
grant update on table crossline.security_event (count) to crossline_service;
grant usage on schema crossline to crossline_eraser;
grant usage on schema crossline to crossline_reader;
grant usage on schema crossline to crossline_sealer;
grant usage on schema crossline to crossline_service;
grant usage on sequence crossline.state_seq to crossline_service;
