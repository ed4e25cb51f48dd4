// The node's one listener for hotline systems, liaisons, operators and peers: mutual TLS 1.3. Promises that no handler runs for a caller
// whose certificate, role or proof was not checked on this very request, that every refusal is a problem document, and that every wait ends.
import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { SecureContextOptions } from 'node:tls'
import fastify, { type FastifyBaseLogger, type FastifyReply, LogController } from 'fastify'
import { addAuditRoutes } from '#http/routes/audit.ts'
import { addDocsRoutes } from '#http/routes/docs.ts'
import { addFederationRoutes } from '#http/routes/federation.ts'
import { addHotlineRoutes } from '#http/routes/hotline.ts'
import { addOperationsRoutes } from '#http/routes/operations.ts'
import type { Logger } from '#log.ts'
import { type AnyRequest, type App, callingOf } from './app.ts'
import { answerBrokenHttp, type ErrorAnswers, isFederation, makeErrorAnswers, setCommonHeaders } from './error-answers.ts'
import type { Metrics } from './metrics.ts'
import { type OpenSockets, trackSockets } from './open-sockets.ts'
import { addOpenapi } from './openapi.ts'
import { requireCertificate } from './peer-certificate.ts'
import { limitRefusals } from './refusal-flood.ts'
import { logRequests } from './request-log.ts'
import { isMiss, watchRoutes } from './route-misses.ts'
import type { Steps } from './steps-table.ts'

const kib = 1024
const mib = 1024 * kib

export const defaultLimits = {
  reportBytes: 64 * mib,
  jsonBytes: 128 * kib,
  batchBytes: 4 * mib,
  headerBytes: 16 * kib,
  handshakeTimeoutMs: 10_000,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 120_000,
  keepAliveTimeoutMs: 60_000,
  checkingIntervalMs: 1000,
  /** How long requests may still run once the server is told to close. */
  closingTimeoutMs: 10_000,
  connections: 4096,
  /** Refusals of one certificate within ten seconds before it is answered unsigned. */
  refusals: 60,
}
export type ServerLimits = typeof defaultLimits

/** PEM: the authorities whose certificates may connect, and the node's own certificate and key. */
export interface TlsFiles {
  ca: string | string[]
  cert: string
  key: string
}

export interface ServerParts {
  steps: Steps
  log: Logger
  tls: TlsFiles
  limits?: Partial<ServerLimits>
  metrics?: Metrics
  now?: () => Date
}

export interface Server {
  app: App
  /** Takes new certificates for new connections. Throws, and goes on with the old, when they don't fit together. */
  reloadTls(tls: TlsFiles): void
  /** Closes the connections of every certificate that the predicate names; gives how many there were. */
  closeSocketsOf(isRevoked: (fingerprint: string) => boolean): number
}

/** Builds the server; `app.listen` starts it and `app.close` ends it, giving running requests a bounded time. */
export function buildServer({ steps, log, tls, limits: overrides = {}, metrics, now = () => new Date() }: ServerParts): Server {
  const limits = { ...defaultLimits, ...overrides }
  const answers = makeErrorAnswers({ steps, log, flood: limitRefusals({ most: limits.refusals, now }) })
  const app = createApp({ log, tls, limits, answers })
  const sockets = boundSockets(app, { limits, metrics })

  logRequests(app, { log, metrics })
  addGuards(app, { answers, now })
  addOpenapi(app)
  addRoutes(app, { steps, limits, now })

  return {
    app,
    reloadTls: (renewed) => app.server.setSecureContext(secureContext(renewed)),
    closeSocketsOf: sockets.closeOf,
  }
}

