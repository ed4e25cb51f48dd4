// Connections to peers over time: what still counts comes to its end, what does not is cut, and after the end nothing is called.

import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { createPeerClient } from '#clients/peer-client.ts'
import { makeDevelopmentCertificates } from '#commands/certs-dev.ts'
import { authorityFiles, memberFiles } from '#commands/dev-files.ts'
import { freePort } from '../network.ts'
import { sha256 } from '../peer.ts'

const folder = await mkdtemp(join(tmpdir(), 'crossline-client-'))
t.teardown(() => rm(folder, { recursive: true, force: true }))
await makeDevelopmentCertificates({
  folder,
  members: ['hotline-gb', 'hotline-se'].map((id) => ({ id, name: id, countries: ['GB'], hosts: ['localhost'] })),
})
const read = async (id: string) => {
  const { certificate, key } = memberFiles(folder, id).node
  return { ca: await readFile(authorityFiles(folder).certificate), cert: await readFile(certificate), key: await readFile(key) }
}
const [own, peer] = [await read('hotline-gb'), await read('hotline-se')]
const fingerprint = sha256(new X509Certificate(peer.cert).raw)
const other = sha256('another certificate')

const waiting: ServerResponse[] = []
const server = createServer({ ...peer, requestCert: true }, (_request, response) => void waiting.push(response))
const port = await freePort()
server.listen(port, '127.0.0.1')
await once(server, 'listening')
t.teardown(() => {
  server.closeAllConnections()
  server.close()
})
const url = `https://localhost:${port}`

/** A call that the peer has and has not answered yet. */
async function startCall(client: ReturnType<typeof createPeerClient>, fingerprints = [fingerprint]) {
  const answer = client.call({ url, fingerprints, method: 'GET', path: '/', headers: {}, timeoutMs: 20_000, maxBytes: 100 })
  while (waiting.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  return { answer, response: waiting.pop() as ServerResponse }
}

t.test('a directory that still names the peer leaves a call under way alone, also where it adds a certificate', async (t) => {
  const client = createPeerClient(() => own)
  t.teardown(() => client.close())
  for (const fingerprints of [[fingerprint], [other, fingerprint]]) {
    const { answer, response } = await startCall(client)
    client.keepOnly([{ url, fingerprints }])
    response.end('answer')
    t.match(await answer, { kind: 'answered', status: 200, body: Buffer.from('answer') })
  }
})

t.test('one that names the peer no more, elsewhere, or by other certificates cuts it', async (t) => {
  const client = createPeerClient(() => own)
  t.teardown(() => client.close())
  const changes = [[], [{ url: 'https://localhost:1', fingerprints: [fingerprint] }], [{ url, fingerprints: [other] }]]
  for (const places of changes) {
    const { answer } = await startCall(client)
    client.keepOnly(places)
    t.same(await answer, { kind: 'unreachable', reason: 'closed' })
  }
})

t.test('closing ends a call that a peer leaves hanging, and every later one', async (t) => {
  const client = createPeerClient(() => own)
  const { answer } = await startCall(client)
  await client.close()
  t.same(await answer, { kind: 'unreachable', reason: 'closed' })
  const late = {
    url,
    fingerprints: [fingerprint],
    method: 'GET',
    path: '/',
    headers: {},
    timeoutMs: 1000,
    maxBytes: 100,
  } as const
  t.same(await client.call(late), { kind: 'unreachable', reason: 'closed' })
})
