// The published document says what the server does: same routes, same schemas, examples that validate, every operation described.

import t from 'tap'
import { Compile } from 'typebox/schema'
import { renderOpenapi, writeOpenapi } from '#commands/write-openapi.ts'
import { digest } from '#crypto/digests.ts'
import { signPong } from '#crypto/pong.ts'
import { signProof } from '#crypto/proof.ts'
import { signError } from '#crypto/signed-error.ts'
import { errorCodes } from '#errors.ts'
import { claimsOf, makeKey } from '../crypto/tokens.ts'

const document = JSON.parse(await renderOpenapi())
const operations = Object.entries<Record<string, Record<string, unknown>>>(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({
    name: `${method} ${path}`,
    operation: operation as Record<string, never>,
  })),
)

t.test('the committed file is what the program makes', async (t) => {
  t.equal(await writeOpenapi({ check: true }), 'current')
  t.equal(await renderOpenapi(), await renderOpenapi(), 'the same each time')
})

t.test('every operation has an id, a summary, a description, a tag and its refusals by code', (t) => {
  t.equal(new Set(operations.map(({ operation }) => operation['operationId'])).size, operations.length)
  for (const { name, operation } of operations) {
    for (const field of ['operationId', 'summary', 'description', 'tags']) t.ok(operation[field], `${name} ${field}`)
    for (const [status, response] of Object.entries<{ description: string }>(operation['responses'] ?? {})) {
      if (Number(status) < 400) continue
      const codes = [...response.description.matchAll(/`([a-z_]+)`/g)].map(([, code]) => code as keyof typeof errorCodes)
      t.ok(codes.length > 0 && codes.every((code) => errorCodes[code].status === Number(status)), `${name} ${status}`)
    }
  }
  t.end()
})

t.test('a call between nodes says which headers it takes and answers', (t) => {
  // biome-ignore lint/suspicious/noExplicitAny: any part of a JSON document
  const calls = operations.filter(({ name }) => name.includes(' /federation/')) as { name: string; operation: any }[]
  for (const { name, operation } of calls) {
    const headers = operation.parameters.filter((each: { in: string }) => each.in === 'header')
    const named = headers.map((each: { name: string }) => each.name)
    t.equal(named.includes('Crossline-Proof'), !name.endsWith('/capabilities'), name)
    t.equal(named.includes('Content-Encoding'), name.endsWith('/batches'), name)
    t.ok(named.includes('Crossline-Trace'), name)
    for (const status of ['403', '405', '426', '500'])
      t.match(operation.responses[status]?.headers['Crossline-Error'], { schema: { contentSchema: {} } }, `${name} ${status}`)
    t.notOk(operation.responses['200'].headers['Crossline-Error'])
  }
  t.ok(calls.length >= 7)
  t.end()
})

t.test('what a token claims is published as it is signed', async (t) => {
  const key = await makeKey()
  const now = new Date()
  const hash = digest('x')
  const facts = { iss: 'hotline-a', aud: 'hotline-b', now }
  const call = { ...facts, method: 'POST', path: '/federation/v1/batches', bodyDigest: hash, certificateFingerprint: hash }
  const tokens: [string, string, string[]][] = [
    ['ProofClaims', await signProof(key, { ...call, directory: `4:${hash}`, batch: { root: hash, size: 2 } }), ['root', 'size']],
    ['PongClaims', await signPong(key, { ...facts, nonce: 'h0m9Pq7x1Zt4b2Lk' }), []],
    [
      'ErrorClaims',
      await signError(key, { ...facts, proof: hash, code: 'overloaded', status: 503, retryAfter: 1 }),
      ['aud', 'proof', 'retryAfter'],
    ],
  ]
  for (const [name, compact, optional] of tokens) {
    const schema = document.components.schemas[name]
    const claims = claimsOf(compact)
    t.ok(Compile({ ...schema, components: document.components }).Check(claims), name)
    t.same(Object.keys(schema.properties).sort(), Object.keys(claims).sort(), `${name} has no claim that is not there`)
    t.same(
      schema.required.slice().sort(),
      Object.keys(claims)
        .filter((claim) => !optional.includes(claim))
        .sort(),
      name,
    )
  }
})

t.test('every field of every schema is described', (t) => {
  const bare: string[] = []
  // biome-ignore lint/suspicious/noExplicitAny: any part of a JSON document
  type Loose = any
  const look = (schema: Loose, at: string): void => {
    for (const [name, part] of Object.entries<Loose>(schema?.properties ?? {})) {
      const inner = part.anyOf?.[0] ?? part
      if (!part.description && !inner.description && !inner.$ref) bare.push(`${at}/${name}`)
      look(inner, `${at}/${name}`)
      look(inner.items, `${at}/${name}/items`)
    }
  }
  for (const [name, schema] of Object.entries(document.components.schemas)) look(schema, name)
  t.strictSame(bare, [])
  t.end()
})

t.test('every example validates, and holds reserved names and addresses only', (t) => {
  let examples = 0
  const check = ({ schema, example }: { schema: object; example?: object }, name: string) => {
    if (example === undefined) return
    examples++
    const validator = Compile({ ...schema, components: document.components })
    t.ok(validator.Check(example), `${name}: ${JSON.stringify(validator.Errors(example)[1])}`)
    t.notOk(validator.Check({ ...example, unknownField: 1 }), `${name} would notice`)
    for (const [, host] of JSON.stringify(example).matchAll(/https?:\/\/([^/"]+)/g)) t.match(host, /\.example$/)
  }
  for (const { name, operation } of operations) {
    const answers = Object.values<{ content?: object }>(operation['responses'] ?? {})
    for (const { content = {} } of [operation['requestBody'] ?? {}, ...answers] as { content?: object }[])
      for (const media of Object.values(content)) check(media, name)
  }
  t.ok(examples > 50, `${examples} examples`)
  t.end()
})

t.test('no reference is left without its target, and mutual TLS is asked for everywhere', (t) => {
  for (const [, name = ''] of JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g))
    t.ok(document.components.schemas[name], name)
  t.notMatch(JSON.stringify(document), /"\$ref":"(?!#\/components\/schemas\/)/)
  t.match(document, {
    openapi: '3.1.0',
    security: [{ clientCertificate: [] }],
    components: { securitySchemes: { clientCertificate: { type: 'mutualTLS' } } },
  })
  t.end()
})
