// Reads certificates, own and foreign, with OpenSSL's parser only (node:crypto): strangers' DER never meets node-forge.
import { X509Certificate } from 'node:crypto'
import { isMemberId } from '#domain/exact-forms.ts'
import { digest } from './digests.ts'

const memberUrn = 'urn:crossline:member:'
const dayMs = 24 * 3600 * 1000

/** SHA-256 of the DER, base64url: the one form of a fingerprint here (`x5t#S256`). Throws when it is no certificate. */
export function fingerprintOf(certificate: X509Certificate | Uint8Array | string): string {
  return digest((certificate instanceof X509Certificate ? certificate : new X509Certificate(certificate)).raw)
}

/** The member that a certificate was issued to: its one SAN URI `urn:crossline:member:<id>`; undefined for none, two, or any odd form. */
export function memberOfCertificate(certificate: X509Certificate): string | undefined {
  const named = uriNamesOf(certificate).filter((uri) => uri.toLowerCase().includes(memberUrn))
  const id = named[0]?.slice(memberUrn.length)
  return named.length === 1 && named[0]?.startsWith(memberUrn) && isMemberId(id) ? id : undefined
}

/** When a certificate counts. */
export function validityOf(certificate: X509Certificate): { notBefore: Date; notAfter: Date } {
  return { notBefore: certificate.validFromDate, notAfter: certificate.validToDate }
}

/** Whole days until a certificate ends; negative once it is over. */
export function daysLeft(certificate: X509Certificate, now: Date): number {
  return Math.floor((validityOf(certificate).notAfter.getTime() - now.getTime()) / dayMs)
}

// Node quotes a name as JSON as soon as it holds a comma, a quote or anything unusual (CVE-2021-44532), so a name that looks like two
// stays one. What does not read as such a list to its end has no names at all.
const namePattern = /([A-Za-z0-9 ]+):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y

function uriNamesOf({ subjectAltName = '' }: X509Certificate): string[] {
  const names: string[] = []
  namePattern.lastIndex = 0
  while (namePattern.lastIndex < subjectAltName.length) {
    const match = namePattern.exec(subjectAltName)
    if (!match) return []
    const [, type, text = ''] = match
    // A quoted name keeps its quotes: it holds a character that no urn of ours has, and so matches none.
    if (type === 'URI') names.push(text)
  }
  return names
}
