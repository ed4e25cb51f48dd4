// Proofs bent in every way that a gate must notice, most of them under a signature that verifies.
import { createHmac, createPublicKey, generateKeyPairSync, sign } from 'node:crypto'
import { type Claims, type Identity, proofTyp, sha256, signClaims, signParts } from '../peer.ts'
import type { Call } from '../peer-client.ts'

export const change =
  (changed: Claims) =>
  (claims: Claims): Claims => ({ ...claims, ...changed })
export const without =
  (name: string) =>
  (claims: Claims): Claims =>
    Object.fromEntries(Object.entries(claims).filter(([own]) => own !== name))
export const replaceProof = (make: (proof: string) => string): Call => ({ proofs: (proof) => [make(proof)] })
const partsOf = (proof: string): string[] => proof.split('.').map((part) => Buffer.from(part, 'base64url').toString())

/** Bend the JSON of claims or header as text, under a good signature. */
function bendersOf({ signKey }: Identity) {
  const bendJson = (bend: (json: string) => string): Call =>
    replaceProof((proof) => {
      const [header = '', payload = ''] = partsOf(proof)
      return signParts(header, bend(payload), signKey)
    })
  const bendHeader = (bend: (header: Record<string, unknown>) => object): Call =>
    replaceProof((proof) => {
      const [header = '', payload = ''] = partsOf(proof)
      return signParts(JSON.stringify(bend(JSON.parse(header))), payload, signKey)
    })
  return { bendJson, bendHeader }
}

const lastBits = (part: string): string => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return part.slice(0, -1) + alphabet[alphabet.indexOf(part.at(-1) as string) + 1]
}

/** Proofs that are not exactly of their form, by what is wrong with them. */
export function malformedProofs(identity: Identity): Record<string, Call> {
  const { bendJson, bendHeader } = bendersOf(identity)
  return {
    'no proof': { proofs: () => [] },
    'an empty proof': { proofs: () => [''] },
    'two proofs': { proofs: (proof) => [proof, proof] },
    'two proofs in one line': replaceProof((proof) => `${proof}, ${proof}`),
    'a proof of 8 KiB and a byte': {
      claims: change({ htu: '/x'.repeat(2900) }),
      ...replaceProof((proof) => proof.padEnd(8193, 'A')),
    },
    padding: replaceProof((proof) => `${proof}==`),
    'white space inside': replaceProof((proof) => proof.replace('.', '. ')),
    'changed trailing bits': replaceProof(lastBits),
    'standard base64': replaceProof((proof) => `${proof.slice(0, -2)}+/`),
    'four parts': replaceProof((proof) => `${proof}.AA`),
    'a name twice': bendJson((json) => json.replace('{', '{"iss":"lab",')),
    'a name twice, once escaped': bendJson((json) => json.replace('{', '{"\\u0069ss":"lab",')),
    'claims that are no object': bendJson(() => '[]'),
    'claims after a BOM': bendJson((json) => `\ufeff${json}`),
    'an unknown claim': { claims: change({ nbf: 1 }) },
    'aud as an array': { claims: change({ aud: ['hotline-gb'] }) },
    'iat with a fraction': { claims: ({ iat, ...claims }) => ({ ...claims, iat: Number(iat) + 0.5 }) },
    'iat as text': { claims: ({ iat, ...claims }) => ({ ...claims, iat: String(iat) }) },
    'a life of 121 s': { claims: ({ iat, ...claims }) => ({ ...claims, iat, exp: Number(iat) + 121 }) },
    'an end before the beginning': { claims: ({ iat, ...claims }) => ({ ...claims, iat, exp: Number(iat) - 1 }) },
    'a short jti': { claims: change({ jti: 'short' }) },
    'cnf with more in it': { claims: ({ cnf, ...claims }) => ({ ...claims, cnf: { ...(cnf as object), jkt: 'x' } }) },
    'a dir without a version': { claims: change({ dir: 'x'.repeat(43) }) },
    'another method': { claims: change({ htm: 'GET' }) },
    'a method in lower case': { claims: change({ htm: 'post' }) },
    'another path': { claims: change({ htu: '/federation/v1/ping/' }) },
    'a whole address as path': { claims: change({ htu: 'https://localhost/federation/v1/ping' }) },
    'root and size on a ping': { claims: change({ root: sha256(''), size: 1 }) },
    'typ in upper case': { header: { typ: 'Crossline-Proof+JWT' } },
    'typ of a receipt': { header: { typ: 'crossline-receipt+jwt' } },
    'no typ': bendHeader(({ typ: _typ, ...rest }) => rest),
    'no kid': bendHeader(({ kid: _kid, ...rest }) => rest),
    'a key in the header': bendHeader((header) => ({
      ...header,
      jwk: createPublicKey(identity.signKey).export({ format: 'jwk' }),
    })),
    'crit in the header': bendHeader((header) => ({ ...header, crit: [] })),
    'alg none': replaceProof((proof) => `${encoded({ alg: 'none', typ: proofTyp, kid: identity.kid })}.${proof.split('.')[1]}.`),
    'alg HS256 with the public key as secret': replaceProof((proof) => {
      const input = `${encoded({ alg: 'HS256', typ: proofTyp, kid: identity.kid })}.${proof.split('.')[1]}`
      const secret = createPublicKey(identity.signKey).export({ format: 'pem', type: 'spki' })
      return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`
    }),
    'alg EdDSA': replaceProof((proof) => {
      const input = `${encoded({ alg: 'EdDSA', typ: proofTyp, kid: identity.kid })}.${proof.split('.')[1]}`
      return `${input}.${sign(null, Buffer.from(input), generateKeyPairSync('ed25519').privateKey).toString('base64url')}`
    }),
    'a signature in DER': replaceProof((proof) => {
      const input = proof.split('.').slice(0, 2).join('.')
      return `${input}.${sign('sha256', Buffer.from(input), identity.signKey).toString('base64url')}`
    }),
    ...Object.fromEntries(claimNames.map((name) => [`no ${name}`, { claims: without(name) }])),
  }
}

const claimNames = ['iss', 'aud', 'iat', 'exp', 'jti', 'htm', 'htu', 'dig', 'cnf', 'dir']

function encoded(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

/** The same claims under another key. */
export function reSign(proof: string, by: Pick<Identity, 'kid' | 'signKey'>): string {
  return signClaims(by, proofTyp, JSON.parse(Buffer.from(proof.split('.')[1] ?? '', 'base64url').toString()))
}

/** Other claims under the old signature. */
export function swapClaims(proof: string, changed: Claims): string {
  const [header, payload = '', signature] = proof.split('.')
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString())
  return `${header}.${encoded({ ...claims, ...changed })}.${signature}`
}

export function flipSignature(proof: string): string {
  const [header, payload, signature = ''] = proof.split('.')
  const bytes = Buffer.from(signature, 'base64url')
  bytes[20] = (bytes[20] ?? 0) ^ 1
  return `${header}.${payload}.${bytes.toString('base64url')}`
}
