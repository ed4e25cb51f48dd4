// The exact forms that ids, digests and times have on the wire (protocol.md, Exact forms), as predicates over unknown values.
// They never throw and never repair: what is not exactly the form is not the form.

/** Answers whether a value has one form. */
export type FormCheck = (value: unknown) => boolean

/** Which members an object must have, may have, and the form of each; any other member is a fault. */
export interface ObjectForm {
  required: Record<string, FormCheck>
  optional?: Record<string, FormCheck>
}

const matches =
  (pattern: RegExp): FormCheck =>
  (value) =>
    typeof value === 'string' && pattern.test(value)

export const isMemberId = matches(/^[a-z0-9-]{2,40}$/)
export const isUuidV7 = matches(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)

/** base64url SHA-256 without padding: 43 characters, and the two unused bits of the last one are zero. */
export const isDigest = matches(/^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/)

/** 128 random bits as 22 base64url characters. The four unused bits of the last one may be anything: nothing is decoded from it. */
export const isTokenId = matches(/^[A-Za-z0-9_-]{22}$/)

/** `<version>:<digest>`: which directory a member holds. */
export const isDirectoryView = matches(/^(?:0|[1-9][0-9]{0,14}):[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/)

/** A count, an index, a size or a NumericDate: 0 to 2^53 − 1. */
export const isCount: FormCheck = (value) => Number.isSafeInteger(value) && (value as number) >= 0

/** A NumericDate in whole seconds that a JavaScript Date can hold. */
export const isNumericDate: FormCheck = (value) => isCount(value) && (value as number) <= 8_640_000_000_000

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export const orNull =
  (check: FormCheck): FormCheck =>
  (value) =>
    value === null || check(value)

/** Says what is wrong with an object as a sentence without a value from it, or nothing when it has the form. */
export function findFormFault(value: unknown, form: ObjectForm): string | undefined {
  if (!isObject(value)) return 'It is not an object'
  for (const [name, check] of Object.entries(form.required)) {
    if (!Object.hasOwn(value, name)) return `The member ${name} is missing`
    if (!check(value[name])) return `The member ${name} has the wrong form`
  }
  return findOptionalFault(value, form)
}

function findOptionalFault(value: Record<string, unknown>, { required, optional = {} }: ObjectForm): string | undefined {
  for (const name of Object.keys(value)) {
    if (Object.hasOwn(required, name)) continue
    // An unknown name is input: it is not repeated.
    if (!Object.hasOwn(optional, name)) return 'It has a member that is not known'
    if (!optional[name]?.(value[name])) return `The member ${name} has the wrong form`
  }
  return undefined
}
