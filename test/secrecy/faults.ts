// Calls full of markers, and everything that was answered to them: what works, what is refused, and what a member signs itself.
import { hash, randomUUIDv7, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Test } from 'tap'
import { Agent, request as send } from 'undici'
import { authorityFiles, memberFiles } from '#commands/dev-files.ts'
import { fingerprintOf } from '#crypto/certificates.ts'
import { digest, encodeHash } from '#crypto/digests.ts'
import { readSigningKey } from '#crypto/keys.ts'
import { signProof } from '#crypto/proof.ts'
import { joinBatch } from '#domain/batch-lines.ts'
import { leafHash, merkleRoot } from '#domain/merkle.ts'
import { type Answer, type Network, type RunningMember, reportOf } from '../network.ts'
import { makeMarkers } from './markers.ts'

export const markers = makeMarkers()
export const mark = markers.of
export const host = (name: string) => `${mark(`host ${name}`)}.example`
export const url = (name: string) => `https://${host(name)}/${mark('URL path')}?q=${mark('URL query')}`

/** Everything that came back to somebody and must not hold a marker: whole refusals, and the headers of all answers. */
export const said: string[] = []

function hear(answer: Answer): Answer {
  said.push(JSON.stringify(answer.headers))
  if (answer.status >= 300) said.push(answer.text)
  return answer
}

export const post = async (member: RunningMember, path: string, body: unknown, headers: Record<string, string> = {}) =>
  hear(await member.call('hotline', 'POST', path, body, headers))
export const get = async (member: RunningMember, path: string, headers: Record<string, string> = {}) =>
  hear(await member.call('hotline', 'GET', path, undefined, headers))
/** What each fault is made of: a request that carries markers and is refused. */
export async function causeFaults(t: Test, gb: RunningMember, report: Record<string, unknown>): Promise<void> {
  const m = mark('wrong field')
  // The name of an unknown field is repeated when it looks like one of ours, so that a typing error can be found: this one does not.
  const unknown = `${m}!`
  const refused = async (what: string, answer: Promise<Answer>) => t.ok((await answer).status >= 400, what)
  for (const name of Object.keys({
    ...report,
    items: undefined,
    id: m,
    handling: m,
    paymentMethods: m,
    sourceItem: m,
  })) {
    for (const wrong of [{ [unknown]: m }, [m], `${m}\u0000`, m.repeat(2000)])
      await refused(name, post(gb, '/v1/reports', { ...report, [name]: wrong }))
    if (name === 'items')
      for (const field of ['id', 'url', 'contentType', 'isSource', 'hashes', 'statedCountry', unknown])
        await refused(
          field,
          post(gb, '/v1/reports', {
            ...report,
            items: [{ url: url('abroad'), contentType: 'media', [field]: { [unknown]: m } }],
          }),
        )
  }
  for (const bad of [
    `data:text/plain,${m}`,
    `https://${m}:${m}@${m}.example/`,
    `javascript:${m}`,
    `https://${m}`.padEnd(9000, m),
    `https://[${m}]/`,
    m,
  ])
    await refused('url', post(gb, '/v1/reports', reportOf([{ url: bad, contentType: 'media' }])))
  await refused('base64', post(gb, '/v1/reports', { ...report, memo: Buffer.from(m.repeat(300)).toString('base64') }))
  await refused('no JSON', post(gb, '/v1/reports', `{"${unknown}": "${m}`))
  await refused('a name twice', post(gb, '/v1/reports', `{"${m}":1,"${m}":2}`))
  await refused('too large', post(gb, '/v1/reports', { ...report, memo: m.repeat(3_000_000) }))
  await refused('media type', post(gb, '/v1/reports', report, { 'content-type': `text/${m}` }))
  await refused('encoding', post(gb, '/v1/reports', report, { 'content-encoding': m }))
  await refused('key', post(gb, '/v1/reports', report, { 'idempotency-key': `${m} ${m}` }))
  await refused('the same id, other content', post(gb, '/v1/reports', { ...report, memo: m }))
  await refused(
    'the same key, other content',
    post(gb, '/v1/reports', reportOf([{ url: url('abroad'), contentType: 'media' }]), {
      'idempotency-key': mark('Idempotency-Key'),
    }),
  )
  await refused(
    'path',
    get(gb, `/v1/${m}/${m}?${m}=${m}`, {
      'crossline-trace': m,
      'user-agent': m,
      accept: m,
      cookie: m,
      authorization: `Bearer ${m}`,
    }),
  )
  await refused('id', get(gb, `/v1/items/${m}`))
  await refused('method', post(gb, `/v1/items/${m}`, { [unknown]: m }))
  await refused('query', get(gb, `/v1/items?state=${m}&after=${m}&${unknown}=${m}`))
  await refused('cursor', get(gb, `/v1/items?after=${m}`))
  await refused('version', get(gb, `/federation/v7/${m}?${m}`))
  for (const name of ['since', 'event', 'member', 'country', 'item', 'after', 'limit', unknown])
    await refused(name, gb.call('liaison', 'GET', `/audit/v1/entries?purpose=${m}&${name}=${m}!`).then(hear))
  t.equal((await get(gb, `/v1/items?limit=1`, { 'crossline-trace': m, referer: m })).status, 200, 'a foreign trace is replaced')
}

