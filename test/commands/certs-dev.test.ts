// `certs dev` and `office dev-network`: what lies on disk afterwards, who may read it, what a second run keeps, and that it all fits together.

import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { chmod, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { join, relative } from 'node:path'
import { connect, createServer } from 'node:tls'
import t from 'tap'
import { makeDevelopmentCertificates } from '#commands/certs-dev.ts'
import { authorityFiles, clientRoles, memberFiles, networkFiles, officerFiles } from '#commands/dev-files.ts'
import { authorDevNetwork, describeCertificate, describeDemoNetwork, describeMember } from '#commands/office-dev-network.ts'
import { auditKeyFile } from '#crypto/audit-keys.ts'
import { fingerprintOf, memberOfCertificate } from '#crypto/certificates.ts'
import { verifyDirectory, verifyFirstRoot, verifyNextRoot } from '#crypto/directory-documents.ts'
import { readAuditKey, readSigningKey } from '#crypto/keys.ts'
import { decideDirectory, decideRoot } from '#domain/directory-rules.ts'
import { holdDirectory } from '#domain/held-directory.ts'

const dayMs = 24 * 3600 * 1000
const members = [
  { id: 'hotline-gb', name: 'One', countries: ['GB'], hosts: ['localhost', '127.0.0.1'] },
  { id: 'hotline-se', name: 'Two', countries: ['SE'], hosts: ['localhost', '127.0.0.1'] },
]
const network = {
  members: members.map(({ id, name, countries }) => ({ id, name, countries, url: `https://${id}.example` })),
  routes: [{ country: 'GB', primary: 'hotline-gb', backup: 'hotline-se' }],
}
const folder = join(t.testdir(), 'certs dev ü')
await makeDevelopmentCertificates({ folder, members })

async function filesIn(root: string): Promise<Map<string, string>> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  return new Map(await Promise.all(paths.map(async (path) => [relative(root, path), await readFile(path, 'base64')] as const)))
}

t.test('makes every file that the README names, keys for their owner alone', async (t) => {
  const files = memberFiles(folder, 'hotline-gb')
  t.equal((await readSigningKey(files.sign)).publicJwk.crv, 'P-256')
  t.equal((await readSigningKey(files.encrypt)).publicJwk.crv, 'P-256')
  t.equal((await readAuditKey(auditKeyFile(files.audit, new Date().getUTCFullYear()))).publicJwk.crv, 'Ed25519')
  for (const role of clientRoles) t.ok((await readFile(files.clients[role].p12)).length > 0)
  t.ok(await readSigningKey(officerFiles(folder, 'officer-3').sign))
  for (const path of (await filesIn(folder)).keys()) {
    const { mode } = await stat(join(folder, path))
    t.equal(mode & 0o777, path.endsWith('.pem') ? 0o644 : 0o600, path)
  }
})

t.test('names each node’s member in its certificate, and no client as a node', async (t) => {
  const read = async (path: string) => new X509Certificate(await readFile(path))
  const files = memberFiles(folder, 'hotline-se')
  t.equal(memberOfCertificate(await read(files.node.certificate)), 'hotline-se')
  for (const role of clientRoles) t.equal(memberOfCertificate(await read(files.clients[role].certificate)), undefined)
})

t.test('keeps everything on a second run', async (t) => {
  const before = await filesIn(folder)
  t.same(await makeDevelopmentCertificates({ folder, members }), { issued: [] })
  t.same(await filesIn(folder), before)
})

t.test('re-issues what ends within 30 days, what lost its file, and what lacks a host; keys stay', async (t) => {
  const home = join(t.testdir(), 'certs')
  const [first] = members as [(typeof members)[0]]
  await makeDevelopmentCertificates({ folder: home, members: [first], now: new Date(Date.now() - 375 * dayMs) })
  const files = memberFiles(home, first.id)
  const key = await readFile(files.node.key, 'utf8')
  const { issued } = await makeDevelopmentCertificates({ folder: home, members: [first] })
  t.equal(issued.length, 7, 'a node, three clients, three officers')
  t.equal(await readFile(files.node.key, 'utf8'), key)

  await rm(files.node.certificate)
  await rm(files.clients.hotline.p12)
  t.same((await makeDevelopmentCertificates({ folder: home, members: [first] })).issued, [files.node.certificate])
  t.ok(await readFile(files.clients.hotline.p12), 'a lost bundle is made of the certificate that is there')

  const moved = [{ ...first, hosts: [...first.hosts, 'gb.node.example'] }]
  t.same((await makeDevelopmentCertificates({ folder: home, members: moved })).issued, [files.node.certificate])

  await rm(authorityFiles(home).key)
  t.equal(
    (await makeDevelopmentCertificates({ folder: home, members: moved })).issued.length,
    7,
    'another authority, other certificates',
  )
})

t.test('makes all anew when forced, and touches nothing else in the folder', async (t) => {
  const home = join(t.testdir(), 'certs')
  const [first] = members as [(typeof members)[0]]
  await makeDevelopmentCertificates({ folder: home, members: [first] })
  await writeFile(join(home, 'README.md'), 'mine')
  const before = await readFile(memberFiles(home, first.id).sign, 'utf8')
  t.equal((await makeDevelopmentCertificates({ folder: home, members: [first], force: true })).issued.length, 7)
  t.not(await readFile(memberFiles(home, first.id).sign, 'utf8'), before)
  t.equal(await readFile(join(home, 'README.md'), 'utf8'), 'mine')
})

t.test('refuses a member id that could leave the folder', async (t) => {
  const stranger = { id: '../x', name: 'X', countries: [], hosts: ['localhost'] }
  await t.rejects(makeDevelopmentCertificates({ folder, members: [stranger] }), { code: 'invalid_config' })
})

