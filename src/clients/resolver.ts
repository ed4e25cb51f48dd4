// The only way to the addresses of a reported host: a real DNS exchange with the configured servers, never the hosts file.
// Promise: an outage is never taken for "no such host", no answer is taken as is, and no name ever gets into an error or a log.
import { Resolver as DnsResolver } from 'node:dns/promises'
import { isIPv4, isIPv6 } from 'node:net'

export type ResolvedHost =
  /** `partial`: only one of A and AAAA could be asked. `truncated`: more addresses were answered than are kept. */
  | { kind: 'answered'; addresses: string[]; ttlS: number; partial: boolean; truncated: boolean }
  | { kind: 'no_answer' }
  | { kind: 'failed'; reason: 'timeout' | 'server_failure' | 'refused' | 'bad_answer' | 'overloaded' }

export interface ResolverOptions {
  /** `address:port` (IPv6 in brackets); the system's own servers if absent. */
  servers?: readonly string[]
  /** For each try at each server, in milliseconds. */
  timeoutMs?: number
  tries?: number
  cacheMaxEntries?: number
  /** Names asked at the same time; more wait, and more than `maxWaiting` fail as `overloaded`. */
  maxConcurrent?: number
  maxWaiting?: number
  /** Milliseconds, for the cache only. */
  now?: () => number
}

export interface Resolver {
  /** Never throws. The same name asked twice at once is one exchange. */
  resolveHost(name: string): Promise<ResolvedHost>
  /** Drops running exchanges (they end as failed) and the cache. */
  close(): void
}

/** The most addresses taken from one answer: a hostile zone can send thousands. */
export const maxAddresses = 64
const cacheS = { least: 30, most: 3600, none: 60 }

type Failure = Extract<ResolvedHost, { kind: 'failed' }>
type OneType = { kind: 'answered'; records: { address: string; ttl: number }[] } | { kind: 'no_answer' } | Failure

export function createResolver(options: ResolverOptions = {}): Resolver {
  const {
    servers,
    timeoutMs = 2000,
    tries = 2,
    cacheMaxEntries = 10_000,
    maxConcurrent = 64,
    maxWaiting = 10_000,
    now = Date.now,
  } = options
  const dns = new DnsResolver({ timeout: timeoutMs, tries, maxTimeout: timeoutMs })
  if (servers !== undefined) dns.setServers(servers)
  const cache = createCache(cacheMaxEntries, now)
  const slots = createSlots(maxConcurrent, maxWaiting)
  const running = new Map<string, Promise<ResolvedHost>>()

  async function ask(name: string): Promise<ResolvedHost> {
    if (!(await slots.take())) return { kind: 'failed', reason: 'overloaded' }
    try {
      const [a, aaaa] = await Promise.all([
        askType(() => dns.resolve4(name, { ttl: true })),
        askType(() => dns.resolve6(name, { ttl: true })),
      ])
      const resolved = joinTypes(a, aaaa)
      cache.keep(name, resolved)
      return resolved
    } finally {
      slots.give()
    }
  }

  function resolveHost(given: string): Promise<ResolvedHost> {
    const name = given.toLowerCase().replace(/\.$/, '')
    if (!isAskable(name)) return Promise.resolve({ kind: 'no_answer' })
    const known = cache.find(name) ?? running.get(name)
    if (known !== undefined) return Promise.resolve(known)
    const exchange = ask(name).finally(() => running.delete(name))
    running.set(name, exchange)
    return exchange
  }

  const close = () => {
    dns.cancel()
    cache.clear()
  }
  return { resolveHost, close }
}

/** A name that can't exist in DNS (RFC 1035 section 2.3.4) is not sent out, nor an onion name (RFC 7686), nor an address. */
function isAskable(name: string): boolean {
  const labels = name.split('.')
  if (name.length > 253 || labels.at(-1) === 'onion' || isIPv4(name)) return false
  return labels.every((label) => /^[a-z0-9_-]{1,63}$/.test(label))
}

