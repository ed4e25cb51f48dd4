import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { compactVerify, importJWK, type JWK, jwtVerify } from 'jose'
import t from 'tap'
import { decodeTokenPart, openToken, signToken, splitToken, type TokenKind, verifyToken } from '#crypto/token-gate.ts'
import { isCount, isMemberId } from '#domain/exact-forms.ts'
import type { EcPublicKey } from '#schema/directory.ts'
import { encode, makeKey, signOddly, signParts } from './tokens.ts'

const typ = 'crossline-test+jwt'
const kind: TokenKind = {
  typ,
  maxBytes: 65_536,
  code: 'bad_answer',
  claims: {
    required: { iss: isMemberId, aud: isMemberId, exp: isCount },
    optional: { note: (value) => typeof value === 'string' },
  },
}
const refused = { code: 'bad_answer' }
const now = new Date(1_800_000_000_000)
const claims = { iss: 'hotline-se', aud: 'hotline-gb', exp: 1_800_000_060 }
const key = await makeKey()
const header = { alg: 'ES256', typ, kid: key.kid }
const good = signOddly(key, claims, header)
const [head, body, signature] = good.split('.') as [string, string, string]

const expected = { issuer: 'hotline-se', audience: 'hotline-gb', now, findKey: () => ({ jwk: key.publicJwk }) }
const verify = (compact: unknown, changes = {}) => verifyToken(compact, kind, { ...expected, ...changes })
const joseAlone = async (compact: string) =>
  jwtVerify(compact, await importJWK({ ...key.publicJwk }, 'ES256'), {
    algorithms: ['ES256'],
    typ,
    issuer: 'hotline-se',
    audience: 'hotline-gb',
    currentDate: now,
  })

// The last character of 64 bytes carries four bits that decode to nothing.
const otherTrailingBits = (part: string) => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return part.slice(0, -1) + alphabet[alphabet.indexOf(part.at(-1) as string) + 1]
}

t.test('opens and verifies what signToken made', async (t) => {
  t.strictSame(await verify(await signToken(key, typ, claims)), claims)
  t.strictSame(await verify(good), claims)
  t.strictSame(openToken(good, kind).header, header)
})

t.test('refuses what jose by itself accepts', async (t) => {
  const twice = '{"iss":"hotline-xx","iss":"hotline-se","aud":"hotline-gb","exp":1800000060}'
  const accepted = {
    padding: `${good}==`,
    'white space in the signature': `${head}.${body}.${signature.slice(0, 40)} ${signature.slice(40)}`,
    'a newline at the end': `${good}\n`,
    'changed trailing bits': `${head}.${body}.${otherTrailingBits(signature)}`,
    'no exp': signOddly(key, { iss: 'hotline-se', aud: 'hotline-gb' }, header),
    'an array aud': signOddly(key, { ...claims, aud: ['hotline-gb', 'hotline-xx'] }, header),
    'an unknown claim': signOddly(key, { ...claims, admin: true }, header),
    'a name twice in the claims': signOddly(key, twice, header),
    'a name twice in the header': signOddly(key, claims, `{"alg":"none",${JSON.stringify(header).slice(1)}`),
    'another member in the header': signOddly(key, claims, { ...header, cty: 'x' }),
    'a typ in other letters': signOddly(key, claims, { ...header, typ: 'Application/Crossline-Test+JWT' }),
    'no kid': signOddly(key, claims, { alg: 'ES256', typ }),
    'a fractional exp': signOddly(key, { ...claims, exp: 1_800_000_060.5 }, header),
  }
  for (const [name, compact] of Object.entries(accepted)) {
    await t.resolves(joseAlone(compact), `jose accepts ${name}`)
    await t.rejects(verify(compact), refused, `we refuse ${name}`)
  }
})

