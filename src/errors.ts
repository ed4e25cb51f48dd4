// Every failure that a caller can meet, by its stable code. Codes are API: a peer, a hotline system or an operator decides by them,
// so a code never changes its meaning. The documents that carry them are made at the edge (http/problem.ts).

/** Code → HTTP status and a title that says what went wrong without a value from the input (RFC 9457). */
export const errorCodes = {
  // Hotline, liaison and operator API
  malformed_request: { status: 400, title: 'The request could not be read' },
  schema_invalid: { status: 422, title: 'A field does not have the form that the schema asks for' },
  too_large: { status: 413, title: 'The request is larger than allowed' },
  unsupported_media_type: { status: 415, title: 'The content type is not supported here' },
  not_found: { status: 404, title: 'There is no such resource, or it is not yours to see' },
  method_not_allowed: { status: 405, title: 'The method is not allowed here' },
  unknown_client: { status: 401, title: 'The client certificate is not registered at this node' },
  role_forbidden: { status: 403, title: 'The role of this client certificate does not allow this call' },
  idempotency_conflict: { status: 409, title: 'The Idempotency-Key was used before with another body' },
  id_conflict: { status: 409, title: 'The id is already in use with other content' },
  wrong_state: { status: 409, title: 'The item is not in a state that allows this' },
  not_owner: { status: 409, title: 'Only the owner of the item may do this' },
  erased: { status: 409, title: 'The texts were erased: nothing more can be done with this' },
  item_live: { status: 409, title: 'What is not closed, or still has something to send, is not erased' },
  legal_hold: { status: 409, title: 'A legal hold forbids to erase this' },
  purpose_required: { status: 422, title: 'A query of the audit log must state its purpose' },
  export_limit: { status: 429, title: 'Too many exports of this client are under way' },
  export_not_ready: { status: 409, title: 'The bundle of the export is not done' },
  range_unsatisfiable: { status: 416, title: 'The range is not in the bundle' },
  invalid_cursor: { status: 422, title: 'The cursor is not one that this node gave' },
  // Federation (protocol.md, Errors)
  malformed_proof: { status: 401, title: 'The proof does not have the required form' },
  certificate_mismatch: { status: 401, title: 'The proof does not belong to the certificate of this connection' },
  unknown_key: { status: 401, title: 'The key is not among the current keys of the member' },
  bad_signature: { status: 401, title: 'The signature does not verify' },
  wrong_audience: { status: 401, title: 'The proof is addressed to another member' },
  expired_proof: { status: 401, title: 'The proof has expired' },
  clock_skew: { status: 401, title: 'The proof was issued in the future: the clocks differ' },
  replayed_proof: { status: 409, title: 'The proof was used before' },
  not_a_member: { status: 403, title: 'The certificate belongs to no member of the directory' },
  member_suspended: { status: 403, title: 'The member may not exchange now' },
  batch_conflict: { status: 409, title: 'The batch id was used before with other messages' },
  digest_mismatch: { status: 400, title: 'The bytes are not the ones that were signed' },
  broken_compression: { status: 422, title: 'The compressed body is broken' },
  unsupported_encoding: { status: 415, title: 'The content encoding is not supported here' },
  version_unsupported: { status: 426, title: 'This version of the protocol is not served' },
  unknown_log: { status: 404, title: 'The checkpoint is not of a log that the caller may submit' },
  unsigned_checkpoint: { status: 403, title: 'No current key of the log has signed the checkpoint' },
  broken_proof: { status: 422, title: 'The consistency proof does not verify' },
  rate_limited: { status: 429, title: 'Too many requests' },
  quota_exceeded: { status: 429, title: 'As many entries of the audit log as a day allows have been shown' },
  overloaded: { status: 503, title: 'The node is overloaded' },
  maintenance: { status: 503, title: 'The node is under maintenance' },
  bad_checkpoint: { status: 422, title: 'The checkpoint does not have its exact form, or a signature on it does not verify' },
  audit_unavailable: { status: 503, title: 'The audit log cannot be written, so nothing is accepted' },
  internal: { status: 500, title: 'The node failed' },
  // Command line, start-up and set-up: never leave the node as a document
  invalid_config: { status: 500, title: 'The configuration is not usable' },
  database_unavailable: { status: 503, title: 'The database cannot be reached' },
  migration_needed: { status: 503, title: 'The database schema is older than the program' },
  broken_file: { status: 500, title: 'A file does not have the form that it should have' },
  bad_directory: { status: 500, title: 'The directory does not verify' },
  bad_evidence: { status: 500, title: 'The evidence does not verify' },
  bad_policy: { status: 500, title: 'The policy of logs and witnesses is not usable' },
  bad_answer: { status: 500, title: 'The signed answer of a peer does not verify' },
  bad_receipt: { status: 500, title: 'The receipt does not verify' },
  demo_failed: { status: 500, title: 'The demo cannot go on' },
} as const satisfies Record<string, { status: number; title: string }>

/** One of the stable codes. */
export type ErrorCode = keyof typeof errorCodes

/** What may travel with a code. None of it may hold a value from the input. */
export interface ErrorFacts {
  /** JSON pointer of the field at fault, from the top of the body. */
  pointer?: string
  /** One sentence for a person: what to do. Never a value from the input. */
  detail?: string
  /** Seconds after which trying again makes sense. */
  retryAfterS?: number
  /** Machine-readable facts, e.g. the current state and what would be allowed. */
  facts?: Record<string, string | number | string[]>
  cause?: unknown
}

/** Thrown by whoever can't go on; carries a stable code, never a secret or a value from the input. */
export class CrosslineError extends Error {
  readonly code: ErrorCode
  readonly pointer: string | undefined
  readonly detail: string | undefined
  readonly retryAfterS: number | undefined
  readonly facts: Record<string, string | number | string[]> | undefined

  constructor(code: ErrorCode, facts: ErrorFacts = {}) {
    super(facts.detail ?? errorCodes[code].title, { cause: facts.cause })
    this.name = 'CrosslineError'
    this.code = code
    this.pointer = facts.pointer
    this.detail = facts.detail
    this.retryAfterS = facts.retryAfterS
    this.facts = facts.facts
  }
}
