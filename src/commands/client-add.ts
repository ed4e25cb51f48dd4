// `crossline client add`: issues a client certificate (or takes one that exists) and registers its fingerprint with a role.
import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Environment } from '#config.ts'
import { bundleForBrowser, issueIdentity, readAuthority } from '#crypto/certificate-authority.ts'
import { fingerprintOf } from '#crypto/certificates.ts'
import { readSecretFile } from '#crypto/secret-file.ts'
import { isCountry } from '#domain/countries.ts'
import { CrosslineError } from '#errors.ts'
import { registerClient } from '#steps/register-client.ts'
import { withRegistry } from './client-registry.ts'
import { authorityFiles } from './dev-files.ts'
import { writeNew } from './write-new.ts'

export interface NewClient {
  role: 'hotline' | 'liaison' | 'operator'
  name: string
  country?: string[]
  networkWide: boolean
  out: string
  /** Folder of `certs dev` whose authority issues. */
  ca: string
  /** Registers this certificate instead. */
  certificate?: string
  password: string
}

/** Issues and registers, or does neither: no file stays of a certificate that could not be registered. */
export async function addClient(env: Environment, client: NewClient): Promise<string> {
  checkClient(client)
  if (client.certificate !== undefined) return register(env, client, await readCertificate(client.certificate))
  const { certificate, undo } = await issue(env, client)
  try {
    return await register(env, client, certificate)
  } catch (error) {
    await undo()
    throw error
  }
}

async function register(env: Environment, client: NewClient, certificate: X509Certificate): Promise<string> {
  const fingerprint = fingerprintOf(certificate)
  const result = await withRegistry(env, (ctx) =>
    registerClient(ctx, {
      fingerprint,
      role: client.role,
      name: client.name,
      countries: client.country ?? [],
      network_wide: client.networkWide,
    }),
  )
  if (result === 'revoked')
    throw new CrosslineError('invalid_config', { detail: 'This certificate was revoked: issue another one.' })
  return result === 'added'
    ? `registered ${client.name} as ${client.role}; fingerprint ${fingerprint}`
    : `this certificate is registered already; fingerprint ${fingerprint}`
}

function checkClient({ name, role, country = [], networkWide }: NewClient): void {
  if (!/^[a-z0-9][a-z0-9-]{0,39}$/.test(name))
    throw new CrosslineError('invalid_config', { detail: '--name must be 1 to 40 of a-z, 0-9 and -.' })
  if (!country.every(isCountry))
    throw new CrosslineError('invalid_config', {
      detail: '--country takes ISO 3166-1 alpha-2 codes of countries, upper case: GB, not UK.',
    })
  if (role === 'liaison' && country.length === 0 && !networkWide) {
    throw new CrosslineError('invalid_config', {
      detail: 'A liaison needs --country or --network-wide: without either it would see nothing.',
    })
  }
  if (role !== 'liaison' && (country.length > 0 || networkWide))
    throw new CrosslineError('invalid_config', { detail: '--country and --network-wide belong to liaisons.' })
}

async function readCertificate(path: string): Promise<X509Certificate> {
  try {
    return new X509Certificate(await readFile(path))
  } catch (cause) {
    throw new CrosslineError('broken_file', { detail: '--certificate names no readable certificate.', cause })
  }
}

interface Issued {
  certificate: X509Certificate
  /** Takes its files away again. */
  undo: () => Promise<void>
}

async function issue(env: Environment, { name, role, out, ca, password }: NewClient): Promise<Issued> {
  const member = env.MEMBER_ID?.trim()
  if (!member) throw new CrosslineError('invalid_config', { detail: 'MEMBER_ID is missing: the certificate names the member.' })
  const authorityPem = await readFile(authorityFiles(ca).certificate, 'utf8').catch((cause: unknown) => {
    throw new CrosslineError('invalid_config', { detail: '--ca names no folder of `crossline certs dev`.', cause })
  })
  const authority = readAuthority({ certificatePem: authorityPem, privateKeyPem: await readSecretFile(authorityFiles(ca).key) })
  const label = name === role ? role : `${role}-${name}`
  const { certificatePem, privateKeyPem } = await issueIdentity(authority, { kind: 'client', member, label, days: 397 })
  const p12 = bundleForBrowser({
    certificatePem,
    privateKeyPem,
    authorityPem,
    password,
    friendlyName: `Crossline ${member} ${name}`,
  })
  const undo = await writeNew([
    { path: join(out, `${name}.pem`), content: certificatePem, mode: 0o644 },
    { path: join(out, `${name}.key`), content: privateKeyPem, mode: 0o600 },
    { path: join(out, `${name}.p12`), content: p12, mode: 0o600 },
  ])
  return { certificate: new X509Certificate(certificatePem), undo }
}
