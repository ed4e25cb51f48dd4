// One line of a bundle's brackets: a signed note as canonical JSON, so that it stands in one line and in one form only.
import { isObject } from './exact-forms.ts'
import { skipJcs } from './jcs-text.ts'
import { parseStrictObject } from './strict-json.ts'

/** The text of the note; nothing when the line, without its newline, is not in its exact form. */
export function parseBracketLine(line: string): string | undefined {
  try {
    const value = skipJcs(line, 0) === line.length ? parseStrictObject(line) : undefined
    return isObject(value) && Object.keys(value).length === 1 && typeof value.note === 'string' ? value.note : undefined
  } catch {
    return undefined
  }
}
