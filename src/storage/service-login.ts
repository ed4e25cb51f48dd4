// The login that a node works with, one for each database: a member of crossline_service and nothing more.
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'
import { type Client, escapeIdentifier, escapeLiteral } from 'pg'
import { CrosslineError } from '#errors.ts'
import { checkedUrl, withClient, withDatabase, withLogin } from './admin-client.ts'
import { ensureMember, ensureRole, retryCollisions } from './roles.ts'

export interface ServiceLoginOptions {
  adminUrl: string
  /** The database of `adminUrl` unless said otherwise. */
  databaseName?: string
  /** 16 to 128 letters, digits, - and _. */
  password: string
}

/** Makes the login if it is missing and gives its address. Its password is set only when logging in with it fails. */
export async function ensureServiceLogin({ adminUrl, databaseName, password }: ServiceLoginOptions): Promise<string> {
  if (!/^[\w-]{16,128}$/.test(password)) {
    throw new CrosslineError('invalid_config', {
      detail: 'The password of the service login must be 16 to 128 letters, digits, - or _.',
    })
  }
  const url = databaseName === undefined ? checkedUrl(adminUrl).href : withDatabase(adminUrl, databaseName)
  return await withClient(url, async (client) => {
    const { rows } = await client.query<{ name: string }>('select current_database() as name')
    const database = rows[0]?.name ?? ''
    const login = serviceLoginOf(database)
    await ensureLogin(client, login)
    await ensureConnect(client, { login, database })
    const serviceUrl = withLogin(withDatabase(url, database), login, password)
    if (!(await canLogIn(serviceUrl))) await setPassword(client, { login, password })
    return serviceUrl
  })
}

/** The login's name: databases' names may be longer than a role's may be, so it carries their digest. */
export function serviceLoginOf(databaseName: string): string {
  return `crossline_s_${createHash('sha256').update(databaseName).digest('hex').slice(0, 12)}`
}

const attributes = 'login inherit nosuperuser nocreatedb nocreaterole noreplication nobypassrls'

async function ensureLogin(client: Client, login: string): Promise<void> {
  await ensureRole(client, login, attributes)
  await refusePower(client, login)
  await ensureMember(client, { group: 'crossline_service', member: login })
}

// A login that somebody gave more would undo every promise that rests on its having less.
async function refusePower(client: Client, login: string): Promise<void> {
  const { rowCount } = await client.query(
    `select from pg_roles where rolname = $1 and (rolsuper or rolcreatedb or rolcreaterole or rolreplication or rolbypassrls
       or pg_has_role(oid, 'crossline_owner', 'member'))`,
    [login],
  )
  if (rowCount)
    throw new CrosslineError('invalid_config', {
      detail: `The role ${login} has more rights than a service may have. Drop it, or take them away.`,
    })
}

async function ensureConnect(client: Client, { login, database }: { login: string; database: string }): Promise<void> {
  const { rows } = await client.query<{ may: boolean }>(
    "select has_database_privilege($1, current_database(), 'connect') as may",
    [login],
  )
  if (rows[0]?.may) return
  await retryCollisions(() =>
    client.query(`grant connect on database ${escapeIdentifier(database)} to ${escapeIdentifier(login)}`),
  )
}

async function canLogIn(url: string): Promise<boolean> {
  try {
    return await withClient(url, async () => true)
  } catch (error) {
    if (error instanceof CrosslineError && ['28P01', '28000'].includes(String(error.facts?.reason))) return false
    throw error
  }
}

async function setPassword(client: Client, { login, password }: { login: string; password: string }): Promise<void> {
  const verifier = escapeLiteral(scramVerifier(password))
  await retryCollisions(() => client.query(`alter role ${escapeIdentifier(login)} password ${verifier}`))
}

// RFC 5803: what the server would store anyway. Sent in this form, the password itself can't appear in a statement log.
function scramVerifier(password: string): string {
  const iterations = 4096
  const salt = randomBytes(16)
  const salted = pbkdf2Sync(password, salt, iterations, 32, 'sha256')
  const hmac = (text: string) => createHmac('sha256', salted).update(text).digest()
  const storedKey = createHash('sha256').update(hmac('Client Key')).digest('base64')
  return `SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${storedKey}:${hmac('Server Key').toString('base64')}`
}
