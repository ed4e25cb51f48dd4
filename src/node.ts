// The wiring of one node: makes every part once, in order, and stops them in the opposite order.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type OpenCdnList, openCdnList } from '#clients/cdn-ranges.ts'
import { ageInDays, type GeoDatabase, openGeoDatabase } from '#clients/geo-database.ts'
import { createPeerClient, type PeerClient } from '#clients/peer-client.ts'
import { createResolver } from '#clients/resolver.ts'
import { type Config, nameSetting } from '#config.ts'
import { signerOf } from '#crypto/audit-keys.ts'
import { memberOfCertificate } from '#crypto/certificates.ts'
import { deriveKeys, readMasterKey } from '#crypto/sealed-text.ts'
import { makeFolder } from '#crypto/secret-file.ts'
import type { HeldDirectory } from '#domain/held-directory.ts'
import { parsePolicy } from '#domain/tlog-policy.ts'
import { CrosslineError } from '#errors.ts'
import { createMetrics } from '#http/metrics.ts'
import { buildOperationsServer } from '#http/operations-server.ts'
import { buildServer } from '#http/server.ts'
import { createLogger, type Logger } from '#log.ts'
import { namesOfWitnesses } from '#steps/audit-policy.ts'
import type { StepContext } from '#steps/context.ts'
import type { DirectoryKeeper } from '#steps/directory-keeper.ts'
import { createLiaisonLimits } from '#steps/liaison-limits.ts'
import { lookAtLog } from '#steps/look-at-sealing.ts'
import { createRecent } from '#steps/recent.ts'
import { recordMigrations } from '#steps/record-migrations.ts'
import { replayErasures } from '#steps/replay-erasures.ts'
import { createSealing } from '#steps/sealing.ts'
import { createTurns } from '#steps/turns.ts'
import { createWitnessBoard } from '#steps/witness-board.ts'
import { addAuditPartitions } from '#storage/audit-store.ts'
import { type Database, openDatabase } from '#storage/database.ts'
import { type EmbeddedServer, ensureDatabase, startEmbeddedServer } from '#storage/embedded-server.ts'
import { openErasureJournal } from '#storage/erasure-journal.ts'
import { prepareDatabase } from '#storage/prepare-database.ts'
import { startWorkers, type Workers } from '#workers/workers.ts'
import { applyDirectory, checkFirstDirectory, openDirectory } from './node-directory.ts'
import { type Identity, openIdentity, stampIdentity, watchIdentity } from './node-identity.ts'
import { bindSteps } from './node-steps.ts'

export interface Node {
  /** Where the mutual-TLS listener answers, and the health listener. */
  address: { host: string; port: number }
  health: { host: string; port: number }
  /** Resolves when the node can't go on and should be stopped: its embedded database was killed. */
  broken: Promise<void>
  /** Stops every part, whatever became of the others. `cut_off`: something still hangs after 15 seconds, and the process should just end. */
  stop(): Promise<'stopped' | 'cut_off'>
}

/** What a test may put in place of the real thing. */
export interface NodeOverrides {
  now?: () => Date
  log?: Logger
  /** Most that one call to a peer may take, milliseconds. */
  peerWaitMs?: number
  /** How often peers are asked to cosign the audit log, milliseconds. */
  witnessRoundMs?: number
  /** How long sealing waits for witnesses after a start, milliseconds; 0: not at all. */
  witnessPatienceMs?: number
}

const migrationsFolder = join(import.meta.dirname, '..', 'migrations')
const mebibyte = 1024 * 1024
const minNodeVersion = [26, 12, 1]

/** Starts a node. On any failure what was started is stopped again, in the opposite order. */
export async function startNode(config: Config, overrides: NodeOverrides = {}): Promise<Node> {
  const { now = () => new Date(), log = createLogger({ level: config.logLevel }), peerWaitMs, ...times } = overrides
  const stops: (() => Promise<unknown> | unknown)[] = []
  // Each part is stopped whatever became of the others: a database that is gone must not keep the listener up.
  const stopAll = async () => {
    for (const each of stops.splice(0).reverse()) {
      await Promise.resolve()
        .then(each)
        .catch((error: unknown) => log.error({ err: error }, 'a part of the node did not stop cleanly'))
    }
  }
  const stop = () => stopInTime(stopAll, log)
  try {
    return await assemble({ config, log, now, peerWaitMs, times, stops, stop })
  } catch (error) {
    await stop()
    throw error
  }
}

