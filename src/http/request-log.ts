// One log line and one measurement for each answered request: trace, route template, status, who, code, milliseconds. Never the path or query.
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from '#log.ts'
import { type App, callingOf } from './app.ts'
import type { Metrics } from './metrics.ts'

export function logRequests(app: App, { log, metrics }: { log: Logger; metrics: Metrics | undefined }): void {
  app.addHook('onResponse', async (request: FastifyRequest, reply: FastifyReply) => {
    const { client, member, code } = callingOf(request)
    const facts = { route: request.routeOptions.url ?? 'none', method: request.method, status: reply.statusCode, code, member }
    const ms = Math.round(reply.elapsedTime * 10) / 10
    metrics?.countRequest({ ...facts, ms })
    log[reply.statusCode >= 500 ? 'error' : 'info']({ trace: request.id, ...facts, role: client?.role, ms }, 'request')
  })
}
