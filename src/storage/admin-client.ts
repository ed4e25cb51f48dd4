// One connection for one piece of administrative work, and the addresses it needs. Promise: a failure to connect is database_unavailable
// and names neither host nor login.
import { Client, type ClientConfig } from 'pg'
import { CrosslineError } from '#errors.ts'

/** Why a connection was not made: a SQLSTATE, or the system's own code such as ECONNREFUSED. */
export function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' ? code : 'unknown'
}

/** Connects, runs `work`, disconnects. Errors of `work` pass through unchanged. */
export async function withClient<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = await connect(url)
  try {
    return await work(client)
  } finally {
    await client.end().catch(() => undefined)
  }
}

/** A connected client, which the caller ends. Throws database_unavailable, with the reason's code in its facts. */
export async function connect(url: string, options: ClientConfig = {}): Promise<Client> {
  const client = new Client({
    connectionString: checkedUrl(url).href,
    application_name: 'crossline admin',
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
    ...options,
  })
  // Without a listener, a server that goes away would stop the whole process.
  client.on('error', () => undefined)
  try {
    await client.connect()
    return client
  } catch (error) {
    await client.end().catch(() => undefined)
    throw new CrosslineError('database_unavailable', { detail: explain(codeOf(error)), facts: { reason: codeOf(error) } })
  }
}

function explain(code: string): string {
  if (code === '28P01' || code === '28000') return 'The database refuses the login of DATABASE_URL.'
  if (code === '3D000') return 'The database named in DATABASE_URL does not exist.'
  if (code === '42501') return 'The login of DATABASE_URL may not connect to this database.'
  if (code === '53300') return 'The database has no connection left.'
  return `The database can't be reached (${code}): check DATABASE_URL, and that its server runs.`
}

/** Parses a database address; throws invalid_config without repeating it. */
export function checkedUrl(url: string): URL {
  const parsed = URL.parse(url)
  if (!parsed || !['postgres:', 'postgresql:'].includes(parsed.protocol)) {
    throw new CrosslineError('invalid_config', {
      detail: 'DATABASE_URL is not of the form postgres://user:password@host:port/database.',
    })
  }
  return parsed
}

/** The same server and options, another login. */
export function withLogin(url: string, user: string, password: string): string {
  const changed = checkedUrl(url)
  changed.searchParams.delete('user')
  changed.searchParams.delete('password')
  if (changed.host === '') {
    // A Unix socket has no host in the address, so the login can't stand before it.
    changed.searchParams.set('user', user)
    changed.searchParams.set('password', password)
  } else {
    changed.username = encodeURIComponent(user)
    changed.password = encodeURIComponent(password)
  }
  return changed.href
}

/** The same server and login, another database. */
export function withDatabase(url: string, name: string): string {
  const changed = checkedUrl(url)
  changed.pathname = `/${encodeURIComponent(name)}`
  return changed.href
}

/** The same address, with settings for each session. An address may bring options of its own; these come last and win. */
export function withSettings(url: string, settings: Record<string, string>): string {
  const changed = checkedUrl(url)
  const ours = Object.entries(settings).map(([name, value]) => `-c ${name}=${value}`)
  changed.searchParams.set('options', [changed.searchParams.get('options') ?? '', ...ours].join(' ').trim())
  return changed.href
}
