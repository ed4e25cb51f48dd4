// Who may call what on the routes for people's systems: the certificate is looked up again for every request, so a client that was removed is
// refused at its next one. A peer's certificate is no client's, and the other way round.
import type { FastifyRequest } from 'fastify'
import { CrosslineError } from '#errors.ts'
import type { ApiClient, Caller } from '#steps/context.ts'
import { callingOf } from './app.ts'
import type { Steps } from './steps-table.ts'

type Role = ApiClient['role']

/** An onRequest hook. Throws `unknown_client` or `role_forbidden`; afterwards `callerOf` knows the client. */
export function requireRole(steps: Steps, ...roles: Role[]) {
  return async function guard(request: FastifyRequest): Promise<void> {
    const calling = callingOf(request)
    const client = calling.certificate && (await steps.findClient(calling.certificate.fingerprint))
    if (client === undefined)
      throw new CrosslineError('unknown_client', { detail: 'Ask the operator of this node to register it.' })
    calling.client = client
    if (!roles.includes(client.role)) throw new CrosslineError('role_forbidden')
  }
}

/** Bodies of these routes come as they are: only federation batches may be compressed. Throws `unsupported_encoding`. */
export async function refuseEncoding(request: FastifyRequest): Promise<void> {
  const encoding = request.headers['content-encoding']
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') throw new CrosslineError('unsupported_encoding')
}

/** The caller of a request that the guard let pass. */
export function callerOf(request: FastifyRequest): Caller {
  const { client } = callingOf(request)
  if (client === undefined) throw new CrosslineError('internal')
  const key = request.headers['idempotency-key']
  return { client, trace: request.id, ...(typeof key === 'string' ? { idempotencyKey: key } : {}) }
}
