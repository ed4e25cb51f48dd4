// Answers what was refused: problem documents for everybody, signed ones for peers. Promises that no answer quotes the request, and that a
// signature that can't be made, or would be made for a flood, leaves an unsigned answer (which changes nothing at a peer but its timer).
import type { Socket } from 'node:net'
import type { FastifyReply } from 'fastify'
import { CrosslineError } from '#errors.ts'
import type { Logger } from '#log.ts'
import { type AnyRequest, callingOf } from './app.ts'
import { findPeerCertificate } from './peer-certificate.ts'
import { type Fault, readFault, renderProblem } from './problem.ts'
import type { RefusalFlood } from './refusal-flood.ts'
import type { Steps } from './steps-table.ts'

const federationPrefix = '/federation/'
const proofHeader = 'crossline-proof'

/** What an answer to a refused request works with. */
export interface ErrorAnswers {
  /** Answers any thrown value. */
  answer(error: unknown, request: AnyRequest, reply: FastifyReply): Promise<FastifyReply>
  /** Throws `rate_limited` while the certificate of a federation call has been refused too often. */
  requireQuiet(request: AnyRequest): void
}

export function makeErrorAnswers({ steps, flood, log }: { steps: Steps; flood: RefusalFlood; log: Logger }): ErrorAnswers {
  async function sign(fault: Fault, status: number, request: AnyRequest): Promise<string | undefined> {
    const proofs = proofsOf(request)
    try {
      return await steps.signError({
        code: fault.code,
        status,
        certificate: findPeerCertificate(request.raw.socket)?.der,
        proof: proofs.length === 1 ? proofs[0] : undefined,
        ...(fault.retryAfterS === undefined ? {} : { retryAfterS: fault.retryAfterS }),
      })
    } catch (error) {
      log.error({ err: error, trace: request.id }, 'an error could not be signed')
      return undefined
    }
  }

  async function answer(error: unknown, request: AnyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const fault = readFault(error)
    const problem = renderProblem(fault, request.id)
    callingOf(request).code = fault.code
    if (problem.status >= 500) log.error({ err: error, trace: request.id, code: fault.code }, 'a request failed')
    if (isRefusal(problem.status, request)) countRefusal(fault, request)
    // Under a flood of refusals nothing is signed; who was admitted, and is only to come again later, is told so.
    const isFlood = fault.code === 'rate_limited' && callingOf(request).call === undefined
    if (isFederation(request) && !isFlood) {
      const signed = await sign(fault, problem.status, request)
      if (signed !== undefined) reply.header('crossline-error', signed)
    }
    if (fault.retryAfterS !== undefined) reply.header('retry-after', String(fault.retryAfterS))
    setCommonHeaders(reply, request.id)
    return reply.code(problem.status).type('application/problem+json').send(JSON.stringify(problem))
  }

  function countRefusal({ code }: Fault, request: AnyRequest): void {
    const certificate = findPeerCertificate(request.raw.socket)
    // Asking in good order for what we don't hold is no attack: a receipt, the next root.
    const isHonest = code === 'not_found' && callingOf(request).call !== undefined
    if (isFederation(request) && certificate !== undefined && !isHonest) flood.count(certificate.fingerprint)
    steps.recordRefusal({ certificate: certificate?.der, code, trace: request.id })
  }

  function requireQuiet(request: AnyRequest): void {
    const waitS = flood.waitS(findPeerCertificate(request.raw.socket)?.fingerprint ?? '')
    if (waitS > 0) throw new CrosslineError('rate_limited', { retryAfterS: waitS })
  }

  return { answer, requireQuiet }
}

/** On every answer: the trace, and that nobody keeps a copy. */
export function setCommonHeaders(reply: FastifyReply, trace: string): void {
  reply.header('crossline-trace', trace).header('cache-control', 'no-store').header('x-content-type-options', 'nosniff')
}

export function isFederation(request: AnyRequest): boolean {
  return request.url.startsWith(federationPrefix)
}

/** Every `Crossline-Proof` line, in order. */
export function proofsOf(request: AnyRequest): string[] {
  return request.raw.headersDistinct[proofHeader] ?? []
}

// What the node itself could not do is no refusal, and a hotline system that mistypes a field is no security event.
function isRefusal(status: number, request: AnyRequest): boolean {
  return isFederation(request) ? status < 500 : status === 401 || status === 403
}

const parserAnswers: Record<string, string> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
}

/** Answers what is not HTTP, too large in its headers or too slow: the parser gave up, so there is no request to name and no signature. */
export function answerBrokenHttp(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const status = parserAnswers[error.code ?? ''] ?? '400 Bad Request'
  const code = status.startsWith('431') ? 'too_large' : 'malformed_request'
  const body = JSON.stringify({
    type: `urn:crossline:problem:${code}`,
    code,
    status: Number(status.slice(0, 3)),
    title: status.slice(4),
  })
  const head = [
    `HTTP/1.1 ${status}`,
    'Content-Type: application/problem+json',
    `Content-Length: ${body.length}`,
    'Cache-Control: no-store',
    'Connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy())
}
