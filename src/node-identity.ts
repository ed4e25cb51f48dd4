// This node's certificate and keys: read at start, and again when a file changes.
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { type Config, nameSetting } from '#config.ts'
import { type AuditKeys, findAuditKeyFiles, readAuditKeys } from '#crypto/audit-keys.ts'
import { fingerprintOf } from '#crypto/certificates.ts'
import { readSigningKey, type SigningKey } from '#crypto/keys.ts'
import { readSecretFile } from '#crypto/secret-file.ts'
import { CrosslineError } from '#errors.ts'
import type { Server, TlsFiles } from '#http/server.ts'
import type { Logger } from '#log.ts'
import type { StepContext } from '#steps/context.ts'
import { startLoop } from '#workers/loop.ts'

type IdentityConfig = Pick<Config, 'tls' | 'signingKey' | 'auditKey'>

export interface Identity {
  tls: TlsFiles
  signingKey: SigningKey
  auditKeys: AuditKeys
  certificate: X509Certificate
  /** base64url SHA-256 of our certificate. */
  fingerprint: string
}

/** Reads this node's certificate and keys. Throws `invalid_config` or `broken_file`. */
export async function openIdentity(config: IdentityConfig): Promise<Identity> {
  const [ca, cert, key, signingKey, auditKeys] = await Promise.all([
    readPem(config.tls.authorities, 'TLS_CA'),
    readPem(config.tls.certificate, 'TLS_CERT'),
    nameSetting('TLS_KEY', readSecretFile(config.tls.key)),
    nameSetting('SIGN_KEY', readSigningKey(config.signingKey)),
    nameSetting('AUDIT_KEY', readAuditKeys(config.auditKey)),
  ])
  requireAuthorities(ca)
  const certificate = readCertificate(cert)
  requireItsKey(certificate, key)
  return { tls: { ca, cert, key }, signingKey, auditKeys, certificate, fingerprint: fingerprintOf(certificate) }
}

async function readPem(path: string, variable: string): Promise<string> {
  return readFile(path, 'utf8').catch((cause: unknown) => {
    throw new CrosslineError('invalid_config', { detail: `${variable} names a file that cannot be read.`, cause })
  })
}

function readCertificate(cert: string): X509Certificate {
  try {
    return new X509Certificate(cert)
  } catch (cause) {
    throw new CrosslineError('invalid_config', { detail: 'TLS_CERT does not hold a certificate.', cause })
  }
}

// Node takes a file without any certificate for an empty list, and then no peer at all could connect.
function requireAuthorities(ca: string): void {
  const blocks = ca.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? []
  try {
    if (blocks.length > 0 && blocks.map((block) => new X509Certificate(block)).every((each) => each.ca)) return
  } catch (cause) {
    throw new CrosslineError('invalid_config', { detail: 'TLS_CA holds a certificate that can not be read.', cause })
  }
  throw new CrosslineError('invalid_config', { detail: 'TLS_CA holds something else than the certificates of authorities.' })
}

function requireItsKey(certificate: X509Certificate, key: string): void {
  try {
    if (certificate.checkPrivateKey(createPrivateKey(key))) return
  } catch (cause) {
    throw new CrosslineError('invalid_config', { detail: 'TLS_KEY does not hold a private key in PEM.', cause })
  }
  throw new CrosslineError('invalid_config', { detail: 'TLS_KEY is not the key of TLS_CERT.' })
}

/** What the files looked like before they were read: when it differs, they are read again. */
export async function stampIdentity(config: IdentityConfig): Promise<string> {
  const auditKeys = await findAuditKeyFiles(config.auditKey).catch(() => [])
  const files = [
    config.tls.authorities,
    config.tls.certificate,
    config.tls.key,
    config.signingKey,
    ...auditKeys.map(({ path }) => path),
  ]
  return (await Promise.all(files.map(stampOf))).join(' ')
}

// The time of a change of rights counts too: a key that others could read is looked at again after chmod 600.
function stampOf(path: string): Promise<string> {
  return stat(path).then(
    ({ mtimeMs, ctimeMs, size, ino }) => `${mtimeMs}:${ctimeMs}:${size}:${ino}`,
    () => 'absent',
  )
}

interface Watched {
  identity: Identity
  /** `stampIdentity` from before the identity was read. */
  stamp: string
  server: Pick<Server, 'reloadTls'>
  peers: Pick<StepContext['peers'], 'reset'>
  log: Logger
  everyMs?: number
}

/** Certificates and keys reload when a file changes; what does not fit together is told once, tried again, and the old goes on. */
export function watchIdentity(
  config: IdentityConfig,
  { identity, stamp, server, peers, log, everyMs = 2000 }: Watched,
): () => Promise<void> {
  let used = stamp
  let failed = ''

  async function reload(now: string): Promise<void> {
    const renewed = await openIdentity(config)
    server.reloadTls(renewed.tls)
    Object.assign(identity, renewed)
    peers.reset()
    used = now
    log.info({ step: 'identity' }, 'certificates and keys reloaded')
  }

  const loop = startLoop({
    name: 'identity',
    intervalMs: everyMs,
    log,
    work: async () => {
      const now = await stampIdentity(config)
      if (now === used) return false
      await reload(now).catch((error: unknown) => {
        if (now !== failed)
          log.error({ step: 'identity', err: error }, 'changed certificates or keys can not be used: the old ones stay')
        failed = now
      })
      return false
    },
  })
  return () => loop.stop()
}
