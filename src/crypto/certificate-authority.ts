// Issues certificates: the authority of a network's office, or of a developer's machine. node-forge writes them, node:crypto makes the
// keys and signs; nothing here decides trust (that is OpenSSL's verification and the directory's fingerprints).
import { createPrivateKey, generateKeyPair, type KeyObject, randomBytes, sign, X509Certificate } from 'node:crypto'
import { promisify } from 'node:util'
import forge from 'node-forge'
import { fingerprintOf, validityOf } from './certificates.ts'

const makeKeyPair = promisify(generateKeyPair)
const dayMs = 24 * 3600 * 1000
/** Certificates start a little in the past: a peer's clock may be slow. */
const startedBeforeMs = 10 * 60 * 1000

/** Who signs: its certificate, and its key, which never leaves node:crypto. */
export interface Authority {
  certificatePem: string
  key: KeyObject
}

/** A private key (PKCS#8) and the public half (SPKI), PEM. */
export interface TlsKeyPair {
  privateKeyPem: string
  publicKeyPem: string
}

/** An issued certificate. */
export interface IssuedCertificate {
  certificatePem: string
  /** SHA-256 of the DER, base64url. */
  fingerprint: string
  notBefore: Date
  notAfter: Date
}

/** node: serves and calls peers; client: a hotline system, liaison or operator; officer: a person of the network office. */
export type CertificateKind = 'node' | 'client' | 'officer'

export interface CertificateRequest {
  kind: CertificateKind
  /** The member whose node or client it is. An officer's is the office's. */
  member: string
  /** Role of a client or name of an officer: part of the subject and of the URI. A node has none. */
  label?: string
  dnsNames?: readonly string[]
  ipAddresses?: readonly string[]
  /** Days from `now` until it ends. Ignored when `notAfter` is given. */
  days: number
  now?: Date
  /** Given for a certificate of another time, such as an expired one for a test. */
  notBefore?: Date
  notAfter?: Date
}

/** Makes an RSA key pair in OpenSSL's threads: several at once do not block the process. */
export async function generateTlsKey(bits: 2048 | 3072 = 2048): Promise<TlsKeyPair> {
  const { privateKey, publicKey } = await makeKeyPair('rsa', { modulusLength: bits })
  return {
    privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicKeyPem: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  }
}

/** A new authority with an RSA-3072 key, its own root, which may sign end entities only. Its key comes along for keeping (PKCS#8 PEM). */
export async function createAuthority({ name, days = 3650, now = new Date() }: { name: string; days?: number; now?: Date }) {
  const { privateKeyPem, publicKeyPem } = await generateTlsKey(3072)
  const key = createPrivateKey(privateKeyPem)
  const certificate = draft(publicKeyPem, {
    notBefore: new Date(now.getTime() - startedBeforeMs),
    notAfter: daysAfter(now, days),
  })
  certificate.setSubject(subject(name))
  certificate.setIssuer(subject(name))
  certificate.setExtensions([
    { name: 'basicConstraints', critical: true, cA: true, pathLenConstraint: 0 },
    { name: 'keyUsage', critical: true, keyCertSign: true, cRLSign: true },
    { name: 'subjectKeyIdentifier' },
  ])
  return { certificatePem: signWith(certificate, key), key, privateKeyPem }
}

/** An authority as kept on disk. Throws when either is not readable as what it should be. */
export function readAuthority({ certificatePem, privateKeyPem }: { certificatePem: string; privateKeyPem: string }): Authority {
  return { certificatePem, key: createPrivateKey(privateKeyPem) }
}

/**
 * Issues a certificate for an RSA public key (SPKI PEM). A node's names its member (`urn:crossline:member:<id>`); a client's or an
 * officer's names the client or officer instead, so that neither can ever stand as a node.
 */
export function issueCertificate(authority: Authority, publicKeyPem: string, request: CertificateRequest): IssuedCertificate {
  const { now = new Date(), days } = request
  const { notAfter = daysAfter(now, days) } = request
  const { notBefore = new Date(Math.min(now.getTime(), notAfter.getTime() - dayMs) - startedBeforeMs) } = request
  const issuer = forge.pki.certificateFromPem(authority.certificatePem)
  const certificate = draft(publicKeyPem, { notBefore, notAfter })
  certificate.setSubject(subject(request.label === undefined ? request.member : `${request.member} ${request.label}`))
  certificate.setIssuer(issuer.subject.attributes)
  certificate.setExtensions(extensionsOf(request, issuer))
  const certificatePem = signWith(certificate, authority.key)
  const issued = new X509Certificate(certificatePem)
  return { certificatePem, fingerprint: fingerprintOf(issued), ...validityOf(issued) }
}

