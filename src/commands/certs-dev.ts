// `crossline certs dev`: an authority, certificates and keys for a network on one machine. A second run keeps what is there and
// re-issues only what ends within 30 days or no longer fits. Never for production: certs-dev/README.md says what each file is for.
import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { isIP } from 'node:net'
import { basename, join } from 'node:path'
import { auditKeyFile } from '#crypto/audit-keys.ts'
import {
  type Authority,
  bundleForBrowser,
  type CertificateRequest,
  createAuthority,
  generateTlsKey,
  issueCertificate,
} from '#crypto/certificate-authority.ts'
import { daysLeft } from '#crypto/certificates.ts'
import { generateAuditKey, generateSigningKey } from '#crypto/keys.ts'
import { createSecretFile } from '#crypto/secret-file.ts'
import { isMemberId } from '#domain/exact-forms.ts'
import { CrosslineError } from '#errors.ts'
import {
  authorityFiles,
  clientRoles,
  type IdentityFiles,
  memberFiles,
  officerFiles,
  officerNames,
  pulseKeyFile,
} from './dev-files.ts'
import { writeWhole } from './write-whole.ts'

/** A member of a development network. */
export interface DevelopmentMember {
  id: string
  name: string
  countries: readonly string[]
  /** Host names and addresses under which its node answers. */
  hosts: readonly string[]
}

const loopback = ['localhost', '127.0.0.1', '::1']

/** The network of the demo: three hotlines, one suspended, and a member without a node. */
export const developmentMembers: readonly DevelopmentMember[] = [
  { id: 'hotline-gb', name: 'Hotline of the United Kingdom (demo)', countries: ['GB'], hosts: loopback },
  { id: 'hotline-se', name: 'Hotline of Sweden (demo)', countries: ['SE'], hosts: loopback },
  { id: 'hotline-jp', name: 'Hotline of Japan (demo)', countries: ['JP'], hosts: loopback },
  { id: 'hotline-us', name: 'Hotline of the United States (demo)', countries: ['US'], hosts: loopback },
  { id: 'lab', name: 'Integration laboratory (demo)', countries: ['PH'], hosts: loopback },
]

const leafDays = 397
const renewBeforeDays = 30

export interface DevelopmentRequest {
  folder: string
  members?: readonly DevelopmentMember[]
  /** Password of the .p12 files. */
  password?: string
  /** Makes everything anew: nodes, directory and browsers must then take the new files. */
  force?: boolean
  now?: Date
}

interface Workshop {
  authority: Authority
  password: string
  now: Date
}

/** Makes or completes the files below `folder`. Answers the certificates that it issued now, as paths; keys are only ever added. */
export async function makeDevelopmentCertificates(request: DevelopmentRequest): Promise<{ issued: string[] }> {
  const { folder, members = developmentMembers, password = 'crossline', force = false, now = new Date() } = request
  if (!members.every(({ id }) => isMemberId(id)))
    throw new CrosslineError('invalid_config', { detail: 'A member id has the wrong form' })
  if (force) await removeAll(folder)
  const authority = await ensureAuthority(folder, now)
  const workshop = { authority, password, now }
  const issued = await Promise.all([
    ...officerNames.map((name) => ensureOfficer(folder, name, workshop)),
    ...members.map((member) => ensureMember(folder, member, workshop)),
    ensureSigningKey(pulseKeyFile(folder)),
  ])
  return { issued: issued.flat() }
}

async function removeAll(folder: string): Promise<void> {
  for (const part of ['authority', 'office', 'members']) await rm(join(folder, part), { recursive: true, force: true })
}

async function ensureAuthority(folder: string, now: Date): Promise<Authority> {
  const files = authorityFiles(folder)
  const [certificate, key] = await Promise.all([findCertificate(files.certificate), findKey(files.key)])
  if (certificate && key && isGood(certificate, key, now)) return { certificatePem: certificate.toString(), key }
  const made = await createAuthority({ name: 'Crossline development authority', now })
  // The key first: killed in between, the pair does not match and is made again.
  await writeWhole(files.key, made.privateKeyPem, 0o600)
  await writeWhole(files.certificate, made.certificatePem, 0o644)
  return made
}

async function ensureOfficer(folder: string, name: string, workshop: Workshop): Promise<string[]> {
  const files = officerFiles(folder, name)
  await ensureSigningKey(files.sign)
  return ensureIdentity(files.identity, { kind: 'officer', member: 'office', label: name, days: leafDays }, workshop)
}

