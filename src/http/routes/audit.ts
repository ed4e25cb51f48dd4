// The audit API for liaisons: entries that the caller may see, each query itself an entry.

import type { App } from '#http/app.ts'
import { readLimit } from '#http/bodies.ts'
import { callerOf, requireRole } from '#http/client-guard.ts'
import { clientCodes, problems } from '#http/problem-responses.ts'
import { inPlace, refTo } from '#http/shared-schemas.ts'
import type { Steps } from '#http/steps-table.ts'
import { EntryPage, EntryQuery } from '#schema/audit.ts'

export function addAuditRoutes(app: App, { steps }: { steps: Steps }): void {
  app.addHook('onRequest', requireRole(steps, 'liaison'))
  app.route({
    method: 'GET',
    url: '/audit/v1/entries',
    preValidation: readLimit,
    schema: {
      operationId: 'findEntries',
      summary: 'Query the audit log',
      description:
        'Entries of handoffs that touch your country (all, for a network-wide liaison). State your purpose: the query is itself recorded before the answer goes out.',
      tags: ['Audit'],
      querystring: inPlace(EntryQuery),
      response: {
        200: refTo(EntryPage),
        ...problems(...clientCodes, 'schema_invalid', 'purpose_required', 'invalid_cursor', 'audit_unavailable'),
      },
    },
    handler: (request) => steps.findEntries(request.query, callerOf(request)),
  })
}
