// Checkpoints, tiles and proofs of the log under C2SP's paths: hashes and signatures, the same for every liaison. Each log has a prefix of its
// own, /audit/v1/log/<year>; without it the log that grows now is meant.

import type { FastifyRequest } from 'fastify'
import type { App } from '#http/app.ts'
import { callerOf } from '#http/client-guard.ts'
import { clientCodes, problems } from '#http/problem-responses.ts'
import { inPlace, refTo } from '#http/shared-schemas.ts'
import type { Steps } from '#http/steps-table.ts'
import {
  ConsistencyProof,
  ConsistencyQuery,
  InclusionProof,
  InclusionQuery,
  TilePath,
  YearPath,
  YearTilePath,
} from '#schema/audit-proofs.ts'

const plain = 'text/plain; charset=utf-8'
const tags = ['Audit']
const refusals = problems(...clientCodes, 'schema_invalid', 'not_found', 'rate_limited')
const textOf = (description: string) => ({
  description,
  content: { 'text/plain': { schema: { type: 'string', description } } },
})

/** One of the two prefixes. */
interface Prefix {
  url: string
  /** Ends the operationId. */
  suffix: '' | 'OfYear'
  of: string
}
const prefixes: Prefix[] = [
  { url: '/audit/v1', suffix: '', of: 'the log that grows now' },
  { url: '/audit/v1/log/:year', suffix: 'OfYear', of: 'the log of a year' },
]

export function addProofRoutes(app: App, steps: Steps): void {
  for (const prefix of prefixes) {
    addCheckpoint(app, steps, prefix)
    addTile(app, steps, prefix)
    addInclusion(app, steps, prefix)
    addConsistency(app, steps, prefix)
  }
}

const yearOf = ({ params }: FastifyRequest): { year?: number } => {
  const { year } = params as { year?: string }
  return year === undefined ? {} : { year: Number(year) }
}
const pathOf = ({ suffix }: Prefix) => (suffix ? { params: inPlace(YearPath) } : {})
const wantsText = ({ headers }: FastifyRequest): boolean => /(^|,)\s*text\/plain\b/.test(headers.accept ?? '')

function addCheckpoint(app: App, steps: Steps, prefix: Prefix): void {
  app.route({
    method: 'GET',
    url: `${prefix.url}/checkpoint`,
    schema: {
      operationId: `findCheckpoint${prefix.suffix}`,
      summary: `The newest checkpoint of ${prefix.of}`,
      description: 'A C2SP tlog-checkpoint as a signed note, with every cosignature that it has by now.',
      tags,
      ...pathOf(prefix),
      response: { 200: textOf('The signed note.'), ...refusals },
    },
    handler: async (request, reply) => reply.type(plain).send(await steps.findNote(yearOf(request), callerOf(request))),
  })
}

function addTile(app: App, steps: Steps, prefix: Prefix): void {
  const bytes = {
    description: 'Concatenated hashes of 32 bytes.',
    content: { 'application/octet-stream': { schema: { type: 'string', format: 'binary', description: 'The tile.' } } },
  }
  app.route({
    method: 'GET',
    url: `${prefix.url}/tile/*`,
    schema: {
      operationId: `findTile${prefix.suffix}`,
      summary: `A tile of ${prefix.of}`,
      description:
        'C2SP tlog-tiles, height 8: `tile/<level>/<index>[.p/<width>]`. A partial tile is served at the widths that signed trees had. Entry bundles are not served: which entries you see is a matter of scope.',
      tags,
      params: inPlace(prefix.suffix ? YearTilePath : TilePath),
      response: { 200: bytes, ...refusals },
    },
    handler: async (request, reply) => {
      const path = `tile/${(request.params as { '*': string })['*']}`
      const tile = await steps.findTile({ ...yearOf(request), path }, callerOf(request))
      // Full tiles never change. Private, because only a liaison may have them.
      if (tile.isFull) reply.header('cache-control', 'private, immutable, max-age=31536000')
      return reply.type('application/octet-stream').send(tile.bytes)
    },
  })
}

function addInclusion(app: App, steps: Steps, prefix: Prefix): void {
  app.route({
    method: 'GET',
    url: `${prefix.url}/proof/inclusion`,
    schema: {
      operationId: `proveInclusion${prefix.suffix}`,
      summary: `Prove that a leaf is in ${prefix.of}`,
      description: 'As JSON, or with `Accept: text/plain` as a C2SP tlog-proof, for sizes at which a checkpoint was signed.',
      tags,
      ...pathOf(prefix),
      querystring: inPlace(InclusionQuery),
      response: { 200: either(InclusionProof, 'A C2SP tlog-proof.'), ...refusals },
    },
    handler: async (request, reply) => {
      const asked = { ...yearOf(request), query: request.query as InclusionQuery }
      if (!wantsText(request)) return steps.proveInclusion(asked, callerOf(request))
      return reply.type(plain).send(await steps.proveInclusionAsText(asked, callerOf(request)))
    },
  })
}

function addConsistency(app: App, steps: Steps, prefix: Prefix): void {
  app.route({
    method: 'GET',
    url: `${prefix.url}/proof/consistency`,
    schema: {
      operationId: `proveConsistency${prefix.suffix}`,
      summary: `Prove that ${prefix.of} only grew`,
      description:
        'As JSON, or with `Accept: text/plain` in the form of a C2SP tlog-witness request (old size, path, newer checkpoint), for sizes at which a checkpoint was signed.',
      tags,
      ...pathOf(prefix),
      querystring: inPlace(ConsistencyQuery),
      response: { 200: either(ConsistencyProof, 'The body of a C2SP add-checkpoint request.'), ...refusals },
    },
    handler: async (request, reply) => {
      const asked = { ...yearOf(request), query: request.query as ConsistencyQuery }
      if (!wantsText(request)) return steps.proveConsistency(asked, callerOf(request))
      return reply.type(plain).send(await steps.proveConsistencyAsText(asked, callerOf(request)))
    },
  })
}

function either(schema: object, description: string) {
  const text = { schema: { type: 'string', description } }
  return { description, content: { 'application/json': { schema: refTo(schema) }, 'text/plain': text } }
}