/** Calls that a member signs itself: a refused proof, and a batch with messages that can only be rejected. */
export async function causeFederationFaults(t: Test, { folder }: Network, to: RunningMember): Promise<void> {
  const m = mark('federation')
  const files = memberFiles(folder, 'hotline-jp')
  const cert = readFileSync(files.node.certificate)
  const agent = new Agent({
    connect: { ca: readFileSync(authorityFiles(folder).certificate), cert, key: readFileSync(files.node.key) },
  })
  t.teardown(() => agent.destroy())
  const path = '/federation/v1/batches'
  const call = async (proof: string, body: Buffer | string, headers = {}) => {
    const answer = await send(`${to.url}${path}`, {
      method: 'POST',
      dispatcher: agent,
      body,
      headers: { 'content-type': 'application/x-ndjson', 'crossline-proof': proof, ...headers },
    })
    const text = await answer.body.text()
    // Signed answers are tokens: their claims count as said.
    for (const part of text.match(/[\w-]{20,}/g) ?? []) said.push(Buffer.from(part, 'base64url').toString('latin1'))
    hear({ status: answer.statusCode, headers: answer.headers, text, bytes: Buffer.from(text), body: undefined })
    return answer.statusCode
  }
  const prove = async (body: Buffer, lines: Buffer[]) =>
    signProof(await readSigningKey(files.sign), {
      iss: 'hotline-jp',
      aud: to.id,
      method: 'POST',
      path,
      bodyDigest: hash('sha256', body, 'base64url'),
      certificateFingerprint: fingerprintOf(new X509Certificate(cert)),
      directory: `1:${digest('another')}`,
      batch: { root: encodeHash(merkleRoot(lines.map(leafHash))), size: lines.length },
      now: new Date(),
    })
  t.equal(await call(m, m), 401, 'a proof that is none')
  t.equal(await call(`${m}.${m}.${m}`, m, { 'content-encoding': m }), 401, 'a proof of three parts')
  const message = {
    id: randomUUIDv7(),
    kind: 'handoff',
    item: randomUUIDv7(),
    author: 'hotline-jp',
    to: to.id,
    createdAt: new Date().toISOString(),
    schema: { name: 'crossline', version: 1 },
    handling: 'lea',
    body: { [m]: m },
    refs: [],
    ext: {},
    crit: [],
  }
  const bad = [
    { ...message, id: m },
    { ...message, kind: m },
    { ...message, crit: [m] },
    { ...message, author: m },
    { ...message, body: { report: { id: m }, item: m } },
    { [m]: m },
    message,
  ]
  const lines = [...bad.map((each) => Buffer.from(JSON.stringify(each))), Buffer.from(m)]
  const body = joinBatch({ batch: randomUUIDv7(), from: 'hotline-jp', to: to.id }, lines)
  t.equal(await call(await prove(body, lines), body), 200, 'a batch whose every message is rejected')
  const alien = Buffer.from(`{"batch":"${m}","from":"${m}","to":"${m}"}\n${m}\n`)
  t.ok((await call(await prove(alien, [Buffer.from(m)]), alien)) >= 400, 'an envelope that is none')
  t.ok((await call(await prove(body, lines), Buffer.concat([body, Buffer.from(m)]))) >= 400, 'bytes that were not signed')
}
