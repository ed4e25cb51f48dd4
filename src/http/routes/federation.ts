// The calls between nodes (protocol.md, "Calls"). A handler runs only after certificate, proof and body digest have been checked.

import { type App, callingOf } from '#http/app.ts'
import { refuseEncoding } from '#http/client-guard.ts'
import { admit, bytesOf, callOf, checkSignedBody, isGzip, requireBareCall } from '#http/federation-guard.ts'
import { memberCodes, problems, proofCodes } from '#http/problem-responses.ts'
import { inPlace, refTo } from '#http/shared-schemas.ts'
import type { Steps } from '#http/steps-table.ts'
import { BatchPath, DirectoryPath, RootPath, SignedDocument } from '#schema/calls.ts'
import { CapabilitiesAnswer, PingAnswer, PingInput, ReceiptAnswer } from '#schema/receipt.ts'
import { addWitnessRoutes } from './witness.ts'

interface Parts {
  steps: Steps
  limits: { batchBytes: number; jsonBytes: number }
  now: () => Date
}

const tags = ['Federation']
const jose = 'application/jose+json'
const signedDocument: Record<string, object> = {
  200: { description: 'The signed bytes, as published.', content: { [jose]: { schema: refTo(SignedDocument) } } },
  ...problems(...proofCodes, 'not_found'),
}

export async function addFederationRoutes(app: App, parts: Parts): Promise<void> {
  app.addHook('onRequest', requireBareCall)
  addCapabilities(app, parts)
  await app.register(async (scope: App) => addBatches(scope, parts))
  await app.register(async (scope: App) => addSmallCalls(scope, parts))
  await app.register(async (scope: App) => addWitnessRoutes(scope, parts))
}

function addCapabilities(app: App, { steps }: Parts): void {
  app.route({
    method: 'GET',
    url: '/federation/v1/capabilities',
    onRequest: async (request) => {
      const calling = callingOf(request)
      calling.member = steps.admitMember({ certificate: calling.certificate?.der }).member
    },
    schema: {
      operationId: 'stateCapabilities',
      summary: 'What this node serves, signed',
      description: 'Member, versions, limits, the directory version held and the server time. The one call without a proof.',
      tags,
      response: { 200: refTo(CapabilitiesAnswer), ...problems(...memberCodes) },
    },
    handler: (request) => steps.stateCapabilities(callingOf(request).member ?? ''),
  })
}

function addBatches(app: App, { steps, limits, now }: Parts): void {
  app.addHook('onRequest', admit(steps, { withRoot: true, now }))
  app.addHook('onRequest', async (request) => void isGzip(request))
  app.addHook('preValidation', checkSignedBody(steps))
  app.addContentTypeParser('application/x-ndjson', { parseAs: 'buffer' }, async (_request: unknown, body: Buffer) => body)
  app.route({
    method: 'POST',
    url: '/federation/v1/batches',
    bodyLimit: limits.batchBytes,
    schema: {
      operationId: 'receiveBatch',
      summary: 'Deliver a batch of messages',
      description:
        'One envelope line and 1 to 1,000 message lines, UTF-8, each ended by a line feed. The receipt is answered only after everything is stored; the same batch again gets the same bytes again.',
      tags,
      response: {
        200: refTo(ReceiptAnswer),
        ...problems(
          ...proofCodes,
          'batch_conflict',
          'schema_invalid',
          'too_large',
          'broken_compression',
          'unsupported_media_type',
          'unsupported_encoding',
          'audit_unavailable',
        ),
      },
    },
    handler: (request) => steps.receiveBatch(callOf(request), { bytes: bytesOf(request), gzip: isGzip(request) }),
  })
}

function addSmallCalls(app: App, { steps, limits, now }: Parts): void {
  app.addHook('onRequest', admit(steps, { withRoot: false, now }))
  app.addHook('onRequest', refuseEncoding)
  app.addHook('preValidation', checkSignedBody(steps))
  addReceipts(app, steps)
  addDirectory(app, steps)
  addPing(app, { steps, jsonBytes: limits.jsonBytes })
}

function addReceipts(app: App, steps: Steps): void {
  app.route({
    method: 'GET',
    url: '/federation/v1/receipts/:batchId',
    schema: {
      operationId: 'findReceipt',
      summary: 'A receipt that got lost',
      description: 'The same bytes as first answered. 404 means that the batch was never committed: send it again.',
      tags,
      params: inPlace(BatchPath),
      response: { 200: refTo(ReceiptAnswer), ...problems(...proofCodes, 'not_found', 'schema_invalid') },
    },
    handler: (request) => steps.findReceipt(callOf(request), request.params.batchId),
  })
}

function addPing(app: App, { steps, jsonBytes }: { steps: Steps; jsonBytes: number }): void {
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, async (_request: unknown, body: Buffer) => body)
  app.route({
    method: 'POST',
    url: '/federation/v1/ping',
    bodyLimit: jsonBytes,
    // After checkSignedBody, which needs the bytes.
    preValidation: async (request) => {
      request.body = steps.parseJson(bytesOf(request)) as PingInput
    },
    schema: {
      operationId: 'answerPing',
      summary: 'A signed echo',
      description: 'Shows that the node is reachable and how far the clocks differ.',
      tags,
      body: refTo(PingInput),
      response: {
        200: refTo(PingAnswer),
        ...problems(...proofCodes, 'schema_invalid', 'too_large', 'unsupported_media_type', 'unsupported_encoding'),
      },
    },
    handler: (request) => steps.answerPing(callOf(request), request.body),
  })
}

function addDirectory(app: App, steps: Steps): void {
  const description = 'Any node serves its verified copy: the signatures decide, not the server.'
  app.route({
    method: 'GET',
    url: '/federation/v1/directory',
    schema: {
      operationId: 'findDirectory',
      summary: 'The directory that this node holds',
      description,
      tags,
      response: signedDocument,
    },
    handler: async (_request, reply) => reply.type(jose).send(await steps.findDirectory(undefined)),
  })
  app.route({
    method: 'GET',
    url: '/federation/v1/directory/:version',
    schema: {
      operationId: 'findDirectoryVersion',
      summary: 'One version of the directory',
      description,
      tags,
      params: inPlace(DirectoryPath),
      response: signedDocument,
    },
    handler: async (request, reply) => reply.type(jose).send(await steps.findDirectory(Number(request.params.version))),
  })
  app.route({
    method: 'GET',
    url: '/federation/v1/directory/roots/:number',
    schema: {
      operationId: 'findRoot',
      summary: 'One root of the network',
      description,
      tags,
      params: inPlace(RootPath),
      response: signedDocument,
    },
    handler: async (request, reply) => reply.type(jose).send(await steps.findRoot(Number(request.params.number))),
  })
}
