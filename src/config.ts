// The node's configuration: read once from the environment, checked whole, frozen. Every mistake is reported at once; secrets come from files.
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { CrosslineError } from '#errors.ts'

const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const

export interface Config {
  /** Member that the node runs for. */
  member: string
  /** Folder for what the node keeps outside the database: master key, embedded server. */
  dataDir: string
  /** Address of the database; undefined: the embedded server. */
  databaseUrl: string | undefined
  listen: { host: string; port: number }
  /** Plain HTTP on loopback for health and metrics. */
  health: { host: string; port: number }
  tls: { certificate: string; key: string; authorities: string }
  signingKey: string
  /** File of the audit keys; `{year}` in its name stands for the year of the log. */
  auditKey: string
  /** File of the witness policy; undefined: it follows from the directory. */
  auditPolicy: string | undefined
  masterKey: string
  directory: { root: string | undefined; directory: string | undefined; pins: string[] }
  geo: { country: string | undefined; asn: string | undefined; cdnRanges: string | undefined }
  dns: { servers: string[] | undefined; timeoutMs: number }
  cdnToHome: boolean
  /** Texts of a closed item are erased after so many days. */
  retentionDays: number
  /** What one liaison may ask: questions a minute, and entries shown a day. */
  liaison: { questionsPerMinute: number; rowsPerDay: number }
  /** Most entries in one export of the audit log. */
  exportMaxRows: number
  logLevel: (typeof logLevels)[number]
}

export type Environment = Readonly<Record<string, string | undefined>>

/** What a variable is for, for `crossline node start --help` and the README. */
export const variables = {
  MEMBER_ID: 'member id that the node runs for (required)',
  DATA_DIR: 'folder for master key and embedded database; default ./data',
  DATABASE_URL: 'PostgreSQL 15 or newer; without it an embedded server runs under DATA_DIR',
  DATABASE_URL_FILE: 'file that holds DATABASE_URL',
  LISTEN_HOST: 'address of the mutual-TLS listener; default 127.0.0.1',
  LISTEN_PORT: 'its port; default 8443',
  HEALTH_HOST: 'address of the plain health and metrics listener; default 127.0.0.1',
  HEALTH_PORT: 'its port; default 9464',
  TLS_CERT: 'certificate of the node, PEM (required)',
  TLS_KEY: 'its private key, PEM, mode 0600 (required)',
  TLS_CA: 'authorities whose certificates may connect, PEM (required)',
  SIGN_KEY: 'P-256 signing key, PKCS#8 PEM, mode 0600 (required)',
  AUDIT_KEY:
    'Ed25519 key that signs checkpoints of the audit log, PKCS#8 PEM, mode 0600; {year} in the file’s name: a key for each year (required)',
  AUDIT_POLICY:
    'which witnesses must cosign the audit log, a C2SP tlog-policy file; default: the majority of the other active members',
  MASTER_KEY: 'file of the master key that seals texts at rest; default DATA_DIR/master.key, made if absent',
  ROOT_FILE: 'root.json of the network (required at the first start)',
  ROOT_FINGERPRINT:
    'fingerprints of the first root that may be trusted, separated by commas; default: that of the first ROOT_FILE, kept in DATA_DIR',
  DIRECTORY_FILE: 'directory.json of the network; later ones come from peers too',
  GEO_COUNTRY_DB: 'country database, any MMDB; default: the embedded DB-IP Country Lite',
  GEO_ASN_DB: 'ASN database, MMDB; default: none',
  CDN_RANGES_FILE: 'list of CDN networks; default: the embedded one',
  DNS_SERVERS: 'resolvers as address:port, separated by commas; default: the system’s',
  DNS_TIMEOUT_MS: 'time for one try at one resolver; default 2000',
  CDN_TO_HOME: 'true: route what hides behind a CDN to that network’s own country; default false: a person decides',
  LIAISON_QUESTIONS_PER_MINUTE: 'questions that one liaison may ask the audit log a minute; default 60',
  LIAISON_ROWS_PER_DAY: 'entries of the audit log that one liaison is shown a day (UTC), exports included; default 1000000',
  EXPORT_MAX_ROWS: 'most entries in one export of the audit log; default 5000000',
  RETENTION_DAYS: 'days after which the texts of a closed item are erased; default 365',
  LOG_LEVEL: 'fatal, error, warn, info, debug, trace or silent; default info',
} as const

/** Names the setting in the text of what can't be done with it: whoever reads the file knows the file only. */
export async function nameSetting<T>(setting: keyof typeof variables, work: Promise<T>): Promise<T> {
  return work.catch((error: unknown) => {
    if (!(error instanceof CrosslineError) || (error.detail ?? '').includes(setting)) throw error
    const { code, message, facts } = error
    throw new CrosslineError(code, { detail: `${setting}: ${message}`, cause: error, ...(facts ? { facts } : {}) })
  })
}

