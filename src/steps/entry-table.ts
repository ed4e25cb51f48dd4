// Entries as a table for people, who will open it with a spreadsheet: no cell begins as a formula. A verifier makes it again from the lines
// beside it and compares the bytes, so its form is part of the bundle's: a row depends on its line alone, and another form is another version.
import { stringify } from 'csv-stringify/sync'
import { toJcs } from '#domain/audit-entry.ts'
import type { Entry } from '#schema/audit.ts'
import type { Opening } from './append-audit.ts'

/** One entry as its line has it. */
export interface EntryLine {
  index: number
  entry: string
  recordedAt: string
  disclosed: Opening
}

const columns = [
  'index',
  'recordedAt',
  'at',
  'event',
  'from',
  'to',
  'country',
  'ref',
  'n',
  'actor',
  'purpose',
  'case',
  'facts',
] as const
type Row = Record<(typeof columns)[number], unknown>

/** RFC 4180 with a header, CRLF and a byte order mark, without which spreadsheets misread UTF-8. */
export function makeTable(lines: readonly EntryLine[]): string {
  return stringify(lines.map(toRow), {
    header: true,
    columns: [...columns],
    escape_formulas: true,
    record_delimiter: 'windows',
    bom: true,
  })
}

function toRow({ index, entry, recordedAt, disclosed }: EntryLine): Row {
  const { at, event, from, to, ref, n } = JSON.parse(entry) as Entry
  const values = Object.entries(disclosed).map(([name, { value }]) => [name, value])
  const { actor, country, purpose, ...facts } = Object.fromEntries(values) as Record<string, unknown>
  const asked = (purpose ?? {}) as { purpose?: string; case?: string }
  return {
    index,
    recordedAt,
    at,
    event,
    from,
    to,
    country,
    ref,
    n,
    actor: actor === undefined ? '' : toJcs(actor),
    purpose: asked.purpose,
    case: asked.case,
    facts: values.length === 0 ? '' : toJcs(facts),
  }
}
