// The doctor's look at the database: reachable, current, the service without power over it, its clock, and what waits in it.
import { access } from 'node:fs/promises'
import { basename } from 'node:path'
import type { Config, Environment } from '#config.ts'
import { deriveKeys, readMasterKey } from '#crypto/sealed-text.ts'
import { CrosslineError } from '#errors.ts'
import { withLogin } from '#storage/admin-client.ts'
import { type Database, openDatabase } from '#storage/database.ts'
import { examineLogin, type LoginFacts } from '#storage/examine-login.ts'
import { pendingMigrations } from '#storage/migrate.ts'
import { countQuarantined, findPeerStates, findRecentSecurityEvents } from '#storage/peer-store.ts'
import { canAdminister } from '#storage/roles.ts'
import { serviceLoginOf } from '#storage/service-login.ts'
import { describeError, type Finding, failed, judgeSkew, ok, warning } from './doctor-findings.ts'
import { findDatabase, migrationsFolder } from './open-database.ts'

export interface ExaminedDatabase {
  findings: Finding[]
  /** Opened as the service; undefined when it can't be used. */
  db: Database | undefined
  close(): Promise<void>
}

const migrateAdvice = 'Start the node, or run `crossline migrate`, with an administering DATABASE_URL.'

/** Never migrates and never throws. */
export async function examineDatabase(config: Config, env: Environment, now: () => Date): Promise<ExaminedDatabase> {
  let close = async () => {}
  try {
    const found = await findDatabase(env)
    close = found.close
    const { pending, awaitingSuperuser } = await pendingMigrations(found.url, migrationsFolder)
    if (pending.length > 0) {
      const says = `The schema is older than this program: ${pending.join(', ')} not applied.`
      return { findings: [failed('database', says, migrateAdvice)], db: undefined, close }
    }
    const serviceUrl = await findServiceUrl(config, found.url)
    const login = await examineLogin(serviceUrl)
    const findings = [
      ok('database', 'Reachable, and its schema is current.'),
      ...judgeLogin(login, awaitingSuperuser),
      judgeSkew('clock', 'the database', (login.now.getTime() - now().getTime()) / 1000),
    ]
    const db = openDatabase({ url: serviceUrl, applicationName: 'crossline doctor', maxConnections: 2 })
    return { findings, db, close: () => db.close().then(found.close) }
  } catch (error) {
    const advice = 'Look whether the server runs, whether DATABASE_URL names it, and whether its login may connect.'
    return { findings: [failed('database', describeError(error), advice)], db: undefined, close }
  }
}

/** The address that the node works with: its own login where DATABASE_URL administers, else DATABASE_URL itself. */
async function findServiceUrl(config: Config, url: string): Promise<string> {
  if (!(await canAdminister(url))) return url
  // Reading would make a key where there is none.
  await access(config.masterKey).catch((cause: unknown) => {
    throw new CrosslineError('invalid_config', { detail: 'There is no master key yet: start the node once.', cause })
  })
  const { servicePassword } = deriveKeys((await readMasterKey(config.masterKey)).key)
  const database = decodeURIComponent(basename(new URL(url).pathname))
  return withLogin(url, serviceLoginOf(database), servicePassword)
}

function judgeLogin(login: LoginFacts, awaitingSuperuser: readonly string[]): Finding[] {
  const check = 'database rights'
  const found: Finding[] = []
  if (login.isPowerful) {
    found.push(
      failed(
        check,
        'The service logs in with more power than a service may have: it could switch off what protects the audit log.',
        'Give the node a login that is a member of crossline_service and nothing more.',
      ),
    )
  }
  if (login.mayChangeEntries || login.mayDateEntries) {
    found.push(
      failed(
        check,
        'The service may change audit entries or choose their time.',
        'Take UPDATE, DELETE and TRUNCATE on crossline.audit_entry away from it, and INSERT on recorded_at.',
      ),
    )
  }
  if (found.length === 0) found.push(ok(check, 'The service can add audit entries, and neither change, delete nor date them.'))
  if (login.hasEventTriggers && awaitingSuperuser.length === 0) return found
  return [
    ...found,
    warning(
      check,
      'The event triggers that refuse changes of the schema are not installed.',
      'Run `crossline migrate` once with a superuser’s DATABASE_URL.',
    ),
  ]
}

const longWaitMs = 3_600_000

/** What waits for each peer, and what a peer rejected. */
export async function examineQueues(db: Database, now: Date): Promise<Finding[]> {
  const waiting = (await findPeerStates(db)).filter((peer) => peer.waiting + peer.in_flight > 0)
  const quarantined = await countQuarantined(db)
  const findings = waiting.map((peer) => judgeQueue(peer, now))
  if (findings.length === 0) findings.push(ok('outbox', 'No message waits for any peer.'))
  if (quarantined === 0) return [...findings, ok('quarantine', 'Empty.')]
  return [
    ...findings,
    warning(
      'quarantine',
      `${quarantined} of our messages were rejected by a peer and wait for a person.`,
      'See which at GET /operations/v1/status, and talk to that hotline.',
    ),
  ]
}

const dayMs = 24 * longWaitMs

/** Refused calls and broken promises of the last day, by code: a flood, an attack, or a hotline that needs help. */
export async function examineSecurityEvents(db: Database, now: Date): Promise<Finding[]> {
  const check = 'security events'
  const events = await findRecentSecurityEvents(db, new Date(now.getTime() - dayMs))
  if (events.length === 0) return [ok(check, 'None in the last day.')]
  return [...Map.groupBy(events, ({ code }) => code)].map(([code, some]) => {
    const count = some.reduce((sum, event) => sum + event.count, 0)
    const members = [...new Set(some.map(({ member }) => member || 'a stranger'))].sort().join(', ')
    return warning(
      check,
      `${code}: ${count} in the last day (${members}).`,
      'See docs/errors.md for the code, and ask those members.',
    )
  })
}

type PeerRow = Awaited<ReturnType<typeof findPeerStates>>[number]

function judgeQueue(peer: PeerRow, now: Date): Finding {
  const check = 'outbox'
  const says = `${peer.waiting + peer.in_flight} waiting for ${peer.member}${peer.last_error ? `; last failure: ${peer.last_error}` : ''}.`
  if (peer.held_reason)
    return warning(
      check,
      `Held: ${says}`,
      `It was refused (${peer.held_reason}). Delivery goes on when the directory changes about it.`,
    )
  const isLong = peer.oldest_waiting_at !== null && now.getTime() - peer.oldest_waiting_at.getTime() > longWaitMs
  if (!isLong && peer.failures === 0) return ok(check, says)
  return warning(check, says, 'Nothing is lost and it is tried again by itself; if it lasts, ask that hotline.')
}
