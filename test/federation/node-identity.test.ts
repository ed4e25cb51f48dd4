// Certificates and keys that change while the node runs: used as soon as they fit together, and never half of them.
import { chmod, mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { makeDevelopmentCertificates } from '#commands/certs-dev.ts'
import { authorityFiles, memberFiles } from '#commands/dev-files.ts'
import { createLogger } from '#log.ts'
import { openIdentity, stampIdentity, watchIdentity } from '#node-identity.ts'
import { eventually } from '../network.ts'

t.test('a key that others may read is refused, and taken once they may not', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'crossline-identity-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const members = ['hotline-gb', 'hotline-se'].map((id) => ({ id, name: id, countries: ['GB'], hosts: ['localhost'] }))
  await makeDevelopmentCertificates({ folder, members })
  const [ours, renewed] = [memberFiles(folder, 'hotline-gb'), memberFiles(folder, 'hotline-se')]
  const config = {
    tls: { certificate: ours.node.certificate, key: ours.node.key, authorities: authorityFiles(folder).certificate },
    signingKey: ours.sign,
    auditKey: ours.audit,
  }
  const stamp = await stampIdentity(config)
  const identity = await openIdentity(config)
  const before = identity.fingerprint
  const lines: string[] = []
  let reloads = 0
  const stop = watchIdentity(config, {
    identity,
    stamp,
    server: { reloadTls: () => void reloads++ },
    peers: { reset: () => {} },
    log: createLogger({ level: 'info', destination: { write: (line: string) => void lines.push(line) } }),
    everyMs: 10,
  })
  t.teardown(stop)
  // Renamed into place: copied over, the key would be nobody else's for a moment.
  await chmod(renewed.node.key, 0o644)
  await rename(renewed.node.key, ours.node.key)
  await rename(renewed.node.certificate, ours.node.certificate)
  await eventually('it is told', async () => lines.some((line) => line.includes('can not be used')))
  t.equal(reloads, 0)
  t.equal(identity.fingerprint, before)
  await chmod(ours.node.key, 0o600)
  await eventually('it is taken', async () => reloads > 0)
  t.not(identity.fingerprint, before)
})
