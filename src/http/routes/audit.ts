// The audit API for liaisons: entries and custodies that the caller may see, each question itself an entry; what proves them is in audit-proofs.ts.

import type { ErrorCode } from '#errors.ts'
import type { App } from '#http/app.ts'
import { readLimit } from '#http/bodies.ts'
import { callerOf, requireRole } from '#http/client-guard.ts'
import { clientCodes, problems } from '#http/problem-responses.ts'
import { addExportRoutes } from '#http/routes/audit-exports.ts'
import { addProofRoutes } from '#http/routes/audit-proofs.ts'
import { inPlace, refTo } from '#http/shared-schemas.ts'
import type { Steps } from '#http/steps-table.ts'
import { Custody, CustodyPath, CustodyQuery, EntryPage, EntryQuery } from '#schema/audit.ts'

const questionCodes: ErrorCode[] = [
  ...clientCodes,
  'schema_invalid',
  'purpose_required',
  'not_found',
  'rate_limited',
  'quota_exceeded',
  'audit_unavailable',
]

export function addAuditRoutes(app: App, { steps }: { steps: Steps }): void {
  app.addHook('onRequest', requireRole(steps, 'liaison'))
  addEntries(app, steps)
  addCustody(app, steps)
  addProofRoutes(app, steps)
  addExportRoutes(app, steps)
}

function addEntries(app: App, steps: Steps): void {
  app.route({
    method: 'GET',
    url: '/audit/v1/entries',
    preValidation: readLimit,
    schema: {
      operationId: 'findEntries',
      summary: 'Query the audit log',
      description:
        'Sealed entries of handoffs that touch your country (all, for a network-wide liaison), in the order of the log. State your purpose: the query is itself recorded before the answer goes out.',
      tags: ['Audit'],
      querystring: inPlace(EntryQuery),
      response: { 200: refTo(EntryPage), ...problems(...questionCodes, 'invalid_cursor') },
    },
    handler: (request) => steps.findEntries(request.query, callerOf(request)),
  })
}

function addCustody(app: App, steps: Steps): void {
  app.route({
    method: 'GET',
    url: '/audit/v1/items/:ref',
    schema: {
      operationId: 'showCustody',
      summary: 'The custody of one item',
      description:
        'Who had the item, when, and what they did, each line with its proof status. An item outside your scope is not found, like one that never was; the question is recorded either way.',
      tags: ['Audit'],
      params: inPlace(CustodyPath),
      querystring: inPlace(CustodyQuery),
      response: { 200: refTo(Custody), ...problems(...questionCodes) },
    },
    handler: (request) => steps.showCustody({ ref: request.params.ref, query: request.query }, callerOf(request)),
  })
}