/** Reads and checks the whole environment. Throws `invalid_config` with every mistake in one text, and no value of a secret. */
export function readConfig(env: Environment): Config {
  const mistakes: string[] = []
  const text = (name: keyof typeof variables, fallback?: string): string => {
    const value = env[name]?.trim()
    if (value) return value
    if (fallback !== undefined) return fallback
    mistakes.push(`${name} is missing: ${variables[name]}`)
    return ''
  }
  const optional = (name: keyof typeof variables) => env[name]?.trim() || undefined
  const number = (name: keyof typeof variables, fallback: number, [least, most]: [number, number]) => {
    const value = Number(optional(name) ?? fallback)
    if (!Number.isInteger(value) || value < least || value > most)
      mistakes.push(`${name} must be a whole number from ${least} to ${most}`)
    return value
  }
  const dataDir = resolve(text('DATA_DIR', 'data'))
  const config: Config = {
    member: text('MEMBER_ID'),
    dataDir,
    databaseUrl: readDatabaseUrl(env, mistakes),
    listen: { host: text('LISTEN_HOST', '127.0.0.1'), port: number('LISTEN_PORT', 8443, [0, 65_535]) },
    health: { host: text('HEALTH_HOST', '127.0.0.1'), port: number('HEALTH_PORT', 9464, [0, 65_535]) },
    tls: { certificate: text('TLS_CERT'), key: text('TLS_KEY'), authorities: text('TLS_CA') },
    signingKey: text('SIGN_KEY'),
    auditKey: text('AUDIT_KEY'),
    auditPolicy: optional('AUDIT_POLICY'),
    masterKey: text('MASTER_KEY', join(dataDir, 'master.key')),
    directory: {
      root: optional('ROOT_FILE'),
      directory: optional('DIRECTORY_FILE'),
      pins: list(optional('ROOT_FINGERPRINT')) ?? [],
    },
    geo: { country: optional('GEO_COUNTRY_DB'), asn: optional('GEO_ASN_DB'), cdnRanges: optional('CDN_RANGES_FILE') },
    dns: { servers: list(optional('DNS_SERVERS')), timeoutMs: number('DNS_TIMEOUT_MS', 2000, [100, 30_000]) },
    cdnToHome: text('CDN_TO_HOME', 'false') === 'true',
    retentionDays: number('RETENTION_DAYS', 365, [1, 36_500]),
    liaison: {
      questionsPerMinute: number('LIAISON_QUESTIONS_PER_MINUTE', 60, [1, 1_000_000]),
      rowsPerDay: number('LIAISON_ROWS_PER_DAY', 1_000_000, [1, 1_000_000_000]),
    },
    exportMaxRows: number('EXPORT_MAX_ROWS', 5_000_000, [1, 100_000_000]),
    logLevel: text('LOG_LEVEL', 'info') as Config['logLevel'],
  }
  findMistakes(config, env, mistakes)
  if (mistakes.length > 0) throw new CrosslineError('invalid_config', { detail: mistakes.join('\n') })
  return Object.freeze(config)
}

function list(text: string | undefined): string[] | undefined {
  return text
    ?.split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
}

/** The database's address alone, for commands that need nothing else. */
export function readDatabaseUrl(env: Environment, mistakes: string[] = []): string | undefined {
  const file = env.DATABASE_URL_FILE?.trim()
  const given = env.DATABASE_URL?.trim() || (file ? readSecretText(file, mistakes) : undefined)
  if (given !== undefined && !/^postgres(ql)?:\/\//.test(given))
    mistakes.push('DATABASE_URL must begin with postgres:// or postgresql://')
  return given
}

function readSecretText(path: string, mistakes: string[]): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    mistakes.push('DATABASE_URL_FILE names a file that cannot be read')
    return undefined
  }
}

function findMistakes(config: Config, env: Environment, mistakes: string[]): void {
  if (config.member && !/^[a-z0-9-]{2,40}$/.test(config.member)) mistakes.push('MEMBER_ID must be 2 to 40 of a-z, 0-9 and -')
  if (/\{year\}.*(\{year\}|\/)/.test(config.auditKey)) mistakes.push('AUDIT_KEY may have {year} once, in the name of the file')
  if (!logLevels.includes(config.logLevel)) mistakes.push(`LOG_LEVEL must be one of ${logLevels.join(', ')}`)
  if (!['true', 'false'].includes(env.CDN_TO_HOME?.trim() || 'false')) mistakes.push('CDN_TO_HOME must be true or false')
  for (const server of config.dns.servers ?? []) {
    if (!isServer(server)) mistakes.push('DNS_SERVERS must be addresses or address:port, separated by commas')
  }
  for (const pin of config.directory.pins) {
    if (!/^[A-Za-z0-9_-]{43}$/.test(pin)) mistakes.push('ROOT_FINGERPRINT must be base64url SHA-256, 43 characters')
  }
}

// Whether the parts are an address is for the resolver to say; here only that nothing else stands there, such as a name.
function isServer(server: string): boolean {
  return /^(\[[0-9a-fA-F:.]+\](:\d{1,5})?|[\d.]+(:\d{1,5})?|[0-9a-fA-F:.]+)$/.test(server)
}