function createApp({
  log,
  tls,
  limits,
  answers,
}: {
  log: Logger
  tls: TlsFiles
  limits: ServerLimits
  answers: ErrorAnswers
}): App {
  const app = fastify({
    https: {
      ...secureContext(tls),
      requestCert: true,
      rejectUnauthorized: true,
      ALPNProtocols: ['http/1.1'],
      ...serverTimes(limits),
    },
    loggerInstance: log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'trace' }),
    requestIdHeader: false,
    genReqId: (raw) => traceOf(raw),
    bodyLimit: limits.jsonBytes,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    forceCloseConnections: 'idle',
    exposeHeadRoutes: false,
    onProtoPoisoning: 'ignore',
    // Left in place for the schema to refuse: an unknown field is named, never dropped.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, useDefaults: false, allErrors: false } },
    clientErrorHandler: answerBrokenHttp,
    frameworkErrors: (error, request, reply) => {
      // No hook runs for it, so its line is written here.
      log.info({ trace: request.id, route: 'none', method: request.method, status: 400, code: 'malformed_request' }, 'request')
      answers.answer(error, request, reply as FastifyReply).catch(() => request.raw.destroy())
    },
  }).withTypeProvider() as unknown as App
  app.setErrorHandler((error, request, reply) => answers.answer(error, request, reply))
  app.setSerializerCompiler(() => (data) => JSON.stringify(data))
  app.removeAllContentTypeParsers()
  return app
}

function secureContext({ ca, cert, key }: TlsFiles): SecureContextOptions {
  return { ca, cert, key, minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' }
}

function serverTimes(limits: ServerLimits) {
  return {
    handshakeTimeout: limits.handshakeTimeoutMs,
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    connectionsCheckingInterval: limits.checkingIntervalMs,
    maxHeaderSize: limits.headerBytes,
  }
}

function boundSockets(app: App, { limits, metrics }: { limits: ServerLimits; metrics: Metrics | undefined }): OpenSockets {
  const sockets = trackSockets(app.server)
  app.server.maxConnections = limits.connections
  // The size of all headers is bounded; a bound on their number would drop some without a word.
  app.server.maxHeadersCount = 0
  app.server.on('tlsClientError', () => metrics?.countRefusedHandshake())
  app.addHook('preClose', async () => {
    setTimeout(() => sockets.closeAll(), limits.closingTimeoutMs).unref()
  })
  return sockets
}

/** Runs before every route: what the request is, whether its path exists, and whether its certificate is valid now. */
function addGuards(app: App, { answers, now }: { answers: ErrorAnswers; now: () => Date }): void {
  const refuseMiss = watchRoutes(app)
  app.addHook('onRequest', dropClosed)
  app.addHook('preHandler', dropClosed)
  app.addHook('onRequest', async (request: AnyRequest & { is404: boolean; params: unknown }, reply) => {
    setCommonHeaders(reply as FastifyReply, request.id)
    if (isFederation(request)) answers.requireQuiet(request)
    if (isMiss(request)) refuseMiss(request, reply as FastifyReply)
    callingOf(request).certificate = requireCertificate(request.raw.socket, { now: now(), federation: isFederation(request) })
  })
  app.setNotFoundHandler((request, reply) => refuseMiss(request, reply as FastifyReply))
}

// A request that was buffered when its connection was closed is not served: `destroy()` alone does not stop it.
function dropClosed(request: AnyRequest, _reply: unknown, done: () => void): void {
  if (!request.raw.socket.destroyed) done()
}

// Each group in a scope of its own, so that its guard and its body parsers are its own.
function addRoutes(app: App, parts: { steps: Steps; limits: ServerLimits; now: () => Date }): void {
  for (const addGroup of [addHotlineRoutes, addAuditRoutes, addOperationsRoutes, addFederationRoutes, addDocsRoutes]) {
    void app.register(async (scope: App) => addGroup(scope, parts))
  }
}

function traceOf(raw: IncomingMessage): string {
  const asked = raw.headers['crossline-trace']
  return typeof asked === 'string' && /^[0-9a-f]{32}$/.test(asked) ? asked : randomBytes(16).toString('hex')
}