interface Assembly {
  config: Config
  log: Logger
  now: () => Date
  peerWaitMs: number | undefined
  times: Pick<NodeOverrides, 'witnessRoundMs' | 'witnessPatienceMs'>
  stops: (() => Promise<unknown> | unknown)[]
  stop: Node['stop']
}

/** More than every part may take that works as it should. */
const stopMs = 15_000

/** A database that takes queries and never answers, or nobody's address, must not keep a node from ending. */
async function stopInTime(stopAll: () => Promise<void>, log: Logger): Promise<'stopped' | 'cut_off'> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<'cut_off'>((resolve) => {
    timer = setTimeout(() => resolve('cut_off'), stopMs)
  })
  const outcome = await Promise.race([stopAll().then(() => 'stopped' as const), late])
  clearTimeout(timer)
  if (outcome === 'stopped') log.info({ step: 'stop' }, 'node stopped')
  else log.error({ step: 'stop' }, 'the node could not be stopped in order and ends as it is: nothing committed is lost')
  return outcome
}

async function assemble(assembly: Assembly): Promise<Node> {
  const { config, log, now, peerWaitMs, times, stops, stop } = assembly
  warnOfOldNode(log)
  // All files first: a wrong one must show before anything is made or migrated.
  const stamp = await stampIdentity(config)
  const identity = await openIdentity(config)
  const auditPolicy = await readAuditPolicy(config)
  requireOwnCertificate(config.member, identity)
  const geo = await openGeo(config, { log, now })
  stops.push(() => geo.close())
  const cdn = await openCdn(config, log)
  stops.push(() => cdn.close())
  const keys = await openKeys(config, log)
  const { db, broken } = await openStorage(assembly, keys.servicePassword)
  let onDirectory: (held: HeldDirectory, before: HeldDirectory | undefined) => void = () => {}
  const keeper = await openDirectory(config, { db, now, log, onChange: (held, before) => onDirectory(held, before) })
  requireMembership(config.member, keeper)
  checkIdentity(config.member, { identity, keeper, log, now })
  const resolver = createResolver({
    ...(config.dns.servers ? { servers: config.dns.servers } : {}),
    timeoutMs: config.dns.timeoutMs,
  })
  const peers = createPeerClient(() => identity.tls, peerWaitMs === undefined ? {} : { maxWaitMs: peerWaitMs })
  stops.push(
    () => resolver.close(),
    () => peers.close(),
  )

  let workers: Workers | undefined
  const sealing = createSealing()
  const witnessBoard = createWitnessBoard()
  const ctx: StepContext = {
    self: config.member,
    get homeCountries() {
      return keeper.current().findMember(config.member)?.countries ?? []
    },
    db,
    keys,
    signingKey: () => identity.signingKey,
    auditKey: (year) => signerOf(identity.auditKeys, year),
    sealing,
    checkpoint: () => sealing.checkpoint,
    auditPolicy,
    witnessBoard,
    witnessed: witnessBoard.witnessed,
    witnesses: () => namesOfWitnesses(ctx),
    auditFolder: join(config.dataDir, 'audit'),
    certificateFingerprint: () => identity.fingerprint,
    directory: keeper.current,
    directoryAge: keeper.age,
    resolver,
    geo,
    cdn,
    peers,
    recent: {
      keys: createRecent(50_000),
      contents: createRecent(32 * mebibyte, ({ url = '' }) => url.length + 500),
      lines: createRecent(64 * mebibyte, (line) => line.length),
    },
    turns: {
      proofs: createTurns({ maxWaiting: 32 }),
      batches: createTurns({ maxWaiting: 3 }),
      checkpoints: createTurns({ maxWaiting: 3 }),
    },
    erasures: openErasureJournal({ folder: join(config.dataDir, 'audit'), key: keys.erasures }),
    policy: { cdnToHome: config.cdnToHome, retentionDays: config.retentionDays },
    liaison: createLiaisonLimits(config.liaison, now),
    exports: { folder: join(config.dataDir, 'exports'), maxRows: config.exportMaxRows },
    now,
    log,
    wake: (what) => workers?.wake(what),
    directoryHint: ({ member }) => workers?.askForDirectory(member),
  }
  await lookAtLog(ctx)
  await recordMigrations(ctx)
  await replayAtStart(ctx)
  const metrics = createMetrics()
  const steps = bindSteps(ctx, keeper)
  const server = buildServer({ steps, log, tls: identity.tls, metrics, now })
  const health = buildOperationsServer({ steps, metrics, log })
  onDirectory = (held, before) =>
    void applyDirectory(ctx, { held, before, server }).catch((error: unknown) =>
      log.error({ err: error }, 'a changed directory could not be applied'),
    )
  stops.push(() => server.app.close())
  await listening(
    'LISTEN_PORT',
    server.app.listen({
      host: config.listen.host,
      port: config.listen.port,
      listenTextResolver: () => 'listening for members and clients',
    }),
  )
  stops.push(() => health.close())
  await listening(
    'HEALTH_PORT',
    health.listen({
      host: config.health.host,
      port: config.health.port,
      listenTextResolver: () => 'listening for health checks',
    }),
  )
  const running = startWorkers(ctx, { keeper, files: config.directory, ...times })
  workers = running
  stops.push(() => stopWorkers(running, peers))
  stops.push(watchIdentity(config, { identity, stamp, server, peers, log }))
  const address = addressOf(server.app.server.address(), config.listen)
  log.info(
    { step: 'start', member: config.member, port: address.port, version: keeper.current().version, countries: ctx.homeCountries },
    'node ready',
  )
  return { address, health: addressOf(health.server.address(), config.health), broken, stop }
}

