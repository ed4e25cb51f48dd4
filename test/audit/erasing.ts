// What the tests of erasing share: two hotlines, items brought to their end, the operator's commands, and clones of databases.
import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import type { Test } from 'tap'
import { eraseByOperator } from '#commands/audit-erase.ts'
import { type Environment, readConfig } from '#config.ts'
import { leafHash, merkleRoot } from '#domain/merkle.ts'
import { createLogger } from '#log.ts'
import { type Node, startNode } from '#node.ts'
import { withClient, withDatabase } from '#storage/admin-client.ts'
import { ensureServiceLogin, serviceLoginOf } from '#storage/service-login.ts'
import { findLatestCheckpoint } from '#storage/tree-store.ts'
import { checkAuditLog, readNodeKeys } from '../audit-check.ts'
import type { TestDatabase } from '../database.ts'
import { addresses, createNetwork, environmentOf, eventually, type Network, type RunningMember, reportOf } from '../network.ts'
import { makeMarkers } from '../secrecy/markers.ts'

export interface Place {
  network: Network
  gb: RunningMember
  se: RunningMember
  /** The environment of the operator of `gb`. */
  env: Environment
}

export const markers = makeMarkers()

/** Two hotlines; `home.example` is hosted at `gb`, `abroad.example` at `se`. */
export async function openPlace(t: Test): Promise<Place> {
  const zone = { 'home.example': { A: [addresses.GB] }, 'abroad.example': { A: [addresses.SE] } }
  const network = await createNetwork(t, { zone })
  const [gb, se] = [network.get('hotline-gb'), network.get('hotline-se')]
  return { network, gb, se, env: envOf(network, gb) }
}

export function envOf(network: Network, member: RunningMember, databaseUrl = member.database.url): Record<string, string> {
  return environmentOf(member.id, { folder: network.folder, port: member.port, dnsPort: network.dnsPort }, databaseUrl)
}

/** Submits a report full of markers with an item for each host; gives the ids when all are on their way. `id` is the first item's. */
export async function submit({ gb }: Pick<Place, 'gb'>, hosts: readonly ('home' | 'abroad')[], change: object = {}) {
  const items = hosts.map((host) => ({ url: `https://${host}.example/${markers.of(`path ${host}`)}`, contentType: 'media' }))
  const report = reportOf(items, { reference: markers.of('reference'), memo: markers.of('memo'), ...change })
  const { status, body } = await gb.call('hotline', 'POST', '/v1/reports', report)
  if (status !== 201) throw new Error(`the report was answered with ${status}`)
  const ids: string[] = body.items.map(({ id }: { id: string }) => id)
  await eventually('the items are on their way', async () => {
    const states = await Promise.all(ids.map((id) => stateOf(gb, id)))
    return states.every((state, place) => state === (hosts[place] === 'home' ? 'routed' : 'delivered'))
  })
  return { report: body.id as string, ids, id: ids[0] ?? '' }
}

export async function stateOf(member: RunningMember, id: string): Promise<string> {
  return (await member.call('hotline', 'GET', `/v1/items/${id}`)).body.state
}

/** Brings an item to `assessed` at its owner. */
export async function assess(owner: RunningMember, id: string): Promise<void> {
  await post(owner, `/v1/items/${id}/accept`, { reference: markers.of('owner reference') })
  await post(owner, `/v1/items/${id}/assessments`, { classification: 'baseline', analyst: 'an-1' })
}

/** … and to its end; who handed it over has heard of it. */
export async function close(owner: RunningMember, id: string, others: readonly RunningMember[] = []): Promise<void> {
  await assess(owner, id)
  await post(owner, `/v1/items/${id}/actions`, { action: 'removed', analyst: 'an-1' })
  for (const member of others) await eventually('it is told', async () => (await stateOf(member, id)) === 'closed')
  await untilNothingWaits(owner)
}

/** Every message of a member is receipted. */
export async function untilNothingWaits({ database }: RunningMember): Promise<void> {
  await eventually('every message is receipted', async () => {
    const { rows } =
      await sql`select from outbox o left join outbound_batch b on b.id = o.batch_id where b.receipt is null`.execute(
        database.database,
      )
    return rows.length === 0
  })
}

async function post(member: RunningMember, path: string, body: object): Promise<void> {
  const answer = await member.call('hotline', 'POST', path, body)
  if (answer.status !== 200) throw new Error(`${path} was answered with ${answer.status} ${answer.text}`)
}

export const erase = (env: Environment, named: { item: string } | { report: string }) =>
  eraseByOperator(env, { ...named, basis: 'data_subject' })

/** Checks the whole log of a member and gives it. */
export async function readLog({ database, config }: Pick<RunningMember, 'database' | 'config'>) {
  return checkAuditLog(database.database, await readNodeKeys(config.masterKey))
}

/** The newest signed checkpoint, once everything so far is sealed. */
export async function readCheckpoint({ database }: TestDatabase) {
  await eventually('the log is sealed', async () => (await sql`select from audit_pending`.execute(database)).rows.length === 0)
  const found = await findLatestCheckpoint(database)
  if (!found) throw new Error('there is no checkpoint')
  return found
}

/** Root of the tree over the first `size` entries of the log, hashed anew from their bytes. */
export async function readRoot({ database }: TestDatabase, size: number): Promise<string> {
  const { rows } = await sql<{ entry: Buffer }>`
    select e.entry from audit_leaf l join audit_entry e on e.id = l.entry_id order by l.leaf_index limit ${size}`.execute(
    database,
  )
  return merkleRoot(rows.map(({ entry }) => leafHash(entry))).toString('hex')
}

/** How many entries of a log say that something was erased. */
export async function countErasures({ database }: TestDatabase): Promise<number> {
  const { rows } = await sql<{
    count: number
  }>`select count(*)::int as count from audit_entry where event = 'entry.erased'`.execute(database)
  return rows[0]?.count ?? 0
}

/** A copy of a database as it stands now, as a restore would bring it back. Nobody may be connected to it. */
export async function cloneDatabase(t: Test, { adminUrl, name }: TestDatabase): Promise<{ url: string; adminUrl: string }> {
  const clone = `t_${process.pid}_${randomBytes(4).toString('hex')}`
  await withClient(withDatabase(adminUrl, 'postgres'), async (client) => {
    await client.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [name])
    await client.query(`create database ${clone} template ${name} strategy file_copy`)
    await client.query(`revoke all on database ${clone} from public`)
  })
  t.teardown(() =>
    withClient(withDatabase(adminUrl, 'postgres'), async (client) => {
      await client.query(`drop database if exists ${clone} with (force)`)
      await client.query(`drop role if exists ${serviceLoginOf(clone)}`)
    }),
  )
  const url = await ensureServiceLogin({ adminUrl, databaseName: clone, password: randomBytes(16).toString('hex') })
  return { url, adminUrl: withDatabase(adminUrl, clone) }
}

/** Starts a member's node on another database. */
export async function startOn(
  t: Test,
  { network, member, url }: { network: Network; member: RunningMember; url: string },
): Promise<Node> {
  const log = createLogger({ level: 'info', destination: { write: (line: string) => void member.logLines.push(line) } })
  const node = await startNode(readConfig(envOf(network, member, url)), { log })
  t.teardown(() => node.stop())
  return node
}

/** As the superuser. */
export const admin = (database: { adminUrl: string }, query: string, values: unknown[] = []) =>
  withClient(database.adminUrl, (client) => client.query(query, values))
