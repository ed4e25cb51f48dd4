// The hotline API: what a hotline's own system sends and reads. Every answer is the whole resource, and every call may be sent twice.

import type { App } from '#http/app.ts'
import { addJsonParser, readLimit } from '#http/bodies.ts'
import { callerOf, refuseEncoding, requireRole } from '#http/client-guard.ts'
import { bodyCodes, changeCodes, clientCodes, problems } from '#http/problem-responses.ts'
import { inPlace, refTo } from '#http/shared-schemas.ts'
import type { Steps } from '#http/steps-table.ts'
import { IdempotencyHeader, ItemPath, ItemQuery, ReportPath } from '#schema/calls.ts'
import { AcceptInput, ActionInput, AssessmentInput, Item, ItemPage, RefuseInput, Report, ReportInput } from '#schema/report.ts'

export interface HotlineLimits {
  reportBytes: number
  jsonBytes: number
}

const idempotent = inPlace(IdempotencyHeader)
const onItem = { params: inPlace(ItemPath), headers: idempotent, tags: ['Items'] }
const changedItem = { 200: refTo(Item), ...problems(...changeCodes) }

export function addHotlineRoutes(app: App, { steps, limits }: { steps: Steps; limits: HotlineLimits }): void {
  app.addHook('onRequest', requireRole(steps, 'hotline'))
  app.addHook('onRequest', refuseEncoding)
  addJsonParser(app, steps)
  addReportRoutes(app, { steps, limits })
  addItemReading(app, steps)
  addItemChanges(app, { steps, limits })
}

function addReportRoutes(app: App, { steps, limits }: { steps: Steps; limits: HotlineLimits }): void {
  app.route({
    method: 'POST',
    url: '/v1/reports',
    bodyLimit: limits.reportBytes,
    schema: {
      operationId: 'submitReport',
      summary: 'Submit a report with its items',
      description:
        'Stores the report; tracing, routing and delivery follow by themselves. Sent again with the same ids or the same Idempotency-Key it changes nothing and answers 200 with the report as it stands now.',
      tags: ['Reports'],
      headers: idempotent,
      body: refTo(ReportInput),
      response: {
        200: refTo(Report),
        201: refTo(Report),
        ...problems(...bodyCodes, 'id_conflict', 'idempotency_conflict', 'audit_unavailable'),
      },
    },
    handler: async (request, reply) => {
      const { report, created } = await steps.acceptReport(request.body, callerOf(request))
      return reply
        .code(created ? 201 : 200)
        .header('location', `/v1/reports/${report.id}`)
        .send(report)
    },
  })
  app.route({
    method: 'GET',
    url: '/v1/reports/:id',
    schema: {
      operationId: 'getReport',
      summary: 'Read a report with its items as they stand now',
      description: 'Only reports that this hotline took or holds an item of.',
      tags: ['Reports'],
      params: inPlace(ReportPath),
      response: { 200: refTo(Report), ...problems(...clientCodes, 'not_found', 'schema_invalid') },
    },
    handler: (request) => steps.getReport(request.params.id, callerOf(request)),
  })
}

function addItemReading(app: App, steps: Steps): void {
  app.route({
    method: 'GET',
    url: '/v1/items/:id',
    schema: {
      operationId: 'getItem',
      summary: 'Read an item',
      description: 'An item that this hotline owns or held, with its evidence, assessments and actions.',
      tags: ['Items'],
      params: inPlace(ItemPath),
      response: { 200: refTo(Item), ...problems(...clientCodes, 'not_found', 'schema_invalid') },
    },
    handler: (request) => steps.getItem(request.params.id, callerOf(request)),
  })
  app.route({
    method: 'GET',
    url: '/v1/items',
    preValidation: readLimit,
    schema: {
      operationId: 'findItems',
      summary: 'Read a queue of items',
      description:
        'Items in the order in which they came into their state. Follow `next`; an empty page ends with null: ask again later with the same `after`. No item is passed over, however many are written meanwhile; one that changes its state comes again.',
      tags: ['Items'],
      querystring: inPlace(ItemQuery),
      response: { 200: refTo(ItemPage), ...problems(...clientCodes, 'schema_invalid', 'invalid_cursor') },
    },
    handler: (request) => steps.findItems({ limit: 100, ...request.query }, callerOf(request)),
  })
}

function addItemChanges(app: App, { steps, limits }: { steps: Steps; limits: HotlineLimits }): void {
  const bodyLimit = limits.jsonBytes
  app.route({
    method: 'POST',
    url: '/v1/items/:id/accept',
    bodyLimit,
    schema: {
      ...onItem,
      operationId: 'acceptItem',
      summary: 'Accept an item into your own case system',
      description: 'Only the owner may, once the item has been delivered or is at home. The sender learns your file number.',
      body: refTo(AcceptInput),
      response: changedItem,
    },
    handler: (request) => steps.acceptItem(request.params.id, request.body, callerOf(request)),
  })
  app.route({
    method: 'POST',
    url: '/v1/items/:id/refuse',
    bodyLimit,
    schema: {
      ...onItem,
      operationId: 'refuseItem',
      summary: 'Refuse an item and give it back',
      description: 'Ownership falls back to the sender, and the item waits there for a person.',
      body: refTo(RefuseInput),
      response: changedItem,
    },
    handler: (request) => steps.refuseItem(request.params.id, request.body, callerOf(request)),
  })
  app.route({
    method: 'POST',
    url: '/v1/items/:id/assessments',
    bodyLimit,
    schema: {
      ...onItem,
      operationId: 'assessItem',
      summary: 'Add an assessment',
      description: 'Only the owner may, and not after a final action. All assessments are kept; the last counts.',
      body: refTo(AssessmentInput),
      response: changedItem,
    },
    handler: (request) => steps.assessItem(request.params.id, request.body, callerOf(request)),
  })
  app.route({
    method: 'POST',
    url: '/v1/items/:id/actions',
    bodyLimit,
    schema: {
      ...onItem,
      operationId: 'recordAction',
      summary: 'Record what was done',
      description: 'Only the owner may. A final action (removed, unavailable, not_illegal) closes the item.',
      body: refTo(ActionInput),
      response: changedItem,
    },
    handler: (request) => steps.recordAction(request.params.id, request.body, callerOf(request)),
  })
}