/** Before anybody can ask: a database that was restored from an older copy still holds what was erased since. */
async function replayAtStart(ctx: StepContext): Promise<void> {
  const { erased, holds, held, added } = await replayErasures(ctx)
  if (erased + holds > 0)
    ctx.log.error(
      { step: 'replay', erased, holds },
      'this database did not know of everything that was erased or held: done again',
    )
  if (held > 0) ctx.log.error({ step: 'replay', held }, 'something that was to be erased is under a legal hold and stays')
  if (added > 0)
    ctx.log.error({ step: 'replay', added }, 'the journal of erasures had lost lines: they were added from the database')
}

async function listening(setting: string, listen: Promise<unknown>): Promise<void> {
  await listen.catch((cause: { code?: string }) => {
    if (cause.code === 'EADDRINUSE')
      throw new CrosslineError('invalid_config', { detail: `The port of ${setting} is in use by another program.`, cause })
    if (cause.code === 'EACCES' || cause.code === 'EADDRNOTAVAIL')
      throw new CrosslineError('invalid_config', { detail: `This process may not listen at ${setting}.`, cause })
    throw cause
  })
}

function warnOfOldNode(log: Logger): void {
  const version = process.versions.node.split('.').map(Number)
  const differs = minNodeVersion.findIndex((part, place) => part !== version[place])
  if (differs >= 0 && (version[differs] ?? 0) < (minNodeVersion[differs] ?? 0)) {
    log.warn(
      { node: process.versions.node, wanted: minNodeVersion.join('.') },
      'this Node lacks later TLS fixes: production should run 26.12.1 or newer',
    )
  }
}

async function openKeys(config: Config, log: Logger) {
  // Not 0700: under root the embedded server runs as another user, who must be able to pass through. What is secret in it is 0600 itself.
  await makeFolder(config.dataDir, 0o711).catch((cause: unknown) => {
    throw new CrosslineError('invalid_config', { detail: 'DATA_DIR cannot be made or written to.', cause })
  })
  const setting = config.masterKey === join(config.dataDir, 'master.key') ? 'DATA_DIR' : 'MASTER_KEY'
  const { key, created } = await nameSetting(setting, readMasterKey(config.masterKey))
  if (created) log.warn({ step: 'start' }, 'a master key was made: back it up now, what it seals is lost without it')
  return deriveKeys(key)
}

interface Storage extends Pick<Node, 'broken'> {
  db: Database
}

async function openStorage({ config, log, stops }: Assembly, servicePassword: string): Promise<Storage> {
  const { url, broken } =
    config.databaseUrl === undefined
      ? await openEmbedded(config, { log, stops })
      : { url: config.databaseUrl, broken: new Promise<void>(() => {}) }
  await checkFirstDirectory(config, url)
  const { serviceUrl, migrated } = await prepareDatabase({ url, folder: migrationsFolder, servicePassword, log })
  if (migrated.length > 0) log.info({ step: 'migrate', migrations: migrated }, 'database migrated')
  const db = openDatabase({ url: serviceUrl, applicationName: `crossline ${config.member}`, maxConnections: 16, log })
  stops.push(() => db.close())
  await addAuditPartitions(db, 3)
  return { db, broken }
}

