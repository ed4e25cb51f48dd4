// Exports for liaisons: asked for, watched, fetched; a download that broke off goes on where it stopped.
import type { FastifyReply } from 'fastify'
import type { ErrorCode } from '#errors.ts'
import type { App } from '#http/app.ts'
import { addJsonParser } from '#http/bodies.ts'
import { callerOf } from '#http/client-guard.ts'
import { bodyCodes, clientCodes, problems } from '#http/problem-responses.ts'
import { inPlace, refTo } from '#http/shared-schemas.ts'
import type { Steps } from '#http/steps-table.ts'
import { AuditExport, ExportInput, ExportPath, RangeHeaders } from '#schema/audit-export.ts'
import { IdempotencyHeader } from '#schema/calls.ts'
import type { OpenedBundle } from '#steps/request-export.ts'

const orderCodes: ErrorCode[] = [
  ...bodyCodes,
  'purpose_required',
  'not_found',
  'rate_limited',
  'quota_exceeded',
  'export_limit',
  'idempotency_conflict',
  'audit_unavailable',
]
const readCodes: ErrorCode[] = [...clientCodes, 'schema_invalid', 'not_found']

/** On routes whose guard let only liaisons pass. */
export function addExportRoutes(app: App, steps: Steps): void {
  void app.register(async (scope: App) => {
    addJsonParser(scope, steps)
    addOrders(scope, steps)
    addBundles(scope, steps)
  })
}

function addOrders(app: App, steps: Steps): void {
  app.route({
    method: 'POST',
    url: '/audit/v1/exports',
    schema: {
      operationId: 'requestExport',
      summary: 'Ask for an export with proofs',
      description:
        'The same filters as the query of entries, without pages. State your purpose: the order is recorded before anything goes out. Two exports of yours may be under way at a time.',
      tags: ['Audit'],
      headers: inPlace(IdempotencyHeader),
      body: refTo(ExportInput),
      response: { 202: refTo(AuditExport), ...problems(...orderCodes) },
    },
    handler: async (request, reply) => {
      const asked = await steps.requestExport(request.body, callerOf(request))
      return reply.code(202).header('location', `/audit/v1/exports/${asked.id}`).send(asked)
    },
  })
  app.route({
    method: 'GET',
    url: '/audit/v1/exports/:id',
    schema: {
      operationId: 'getExport',
      summary: 'How far an export is',
      description: 'Your own only.',
      tags: ['Audit'],
      params: inPlace(ExportPath),
      response: { 200: refTo(AuditExport), ...problems(...readCodes) },
    },
    handler: (request) => steps.showExport(request.params.id, callerOf(request)),
  })
}

const tar = { 'application/x-tar': { schema: { type: 'string', format: 'binary', description: 'The bundle.' } } }

function addBundles(app: App, steps: Steps): void {
  app.route({
    method: 'GET',
    url: '/audit/v1/exports/:id/bundle',
    schema: {
      operationId: 'getBundle',
      summary: 'Fetch the bundle of an export',
      description:
        'Verify it offline: `crossline audit verify <bundle> --policy <file>`. A download that broke off goes on with `Range`.',
      tags: ['Audit'],
      params: inPlace(ExportPath),
      headers: inPlace(RangeHeaders),
      response: {
        200: { description: 'The whole bundle.', content: tar },
        206: { description: 'The part that was asked for.', content: tar },
        ...problems(...readCodes, 'export_not_ready', 'range_unsatisfiable'),
      },
    },
    handler: async (request, reply) => {
      const { range, 'if-range': ifRange } = request.headers
      const bundle = await steps.openBundle({ id: request.params.id, range, ifRange }, callerOf(request))
      return sendBundle(reply, bundle, `crossline-${request.params.id}.tar`)
    },
  })
}

function sendBundle(reply: unknown, { kind, first, last, bytes, etag, read }: OpenedBundle, name: string): FastifyReply {
  const answer = (reply as FastifyReply)
    .code(kind === 'part' ? 206 : 200)
    .header('accept-ranges', 'bytes')
    .header('etag', etag)
    .header('content-disposition', `attachment; filename="${name}"`)
    .header('content-length', String(last - first + 1))
    .type('application/x-tar')
  if (kind === 'part') answer.header('content-range', `bytes ${first}-${last}/${bytes}`)
  return answer.send(read())
}