t.test('refuses every other odd form', async (t) => {
  const { privateKey } = key
  const odd = {
    'no token': undefined,
    'an array of tokens': [good],
    'two tokens': `${good}, ${good}`,
    'two parts': `${head}.${body}`,
    'four parts': `${good}.${signature}`,
    'an empty payload': signParts(head, '', privateKey),
    'an empty signature': `${head}.${body}.`,
    'base64 in place of base64url': good.replaceAll('-', '+').replaceAll('_', '/').replace('.', '.+'),
    'a signature of 63 bytes': `${head}.${body}.${Buffer.alloc(63).toString('base64url')}`,
    'a signature of 65 bytes': `${head}.${body}.${Buffer.alloc(65).toString('base64url')}`,
    'a signature in DER': `${head}.${body}.${Buffer.alloc(70).toString('base64url')}`,
    'trailing bits in the payload': signParts(head, otherTrailingBits(encode('{"a":1}')), privateKey),
    'alg none': signOddly(key, claims, { ...header, alg: 'none' }),
    'alg HS256': signOddly(key, claims, { ...header, alg: 'HS256' }),
    'alg ES384': signOddly(key, claims, { ...header, alg: 'ES384' }),
    'another typ': signOddly(key, claims, { ...header, typ: 'crossline-proof+jwt' }),
    'a kid that is no thumbprint': signOddly(key, claims, { ...header, kid: 'key-1' }),
    'a kid of another type': signOddly(key, claims, { ...header, kid: [key.kid] }),
    crit: signOddly(key, claims, { ...header, crit: ['b64'], b64: false }),
    'an embedded key': signOddly(key, claims, { ...header, jwk: key.publicJwk }),
    'a header that is no object': signOddly(key, claims, '"ES256"'),
    'claims that are no object': signOddly(key, '[]', header),
    'claims that are no JSON': signOddly(key, '{', header),
    'claims with a BOM': signOddly(key, `\ufeff${JSON.stringify(claims)}`, header),
    'names equal after unescaping': signOddly(
      key,
      '{"iss":"hotline-se","\\u0069ss":"hotline-se","aud":"hotline-gb","exp":1800000060}',
      header,
    ),
    'a claim of another form': signOddly(key, { ...claims, iss: 7 }, header),
    'a claim called like a method of every object': signOddly(key, { ...claims, constructor: 'x' }, header),
    'an optional claim of another form': signOddly(key, { ...claims, note: 7 }, header),
    '__proto__ as a claim': signOddly(key, `{"__proto__":1,${JSON.stringify(claims).slice(1)}`, header),
  }
  for (const [name, compact] of Object.entries(odd)) await t.rejects(verify(compact), refused, name)
})

t.test('holds the size limit to the byte', async (t) => {
  const padded = async (length: number) => signToken(key, typ, { ...claims, note: 'x'.repeat(length) })
  const compact = await padded(1_000)
  await t.resolves(verifyToken(compact, { ...kind, maxBytes: compact.length }, expected))
  await t.rejects(verifyToken(compact, { ...kind, maxBytes: compact.length - 1 }, expected), refused)
})

t.test('refuses another issuer, audience, time, key or signature', async (t) => {
  const other = await makeKey()
  await t.rejects(verify(good, { issuer: 'hotline-jp' }), refused)
  await t.rejects(verify(good, { audience: 'hotline-jp' }), refused)
  await t.rejects(verify(good, { now: new Date(1_800_000_060_000) }), refused, 'expired')
  await t.rejects(verify(good, { findKey: () => undefined }), refused)
  await t.rejects(verify(good, { findKey: () => ({ jwk: other.publicJwk }) }), refused, 'a key with another thumbprint')
  const underOthersName = signOddly(key, claims, { ...header, kid: other.kid })
  await t.rejects(verify(underOthersName), refused, 'a kid that does not name the key')
  await t.rejects(verify(signParts(head, body, other.privateKey)), refused)
  await t.rejects(
    verify(`${head}.${encode({ ...claims, aud: 'hotline-gb', iss: 'hotline-se', exp: 1_800_000_061 })}.${signature}`),
    refused,
  )
})

t.test('refuses signatures that are no pair of numbers below the order of the curve', async (t) => {
  const order = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex')
  const [zero, one, all] = [Buffer.alloc(32), Buffer.alloc(32), Buffer.alloc(32, 0xff)]
  one[31] = 1
  for (const r of [zero, one, order, all]) {
    for (const s of [zero, one, order, all]) {
      await t.rejects(verify(`${head}.${body}.${Buffer.concat([r, s]).toString('base64url')}`), refused)
    }
  }
})

