// The roles of a node's databases. Roles belong to the whole server while databases are many, so each may already exist, and another
// process may be making it at this very moment.
import { setTimeout as sleep } from 'node:timers/promises'
import { type Client, escapeIdentifier } from 'pg'
import { CrosslineError } from '#errors.ts'
import { codeOf, withClient } from './admin-client.ts'

/** Owns every object and can't log in: nobody who connects can switch its triggers off. */
export const ownerRole = 'crossline_owner'

/** What the migrations grant rights to. None can log in; a login is made a member of crossline_service (service-login.ts). */
const groupRoles = ['crossline_service', 'crossline_reader', 'crossline_eraser', 'crossline_sealer']

/** Whether this login may migrate: a superuser, one that may create roles, or a member of the owner role. */
export async function canAdminister(url: string): Promise<boolean> {
  return await withClient(url, async (client) => {
    const { rows } = await client.query<{ may: boolean }>(
      `select r.rolsuper or r.rolcreaterole or exists (
         select from pg_roles o where o.rolname = $1 and pg_has_role(r.oid, o.oid, 'member')) as may
       from pg_roles r where r.rolname = current_user`,
      [ownerRole],
    )
    return rows[0]?.may === true
  })
}

export async function isSuperuser(client: Client): Promise<boolean> {
  const { rows } = await client.query<{ is: boolean }>('select rolsuper as is from pg_roles where rolname = current_user')
  return rows[0]?.is === true
}

/** Makes the owner and the groups where they are missing, and lets this login act as the owner. */
export async function ensureRoles(client: Client): Promise<void> {
  for (const name of [ownerRole, ...groupRoles]) await ensureRole(client, name, 'nologin noinherit')
  await refusePowerfulOwner(client)
  await ensureMember(client, { group: ownerRole, member: null })
  // The owner runs the migrations, and they may make one group a member of another.
  for (const group of groupRoles) await ensureMember(client, { group, member: ownerRole, admin: true })
}

/** Makes a role if it is missing. True when it was made now. */
export async function ensureRole(client: Client, name: string, attributes: string): Promise<boolean> {
  const { rowCount } = await client.query('select from pg_roles where rolname = $1', [name])
  if (rowCount) return false
  return await client.query(`create role ${escapeIdentifier(name)} ${attributes}`).then(
    () => true,
    (error) => {
      // duplicate_object, or unique_violation when the other's transaction was still open: it exists, which is all that is wanted.
      if (['42710', '23505'].includes(codeOf(error))) return false
      throw mayNot(error, `create the role ${name}`)
    },
  )
}

/** Puts a role (null: the current user) into a group, if it isn't in it. */
export async function ensureMember(
  client: Client,
  { group, member, admin = false }: { group: string; member: string | null; admin?: boolean },
): Promise<void> {
  const privilege = admin ? 'member with admin option' : await setPrivilege(client)
  const { rows } = await client.query<{ is: boolean }>(
    'select pg_has_role(coalesce($1::name, current_user), $2::name, $3::text) as is',
    [member, group, privilege],
  )
  if (rows[0]?.is) return
  const to = member === null ? 'current_user' : escapeIdentifier(member)
  await retryCollisions(() =>
    client.query(`grant ${escapeIdentifier(group)} to ${to}${admin ? ' with admin option' : ''}`),
  ).catch((error) => {
    throw mayNot(error, `grant the role ${group}`)
  })
}

/** Two changes of one row of the shared catalogue at the same moment: PostgreSQL refuses the second with an internal error. */
export async function retryCollisions<T>(change: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await change()
    } catch (error) {
      if (!isCollision(error) || tries === 10) throw error
      await sleep(Math.random() * 20 * tries)
    }
  }
}

function isCollision(error: unknown): boolean {
  const { message = '', table = '' } = error as { message?: string; table?: string }
  return (
    message.includes('tuple concurrently') || (codeOf(error) === '23505' && table.startsWith('pg_')) || codeOf(error) === '40P01'
  )
}

// From PostgreSQL 16 on, a member does not always have the right to SET ROLE; before, there was no such difference.
async function setPrivilege(client: Client): Promise<string> {
  const { rows } = await client.query<{ version: number }>("select current_setting('server_version_num')::int as version")
  return (rows[0]?.version ?? 0) >= 160_000 ? 'set' : 'member'
}

async function refusePowerfulOwner(client: Client): Promise<void> {
  const { rowCount } = await client.query('select from pg_roles where rolname = $1 and (rolcanlogin or rolsuper)', [ownerRole])
  if (rowCount) {
    throw new CrosslineError('invalid_config', {
      detail: `The role ${ownerRole} can log in or is a superuser; it must be neither.`,
    })
  }
}

function mayNot(error: unknown, what: string): unknown {
  if (codeOf(error) !== '42501') return error
  return new CrosslineError('invalid_config', {
    detail: `The login of DATABASE_URL may not ${what}: use one that may create roles.`,
  })
}
