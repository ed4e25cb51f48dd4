-- Erasing: whose texts were destroyed, whose must not be (legal hold), and the one function that destroys.
alter table crossline.item add column erased_at timestamptz;
alter table crossline.report add column erased_at timestamptz;
-- What retention looks for: closed long ago, not erased yet.
create index item_unerased on crossline.item (changed_at) where state = 'closed' and erased_at is null;
create index report_unerased on crossline.report (created_at) where erased_at is null;

-- Blocks erasing while it is in force: on an item also the texts of its report, on a report also its items. Never deleted.
create table crossline.legal_hold (
  id uuid primary key,
  subject uuid not null,
  kind text not null check (kind in ('item', 'report')),
  who text not null check (who in ('operator', 'node')),    -- as the entry hold.placed commits to it
  basis text not null check (basis ~ '^[a-z_]{2,40}$'),
  until timestamptz,                                        -- null: until it is released
  placed_at timestamptz not null default clock_timestamp(),
  released_at timestamptz
);
create index legal_hold_subject on crossline.legal_hold (subject);

-- What was erased: the payloads of the entries 1 to `through` of `ref`, and every text under the subject's key. An id that stands here never comes back.
create table crossline.erased_subject (
  subject uuid primary key,
  kind text not null check (kind in ('item', 'report')),
  ref bytea not null unique check (length(ref) = 32),
  through integer not null check (through >= 0),
  who text not null check (who in ('operator', 'node')),
  basis text not null check (basis ~ '^[a-z_]{2,40}$'),
  outcome text,                                             -- how the item had ended
  replayed boolean not null,
  erased_at timestamptz not null default clock_timestamp()
);
create index erased_subject_time on crossline.erased_subject (erased_at);

create trigger hold_no_change before update on crossline.legal_hold for each row
  when (old.released_at is not null or (new.id, new.subject, new.kind, new.who, new.basis, new.until, new.placed_at)
    is distinct from (old.id, old.subject, old.kind, old.who, old.basis, old.until, old.placed_at))
  execute function crossline.refuse_change();
create trigger hold_no_delete before delete on crossline.legal_hold for each row execute function crossline.refuse_change();
create trigger hold_no_truncate before truncate on crossline.legal_hold for each statement execute function crossline.refuse_change();
create trigger erased_no_change before update or delete on crossline.erased_subject for each row execute function crossline.refuse_change();
create trigger erased_no_truncate before truncate on crossline.erased_subject for each statement execute function crossline.refuse_change();
alter table crossline.legal_hold enable always trigger hold_no_change;
alter table crossline.legal_hold enable always trigger hold_no_delete;
alter table crossline.legal_hold enable always trigger hold_no_truncate;
alter table crossline.erased_subject enable always trigger erased_no_change;
alter table crossline.erased_subject enable always trigger erased_no_truncate;

-- Erasing and placing a hold come one after the other: a hold that was answered is never overtaken.
create function crossline.take_erasing_turn() returns void language sql security definer set search_path = crossline, pg_temp as
  $$ select pg_advisory_xact_lock(hashtext('crossline.erasing')) $$;
create function crossline.hold_takes_turn() returns trigger language plpgsql security definer set search_path = crossline, pg_temp as $$
begin
  perform take_erasing_turn();
  return new;
end $$;
create trigger hold_turn before insert on crossline.legal_hold for each row execute function crossline.hold_takes_turn();
alter table crossline.legal_hold enable always trigger hold_turn;

-- Whether a subject may be erased now; locks it. erasable | absent | erased | held | live (not closed, or something about it waits to be
-- sent; a report: not all of its items are erased). What a restored database holds as live may be erased again.
create function crossline.lock_erasable(p_subject uuid, p_kind text, p_replay boolean) returns text
language plpgsql security definer set search_path = crossline, pg_temp as $$
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
end $$;

-- Destroys the key of a subject and everything under it, in the transaction that has just added `entry.erased` to the chain of `ref`;
-- without that entry it refuses. Gives how many payloads of entries went. A replay closes what it finds open, as it had been closed.
create function crossline.erase_subject(p_subject uuid, p_kind text, p_ref bytea, p_who text, p_basis text, p_outcome text, p_replay boolean)
returns integer language plpgsql security definer set search_path = crossline, pg_temp as $$
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
end $$;

revoke all on function crossline.take_erasing_turn() from public;
revoke all on function crossline.hold_takes_turn() from public;
revoke all on function crossline.lock_erasable(uuid, text, boolean) from public;
revoke all on function crossline.erase_subject(uuid, text, bytea, text, text, text, boolean) from public;
grant execute on function crossline.lock_erasable(uuid, text, boolean) to crossline_eraser;
grant execute on function crossline.erase_subject(uuid, text, bytea, text, text, text, boolean) to crossline_eraser;
grant crossline_eraser to crossline_service;
grant select on crossline.erased_subject, crossline.legal_hold to crossline_service;
grant insert (id, subject, kind, who, basis, until, placed_at), update (released_at) on crossline.legal_hold to crossline_service;
