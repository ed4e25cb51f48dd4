// The refusals of an operation, for its OpenAPI: one response for each status, with the codes that it may carry.
import { type ErrorCode, errorCodes } from '#errors.ts'
import { Problem } from '#schema/problem.ts'
import { refTo } from './shared-schemas.ts'

const always: ErrorCode[] = ['malformed_request', 'internal', 'overloaded', 'maintenance']

/** Any request by a registered client may meet these. */
export const clientCodes: ErrorCode[] = [...always, 'unknown_client', 'role_forbidden']
/** A client's request with a body. */
export const bodyCodes: ErrorCode[] = [
  ...clientCodes,
  'schema_invalid',
  'too_large',
  'unsupported_media_type',
  'unsupported_encoding',
]
/** A change of one item. */
export const changeCodes: ErrorCode[] = [
  ...bodyCodes,
  'not_found',
  'wrong_state',
  'not_owner',
  'id_conflict',
  'idempotency_conflict',
  'audit_unavailable',
]
/** Any call of a member without a proof. The last two: a peer of another version may not serve the call. */
export const memberCodes: ErrorCode[] = [
  ...always,
  'not_a_member',
  'member_suspended',
  'rate_limited',
  'method_not_allowed',
  'version_unsupported',
]
/** Any call of a member with a proof. */
export const proofCodes: ErrorCode[] = [
  ...memberCodes,
  'malformed_proof',
  'certificate_mismatch',
  'unknown_key',
  'bad_signature',
  'wrong_audience',
  'expired_proof',
  'clock_skew',
  'replayed_proof',
  'digest_mismatch',
]

/** Response schemas by status. */
export function problems(...codes: ErrorCode[]): Record<number, object> {
  const byStatus = Map.groupBy([...new Set(codes)], (code) => errorCodes[code].status)
  return Object.fromEntries([...byStatus].map(([status, ofStatus]) => [status, responseOf(ofStatus)]))
}

function responseOf(codes: ErrorCode[]): object {
  const lines = codes.map((code) => `\`${code}\`: ${errorCodes[code].title}.`)
  return { description: lines.join(' '), content: { 'application/problem+json': { schema: refTo(Problem) } } }
}
