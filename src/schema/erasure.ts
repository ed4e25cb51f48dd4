// Why texts are erased or must be kept, as codes, and the lines of the journal in which a node keeps outside its database what was erased.
import { type Static, Type } from 'typebox'
import { orNull, timestamp } from './forms.ts'

const closed = { additionalProperties: false } as const

/** Legal bases of erasing, with what each means; documented in README.md. */
export const erasureBases = {
  retention: 'the period after closing is over',
  not_needed: 'the purpose is gone',
  data_subject: "a person's request was granted",
  court_order: 'a court ordered it',
  authority_order: 'a supervisory authority ordered it',
  unlawful: 'it should never have been kept',
} as const
export type ErasureBasis = keyof typeof erasureBases

/** Legal bases of a hold. */
export const holdBases = {
  police_request: 'the police ask for it to be kept',
  court_order: 'a court ordered it',
  authority_order: 'a supervisory authority ordered it',
  legal_claim: 'it is needed for a legal claim',
} as const
export type HoldBasis = keyof typeof holdBases

const id = Type.String({ pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' })
const subject = { subject: id, of: Type.Enum(['item', 'report']), by: Type.Enum(['operator', 'node']) }
const code = Type.String({ pattern: '^[a-z_]{2,40}$' })
const at = timestamp('When it was written down.')

/** Ids and codes only: nothing personal stands in the journal. */
export const ErasureRecord = Type.Union([
  Type.Object({ kind: Type.Literal('erased'), ...subject, basis: code, outcome: orNull(code), at }, closed),
  Type.Object(
    { kind: Type.Literal('held'), hold: id, ...subject, basis: code, until: orNull(timestamp('Its end.')), at },
    closed,
  ),
  Type.Object({ kind: Type.Literal('released'), hold: id, at }, closed),
])
export type ErasureRecord = Static<typeof ErasureRecord>
export type ErasedRecord = Extract<ErasureRecord, { kind: 'erased' }>
export type HeldRecord = Extract<ErasureRecord, { kind: 'held' }>
export type ReleasedRecord = Extract<ErasureRecord, { kind: 'released' }>
