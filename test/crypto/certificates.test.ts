// Certificates as OpenSSL sees them: issued ones hold in real handshakes, and the reading side takes a member's name from nothing odd.
import { execFile } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { promisify } from 'node:util'
import forge from 'node-forge'
import t from 'tap'
import {
  bundleForBrowser,
  type CertificateRequest,
  createAuthority,
  generateTlsKey,
  issueCertificate,
  issueIdentity,
  readAuthority,
} from '#crypto/certificate-authority.ts'
import { daysLeft, fingerprintOf, memberOfCertificate, validityOf } from '#crypto/certificates.ts'

const run = promisify(execFile)
const hasOpenssl = await run('openssl', ['version']).then(
  () => true,
  () => false,
)
const dayMs = 24 * 3600 * 1000

const authority = await createAuthority({ name: 'Test authority' })
const keys = await generateTlsKey()
const nodeRequest: CertificateRequest = {
  kind: 'node',
  member: 'hotline-gb',
  dnsNames: ['localhost'],
  ipAddresses: ['127.0.0.1', '::1'],
  days: 90,
}
const issue = (overrides: Partial<CertificateRequest> = {}) =>
  issueCertificate(authority, keys.publicKeyPem, { ...nodeRequest, ...overrides })
const read = (pem: string) => new X509Certificate(pem)
type Identity = Awaited<ReturnType<typeof issueIdentity>>

/** One mutual TLS 1.3 handshake on loopback; answers what each side saw, or the error. */
async function handshake({ server, client, ca = authority.certificatePem }: { server: Identity; client: Identity; ca?: string }) {
  const listener = createServer({
    ca,
    cert: server.certificatePem,
    key: server.privateKeyPem,
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.3',
  })
  const seen = new Promise<X509Certificate | undefined>((resolve) => {
    listener.on('secureConnection', (socket) => {
      resolve(socket.getPeerX509Certificate())
      socket.end('hello')
    })
    listener.on('tlsClientError', () => resolve(undefined))
  })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const { port } = listener.address() as AddressInfo
  const socket = connect({
    host: '127.0.0.1',
    port,
    servername: 'localhost',
    ca,
    cert: client.certificatePem,
    key: client.privateKeyPem,
  })
  const text = await answerOf(socket)
  const client509 = await seen
  listener.close()
  return { text, client: client509 }
}

async function answerOf(socket: TLSSocket): Promise<string> {
  try {
    let text = ''
    socket.setEncoding('utf8')
    for await (const part of socket) text += part
    return text
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'error'
  } finally {
    socket.destroy()
  }
}

const server = await issueIdentity(authority, nodeRequest)
const client = await issueIdentity(authority, { ...nodeRequest, member: 'hotline-se' })

t.test('holds in a mutual TLS 1.3 handshake, where the server sees the member', async (t) => {
  const { text, client: seen } = await handshake({ server, client })
  t.equal(text, 'hello')
  t.equal(seen && memberOfCertificate(seen), 'hotline-se')
  t.equal(seen && fingerprintOf(seen), client.fingerprint)
})

t.test('is refused by TLS when it is over, not yet valid, for clients only, or of another authority', async (t) => {
  const other = await createAuthority({ name: 'Another authority' })
  const serverWith = (overrides: Partial<CertificateRequest>) => issueIdentity(authority, { ...nodeRequest, ...overrides })
  const past = { notAfter: new Date(Date.now() - dayMs) }
  t.equal((await handshake({ server: await serverWith(past), client })).text, 'CERT_HAS_EXPIRED')
  const future = { notBefore: new Date(Date.now() + dayMs), notAfter: new Date(Date.now() + 2 * dayMs) }
  t.equal((await handshake({ server: await serverWith(future), client })).text, 'CERT_NOT_YET_VALID')
  t.equal((await handshake({ server: await serverWith({ kind: 'client', label: 'hotline' }), client })).text, 'INVALID_PURPOSE')
  t.equal(
    (await handshake({ server: await serverWith({ dnsNames: ['node.example'], ipAddresses: [] }), client })).text,
    'ERR_TLS_CERT_ALTNAME_INVALID',
  )
  t.match((await handshake({ server, client, ca: other.certificatePem })).text, /UNABLE_TO_VERIFY|UNABLE_TO_GET/)
  t.equal((await handshake({ server, client: await serverWith({ ...past, member: 'hotline-se' }) })).client, undefined)
})

t.test('is refused when a member’s certificate tries to issue another', async (t) => {
  const leaf = readAuthority({ certificatePem: server.certificatePem, privateKeyPem: server.privateKeyPem })
  const forged = await issueIdentity(leaf, nodeRequest)
  const chained = { ...forged, certificatePem: forged.certificatePem + server.certificatePem }
  t.match(
    (await handshake({ server: chained, client })).text,
    /^(INVALID_CA|INVALID_PURPOSE|UNSPECIFIED)$/,
    'which of them depends on OpenSSL',
  )
})

t.test('satisfies OpenSSL’s strict rules', { skip: hasOpenssl ? false : 'openssl is not here' }, async (t) => {
  const folder = t.testdir()
  const [ca, leaf] = [join(folder, 'ca.pem'), join(folder, 'leaf.pem')]
  await writeFile(ca, authority.certificatePem)
  await writeFile(leaf, server.certificatePem)
  for (const purpose of ['sslserver', 'sslclient']) {
    const { stdout } = await run('openssl', ['verify', '-x509_strict', '-purpose', purpose, '-CAfile', ca, leaf])
    t.match(stdout, /OK/)
  }
  const { stdout } = await run('openssl', ['x509', '-in', leaf, '-noout', '-text'])
  for (const part of [
    /Basic Constraints: critical\s+CA:FALSE/,
    /Key Usage: critical/,
    /Subject Key Identifier/,
    /Authority Key Identifier/,
    /sha256WithRSA/,
  ]) {
    t.match(stdout, part)
  }
})

