// Last night's dump of a node's database, and its restore over what has happened since: what an administrator may do, and a log must show.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { escapeIdentifier } from 'pg'
import { withClient, withDatabase } from '#storage/admin-client.ts'
import { serviceLoginOf } from '#storage/service-login.ts'
import type { Teardown } from '../database.ts'
import type { RunningMember } from '../network.ts'

/** Takes a dump of a node that is stopped; gives what restores it, once, and forgets what the node published outside the database. */
export async function takeDump(t: Teardown, { database, config }: RunningMember): Promise<() => Promise<void>> {
  const { name, adminUrl } = database
  const dump = `${name}_dump`
  const server = withDatabase(adminUrl, 'postgres')
  const run = (...queries: string[]) =>
    withClient(server, async (client) => {
      for (const query of queries) await client.query(query)
    })
  const [live, kept] = [escapeIdentifier(name), escapeIdentifier(dump)]
  const disconnect = `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`
  await run(disconnect, `create database ${kept} template ${live} strategy file_copy`)
  t.teardown(() => run(`drop database if exists ${kept} with (force)`))
  return async () => {
    await run(
      `drop database ${live} with (force)`,
      `alter database ${kept} rename to ${live}`,
      `revoke all on database ${live} from public`,
      `grant connect on database ${live} to ${serviceLoginOf(name)}`,
    )
    await rm(join(config.dataDir, 'audit'), { recursive: true, force: true })
  }
}
