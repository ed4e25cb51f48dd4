// Health and metrics for the machine that the node runs on: plain HTTP, answered on loopback addresses only. Ids, counts and codes, no secrets.
import fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify'
import { CrosslineError } from '#errors.ts'
import type { Logger } from '#log.ts'
import type { Metrics } from './metrics.ts'
import { readFault, renderProblem } from './problem.ts'
import type { Steps } from './steps-table.ts'

const loopback = new Set(['127.0.0.1', '::1', '::ffff:127.0.0.1'])

export function buildOperationsServer({
  steps,
  metrics,
  log,
}: {
  steps: Pick<Steps, 'readiness' | 'findStatus'>
  metrics: Metrics
  log: Logger
}): FastifyInstance {
  const app = fastify({
    loggerInstance: log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }),
    requestTimeout: 5000,
    keepAliveTimeout: 5000,
    forceCloseConnections: true,
    exposeHeadRoutes: false,
    http: { headersTimeout: 5000, connectionsCheckingInterval: 1000, maxHeaderSize: 8192 },
  }) as unknown as FastifyInstance
  app.removeAllContentTypeParsers()
  app.setErrorHandler((error, request, reply) => {
    const problem = renderProblem(readFault(error), '0'.repeat(32))
    if (problem.status >= 500) log.error({ err: error, route: request.routeOptions.url }, 'a health request failed')
    return reply.code(problem.status).type('application/problem+json').send(JSON.stringify(problem))
  })
  // Bound to another address by mistake, it must not answer there.
  app.addHook('onRequest', async (request) => {
    if (!loopback.has(request.socket.localAddress ?? '')) throw new CrosslineError('not_found')
  })
  app.setNotFoundHandler(() => {
    throw new CrosslineError('not_found')
  })
  addHealth(app, steps)
  addMetrics(app, { steps, metrics, log })
  return app
}

function addHealth(app: FastifyInstance, steps: Pick<Steps, 'readiness'>): void {
  app.get('/health/live', async () => ({ live: true }))
  app.get('/health/ready', async (_request, reply) => {
    const { ready, checks } = await steps.readiness()
    const failing = Object.keys(checks).filter((name) => checks[name] !== 'ok')
    return reply
      .code(ready ? 200 : 503)
      .header('cache-control', 'no-store')
      .send({ ready, failing, checks })
  })
}

// Requests are still counted for a node whose database is gone.
function addMetrics(
  app: FastifyInstance,
  { steps, metrics, log }: { steps: Pick<Steps, 'findStatus'>; metrics: Metrics; log: Logger },
): void {
  app.get('/metrics', async (_request, reply) => {
    try {
      metrics.showStatus(await steps.findStatus())
    } catch (error) {
      log.warn({ err: error }, 'the status for the metrics could not be read')
    }
    const { text, contentType } = await metrics.render()
    return reply.type(contentType).send(text)
  })
}