t.test('refuses keys that are no point of P-256', async (t) => {
  const x = Buffer.alloc(32, 1).toString('base64url')
  const jwk: EcPublicKey = { kty: 'EC', crv: 'P-256', x, y: x }
  await t.rejects(verify(good, { findKey: () => ({ jwk }) }), refused)
  await t.rejects(verify(good, { findKey: () => ({ jwk: { ...key.publicJwk, crv: 'P-384' } }) }), refused)
})

t.test('repeats nothing of the token in an error', async (t) => {
  for (const odd of [
    signOddly(key, { ...claims, marker: 'marker' }, header),
    signOddly(key, { ...claims, exp: 1 }, header),
    'marker',
    '{"marker',
  ]) {
    const error = await verify(odd).catch((error) => error)
    t.notMatch(JSON.stringify([error.message, error.detail, error.cause, error.facts]), 'marker')
    t.equal(error.cause, undefined, 'the errors of jose and of JSON carry the input')
  }
})

t.test('decodes only base64url that encodes back to itself', async (t) => {
  t.strictSame(decodeTokenPart('AQ', kind), Buffer.of(1))
  for (const part of ['AR', 'AQ==', 'A', 'AQ ', 'A+', 'A/', '\n', 'A.'])
    t.throws(() => decodeTokenPart(part, kind), refused, part)
})

const vectors = process.env.CROSSLINE_VECTORS
t.test('accepts no invalid Wycheproof token', { skip: vectors ? false : 'CROSSLINE_VECTORS is not set' }, async (t) => {
  const file = JSON.parse(readFileSync(join(vectors as string, 'wycheproof/json_web_signature_test.json'), 'utf8'))
  const open: TokenKind = { ...kind, claims: { required: {} } }
  const counts = { tokens: 0, accepted: 0, refusedValid: 0, invalidAccepted: 0, invalidAcceptedByJoseAlone: 0 }
  for (const group of file.testGroups) {
    const jwk = (group.public ?? group.private) as EcPublicKey
    for (const { jws, result, tcId } of group.tests) {
      counts.tokens++
      const accepted = await verifyToken(jws, open, { ...expected, findKey: () => ({ jwk }) }).then(Boolean, () => false)
      if (accepted) counts.accepted++
      if (!accepted && result === 'valid') counts.refusedValid++
      if (accepted && result === 'invalid') counts.invalidAccepted++
      if (result === 'invalid' && (await isAcceptedByJose(jws, group.public ?? group.private)))
        counts.invalidAcceptedByJoseAlone++
      t.notOk(accepted && result === 'invalid', `case ${tcId}`)
    }
  }
  t.comment(JSON.stringify(counts))
  t.equal(counts.tokens, file.numberOfTests)
})

t.test(
  'accepts no invalid Wycheproof case by its encoding and signature alone',
  { skip: vectors ? false : 'CROSSLINE_VECTORS is not set' },
  async (t) => {
    const file = JSON.parse(readFileSync(join(vectors as string, 'wycheproof/json_web_signature_test.json'), 'utf8'))
    let accepted = 0
    for (const group of file.testGroups.filter(({ public: jwk }: { public?: JWK }) => jwk?.crv === 'P-256')) {
      for (const { jws, result, tcId } of group.tests) {
        const passes = await Promise.try(() => splitToken(jws, kind))
          .then(() => compactVerify(jws, group.public, { algorithms: ['ES256'] }))
          .then(Boolean, () => false)
        if (passes) accepted++
        t.notOk(passes && result === 'invalid', `case ${tcId}`)
        // Its signature, whatever is wrong with it, under a header and claims of ours.
        await t.rejects(verify(`${head}.${body}.${String(jws).split('.')[2] ?? ''}`), refused)
      }
    }
    t.ok(accepted > 0, `${accepted} valid ones pass`)
  },
)

async function isAcceptedByJose(jws: string, jwk: JWK): Promise<boolean> {
  const algorithm = { algorithms: jwk.alg ? [jwk.alg] : ['ES256', 'RS256', 'HS256'] }
  return compactVerify(jws, jwk, algorithm).then(Boolean, () => false)
}
