-- Witnesses: what peers cosigned of our log, what we hold of theirs, and the signed notes that contradict each other.
create table crossline.cosignature (
  year integer not null,
  size bigint not null check (size > 0),
  witness text not null,                                    -- name of its key: <member id>/witness
  line text not null,                                       -- the signature line, verified, with its newline
  cosigned_at timestamptz not null,                         -- the time that the witness states
  stored_at timestamptz not null default clock_timestamp(),
  primary key (year, size, witness)
);
create index cosignature_witness on crossline.cosignature (witness, year, size);

-- The last checkpoint of each peer's log that we cosigned. It only grows: what a witness has seen it never forgets.
create table crossline.peer_log (
  origin text primary key,
  member text not null,
  size bigint not null,
  root bytea not null check (length(root) = 32),
  note text not null,                                       -- the text and the signature of the log, nothing else; '' before the first
  checked_at timestamptz not null
) with (fillfactor = 70);

-- Two notes, both signed by one log, that can't both be true, or whose proof failed. Never deleted.
create table crossline.audit_evidence (
  id bigint generated always as identity primary key,
  -- fork: another root at the same size; rollback: less than was seen before; broken_proof: the proof from the first to the second failed
  kind text not null check (kind in ('fork', 'rollback', 'broken_proof')),
  member text not null,                                     -- whose log it is, or who showed us another state of our own
  origin text not null,
  first_note text not null,                                 -- what was known before
  second_note text not null,                                -- what came instead
  digest bytea not null unique check (length(digest) = 32), -- SHA-256 over kind, member and both notes: the same twice is one row
  noticed_at timestamptz not null default clock_timestamp()
);
create index audit_evidence_origin on crossline.audit_evidence (origin);

create function crossline.peer_log_grows() returns trigger language plpgsql set search_path = crossline, pg_temp as $$
begin
  if new.origin <> old.origin or new.member <> old.member or new.size < old.size or (new.size = old.size and new.root <> old.root) then
    raise exception 'a log that was witnessed only grows' using errcode = 'insufficient_privilege';
  end if;
  return new;
end $$;
revoke all on function crossline.peer_log_grows() from public;

create trigger peer_log_grows before update on crossline.peer_log for each row execute function crossline.peer_log_grows();
create trigger peer_log_no_delete before delete on crossline.peer_log for each row execute function crossline.refuse_change();
create trigger peer_log_no_truncate before truncate on crossline.peer_log for each statement execute function crossline.refuse_change();
create trigger cosignature_no_change before update or delete on crossline.cosignature
  for each row execute function crossline.refuse_change();
create trigger cosignature_no_truncate before truncate on crossline.cosignature
  for each statement execute function crossline.refuse_change();
create trigger evidence_no_change before update or delete on crossline.audit_evidence
  for each row execute function crossline.refuse_change();
create trigger evidence_no_truncate before truncate on crossline.audit_evidence
  for each statement execute function crossline.refuse_change();
alter table crossline.peer_log enable always trigger peer_log_grows;
alter table crossline.peer_log enable always trigger peer_log_no_delete;
alter table crossline.peer_log enable always trigger peer_log_no_truncate;
alter table crossline.cosignature enable always trigger cosignature_no_change;
alter table crossline.cosignature enable always trigger cosignature_no_truncate;
alter table crossline.audit_evidence enable always trigger evidence_no_change;
alter table crossline.audit_evidence enable always trigger evidence_no_truncate;

grant select on crossline.cosignature, crossline.peer_log, crossline.audit_evidence to crossline_service;
-- Not stored_at, not id, not noticed_at: the service can't choose them.
grant insert (year, size, witness, line, cosigned_at) on crossline.cosignature to crossline_service;
grant insert, update (size, root, note, checked_at) on crossline.peer_log to crossline_service;
grant insert (kind, member, origin, first_note, second_note, digest) on crossline.audit_evidence to crossline_service;
