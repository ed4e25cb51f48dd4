// The tables for people beside the entries of a bundle: they are what is opened, so they are made again from the verified lines and compared.
// Promise: a table is the same byte for byte or at fault; no more than a stretch of lines is in memory; nothing of a table is parsed.
import { type EntryLine, makeTable } from './entry-table.ts'
import type { OpenBundle } from './read-bundle.ts'

export interface TableCheck {
  /** The next lines of the chunk, each with its newline, in their exact form. */
  add(lines: string): void
  /** After the last line. */
  conclude(): 'same' | 'other' | 'missing'
}

const entriesForm = /^([0-9]{4}\/entries\/[0-9]{6})\.ndjson$/
const tableForm = /^([0-9]{4}\/entries\/[0-9]{6})\.csv$/
const header = makeTable([])

/** Whether the bundle was made with tables: then each chunk of entries has one. */
export const hasTables = ({ members }: OpenBundle): boolean => [...members.keys()].some((name) => tableForm.test(name))

/** How many tables of a year stand beside no entries. */
export const countStrayTables = ({ members }: OpenBundle, year: string): number =>
  [...members.keys()].filter((name) => {
    const chunk = tableForm.exec(name)?.[1]
    return chunk !== undefined && name.startsWith(`${year}/`) && !members.has(`${chunk}.ndjson`)
  }).length

/** Begins to compare the table beside this chunk of entries. */
export function openTable({ members, source }: OpenBundle, chunk: string): TableCheck {
  const place = members.get(chunk.replace(entriesForm, '$1.csv'))
  if (!place) return { add: () => undefined, conclude: () => 'missing' }
  let at = 0
  let isSame = true
  const compare = (text: string | undefined) => {
    if (!isSame || text === undefined) {
      isSame = false
      return
    }
    const expected = Buffer.from(text)
    isSame = at + expected.length <= place.size && source.read(place.position + at, expected.length).equals(expected)
    at += expected.length
  }
  compare(header)
  return {
    add: (lines) => compare(isSame ? makeRows(lines) : undefined),
    conclude: () => (isSame && at === place.size ? 'same' : 'other'),
  }
}

/** Nothing for lines that no table can be made of, and so none was: nothing in a bundle stops its verification. */
function makeRows(lines: string): string | undefined {
  try {
    const rows = lines.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as EntryLine]))
    return makeTable(rows).slice(header.length)
  } catch {
    return undefined
  }
}
