// The types that the HTTP side shares, and what one request carries from its guard to its handler.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Server } from 'node:https'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { AdmittedCall, ApiClient } from '#steps/context.ts'
import type { PeerCertificate } from './peer-certificate.ts'

export type App = FastifyInstance<Server, IncomingMessage, ServerResponse, FastifyBaseLogger, TypeBoxTypeProvider>

/** The part of a request that is read here, whatever the types of its route are. */
export interface AnyRequest {
  id: string
  method: string
  url: string
  raw: IncomingMessage
}

/** Who calls, as far as it is known at the moment. */
export interface Calling {
  certificate?: PeerCertificate
  /** Set by the guard of the hotline, audit and operations routes. */
  client?: ApiClient
  /** Set by the guard of the federation routes. */
  member?: string
  call?: AdmittedCall
  /** Code of the problem that was answered. */
  code?: string
}

// Not a decorator of fastify's: a request whose URL could not be read has none.
const callings = new WeakMap<IncomingMessage, Calling>()

/** What is known of the caller of this request; made when first asked for. */
export function callingOf({ raw }: AnyRequest): Calling {
  const known = callings.get(raw)
  if (known !== undefined) return known
  const fresh: Calling = {}
  callings.set(raw, fresh)
  return fresh
}