async function askType(query: () => Promise<{ address: string; ttl: number }[]>): Promise<OneType> {
  try {
    const records = (await query()).filter(({ address }) => isIPv4(address) || isIPv6(address))
    return records.length === 0 ? { kind: 'no_answer' } : { kind: 'answered', records }
  } catch (error) {
    return readFailure(error instanceof Error && 'code' in error ? String(error.code) : '')
  }
}

/** c-ares error codes. Only NXDOMAIN and NODATA say that there is nothing; everything else says nothing. */
function readFailure(code: string): OneType {
  if (code === 'ENOTFOUND' || code === 'ENODATA') return { kind: 'no_answer' }
  if (code === 'ETIMEOUT' || code === 'ECANCELLED') return { kind: 'failed', reason: 'timeout' }
  if (code === 'ESERVFAIL' || code === 'ENOTIMP') return { kind: 'failed', reason: 'server_failure' }
  if (code === 'EREFUSED' || code === 'ECONNREFUSED') return { kind: 'failed', reason: 'refused' }
  return { kind: 'failed', reason: 'bad_answer' }
}

function joinTypes(a: OneType, aaaa: OneType): ResolvedHost {
  const failure = [a, aaaa].find((each) => each.kind === 'failed')
  const [four, six] = [a, aaaa].map((each) => (each.kind === 'answered' ? each.records : [])) as [TypeRecords, TypeRecords]
  if (four.length + six.length === 0) return failure ?? { kind: 'no_answer' }
  const ttlS = Math.min(...[...four, ...six].map((each) => each.ttl))
  const { addresses, truncated } = cut(distinct(four), distinct(six))
  return { kind: 'answered', addresses, ttlS, partial: failure !== undefined, truncated }
}

type TypeRecords = { address: string; ttl: number }[]

function distinct(records: TypeRecords): string[] {
  return [...new Set(records.map((each) => each.address))]
}

/** Keeps both families, so that a flood of one can't hide the other. */
function cut(four: string[], six: string[]) {
  const half = maxAddresses / 2
  const fromFour = four.slice(0, Math.max(half, maxAddresses - six.length))
  const addresses = [...fromFour, ...six.slice(0, maxAddresses - fromFour.length)]
  return { addresses, truncated: addresses.length < four.length + six.length }
}

/** Least recently used goes first. Failures are not kept, and half answers only for the least time. */
function createCache(maxEntries: number, now: () => number) {
  const entries = new Map<string, { resolved: ResolvedHost; untilMs: number }>()
  const find = (name: string) => {
    const entry = entries.get(name)
    if (entry === undefined) return undefined
    entries.delete(name)
    if (entry.untilMs <= now()) return undefined
    entries.set(name, entry)
    return entry.resolved
  }
  const keep = (name: string, resolved: ResolvedHost) => {
    if (resolved.kind === 'failed') return
    entries.set(name, { resolved, untilMs: now() + keepS(resolved) * 1000 })
    for (const oldest of entries.keys()) {
      if (entries.size <= maxEntries) break
      entries.delete(oldest)
    }
  }
  return { find, keep, clear: () => entries.clear() }
}

function keepS(resolved: Exclude<ResolvedHost, Failure>): number {
  if (resolved.kind === 'no_answer') return cacheS.none
  return resolved.partial ? cacheS.least : Math.min(cacheS.most, Math.max(cacheS.least, resolved.ttlS))
}

/** At most `max` at work; `take` answers false when already `maxWaiting` wait. */
function createSlots(max: number, maxWaiting: number) {
  let free = max
  const waiting: ((taken: boolean) => void)[] = []
  const take = (): Promise<boolean> | boolean => {
    if (free > 0) {
      free -= 1
      return true
    }
    return waiting.length < maxWaiting && new Promise<boolean>((taken) => waiting.push(taken))
  }
  const give = () => {
    const next = waiting.shift()
    if (next === undefined) free += 1
    else next(true)
  }
  return { take, give }
}
