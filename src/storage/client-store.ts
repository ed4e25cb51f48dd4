// Registered client certificates and the idempotency keys of their calls.
import { sql } from 'kysely'
import type { Db, Trx } from './report-store.ts'

export interface ClientRow {
  fingerprint: string
  role: string
  name: string
  countries: string[]
  network_wide: boolean
}

export async function findClientRow(db: Db, fingerprint: string): Promise<ClientRow | undefined> {
  return db
    .selectFrom('api_client')
    .select(['fingerprint', 'role', 'name', 'countries', 'network_wide'])
    .where('fingerprint', '=', fingerprint)
    .where('revoked_at', 'is', null)
    .executeTakeFirst()
}

/** Every certificate that was ever registered, in that order. */
export async function findClients(db: Db): Promise<(ClientRow & { added_at: Date; revoked_at: Date | null })[]> {
  return db.selectFrom('api_client').selectAll().orderBy('added_at').orderBy('fingerprint').execute()
}

export async function findClientState(db: Db, fingerprint: string): Promise<'in_force' | 'revoked' | undefined> {
  const row = await db.selectFrom('api_client').select('revoked_at').where('fingerprint', '=', fingerprint).executeTakeFirst()
  return row && (row.revoked_at ? 'revoked' : 'in_force')
}

/** Revokes a certificate that is in force; undefined if there is none. */
export async function markClientRevoked(trx: Trx, fingerprint: string): Promise<ClientRow | undefined> {
  return trx
    .updateTable('api_client')
    .set({ revoked_at: sql<Date>`now()` })
    .where('fingerprint', '=', fingerprint)
    .where('revoked_at', 'is', null)
    .returning(['fingerprint', 'role', 'name', 'countries', 'network_wide'])
    .executeTakeFirst()
}

/** Registers a certificate; false if it is registered already. */
export async function insertClient(db: Db, client: ClientRow): Promise<boolean> {
  const done = await db
    .insertInto('api_client')
    .values({ ...client, revoked_at: null })
    .onConflict((conflict) => conflict.column('fingerprint').doNothing())
    .executeTakeFirst()
  return (done.numInsertedOrUpdatedRows ?? 0n) > 0n
}

export interface KeyUse {
  client: string
  key: string
  requestDigest: Buffer
  resource: string
}

/** Claims an Idempotency-Key: undefined if it is new, else what the first call with it was about. */
export async function claimIdempotencyKey(
  trx: Trx,
  use: KeyUse,
): Promise<{ requestDigest: Buffer; resource: string } | undefined> {
  const added = await trx
    .insertInto('idempotency')
    .values({ client: use.client, key: use.key, request_digest: use.requestDigest, resource: use.resource })
    .onConflict((conflict) => conflict.columns(['client', 'key']).doNothing())
    .executeTakeFirst()
  if ((added.numInsertedOrUpdatedRows ?? 0n) > 0n) return undefined
  const row = await trx
    .selectFrom('idempotency')
    .select(['request_digest', 'resource'])
    .where('client', '=', use.client)
    .where('key', '=', use.key)
    .executeTakeFirstOrThrow()
  return { requestDigest: row.request_digest, resource: row.resource }
}

/** Forgets keys by the database's clock, which gave them their time. */
export async function forgetIdempotencyKeys(db: Db, olderThanDays: number): Promise<void> {
  await sql`delete from idempotency where created_at < now() - make_interval(days => ${olderThanDays})`.execute(db)
}
