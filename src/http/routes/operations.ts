// What an operator reads over the network: how the node does, in ids, countries, counts and codes. No URL, no text of a report.

import type { App } from '#http/app.ts'
import { requireRole } from '#http/client-guard.ts'
import { clientCodes, problems } from '#http/problem-responses.ts'
import { refTo } from '#http/shared-schemas.ts'
import type { Steps } from '#http/steps-table.ts'
import { Status } from '#schema/status.ts'

export function addOperationsRoutes(app: App, { steps }: { steps: Steps }): void {
  app.addHook('onRequest', requireRole(steps, 'operator'))
  app.route({
    method: 'GET',
    url: '/operations/v1/status',
    schema: {
      operationId: 'findStatus',
      summary: 'See how the node does',
      description: 'Peers, queues, ages and counts.',
      tags: ['Operations'],
      response: { 200: refTo(Status), ...problems(...clientCodes) },
    },
    handler: () => steps.findStatus(),
  })
}
