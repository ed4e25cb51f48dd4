// Which addresses belong to a CDN or reverse proxy, by published range or by ASN: there the address says nothing about the host.
// Promise: the list is checked whole before it is used; an operator's own file replaces the embedded one and reloads like a database.
import { BlockList, isIPv4, isIPv6 } from 'node:net'
import type { CrosslineError } from '#errors.ts'
import embeddedList from './cdn-ranges.json' with { type: 'json' }
import { brokenFile, openReloadedFile, type ReloadOutcome } from './reloaded-file.ts'

/** A network that hides hosts. `country`: where the network itself is at home, null if not known. */
export interface CdnNetwork {
  name: string
  country: string | null
}

export interface CdnList {
  /** The network of a public address in normal form, or undefined. */
  findCdn(facts: { address: string; asn: number | null }): CdnNetwork | undefined
  /** Date of the list in use, `YYYY-MM-DD`. */
  date(): string
}

export interface OpenCdnList extends CdnList {
  reload(): Promise<ReloadOutcome>
  close(): void
}

interface ListedNetwork extends CdnNetwork {
  asns: number[]
  ranges: string[]
}

/** Makes a list of parsed JSON of the form of cdn-ranges.json. Throws `broken_file` that names the place at fault. */
export function createCdnList(json: unknown): CdnList {
  const { date, networks } = parseList(json)
  const byAsn = new Map(networks.flatMap((network) => network.asns.map((asn) => [asn, network])))
  const byRange = networks
    .filter((network) => network.ranges.length > 0)
    .map((network) => ({ network, block: buildBlock(network) }))
  const findCdn: CdnList['findCdn'] = ({ address, asn }) => {
    const family = address.includes(':') ? 'ipv6' : 'ipv4'
    const network =
      (asn === null ? undefined : byAsn.get(asn)) ?? byRange.find(({ block }) => block.check(address, family))?.network
    return network && { name: network.name, country: network.country }
  }
  return { findCdn, date: () => date }
}

/** The operator's file at `path`, else the embedded list. Throws `broken_file` if the file can't be used to begin with. */
export async function openCdnList(
  options: {
    path?: string | undefined
    onProblem?: ((problem: CrosslineError) => void) | undefined
    onReload?: (() => void) | undefined
    pollMs?: number | undefined
    settleMs?: number | undefined
  } = {},
): Promise<OpenCdnList> {
  const { path } = options
  if (path === undefined) return { ...createCdnList(embeddedList), reload: () => Promise.resolve('unchanged'), close: () => {} }
  const file = await openReloadedFile({ ...options, path, load: (bytes) => createCdnList(parseJson(bytes)) })
  return {
    findCdn: (facts) => file.current().findCdn(facts),
    date: () => file.current().date(),
    reload: file.reload,
    close: file.close,
  }
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    throw brokenFile('not_json', 'The CDN list is not JSON.')
  }
}

function parseList(json: unknown): { date: string; networks: ListedNetwork[] } {
  const { date, networks } = fieldsOf(json)
  if (typeof date !== 'string' || !/^\d{4}-\d\d-\d\d$/.test(date)) throw wrongForm('/date')
  if (!Array.isArray(networks) || networks.length === 0) throw wrongForm('/networks')
  return { date, networks: networks.map(parseNetwork) }
}

function parseNetwork(json: unknown, index: number): ListedNetwork {
  const { name, country, asns, ranges } = fieldsOf(json)
  if (typeof name !== 'string' || name === '' || name.length > 100) throw wrongForm(`/networks/${index}/name`)
  if (country !== null && (typeof country !== 'string' || !/^[A-Z]{2}$/.test(country)))
    throw wrongForm(`/networks/${index}/country`)
  if (!isListOf(asns, isAsn)) throw wrongForm(`/networks/${index}/asns`)
  if (!isListOf(ranges, isRange)) throw wrongForm(`/networks/${index}/ranges`)
  return { name, country, asns, ranges }
}

function isAsn(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) > 0 && Number(value) < 2 ** 32
}

/** A bare 0.0.0.0/0 would call the whole Internet a CDN; nothing shorter than /8 (IPv4) or /16 (IPv6) is published by anyone. */
function isRange(range: unknown): range is string {
  if (typeof range !== 'string') return false
  const [address = '', length = '', ...rest] = range.split('/')
  const bits = /^\d{1,3}$/.test(length) && rest.length === 0 ? Number(length) : -1
  return isIPv4(address) ? bits >= 8 && bits <= 32 : isIPv6(address) && bits >= 16 && bits <= 128
}

function buildBlock({ ranges }: ListedNetwork): BlockList {
  const block = new BlockList()
  for (const range of ranges) {
    const [address = '', length] = range.split('/')
    block.addSubnet(address, Number(length), isIPv4(address) ? 'ipv4' : 'ipv6')
  }
  return block
}

function fieldsOf(json: unknown): Record<string, unknown> {
  return typeof json === 'object' && json !== null ? { ...json } : {}
}

function isListOf<T>(value: unknown, isMember: (member: unknown) => member is T): value is T[] {
  return Array.isArray(value) && value.every(isMember)
}

function wrongForm(pointer: string): CrosslineError {
  return brokenFile('wrong_form', `The CDN list does not have its form at ${pointer}.`)
}
