// The shape of every table for kysely, in one place; migrations/ is the truth that it mirrors.
import type { Generated } from 'kysely'

export interface ReportTable {
  id: string
  origin: string
  received_at: Date
  source: string
  source_item: string | null
  site_type: string
  commerciality: string
  payment_methods: string[]
  handling: string
  sealed: Buffer | null
  content_digest: Buffer
  created_at: Generated<Date>
  erased_at: Date | null
}

export interface ItemTable {
  id: string
  report_id: string
  position: number
  content_type: string
  is_source: boolean
  url_key: Buffer | null
  state: string
  outcome: string | null
  refusal: string | null
  owner: string
  handed_by: string | null
  handed_to: string | null
  via: string[]
  hosting_country: string | null
  assigned_country: string | null
  route_rule: string | null
  route_flags: Generated<string[]>
  trace_due_at: Generated<Date>
  trace_attempts: Generated<number>
  state_seq: Generated<number>
  changed_at: Generated<Date>
  created_at: Generated<Date>
  erased_at: Date | null
}

export interface AuditExportTable {
  id: string
  client: string
  network_wide: boolean
  countries: string[]
  members: string[]
  filter: Buffer
  format: string
  state: Generated<string>
  failure: string | null
  year: number | null
  size: number | null
  index_id: string | null
  rows: Generated<number>
  total: number | null
  bytes: Generated<number>
  digest: Buffer | null
  complete: string | null
  created_at: Date
  finished_at: Date | null
  expires_at: Date
  lease_holder: string | null
  lease_until: Date | null
}

export interface Tables {
  report: ReportTable
  item: ItemTable
  subject_key: { subject: string; wrapped: Buffer }
  item_evidence: { item_id: string; sealed: Buffer }
  item_content: { item_id: string; sealed: Buffer | null; owner_reference: Buffer | null; refusal_details: Buffer | null }
  assessment: { id: string; item_id: string; position: Generated<number>; member: string; record: unknown }
  action: { id: string; item_id: string; position: Generated<number>; member: string; action: string; record: unknown }
  api_client: {
    fingerprint: string
    role: string
    name: string
    countries: string[]
    network_wide: Generated<boolean>
    added_at: Generated<Date>
    revoked_at: Date | null
  }
  idempotency: { client: string; key: string; request_digest: Buffer; resource: string; created_at: Generated<Date> }
  message: {
    author: string
    id: string
    leaf: Buffer
    item_id: string
    kind: string
    receiver: string
    sealed: Buffer | null
    inbound_batch: string | null
    inbound_index: number | null
    stored_at: Generated<Date>
  }
  outbox: {
    seq: Generated<number>
    destination: string
    author: string
    message_id: string
    item_id: string
    kind: string
    leaf: Buffer
    bytes: number
    batch_id: string | null
    batch_index: number | null
  }
  outbound_batch: {
    id: string
    destination: string
    root: Buffer
    size: number
    leaves: Buffer
    seqs: unknown
    proofs: string[]
    trace: string
    cut_at: Generated<Date>
    receipt: string | null
    receipted_at: Date | null
    withdrawn_at: Date | null
  }
  inbound_batch: {
    sender: string
    id: string
    root: Buffer
    size: number
    leaves: Buffer
    proof: string
    receipt: string
    stored_at: Generated<Date>
  }
  peer: {
    member: string
    failures: Generated<number>
    failing_since: Date | null
    failed_at: Date | null
    retry_at: Date | null
    probing: Generated<boolean>
    last_error: string | null
    held_reason: string | null
    lease_holder: string | null
    lease_until: Date | null
    last_receipt_given: string | null
    last_receipt_taken: string | null
    directory_version: number | null
    heard_at: Date | null
  }
  seen_proof: { issuer: string; jti: string; expires_at: Date }
  quarantine: {
    id: Generated<number>
    destination: string
    message_id: string
    item_id: string
    code: string
    quarantined_at: Generated<Date>
    resolved_at: Date | null
  }
  security_event: { minute: Date; fingerprint: string; member: string; code: string; count: Generated<number>; trace: string }
  directory_document: {
    kind: string
    number: number
    hash: string
    root_number: number | null
    bytes: Buffer
    received_from: string
    stored_at: Generated<Date>
  }
  directory_serving: { version: number; source: string; hash: string }
  directory_conflict: {
    id: Generated<number>
    kind: string
    number: number
    held_hash: string
    other_hash: string
    other_payload_hash: string
    other_bytes: Buffer
    received_from: string
    recorded_at: Generated<Date>
  }
  audit_entry: {
    id: Generated<number>
    recorded_at: Generated<Date>
    event: string
    item_ref: Buffer
    item_seq: number
    from_member: string | null
    to_member: string | null
    country: string | null
    entry: Buffer
    leaf: Generated<Buffer>
  }
  audit_place: {
    year: number
    leaf_index: number
    entry_id: number
    recorded_at: Date
    event: string
    from_member: string | null
    to_member: string | null
    country: string | null
  }
  audit_stretch: { year: number; n: number; earliest: Date; latest: Date }
  audit_case: { case_key: Buffer; subject: string }
  liaison_use: { fingerprint: string; day: string; queries: number; rows: number }
  audit_payload: { entry_id: number; subject: string; sealed: Buffer }
  audit_head: { item_ref: Buffer; n: number; leaf: Buffer; country: string | null }
  audit_pending: { id: number; leaf: Buffer; recorded_at: Date }
  audit_state: { id: number; halted_at: Date | null; halted_why: string | null; halted_facts: unknown }
  audit_shard: { year: number; origin: string; size: number; root: Buffer; edge: Buffer; last_at: Date; state: Generated<string> }
  audit_leaf: { year: number; leaf_index: number; entry_id: number; hash: Buffer }
  audit_tile: { year: number; level: number; n: number; hashes: Buffer }
  audit_checkpoint: { year: number; size: number; root: Buffer; note: string; signed_at: Date }
  audit_index: {
    id: string
    entry_id: number
    size: number
    entries: number
    root: Buffer
    chunk_roots: Buffer
    made_at: Date
  }
  audit_index_chunk: { index_id: string; n: number; leaves: Buffer }
  audit_export: AuditExportTable
  legal_hold: {
    id: string
    subject: string
    kind: string
    who: string
    basis: string
    until: Date | null
    placed_at: Date
    released_at: Date | null
  }
  erased_subject: {
    subject: string
    kind: string
    ref: Buffer
    through: number
    who: string
    basis: string
    outcome: string | null
    replayed: boolean
    erased_at: Generated<Date>
  }
  cosignature: { year: number; size: number; witness: string; line: string; cosigned_at: Date; stored_at: Generated<Date> }
  peer_log: { origin: string; member: string; size: number; root: Buffer; note: string; checked_at: Date }
  audit_evidence: {
    id: Generated<number>
    kind: string
    member: string
    origin: string
    first_note: string
    second_note: string
    digest: Buffer
    noticed_at: Generated<Date>
  }
  migration_window: {
    id: Generated<number>
    name: string
    digest: Buffer | null
    xid: Generated<string>
    opened_at: Generated<Date>
  }
}