async function openEmbedded(
  config: Config,
  { log, stops }: Pick<Assembly, 'log' | 'stops'>,
): Promise<{ url: string; broken: Promise<void> }> {
  const server: EmbeddedServer = await startEmbeddedServer({ dataDir: join(config.dataDir, 'postgres'), log })
  stops.push(() => server.stop())
  // Not started again from here: it may come back on another port only, and what supervises the node starts both in order.
  const broken = server.gone.then(() =>
    log.fatal(
      { step: 'database' },
      'the embedded database was killed: the node ends with 1, and its next start brings both back',
    ),
  )
  return { url: await ensureDatabase(server.adminUrl, `crossline_${config.member.replaceAll('-', '_')}`), broken }
}

/** Another member's certificate would be refused by every peer, so it is refused here. */
function requireOwnCertificate(self: string, { certificate }: Identity): void {
  if (memberOfCertificate(certificate) === self) return
  throw new CrosslineError('invalid_config', { detail: 'TLS_CERT is not a certificate of MEMBER_ID.' })
}

/** An identity that the directory does not list yet is told loudly: a rotation may be under way. */
function checkIdentity(
  self: string,
  { identity, keeper, log, now }: { identity: Identity; keeper: DirectoryKeeper; log: Logger; now: () => Date },
): void {
  const directory = keeper.current()
  const isListed =
    directory.findMember(self)?.certificates.some(({ fingerprint }) => fingerprint === identity.fingerprint) ?? false
  const isKeyListed = directory.signingKeys(self).some(({ kid }) => kid === identity.signingKey.kid)
  const auditKey = identity.auditKeys.forYear(now().getUTCFullYear())
  const isAuditKeyListed = directory.auditKeys(self).some(({ kid }) => kid === auditKey.kid)
  if (!isListed || !isKeyListed || !isAuditKeyListed) {
    log.error(
      { step: 'start', certificateListed: isListed, keyListed: isKeyListed, auditKeyListed: isAuditKeyListed },
      'the directory does not list this identity: peers will refuse this node',
    )
  }
}

function requireMembership(self: string, keeper: DirectoryKeeper): void {
  if (!keeper.current().findMember(self))
    throw new CrosslineError('invalid_config', { detail: 'MEMBER_ID is no member of the directory.' })
}

async function openGeo(config: Config, { log, now }: { log: Logger; now: () => Date }): Promise<GeoDatabase> {
  const opening = openGeoDatabase({
    countryPath: config.geo.country,
    asnPath: config.geo.asn,
    onProblem: (kind, problem) =>
      log.error({ kind, err: problem }, 'a geolocation database could not be reloaded: the old one stays in use'),
    onReload: (kind) => log.info({ kind }, 'geolocation database reloaded'),
  })
  const geo = await opening.catch((error: CrosslineError) =>
    nameSetting(error.facts?.kind === 'asn' ? 'GEO_ASN_DB' : 'GEO_COUNTRY_DB', Promise.reject(error)),
  )
  const ageDays = ageInDays(geo.sources().country.builtAt, now().getTime())
  if (ageDays > 45) log.warn({ step: 'start', ageDays }, 'the geolocation database is old: set GEO_COUNTRY_DB to a current one')
  return geo
}

async function openCdn(config: Config, log: Logger): Promise<OpenCdnList> {
  const opening = openCdnList({
    path: config.geo.cdnRanges,
    onProblem: (problem) => log.error({ err: problem }, 'the CDN list could not be reloaded: the old one stays'),
  })
  return nameSetting('CDN_RANGES_FILE', opening)
}

/** Read once: who changes it starts the node again. Throws `invalid_config` or `bad_policy`. */
async function readAuditPolicy({ auditPolicy }: Config): Promise<string | undefined> {
  if (auditPolicy === undefined) return undefined
  const text = await readFile(auditPolicy, 'utf8').catch((cause: unknown) => {
    throw new CrosslineError('invalid_config', { detail: 'AUDIT_POLICY names a file that cannot be read.', cause })
  })
  await nameSetting('AUDIT_POLICY', Promise.resolve(text).then(parsePolicy))
  return text
}

/** How long calls under way may go on when the node stops. */
const graceMs = 3000

/** Work under way comes to its end; what then still waits for a peer is cut off, so that nobody holds up the stop. */
async function stopWorkers(workers: Workers, peers: PeerClient): Promise<void> {
  const timer = setTimeout(() => void peers.close().catch(() => {}), graceMs)
  await workers.stop()
  clearTimeout(timer)
}

function addressOf(
  address: string | { address: string; port: number } | null,
  fallback: { host: string; port: number },
): { host: string; port: number } {
  return typeof address === 'object' && address ? { host: address.address, port: address.port } : fallback
}