/** A new key and its certificate in one. */
export async function issueIdentity(authority: Authority, request: CertificateRequest) {
  const keys = await generateTlsKey()
  return { ...issueCertificate(authority, keys.publicKeyPem, request), privateKeyPem: keys.privateKeyPem }
}

/** A PKCS#12 file for a browser or a system's key store: key, certificate and authority, AES-256 under a password. */
export function bundleForBrowser(bundle: {
  certificatePem: string
  privateKeyPem: string
  authorityPem: string
  password: string
  friendlyName: string
}): Buffer {
  const pkcs12 = forge.pkcs12.toPkcs12Asn1(
    forge.pki.privateKeyFromPem(bundle.privateKeyPem),
    [forge.pki.certificateFromPem(bundle.certificatePem), forge.pki.certificateFromPem(bundle.authorityPem)],
    bundle.password,
    { algorithm: 'aes256', friendlyName: bundle.friendlyName, generateLocalKeyId: true },
  )
  return Buffer.from(forge.asn1.toDer(pkcs12).getBytes(), 'latin1')
}

function draft(publicKeyPem: string, { notBefore, notAfter }: { notBefore: Date; notAfter: Date }): forge.pki.Certificate {
  const certificate = forge.pki.createCertificate()
  certificate.publicKey = forge.pki.publicKeyFromPem(publicKeyPem)
  certificate.serialNumber = randomSerial()
  certificate.validity.notBefore = notBefore
  certificate.validity.notAfter = notAfter
  return certificate
}

/** 128 random bits, positive and of full length (RFC 5280, 4.1.2.2). */
function randomSerial(): string {
  const bytes = randomBytes(16)
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40
  return bytes.toString('hex')
}

function subject(commonName: string): forge.pki.CertificateField[] {
  return [
    { name: 'organizationName', value: 'Crossline' },
    { name: 'commonName', value: commonName, valueTagClass: forge.asn1.Type.UTF8 as unknown as forge.asn1.Class },
  ]
}

function extensionsOf(request: CertificateRequest, issuer: forge.pki.Certificate): object[] {
  return [
    { name: 'basicConstraints', critical: true, cA: false },
    { name: 'keyUsage', critical: true, digitalSignature: true },
    // A node is server to some peers and client to others.
    { name: 'extKeyUsage', clientAuth: true, ...(request.kind === 'node' ? { serverAuth: true } : {}) },
    { name: 'subjectAltName', altNames: alternativeNames(request) },
    { name: 'subjectKeyIdentifier' },
    { name: 'authorityKeyIdentifier', keyIdentifier: issuer.generateSubjectKeyIdentifier().getBytes() },
  ]
}

function alternativeNames({ kind, member, label, dnsNames = [], ipAddresses = [] }: CertificateRequest): object[] {
  const uri = `urn:crossline:${kind === 'node' ? 'member' : kind}:${member}${label === undefined ? '' : `:${label}`}`
  return [
    { type: 6, value: uri },
    ...dnsNames.map((value) => ({ type: 2, value })),
    ...ipAddresses.map((ip) => ({ type: 7, ip })),
  ]
}

/** Lets node:crypto sign what forge wrote: 50 times faster than forge, and the key stays where it is. */
function signWith(certificate: forge.pki.Certificate, key: KeyObject): string {
  const signer = {
    sign: () => sign('sha256', Buffer.from(tbsBytes(certificate), 'latin1'), key).toString('latin1'),
  }
  certificate.sign(signer as unknown as forge.pki.rsa.PrivateKey, forge.md.sha256.create())
  return forge.pki.certificateToPem(certificate).replaceAll('\r\n', '\n')
}

// forge fills in what is to be signed before it calls the key.
function tbsBytes(certificate: forge.pki.Certificate): string {
  return forge.asn1.toDer(certificate.tbsCertificate as forge.asn1.Asn1).getBytes()
}

function daysAfter(now: Date, days: number): Date {
  return new Date(now.getTime() + days * dayMs)
}
