// `crossline doctor`: looks at everything that a node lives on and says what to do about what it finds. It starts no listener and no
// worker, and changes nothing; no secret and no URL of a report is ever printed.
import { ageInDays, embeddedAttribution, openGeoDatabase } from '#clients/geo-database.ts'
import { createPeerClient } from '#clients/peer-client.ts'
import { type Config, type Environment, readConfig } from '#config.ts'
import { directoryAge } from '#domain/directory-rules.ts'
import type { HeldDirectory } from '#domain/held-directory.ts'
import { type Identity, openIdentity } from '#node-identity.ts'
import { examineAuditKeys } from './doctor-audit-keys.ts'
import { examineDatabase, examineQueues, examineSecurityEvents } from './doctor-database.ts'
import { examineDirectory } from './doctor-directory.ts'
import { collect, days, type Finding, ok, warning } from './doctor-findings.ts'
import { examineIdentity, examineMembership } from './doctor-identity.ts'
import { examinePeers } from './doctor-peers.ts'
import { examineSealing } from './doctor-sealing.ts'
import { examineWitnesses } from './doctor-witnesses.ts'

export interface Examination {
  /** For a person, or JSON. */
  text: string
  /** True with warnings only. */
  healthy: boolean
}

const oldGeoDays = 45

/** What to do when a part can't even be looked at. */
const remedies = {
  certificates: 'Set TLS_CERT, TLS_KEY, TLS_CA, SIGN_KEY and AUDIT_KEY to readable files.',
  directory: 'Get root.json and directory.json from the network office, and set ROOT_FILE and DIRECTORY_FILE.',
  geolocation: 'Set GEO_COUNTRY_DB and GEO_ASN_DB to sound MMDB files.',
  'audit keys': 'Set AUDIT_KEY to readable files.',
  peers: 'Look at the network of this machine.',
  outbox: 'Look at the database.',
  sealing: 'Look at the database.',
  witnesses: 'Look at the database.',
  'security events': 'Look at the database.',
}

/** Throws `invalid_config` when the settings themselves are not usable; everything else that is wrong is a finding. */
export async function examine(
  env: Environment,
  { json, now = () => new Date() }: { json: boolean; now?: () => Date },
): Promise<Examination> {
  const config = readConfig(env)
  const findings = await examineAll(config, env, now)
  const healthy = findings.every(({ result }) => result !== 'failed')
  const report = { member: config.member, healthy, examinedAt: now().toISOString(), findings }
  return { text: json ? JSON.stringify(report) : render(report), healthy }
}

async function examineAll(config: Config, env: Environment, now: () => Date): Promise<Finding[]> {
  const database = await examineDatabase(config, env, now)
  const { db } = database
  try {
    const findings = [...database.findings]
    let identity: Identity | undefined
    let directory: HeldDirectory | undefined
    const look = async (check: keyof typeof remedies, examination: () => Promise<Finding[]>) => {
      findings.push(...(await collect(check, remedies[check], examination)))
    }
    await look('certificates', async () => {
      identity = await openIdentity(config)
      return examineIdentity(config, identity, now())
    })
    await look('directory', async () => {
      const found = await examineDirectory(config, db, now)
      directory = found.directory
      return found.findings
    })
    await look('geolocation', () => examineGeo(config, now()))
    const network = identity && directory && { identity, directory, now }
    if (network)
      await look('audit keys', async () => examineAuditKeys(config.member, network.identity, { ...network, now: now() }))
    if (network) await look('peers', () => examineNetwork(config, network))
    if (db) await look('outbox', () => examineQueues(db, now()))
    if (db) await look('sealing', () => examineSealing(db))
    const held = directory
    if (db && held) await look('witnesses', () => examineWitnesses(db, { self: config.member, directory: held, now: now() }))
    if (db) await look('security events', () => examineSecurityEvents(db, now()))
    return findings
  } finally {
    await database.close()
  }
}

interface Network {
  identity: Identity
  directory: HeldDirectory
  now: () => Date
}

async function examineNetwork({ member }: Config, { identity, directory, now }: Network): Promise<Finding[]> {
  const peers = createPeerClient(() => identity.tls)
  const ctx = {
    self: member,
    signingKey: () => identity.signingKey,
    certificateFingerprint: () => identity.fingerprint,
    directory: () => directory,
    directoryAge: () => directoryAge(directory.document, now(), now()),
    peers,
    now,
  }
  try {
    const membership = examineMembership(member, identity, { directory, now: now() })
    return [...membership, ...(await examinePeers(ctx))]
  } finally {
    await peers.close()
  }
}

async function examineGeo({ geo }: Config, now: Date): Promise<Finding[]> {
  const opened = await openGeoDatabase({ countryPath: geo.country, asnPath: geo.asn })
  try {
    const { country, asn } = opened.sources()
    const age = ageInDays(country.builtAt, now.getTime())
    const says = `${country.database}, ${days(age)} old.${geo.country === undefined ? ` ${embeddedAttribution}` : ''}`
    const judged =
      age > oldGeoDays
        ? warning('geolocation', says, 'Set GEO_COUNTRY_DB to a current database: addresses move from country to country.')
        : ok('geolocation', says)
    if (asn) return [judged, ok('geolocation', `Networks: ${asn.database}, ${days(ageInDays(asn.builtAt, now.getTime()))} old.`)]
    return [
      judged,
      warning('geolocation', 'No ASN database: delivery networks are known by their published ranges alone.', 'Set GEO_ASN_DB.'),
    ]
  } finally {
    opened.close()
  }
}

const marks = { ok: 'ok     ', warning: 'WARNING', failed: 'FAILED ' }

function render({ member, findings }: { member: string; findings: Finding[] }): string {
  const lines = findings.map(({ check, result, says, advice }) => {
    const line = `${marks[result]}  ${check.padEnd(15)}  ${says}`
    return advice ? `${line}\n${' '.repeat(26)}→ ${advice}` : line
  })
  const count = (result: Finding['result']) => findings.filter((finding) => finding.result === result).length
  return `${[`Node of ${member}`, ...lines].join('\n')}\n\n${count('ok')} ok, ${count('warning')} warnings, ${count('failed')} failed`
}
