// The exact forms that every border shares (protocol.md, "Exact forms"): ids, digests, times, countries, and text that may be stored.
import { Type } from 'typebox'

/** Characters that no text may hold: C0/C1 controls, line and paragraph separators, bidirectional overrides and isolates, BOM. */
const forbidden = '\\u0000-\\u001F\\u007F-\\u009F\\u061C\\u200E\\u200F\\u2028\\u2029\\u202A-\\u202E\\u2066-\\u2069\\uFEFF'
const forbiddenInLines =
  '\\u0000-\\u0008\\u000B-\\u001F\\u007F-\\u009F\\u061C\\u200E\\u200F\\u2028\\u2029\\u202A-\\u202E\\u2066-\\u2069\\uFEFF'

/** One line of text without control or bidirectional characters. */
export function lineOfText(maxLength: number, description: string, minLength = 1) {
  return Type.String({
    minLength,
    maxLength,
    pattern: `^[^${forbidden}]*$`,
    description: `${description} One line, at most ${maxLength} characters, without control or bidirectional characters.`,
  })
}

/** Text of several lines (line feed and tab allowed), otherwise as `lineOfText`. */
export function linesOfText(maxLength: number, description: string) {
  return Type.String({
    minLength: 1,
    maxLength,
    pattern: `^[^${forbiddenInLines}]*$`,
    description: `${description} At most ${maxLength} characters; line feed and tab are the only control characters.`,
  })
}

export function uuidv7(description: string) {
  return Type.String({
    pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$',
    description: `${description} UUIDv7 in lower case (RFC 9562).`,
  })
}

export function memberId(description: string) {
  return Type.String({ pattern: '^[a-z0-9-]{2,40}$', description: `${description} Member id of the directory.` })
}

export function countryCode(description: string) {
  return Type.String({ pattern: '^[A-Z]{2}$', description: `${description} ISO 3166-1 alpha-2, upper case.` })
}

export function timestamp(description: string) {
  return Type.String({
    // Years that every database and every clock here agrees on.
    pattern: '^(19|20|21)\\d{2}-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])T([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d\\.\\d{3}Z$',
    format: 'date-time',
    description: `${description} RFC 3339, UTC, milliseconds.`,
  })
}

export function sha256Digest(description: string) {
  return Type.String({ pattern: '^[A-Za-z0-9_-]{43}$', description: `${description} SHA-256, base64url without padding.` })
}

export function orNull<T extends Parameters<typeof Type.Union>[0][number]>(schema: T) {
  return Type.Union([schema, Type.Null()])
}