async function ensureMember(folder: string, { id, hosts }: DevelopmentMember, workshop: Workshop): Promise<string[]> {
  const files = memberFiles(folder, id)
  const dnsNames = hosts.filter((host) => isIP(host) === 0)
  const ipAddresses = hosts.filter((host) => isIP(host) !== 0)
  await Promise.all([ensureSigningKey(files.sign), ensureSigningKey(files.encrypt), ensureAuditKeys(files.audit, workshop.now)])
  const issued = await Promise.all([
    ensureIdentity(files.node, { kind: 'node', member: id, dnsNames, ipAddresses, days: leafDays }, workshop),
    ...clientRoles.map((role) =>
      ensureIdentity(files.clients[role], { kind: 'client', member: id, label: role, days: leafDays }, workshop),
    ),
  ])
  return issued.flat()
}

/** Keeps or issues one identity, and its bundle for a browser; answers the path of the certificate if it was issued now. */
async function ensureIdentity(files: IdentityFiles, request: CertificateRequest, workshop: Workshop): Promise<string[]> {
  const [certificate, found] = await Promise.all([findCertificate(files.certificate), findKey(files.key)])
  if (certificate && found && isFitting({ certificate, key: found, request, workshop })) {
    if (files.p12 && !(await isThere(files.p12))) await writeBundle(files.p12, { certificate, key: found, request, workshop })
    return []
  }
  const key = found ?? createPrivateKey((await generateTlsKey()).privateKeyPem)
  const { certificatePem } = issueCertificate(workshop.authority, publicHalf(key), { ...request, now: workshop.now })
  await writeWhole(files.key, privatePem(key), 0o600)
  await writeWhole(files.certificate, certificatePem, 0o644)
  if (files.p12) await writeBundle(files.p12, { certificate: new X509Certificate(certificatePem), key, request, workshop })
  return [files.certificate]
}

interface Identity {
  certificate: X509Certificate
  key: KeyObject
  request: CertificateRequest
  workshop: Workshop
}

async function writeBundle(path: string, { certificate, key, request, workshop }: Identity): Promise<void> {
  const bundle = bundleForBrowser({
    certificatePem: certificate.toString(),
    privateKeyPem: privatePem(key),
    authorityPem: workshop.authority.certificatePem,
    password: workshop.password,
    friendlyName: [request.member, request.label].join(' '),
  })
  await writeWhole(path, bundle, 0o600)
}

/** Whether a kept certificate is good, of this authority, and names every host that it must name. */
function isFitting({ certificate, key, request, workshop }: Identity): boolean {
  const authority = new X509Certificate(workshop.authority.certificatePem)
  return (
    isGood(certificate, key, workshop.now) &&
    certificate.checkIssued(authority) &&
    certificate.verify(authority.publicKey) &&
    (request.dnsNames ?? []).every((name) => certificate.checkHost(name) !== undefined) &&
    (request.ipAddresses ?? []).every((address) => certificate.checkIP(address) !== undefined)
  )
}

function isGood(certificate: X509Certificate, key: KeyObject, now: Date): boolean {
  return certificate.checkPrivateKey(key) && daysLeft(certificate, now) >= renewBeforeDays
}

function privatePem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString()
}

function publicHalf(key: KeyObject): string {
  return createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString()
}

async function ensureSigningKey(path: string): Promise<string[]> {
  if (!(await isThere(path))) await createSecretFile(path, await generateSigningKey())
  return []
}

/** This year's and the next one's: a network that is made in December still runs in January. */
async function ensureAuditKeys(path: string, now: Date): Promise<void> {
  const year = now.getUTCFullYear()
  for (const file of [auditKeyFile(path, year), auditKeyFile(path, year + 1)])
    if (!(await isThere(file))) await createSecretFile(file, await generateAuditKey())
}

async function isThere(path: string): Promise<boolean> {
  return (await findFile(path, (bytes) => bytes)) !== undefined
}

async function findCertificate(path: string): Promise<X509Certificate | undefined> {
  return findFile(path, (bytes) => new X509Certificate(bytes))
}

async function findKey(path: string): Promise<KeyObject | undefined> {
  return findFile(path, (bytes) => createPrivateKey(bytes))
}

async function findFile<T>(path: string, parse: (bytes: Buffer) => T): Promise<T | undefined> {
  try {
    return parse(await readFile(path))
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new CrosslineError('broken_file', {
      detail: `${basename(path)} cannot be read; run again with --force to make all anew`,
      cause,
    })
  }
}
