// One URL, one form: what two reports are compared by, and the only thing a host is taken from. Promise: canonical(canonical(x)) is
// canonical(x), and whatever the WHATWG parser would quietly repair is refused instead, so that nobody routes what nobody wrote.
import { CrosslineError } from '#errors.ts'

/** `host` is a lower-case name in punycode without a trailing dot, or an address without brackets. */
export interface CanonicalUrl {
  url: string
  host: string
  kind: 'name' | 'ipv4' | 'ipv6' | 'onion'
}

/** The longest URL, before and after normalising, in characters. */
export const maxUrlLength = 8192

// Controls, white space, zero-width and bidirectional characters: invisible, or they change what a person believes to read.
const invisible = /[\p{Cc}\p{Z}\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]/u
const schemeAndAuthority = /^(?:https?|ftp):\/\/([^/?#\\]+)/i
const ipv4 = /^\d+\.\d+\.\d+\.\d+$/

/**
 * The canonical form (domain.md): WHATWG URL, host in lower-case punycode without a trailing dot, default port and fragment dropped,
 * percent-encoding normalised. Throws `schema_invalid` with a sentence that holds no part of the input; `data:`, `javascript:`,
 * `blob:` and `file:` are refused as everything that is not http, https or ftp.
 */
export function canonicalUrl(input: string): CanonicalUrl {
  refuseWhatParsersRepair(input)
  const parsed = parseUrl(input)
  const host = readHost(parsed.hostname)
  const port = parsed.port === '' ? '' : `:${parsed.port}`
  const written = host.kind === 'ipv6' ? `[${host.host}]` : host.host
  const url = `${parsed.protocol}//${written}${port}${normalisePercent(parsed.pathname)}${normalisePercent(query(parsed))}`
  if (url.length > maxUrlLength) throw refused('The URL is longer than 8,192 characters when written in its canonical form.')
  return { url, ...host }
}

/**
 * For people's eyes only: `hxxps://host[.]example/…`, with nothing left that a mail client or terminal makes a link of.
 * Expects a canonical URL; gives a fixed text for anything that does not look like one.
 */
export function defangUrl(url: string): string {
  const [, scheme, host, rest] = /^(https?|ftp):\/\/(\[[^\]]*\]|[^/?#:@]+)(.*)$/.exec(invisible.test(url) ? '' : url) ?? []
  if (scheme === undefined || host === undefined || rest === undefined) return '(unreadable URL)'
  const safeScheme = scheme.replace('http', 'hxxp').replace('ftp', 'fxp')
  const safeHost = host.replace(/[.:]/g, '[$&]')
  return `${safeScheme}://${safeHost}${rest.replace(/:\/\//g, '[://]').replace(/(www)\./gi, '$1[.]')}`
}

function refuseWhatParsersRepair(input: string): void {
  if (input.length > maxUrlLength) throw refused('The URL is longer than 8,192 characters.')
  if (!input.isWellFormed()) throw refused('The URL holds half a character (a lone surrogate).')
  if (invisible.test(input)) throw refused('The URL holds a control, white-space or bidirectional character.')
  const authority = schemeAndAuthority.exec(input)?.[1]
  if (authority === undefined) throw refused('The URL does not start with http://, https:// or ftp:// and a host.')
  if (authority.includes('@')) throw refused('User name and password belong into accessCredentials, not into the URL.')
  // Parsers turn a backslash before the query into a slash, so host and path would not be the ones that stand there.
  if (input.includes('\\') && /^[^?#]*\\/.test(input)) throw refused('The URL holds a backslash.')
}

function parseUrl(input: string): URL {
  const parsed = URL.parse(input)
  if (!parsed) throw refused('The URL cannot be parsed.')
  return parsed
}

/** The query with its question mark; an empty query is kept, because a server may tell it from none. */
function query(parsed: URL): string {
  if (parsed.search !== '' || !parsed.href.includes('?')) return parsed.search
  parsed.hash = ''
  return parsed.href.endsWith('?') ? '?' : ''
}

function readHost(hostname: string): Pick<CanonicalUrl, 'host' | 'kind'> {
  if (hostname.startsWith('[')) return { host: hostname.slice(1, -1), kind: 'ipv6' }
  if (ipv4.test(hostname)) return { host: hostname, kind: 'ipv4' }
  const host = hostname.endsWith('.') ? hostname.slice(0, -1) : hostname
  // RFC 1035 section 2.3.4: 63 octets in a label, 253 written characters in a name.
  const labels = host.split('.')
  if (host.length > 253 || labels.some((label) => label === '' || label.length > 63))
    throw refused('The host is not a possible DNS name.')
  return { host, kind: labels.at(-1) === 'onion' ? 'onion' : 'name' }
}

/**
 * RFC 3986 section 6.2.2: upper-case hex, unreserved characters decoded, characters that no URL may hold encoded. %2F and its like
 * stay encoded, and a per cent sign that starts no escape becomes %25, or decoding its neighbours could make it one.
 */
function normalisePercent(text: string): string {
  return text.replace(/%([0-9a-f]{2})?|[^A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=]/gi, (found, hex?: string) => {
    if (hex === undefined) return encodeURIComponent(found)
    const character = String.fromCharCode(Number.parseInt(hex, 16))
    return /[A-Za-z0-9\-._~]/.test(character) ? character : found.toUpperCase()
  })
}

function refused(detail: string): CrosslineError {
  return new CrosslineError('schema_invalid', { detail })
}
