// `crossline certs dev`: an authority, certificates and keys for a network on one machine. A second run keeps what is there and
// re-issues only what ends within 30 days or no longer fits. Never for production: certs-dev/README.md says what each file is for.
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { isIP } from 'node:net'
import { join } from 'node:path'
import {
  type Authority,
  bundleForBrowser,
  type CertificateRequest,
  createAuthority,
  generateTlsKey,
  issueCertificate,
  readAuthority,
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
  const [certificatePem, privateKeyPem] = await Promise.all([readIfThere(files.certificate), readIfThere(files.key)])
  if (certificatePem && privateKeyPem && isGood(certificatePem, privateKeyPem, now))
    return readAuthority({ certificatePem, privateKeyPem })
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
  await Promise.all([ensureSigningKey(files.sign), ensureSigningKey(files.encrypt), ensureAuditKey(files.audit)])
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
  const [certificatePem, key] = await Promise.all([readIfThere(files.certificate), readIfThere(files.key)])
  if (certificatePem && key && isFitting({ certificatePem, key, request, workshop })) {
    if (files.p12 && !(await readIfThere(files.p12))) await writeBundle(files.p12, { certificatePem, key, request, workshop })
    return []
  }
  const kept = key ?? (await generateTlsKey()).privateKeyPem
  const issued = issueCertificate(workshop.authority, publicHalf(kept), { ...request, now: workshop.now })
  await writeWhole(files.key, kept, 0o600)
  await writeWhole(files.certificate, issued.certificatePem, 0o644)
  if (files.p12) await writeBundle(files.p12, { certificatePem: issued.certificatePem, key: kept, request, workshop })
  return [files.certificate]
}

async function writeBundle(path: string, { certificatePem, key, request, workshop }: Fit): Promise<void> {
  const friendlyName = [request.member, request.label].join(' ')
  const { authority, password } = workshop
  const bundle = { certificatePem, privateKeyPem: key, authorityPem: authority.certificatePem, password, friendlyName }
  await writeWhole(path, bundleForBrowser(bundle), 0o600)
}

interface Fit {
  certificatePem: string
  key: string
  request: CertificateRequest
  workshop: Workshop
}

/** Whether a kept certificate is good, of this authority, and names every host that it must name. */
function isFitting({ certificatePem, key, request, workshop }: Fit): boolean {
  if (!isGood(certificatePem, key, workshop.now)) return false
  const certificate = new X509Certificate(certificatePem)
  const authority = new X509Certificate(workshop.authority.certificatePem)
  return (
    certificate.checkIssued(authority) &&
    certificate.verify(authority.publicKey) &&
    (request.dnsNames ?? []).every((name) => certificate.checkHost(name) !== undefined) &&
    (request.ipAddresses ?? []).every((address) => certificate.checkIP(address) !== undefined)
  )
}

function isGood(certificatePem: string, privateKeyPem: string, now: Date): boolean {
  const certificate = new X509Certificate(certificatePem)
  return certificate.checkPrivateKey(createPrivateKey(privateKeyPem)) && daysLeft(certificate, now) >= renewBeforeDays
}

function publicHalf(privateKeyPem: string): string {
  return createPublicKey(privateKeyPem).export({ type: 'spki', format: 'pem' }).toString()
}

async function ensureSigningKey(path: string): Promise<string[]> {
  if ((await readIfThere(path)) === undefined) await createSecretFile(path, await generateSigningKey())
  return []
}

async function ensureAuditKey(path: string): Promise<void> {
  if ((await readIfThere(path)) === undefined) await createSecretFile(path, await generateAuditKey())
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'latin1')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new CrosslineError('broken_file', { detail: 'A file of the development certificates cannot be read', cause })
  }
}
