// The service's connections, and what a caller must know about failing ones. Promise: a database that restarts stops no process, and the
// next query after it works; every statement, lock and open transaction has an end.
import { setTimeout as sleep } from 'node:timers/promises'
import { Kysely, PostgresDialect, type Transaction } from 'kysely'
import { type CustomTypesConfig, Pool, type PoolClient, types } from 'pg'
import { codeOf, withSettings } from './admin-client.ts'
import { type StorageLog, silentLog } from './storage-log.ts'
import type { Tables } from './tables.ts'

export interface DatabaseOptions {
  url: string
  /** Shown in pg_stat_activity. */
  applicationName: string
  /** 10 by default. */
  maxConnections?: number
  log?: StorageLog
}

/** kysely over a pool. int8 is a number (a RangeError past 2^53), timestamptz a Date, bytea a Buffer, date a string. */
export class Database extends Kysely<Tables> {
  /** Waits for the queries that run, then closes every connection. */
  async close(): Promise<void> {
    await this.destroy()
  }
}

// search_path names pg_temp last, so that nobody's temporary table can stand before one of ours.
const sessionSettings = {
  search_path: 'crossline,pg_temp',
  timezone: 'UTC',
  statement_timeout: '30s',
  idle_in_transaction_session_timeout: '30s',
  lock_timeout: '10s',
}

/** Opens no connection yet: the first query does, and fails with the driver's error when it can't. */
export function openDatabase({ url, applicationName, maxConnections = 10, log = silentLog }: DatabaseOptions): Database {
  const pool = new Pool({
    connectionString: withSettings(url, sessionSettings),
    application_name: applicationName,
    max: maxConnections,
    connectionTimeoutMillis: 10_000,
    idleTimeoutMillis: 30_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    types: columnTypes,
  })
  surviveLostConnections(pool, log)
  return new Database({ dialect: new PostgresDialect({ pool }) })
}

/** Whether the same work, done again from its start, may succeed: the server restarts, a connection broke, two transactions collided. */
export function isTransient(error: unknown): boolean {
  const code = codeOf(error)
  if (transientCodes.has(code) || code.startsWith('08')) return true
  return (
    error instanceof Error &&
    code === 'unknown' &&
    /^(Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error)/.test(
      error.message,
    )
  )
}

/** Whether the database refused the data themselves (SQLSTATE classes 22 and 23): doing the same again will not help. */
export function isRefusedData(error: unknown): boolean {
  return /^2[23]/.test(codeOf(error)) || (error instanceof Error && error.cause !== undefined && isRefusedData(error.cause))
}

/**
 * Runs `work` in one transaction, and again (3 times at most) when PostgreSQL broke it off for another transaction's sake. `work` may run
 * more than once, so it does nothing outside the transaction. A connection that breaks at commit is not retried: it may have committed.
 */
export async function inTransaction<T>(db: Kysely<Tables>, work: (trx: Transaction<Tables>) => Promise<T>): Promise<T> {
  for (let retries = 0; ; retries++) {
    try {
      return await db.transaction().execute(work)
    } catch (error) {
      if (retries === 3 || !collisionCodes.has(codeOf(error))) throw error
      await sleep(Math.random() * 10 * 4 ** retries)
    }
  }
}

/**
 * The same, and once more when the database refused the data: another transaction may have stored the same ids since they were looked
 * for, and the second time `work` finds them.
 */
export async function inTransactionOrAgain<T>(db: Kysely<Tables>, work: (trx: Transaction<Tables>) => Promise<T>): Promise<T> {
  try {
    return await inTransaction(db, work)
  } catch (error) {
    if (!isRefusedData(error)) throw error
    return inTransaction(db, work)
  }
}

// serialization_failure, deadlock_detected
const collisionCodes = new Set(['40001', '40P01'])
const transientCodes = new Set([
  ...collisionCodes,
  '53300', // too_many_connections
  '55P03', // lock_not_available: lock_timeout
  '57P01', // admin_shutdown
  '57P02', // crash_shutdown
  '57P03', // cannot_connect_now
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EPIPE',
  'ETIMEDOUT',
])

// Without a listener an 'error' event ends the process. The pool listens only to connections that nobody uses at the moment; one that
// breaks between two queries of a transaction has no other listener than this.
function surviveLostConnections(pool: Pool, log: StorageLog): void {
  pool.on('connect', (client: PoolClient) => client.on('error', () => undefined))
  pool.on('error', (error) => log.warn({ reason: codeOf(error) }, 'a database connection was lost'))
}

const readers: Record<number, (text: string) => unknown> = {
  [types.builtins.INT8]: parseSafeInteger,
  [types.builtins.DATE]: (text) => text,
}

const columnTypes: CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    (format === 'binary' ? undefined : readers[oid]) ?? types.getTypeParser(oid, format)) as CustomTypesConfig['getTypeParser'],
}

function parseSafeInteger(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new RangeError('an int8 of the database is past 2^53')
  return value
}
