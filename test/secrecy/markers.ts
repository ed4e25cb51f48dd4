// Markers: texts that stand nowhere else, one for each place where a secret may go in, and the search for them in whatever comes out.
import { randomBytes } from 'node:crypto'
import { withClient } from '#storage/admin-client.ts'

export interface Markers {
  /** A marker by its name, made when it is first asked for: 30 lower-case letters and digits. */
  of(name: string): string
  /** Names of the markers that stand in a text, in any of the forms in which a text may hide. */
  findIn(text: string): string[]
}

export function makeMarkers(): Markers {
  const held = new Map<string, string>()
  const forms = new Map<string, string[]>()
  return {
    of: (name) => {
      const known = held.get(name)
      if (known) return known
      const marker = `canary${randomBytes(12).toString('hex')}`
      held.set(name, marker)
      forms.set(name, formsOf(marker))
      return marker
    },
    findIn: (text) => {
      const plain = text.toLowerCase()
      return [...forms]
        .filter(([, [first = '', ...others]]) => plain.includes(first) || others.some((form) => text.includes(form)))
        .map(([name]) => name)
    },
  }
}

// As it is, as hex (bytea), and as base64 or base64url at each of the three alignments, without the characters that its neighbours decide.
function formsOf(marker: string): string[] {
  const shifted = [0, 1, 2].map((before) => {
    const text = Buffer.from(`${'x'.repeat(before)}${marker}`).toString('base64url')
    return text.slice(before === 0 ? 0 : before + 1, -2)
  })
  return [marker, Buffer.from(marker).toString('hex'), ...shifted]
}

/** Every row of every table of our schemas, as text; bytes as hex. By table. */
export async function dumpTables(adminUrl: string): Promise<Map<string, string>> {
  return withClient(adminUrl, async (client) => {
    const { rows } = await client.query<{ name: string }>(
      "select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname not in ('pg_catalog', 'information_schema')",
    )
    const dump = new Map<string, string>()
    for (const { name } of rows) {
      const found = await client.query<{ row: string }>(`select t::text as row from ${name} t`)
      dump.set(name, found.rows.map(({ row }) => row).join('\n'))
    }
    return dump
  })
}
