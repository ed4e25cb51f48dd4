// The custody of one item as two hotlines' audit logs tell it, side by side in the order of time.
import { parseStrictObject } from '#domain/strict-json.ts'
import type { Entry, EntryPage, EntryView } from '#schema/audit.ts'
import type { Api } from './demo-api.ts'

interface Line {
  side: number
  at: string
  text: string
}

const columnWidth = 56
const columns = 'n  event             from→to  time         leaf   prev'

/** Asks each hotline's audit log, as that country's liaison, and lays the answers side by side: at most 118 columns. */
export async function showCustody(item: string, sides: readonly [Api, Api]): Promise<string> {
  const logs = await Promise.all(sides.map((api) => readLog(api, item)))
  const lines = logs.flatMap((entries, side) =>
    entries.map((entry) => ({ side, at: entry.recordedAt, text: renderEntry(entry) })),
  )
  const names = sides.map(({ member }) => `audit log of ${member}`)
  const rule = '─'.repeat(columnWidth)
  const head = [layOut(names), layOut([columns, columns]), layOut([rule, rule])]
  return [...head, ...inOrder(lines).map((line) => layOut(line.side === 0 ? [line.text, ''] : ['', line.text]))].join('\n')
}

async function readLog(api: Api, item: string): Promise<EntryView[]> {
  const { entries } = await api.get<EntryPage>('liaison', `/audit/v1/entries?item=${item}&purpose=demo`)
  return entries
}

function inOrder(lines: Line[]): Line[] {
  return lines.sort((a, b) => a.at.localeCompare(b.at))
}

function renderEntry({ recordedAt, leaf, entry }: EntryView): string {
  const { n, event, from = '', to = '', prev } = parseStrictObject(Buffer.from(entry)) as unknown as Entry
  const way = `${shorten(from)}${to ? `→${shorten(to)}` : ''}`
  return [
    String(n).padEnd(2),
    event.padEnd(17),
    way.padEnd(8),
    recordedAt.slice(11, 23),
    leaf.slice(0, 6),
    prev?.slice(0, 6) ?? '–',
  ].join(' ')
}

function shorten(member: string): string {
  return member.replace('hotline-', '')
}

function layOut([left = '', right = '']: string[]): string {
  return `${left.padEnd(columnWidth)} │ ${right}`.trimEnd()
}
