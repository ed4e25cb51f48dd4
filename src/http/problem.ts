// The one map from everything that can go wrong to the document that the caller gets (RFC 9457). It is exhaustive: what it does not know is
// `internal` without a text. No document holds a value from the input, only the JSON pointer of the field at fault.
import type { FastifyError, FastifySchemaValidationError } from 'fastify'
import { CrosslineError, type ErrorCode, errorCodes } from '#errors.ts'
import type { Problem } from '#schema/problem.ts'

/** What a caller is told. */
export type Fault = Pick<CrosslineError, 'code' | 'pointer' | 'detail' | 'retryAfterS' | 'facts'>

/** Codes that concern the node and not the call: what the caller is told instead. */
const innerCodes: Partial<Record<ErrorCode, Partial<Fault> & { code: ErrorCode }>> = {
  database_unavailable: { code: 'overloaded', retryAfterS: 5 },
  migration_needed: { code: 'maintenance', retryAfterS: 60 },
  bad_directory: { code: 'maintenance', retryAfterS: 60 },
  invalid_config: { code: 'internal' },
  broken_file: { code: 'internal' },
  bad_evidence: { code: 'internal' },
  bad_receipt: { code: 'internal' },
}

/** What fastify refuses by itself, before a handler. */
const fastifyCodes: Record<string, ErrorCode> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_INVALID_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_BODY_TOO_LARGE: 'too_large',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'malformed_request',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'malformed_request',
  FST_ERR_BAD_URL: 'malformed_request',
  FST_ERR_NOT_FOUND: 'not_found',
  FST_ERR_HANDLER_TIMEOUT: 'overloaded',
}

/** Where the parts of a request stand in a pointer: the body at the top, the rest under a name of its own. */
const contexts: Record<string, string> = { body: '', querystring: '/query', params: '/path', headers: '/headers' }

/** What a failed keyword of the schema means; the value that failed it is never quoted. */
const keywordTexts: Record<string, string> = {
  required: 'It is missing.',
  additionalProperties: 'It is not a field of this schema.',
  type: 'It is of the wrong type.',
  enum: 'It is not one of the codes of the list.',
  const: 'It is not one of the codes of the list.',
  minLength: 'It is empty or too short.',
  maxLength: 'It is too long.',
  pattern: 'It does not have the required form.',
  format: 'It does not have the required form.',
  minItems: 'It has too few entries.',
  maxItems: 'It has too many entries.',
  uniqueItems: 'An entry stands in it twice.',
  minimum: 'It is too small.',
  maximum: 'It is too large.',
}

/** How a keyword names its limit. The limit is the schema's, so it tells nothing of the input. */
const limitTexts: Record<string, (limit: number) => string> = {
  minLength: (limit) => `at least ${limit} ${limit === 1 ? 'character' : 'characters'}`,
  maxLength: (limit) => `at most ${limit} ${limit === 1 ? 'character' : 'characters'}`,
  minItems: (limit) => `at least ${limit} ${limit === 1 ? 'entry' : 'entries'}`,
  maxItems: (limit) => `at most ${limit} ${limit === 1 ? 'entry' : 'entries'}`,
  minimum: (limit) => `at least ${limit}`,
  maximum: (limit) => `at most ${limit}`,
}

/** Reads any thrown value; what is not known becomes `internal` without a text. */
export function readFault(error: unknown): Fault {
  if (error instanceof CrosslineError) return readOurs(error)
  if (!(error instanceof Error)) return faultOf({ code: 'internal' })
  const { validation, validationContext, code } = error as Partial<FastifyError>
  if (validation !== undefined) return readValidation(validation, validationContext ?? 'body')
  return faultOf({ code: fastifyCodes[code ?? ''] ?? 'internal' })
}

/** The document of a fault. */
export function renderProblem(fault: Fault, trace: string): Problem {
  const { status, title } = errorCodes[fault.code]
  return {
    type: `urn:crossline:problem:${fault.code}`,
    code: fault.code,
    status,
    title,
    ...(fault.detail === undefined ? {} : { detail: fault.detail }),
    ...(fault.pointer === undefined ? {} : { pointer: fault.pointer }),
    trace,
    ...(fault.facts === undefined ? {} : { facts: fault.facts }),
  }
}

function readOurs(error: CrosslineError): Fault {
  const inner = innerCodes[error.code]
  if (inner !== undefined) return faultOf(inner)
  if (error.code === 'internal') return faultOf({ code: 'internal' })
  return error
}

function faultOf(known: Partial<Fault> & { code: ErrorCode }): Fault {
  return { pointer: undefined, detail: undefined, retryAfterS: undefined, facts: undefined, ...known }
}

// A union reports the errors of its branches before its own: the first is of the branch that is not null, so it names the field itself.
function readValidation([first]: FastifySchemaValidationError[], context: string): Fault {
  const pointer = `${contexts[context] ?? ''}${first === undefined ? '' : pointerOf(first)}`
  return faultOf({ code: 'schema_invalid', pointer, detail: first === undefined ? undefined : describeFailure(first) })
}

function describeFailure({ keyword, params }: FastifySchemaValidationError): string | undefined {
  const text = keywordTexts[keyword]
  const { limit } = params
  const limited = typeof limit === 'number' ? limitTexts[keyword]?.(limit) : undefined
  return limited === undefined ? text : text?.replace(/\.$/, `: ${limited}.`)
}

// The name of an unknown field is itself a value from the input: it is only given when it looks like a name of a schema.
function pointerOf({ instancePath, keyword, params }: FastifySchemaValidationError): string {
  const parent = safeSegments(instancePath)
  const name =
    keyword === 'required' ? params.missingProperty : keyword === 'additionalProperties' ? params.additionalProperty : undefined
  return typeof name === 'string' && isFieldName(name) ? `${parent}/${name}` : parent
}

function safeSegments(pointer: string): string {
  const segments = pointer.split('/').slice(1)
  const firstOdd = segments.findIndex((segment) => !isFieldName(segment) && !/^\d{1,6}$/.test(segment))
  return segments
    .slice(0, firstOdd === -1 ? undefined : firstOdd)
    .map((segment) => `/${segment}`)
    .join('')
}

function isFieldName(text: string): boolean {
  return text === 'idempotency-key' || /^[A-Za-z][A-Za-z0-9_]{0,40}$/.test(text)
}
