// How bodies and queries are read before the schema sees them: I-JSON only, nothing coerced, nothing dropped, nothing filled in.
import type { FastifyRequest } from 'fastify'
import { CrosslineError } from '#errors.ts'
import type { App } from './app.ts'
import type { Steps } from './steps-table.ts'

/** Reads `application/json` as I-JSON; an empty body is refused by name. */
export function addJsonParser(app: App, steps: Pick<Steps, 'parseJson'>): void {
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, async (_request: FastifyRequest, body: Buffer) => {
    if (body.length === 0) throw new CrosslineError('malformed_request', { detail: 'The body is empty.' })
    return steps.parseJson(body)
  })
}

/** A query holds text only: turns a decimal `limit` into the number that its schema asks for. Anything else is left for the schema to refuse. */
export async function readLimit(request: FastifyRequest): Promise<void> {
  const query = request.query as Record<string, unknown>
  if (typeof query['limit'] === 'string' && /^[1-9]\d{0,5}$/.test(query['limit'])) query['limit'] = Number(query['limit'])
}
