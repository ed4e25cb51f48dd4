// The certificate of the socket that a request came on. Promises a check of its validity times on every request: TLS does not look at the
// chain again on a resumed session, nor on a connection that outlives the certificate (protocol.md, "TLS").
import { hash, type X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { CrosslineError } from '#errors.ts'

export interface PeerCertificate {
  der: Buffer
  /** base64url SHA-256 of the DER. */
  fingerprint: string
  validFromMs: number
  validToMs: number
}

const read = new WeakMap<Socket, PeerCertificate>()

/** The certificate that the other side proved to hold; undefined without TLS or without a certificate. Read once for each socket. */
export function findPeerCertificate(socket: Socket): PeerCertificate | undefined {
  const known = read.get(socket)
  if (known !== undefined || !(socket instanceof TLSSocket)) return known
  const certificate = socket.getPeerX509Certificate()
  if (certificate === undefined) return undefined
  const facts = factsOf(certificate)
  read.set(socket, facts)
  return facts
}

/** Throws `unknown_client` or, on a federation call, `not_a_member` when there is no certificate or its time has not come or is over. */
export function requireCertificate(socket: Socket, { now, federation }: { now: Date; federation: boolean }): PeerCertificate {
  const certificate = findPeerCertificate(socket)
  if (certificate !== undefined && certificate.validFromMs <= now.getTime() && now.getTime() < certificate.validToMs)
    return certificate
  throw new CrosslineError(federation ? 'not_a_member' : 'unknown_client', { detail: 'Present a certificate that is valid now.' })
}

function factsOf(certificate: X509Certificate): PeerCertificate {
  return {
    der: certificate.raw,
    fingerprint: hash('sha256', certificate.raw, 'base64url'),
    validFromMs: certificate.validFromDate.getTime(),
    validToMs: certificate.validToDate.getTime(),
  }
}