t.test(
  'opens as .p12 in OpenSSL 3 without its legacy provider',
  { skip: hasOpenssl ? false : 'openssl is not here' },
  async (t) => {
    const path = join(t.testdir(), 'client.p12')
    const bundle = {
      ...client,
      authorityPem: authority.certificatePem,
      password: 'a password',
      friendlyName: 'hotline-se hotline',
    }
    await writeFile(path, bundleForBrowser(bundle))
    const { stdout } = await run('openssl', ['pkcs12', '-in', path, '-passin', 'pass:a password', '-nodes'])
    t.match(stdout, /BEGIN PRIVATE KEY/)
    t.equal(stdout.match(/BEGIN CERTIFICATE/g)?.length, 2)
    await t.rejects(run('openssl', ['pkcs12', '-in', path, '-passin', 'pass:wrong', '-nodes']))
  },
)

t.test('gives each certificate its own positive serial number of 128 bits', async (t) => {
  const serials = new Set(Array.from({ length: 20 }, () => read(issue().certificatePem).serialNumber))
  t.equal(serials.size, 20)
  for (const serial of serials) t.match(serial, /^[4-7][0-9A-F]{31}$/)
})

t.test('reads fingerprint, times and days left', async (t) => {
  const now = new Date('2026-11-20T12:00:00.500Z')
  const issued = issue({ now })
  const certificate = read(issued.certificatePem)
  t.match(issued.fingerprint, /^[A-Za-z0-9_-]{43}$/)
  t.equal(fingerprintOf(certificate.raw), issued.fingerprint)
  t.equal(fingerprintOf(issued.certificatePem), issued.fingerprint)
  t.equal(
    Buffer.from(issued.fingerprint, 'base64url').toString('hex'),
    certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
  )
  t.same(validityOf(certificate), { notBefore: issued.notBefore, notAfter: issued.notAfter })
  t.equal(issued.notAfter.toISOString(), '2027-02-18T12:00:00.000Z', 'as in the certificate: whole seconds')
  t.ok(issued.notBefore < now, 'a little in the past')
  t.equal(daysLeft(certificate, now), 89)
  t.equal(daysLeft(certificate, new Date('2027-02-17T12:00:01.000Z')), 0)
  t.equal(daysLeft(certificate, new Date('2027-02-18T12:00:01.000Z')), -1)
  t.throws(() => fingerprintOf('no certificate'))
})

t.test('issues the client of a member so that it never stands as its node', async (t) => {
  t.equal(memberOfCertificate(read(issue().certificatePem)), 'hotline-gb')
  t.equal(memberOfCertificate(read(issue({ kind: 'client', label: 'hotline' }).certificatePem)), undefined)
  t.equal(memberOfCertificate(read(issue({ kind: 'client' }).certificatePem)), undefined)
  t.match(
    read(issue({ kind: 'client', label: 'hotline' }).certificatePem).subjectAltName,
    /URI:urn:crossline:client:hotline-gb:hotline,/,
  )
  t.equal(memberOfCertificate(read(issue({ kind: 'officer', member: 'office', label: 'officer-1' }).certificatePem)), undefined)
})

t.test('reads a member from exactly one name of exactly the form', async (t) => {
  const urn = 'urn:crossline:member:'
  const named = (...names: [number, string][]) =>
    memberOfCertificate(read(strange(names.map(([type, value]) => ({ type, value })))))
  t.equal(named([6, `${urn}hotline-gb`]), 'hotline-gb')
  t.equal(named([2, 'node.example'], [6, 'https://other.example/x'], [6, `${urn}lab`]), 'lab', 'other names do not matter')
  t.equal(named([6, `${urn}hotline-gb`], [6, `${urn}hotline-se`]), undefined, 'two members')
  t.equal(named([6, `${urn}hotline-gb`], [6, `${urn}hotline-gb`]), undefined, 'one member twice')
  t.equal(named([2, 'node.example']), undefined, 'none')
  t.equal(named([2, `a, URI:${urn}hotline-gb`]), undefined, 'a name inside a name')
  t.equal(named([6, `https://x.example/, URI:${urn}hotline-gb`]), undefined, 'a URI inside a URI')
  t.equal(named([6, `${urn}hotline-gb`], [6, `${urn}a", URI:${urn}b`]), undefined, 'a second one in disguise')
  t.equal(named([2, `${urn}hotline-gb`]), undefined, 'no URI')
  for (const id of ['', 'a', 'UPPER', 'hotline gb', 'hotline-gb\0x', 'x'.repeat(41), 'hotline-gb ', 'hotline_gb'])
    t.equal(named([6, urn + id]), undefined, JSON.stringify(id))
  t.equal(named([6, `URN:crossline:member:hotline-gb`]), undefined, 'another spelling')
})

/** A certificate with any alternative names, as a stranger's authority might issue it. */
function strange(altNames: { type: number; value: string }[]): string {
  const certificate = forge.pki.createCertificate()
  const pair = forge.pki.privateKeyFromPem(keys.privateKeyPem)
  certificate.publicKey = forge.pki.setRsaPublicKey(pair.n, pair.e)
  certificate.serialNumber = '01'
  certificate.validity.notAfter = new Date(Date.now() + dayMs)
  certificate.setSubject([{ name: 'commonName', value: 'strange' }])
  certificate.setIssuer([{ name: 'commonName', value: 'strange' }])
  certificate.setExtensions([{ name: 'subjectAltName', altNames }])
  certificate.sign(pair, forge.md.sha256.create())
  return forge.pki.certificateToPem(certificate)
}
