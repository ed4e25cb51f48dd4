// The lines of an independent peer: messages and batches as protocol.md describes them, each field open to a test's change.
import { inclusionOf, newId } from './peer.ts'

export type Change = Record<string, unknown>

/** The parties of a message. */
export interface Parties {
  from: string
  to: string
}

function reportFacts(origin: string, change: Change = {}): Change {
  return {
    id: newId(),
    origin,
    reference: 'PEER-1',
    receivedAt: '2026-11-01T10:00:00.000Z',
    source: 'partner',
    siteType: 'image_host',
    commerciality: 'not_determined',
    paymentMethods: [],
    handling: 'lea',
    ...change,
  }
}

function handedItem(via: readonly string[], change: Change = {}): Change {
  const id = newId()
  const host = `p${id.slice(-8)}.example`
  return {
    id,
    url: `https://${host}/a.jpg`,
    contentType: 'media',
    isSource: false,
    hashes: {},
    hostingEvidence: {
      host,
      addresses: [],
      dns: 'answered',
      resolver: 'peer',
      resolvedAt: '2026-11-01T10:00:00.000Z',
      flags: [],
      decision: { country: 'GB', rule: 'agreed', confidence: 'agreed' },
    },
    hostingCountry: 'GB',
    assignedCountry: 'GB',
    via,
    ...change,
  }
}

export function messageOf({ from, to }: Parties, kind: string, body: object, change: Change = {}): Change {
  return {
    id: newId(),
    kind,
    item: newId(),
    author: from,
    to,
    createdAt: '2026-11-20T10:00:00.000Z',
    schema: { name: 'crossline', version: 1 },
    handling: 'lea',
    body,
    refs: [],
    ext: {},
    crit: [],
    ...change,
  }
}

/** A handoff that a node takes; `item` and `report` change parts of its body. */
export function handoffOf(
  parties: Parties,
  { item = {}, report = {}, message = {} }: { item?: Change; report?: Change; message?: Change } = {},
): Change {
  const handed = handedItem([parties.from], item)
  const body = { report: reportFacts(parties.from, report), item: handed }
  return messageOf(parties, 'handoff', body, { item: handed['id'], ...message })
}

export const lineOf = (message: object): Buffer => Buffer.from(JSON.stringify(message))

export interface Batch {
  id: string
  lines: Buffer[]
  body: Buffer
}

export function batchOf({ from, to }: Parties, lines: readonly Buffer[], id = newId()): Batch {
  const parts = [lineOf({ batch: id, from, to }), ...lines]
  return { id, lines: [...lines], body: Buffer.from(parts.map((line) => `${line.toString('latin1')}\n`).join(''), 'latin1') }
}

export interface Evidence {
  message: string
  index: number
  size: number
  path: string[]
  proof: string
  receipt: string
}

export function evidenceOf(lines: readonly Buffer[], index: number, tokens: { proof: string; receipt: string }): Evidence {
  const message = (lines[index] as Buffer).toString()
  return { message, index, size: lines.length, path: inclusionOf(lines, index), ...tokens }
}
