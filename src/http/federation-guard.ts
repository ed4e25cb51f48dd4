// What every federation call passes before its handler: form of the call, then who calls and with what proof (both before the body is read),
// then whether the body is the one that was signed. The order is protocol.md's, cheap first.
import type { FastifyReply, FastifyRequest } from 'fastify'
import { CrosslineError } from '#errors.ts'
import type { AdmittedCall } from '#steps/context.ts'
import { callingOf } from './app.ts'
import { proofsOf } from './error-answers.ts'
import type { Steps } from './steps-table.ts'

const noBytes = Buffer.alloc(0)

/** No call takes a query, and a GET no body. Throws `malformed_request`. */
export async function requireBareCall(request: FastifyRequest): Promise<void> {
  if (request.url.includes('?')) throw new CrosslineError('malformed_request', { detail: 'No call takes a query.' })
  const { 'content-length': length = '0', 'transfer-encoding': transfer } = request.headers
  if (request.method === 'GET' && (length !== '0' || transfer !== undefined)) {
    throw new CrosslineError('malformed_request', { detail: 'This call takes no body.' })
  }
}

/** An onRequest hook: the certificate and every check of the proof that needs no body. Times count from when the hook is reached. */
export function admit(steps: Steps, { withRoot, now }: { withRoot: boolean; now: () => Date }) {
  return async function guard(request: FastifyRequest, reply: Pick<FastifyReply, 'header'>): Promise<void> {
    const calling = callingOf(request)
    calling.call = await steps.admitCall({
      certificate: calling.certificate?.der,
      proofs: proofsOf(request),
      method: request.method,
      path: request.url,
      arrivedAt: now(),
      withRoot,
      trace: request.id,
    })
    calling.member = calling.call.member
    const { newerDirectory } = calling.call
    if (newerDirectory !== undefined) reply.header('crossline-directory', newerDirectory)
  }
}

/** A preValidation hook: the bytes are the signed ones, before anything in them is read. */
export function checkSignedBody(steps: Steps) {
  return async function check(request: FastifyRequest): Promise<void> {
    steps.checkBody(callOf(request), bytesOf(request))
  }
}

/** The call of a request that the guard let pass. */
export function callOf(request: FastifyRequest): AdmittedCall {
  const { call } = callingOf(request)
  if (call === undefined) throw new CrosslineError('internal')
  return call
}

/** The body as sent. */
export function bytesOf(request: FastifyRequest): Buffer {
  return Buffer.isBuffer(request.body) ? request.body : noBytes
}

/** Whether the body is compressed. Throws `unsupported_encoding` for anything but gzip or none. */
export function isGzip(request: FastifyRequest): boolean {
  const encoding = request.headers['content-encoding']?.toLowerCase() ?? 'identity'
  if (encoding !== 'gzip' && encoding !== 'identity') throw new CrosslineError('unsupported_encoding')
  return encoding === 'gzip'
}