t.test('says so when a kept file is not what it should be', async (t) => {
  const home = join(t.testdir(), 'certs')
  await makeDevelopmentCertificates({ folder: home, members: [] })
  await writeFile(officerFiles(home, 'officer-1').identity.key, 'no key')
  await t.rejects(makeDevelopmentCertificates({ folder: home, members: [] }), { code: 'broken_file' })
})

t.test('authors a directory whose certificates open connections between the members', async (t) => {
  const made = await authorDevNetwork({ folder, ...network })
  const root = await verifyFirstRoot(await readFile(made.root.path), [made.root.hash])
  const { document, hash, bytes, number } = await verifyDirectory(await readFile(made.directory.path), root.document)
  const held = holdDirectory({ document, hash, bytes, version: number, root: root.document })
  const [server, client] = [memberFiles(folder, 'hotline-gb'), memberFiles(folder, 'hotline-se')]
  const ca = [...root.document.tlsAuthorities]
  const listener = createServer({
    ca,
    cert: await readFile(server.node.certificate),
    key: await readFile(server.node.key),
    requestCert: true,
    minVersion: 'TLSv1.3',
  })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const { port } = listener.address() as AddressInfo
  const connection = {
    host: '127.0.0.1',
    port,
    ca,
    cert: await readFile(client.node.certificate),
    key: await readFile(client.node.key),
  }
  const [[accepted], socket] = await Promise.all([once(listener, 'secureConnection'), connected(connect(connection))])
  const find = (certificate: X509Certificate | undefined) =>
    certificate && held.findMemberByFingerprint(fingerprintOf(certificate), new Date())?.member.id
  t.equal(find(accepted.getPeerX509Certificate()), 'hotline-se')
  t.equal(find(socket.getPeerX509Certificate()), 'hotline-gb')
  socket.destroy()
  listener.close()
  t.equal(held.signingKeys('hotline-se')[0]?.kid, (await readSigningKey(client.sign)).kid)
})

t.test('makes each call the next version under the same root', async (t) => {
  const first = await authorDevNetwork({ folder, ...network })
  const suspended = network.members.map((member) =>
    member.id === 'hotline-gb' ? { ...member, status: 'suspended' as const } : member,
  )
  const second = await authorDevNetwork({ folder, ...network, members: suspended })
  t.equal(second.root.hash, first.root.hash)
  t.equal(second.directory.version, first.directory.version + 1)
  t.equal(second.directory.document.previous, first.directory.hash)
  const root = (await verifyFirstRoot(first.root.bytes, [first.root.hash])).document
  const held = await verifyDirectory(first.directory.bytes, root)
  t.same(decideDirectory({ held, candidate: await verifyDirectory(second.directory.bytes, root), now: new Date() }), {
    kind: 'accept',
  })
})

t.test('can list a member with certificates and keys of its own choice', async (t) => {
  const certificate = await describeCertificate(memberFiles(folder, 'hotline-gb').node.certificate, 'revoked')
  const [first, second] = network.members as [(typeof network.members)[0], (typeof network.members)[0]]
  const keys = (await describeMember(folder, first)).keys.slice(0, 1)
  const { directory } = await authorDevNetwork({
    folder,
    ...network,
    members: [{ ...first, certificates: [certificate], keys }, second],
  })
  t.equal(directory.document.members[0]?.certificates[0]?.state, 'revoked')
  t.equal(directory.document.members[0]?.keys.length, 1)
})

t.test('makes a new root that follows the old one when only the authority changed', async (t) => {
  const home = join(t.testdir(), 'certs')
  await makeDevelopmentCertificates({ folder: home, members })
  const before = await authorDevNetwork({ folder: home, ...network })
  await rm(authorityFiles(home).key)
  await makeDevelopmentCertificates({ folder: home, members })
  const after = await authorDevNetwork({ folder: home, ...network })
  const held = await verifyFirstRoot(before.root.bytes, [before.root.hash])
  t.same(decideRoot(held, await verifyNextRoot(after.root.bytes, held.document)), { kind: 'accept' })
  t.equal(after.directory.version, before.directory.version + 1)
})

t.test('describes the demo: each country where it should go', async (t) => {
  const home = join(t.testdir(), 'certs')
  await makeDevelopmentCertificates({ folder: home })
  const { directory, root } = await authorDevNetwork({ folder: home, ...describeDemoNetwork() })
  const { document } = await verifyFirstRoot(root.bytes, [root.hash])
  const held = holdDirectory({ ...directory, root: document })
  const now = new Date()
  const answers = ['GB', 'SE', 'JP', 'US', 'PH', 'BT'].map((country) => held.responsibleMember(country, now)?.member)
  t.same(answers, ['hotline-gb', 'hotline-se', 'hotline-jp', 'hotline-gb', 'lab', undefined])
  t.equal(held.responsibleMember('US', now)?.rule, 'backup')
  t.same(
    held.peersOf('hotline-gb').map(({ id }) => id),
    ['hotline-se', 'hotline-jp', 'lab'],
  )
  t.ok(await readFile(networkFiles(home).root))
})

t.test('does not sign with a key that others can read', async (t) => {
  const home = join(t.testdir(), 'certs')
  await makeDevelopmentCertificates({ folder: home, members: [] })
  await chmod(officerFiles(home, 'officer-1').sign, 0o644)
  await t.rejects(authorDevNetwork({ folder: home, members: [], routes: [] }), { code: 'invalid_config' })
})

async function connected<T extends ReturnType<typeof connect>>(socket: T): Promise<T> {
  await once(socket, 'secureConnect')
  return socket
}
