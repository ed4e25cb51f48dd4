// The signed documents of the network: root, directory, pulse (protocol.md "Directory"). They promise the form of a document;
// that its parts agree with each other is domain/directory-contents.ts, that it may be believed is crypto/directory-documents.ts.
import { type Static, Type } from 'typebox'
import { Compile } from 'typebox/compile'
import { countryCode, lineOfText, memberId, orNull, sha256Digest, timestamp } from './forms.ts'

const originPattern = '^https://([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|\\[[0-9a-f:.]{2,45}\\])(:[1-9][0-9]{0,4})?$'

/** 32 bytes in their only base64url form: a key has one thumbprint, so it can't be counted twice. */
const coordinate = (description: string) => Type.String({ pattern: '^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$', description })
const counter = (description: string) => Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, description })
const closed = { additionalProperties: false } as const

export const EcPublicKey = Type.Object(
  {
    kty: Type.Literal('EC', { description: 'Key type of RFC 7518: elliptic curve.' }),
    crv: Type.Literal('P-256', { description: 'The only curve that this network signs and seals with.' }),
    x: coordinate('The x coordinate, 32 bytes base64url.'),
    y: coordinate('The y coordinate, 32 bytes base64url.'),
  },
  {
    ...closed,
    $id: 'EcPublicKey',
    description: 'A public P-256 key as a JWK (RFC 7517) without optional members: ES256 or ECDH-ES.',
  },
)

export const EdPublicKey = Type.Object(
  {
    kty: Type.Literal('OKP', { description: 'Key type of RFC 8037: octet key pair.' }),
    crv: Type.Literal('Ed25519', { description: 'The curve of audit checkpoints (C2SP signed-note).' }),
    x: coordinate('The public key, 32 bytes base64url.'),
  },
  { ...closed, $id: 'EdPublicKey', description: 'A public Ed25519 key as a JWK (RFC 8037) without optional members.' },
)

const role = (what: string) =>
  Type.Object(
    {
      keys: Type.Array(EcPublicKey, { minItems: 1, maxItems: 20, description: `Keys that may sign ${what}, each once.` }),
      threshold: Type.Integer({ minimum: 1, maximum: 20, description: `How many different keys must sign ${what}.` }),
    },
    { ...closed, description: `Who signs ${what}.` },
  )

export const Root = Type.Object(
  {
    number: counter('Counts roots from 1 without gaps.'),
    expires: timestamp('From then on this root proves nothing.'),
    roles: Type.Object(
      { root: role('the next root'), directory: role('the directory'), pulse: role('the pulse') },
      { ...closed, description: 'The keys and thresholds of each document.' },
    ),
    tlsAuthorities: Type.Array(
      Type.String({
        maxLength: 16_384,
        pattern: '^-----BEGIN CERTIFICATE-----\\n[A-Za-z0-9+/=\\n]+-----END CERTIFICATE-----\\n?$',
        description: 'One certificate, PEM.',
      }),
      { minItems: 1, maxItems: 50, description: 'Authorities whose certificates the TLS layer of every node accepts.' },
    ),
    minVersion: counter('Lowest version of these document formats that a reader must understand.'),
  },
  { ...closed, $id: 'Root', description: 'The anchor: who may sign what. Served as general JSON JWS, typ crossline-root+jws.' },
)

const keyStates = ['next', 'current', 'retired', 'revoked'] as const
const memberKinds = ['hotline', 'liaison_authority', 'office'] as const
const memberStatuses = ['provisional', 'full', 'suspended', 'left'] as const
const routePolicies = ['primary', 'round_robin', 'all_notified'] as const

const keyFacts = {
  kid: sha256Digest('RFC 7638 thumbprint of jwk.'),
  state: Type.Enum([...keyStates], {
    description: 'next: published, may already sign; current; retired: proves what was receipted before; revoked.',
  }),
  retiredAt: Type.Optional(timestamp('Present when the state is retired: since when it signs no more.')),
  revokedAt: Type.Optional(timestamp('Present when the state is revoked: from then on nothing under it counts.')),
}

export const MemberKey = Type.Union(
  [
    Type.Object(
      {
        jwk: EcPublicKey,
        use: Type.Enum(['sign', 'encrypt'], { description: 'sign: ES256 proofs and receipts; encrypt: ECDH-ES.' }),
        ...keyFacts,
      },
      closed,
    ),
    Type.Object(
      {
        jwk: EdPublicKey,
        use: Type.Literal('audit', { description: 'Checkpoints of the audit log.' }),
        year: Type.Optional(
          Type.Integer({
            minimum: 2000,
            maximum: 2099,
            description: 'Year of the log that the key signs: each has its own. Absent: not stated, any.',
          }),
        ),
        ...keyFacts,
      },
      closed,
    ),
  ],
  { $id: 'MemberKey', description: 'A public key of a member, with its history.' },
)

export const MemberCertificate = Type.Object(
  {
    fingerprint: sha256Digest('SHA-256 of the DER, base64url: the form of x5t#S256.'),
    notBefore: timestamp('Start of validity, as in the certificate.'),
    notAfter: timestamp('End of validity, as in the certificate.'),
    state: Type.Enum([...keyStates], { description: 'next and current open a connection, retired and revoked do not.' }),
  },
  { ...closed, $id: 'MemberCertificate', description: 'A TLS certificate of the member’s node.' },
)

export const Member = Type.Object(
  {
    id: memberId('The member, for ever: never given to another.'),
    name: lineOfText(200, 'Name for people.'),
    kind: Type.Enum([...memberKinds], { description: 'A hotline, a law-enforcement authority, or the network office.' }),
    status: Type.Enum([...memberStatuses], {
      description: 'provisional: test items with the office only; full; suspended; left.',
    }),
    countries: Type.Array(countryCode('A country the member is seated in or works for.'), {
      maxItems: 50,
      uniqueItems: true,
      description: 'Countries of the member. Routes alone decide where items go.',
    }),
    orphanMandate: Type.Boolean({ description: 'Whether it may see and claim items that no hotline covers.' }),
    endpoints: Type.Array(
      Type.Object(
        {
          use: Type.Literal('federation', { description: 'Calls of the federation protocol.' }),
          url: Type.String({
            maxLength: 300,
            pattern: originPattern,
            description: 'https origin, without the prefix /federation/vN.',
          }),
        },
        closed,
      ),
      { maxItems: 8, description: 'Where the node answers, the first is tried first.' },
    ),
    certificates: Type.Array(MemberCertificate, { maxItems: 50, description: 'Certificates of the node, history included.' }),
    keys: Type.Array(MemberKey, { maxItems: 200, description: 'Public keys of the member, history included.' }),
    versions: Type.Array(counter('A version of the federation protocol.'), {
      minItems: 1,
      maxItems: 10,
      uniqueItems: true,
      description: 'Versions that the node serves; the lowest is the member’s minimum.',
    }),
    reportingUrl: orNull(
      Type.String({
        maxLength: 300,
        pattern: '^https://[!-~]+$',
        description: 'Where the public reports, https; null: nowhere.',
      }),
    ),
    contact: orNull(lineOfText(200, 'How officers reach the member’s operator; null: by the office only.')),
    joinedAt: timestamp('When the member was admitted.'),
  },
  { ...closed, $id: 'Member', description: 'An organisation of the network.' },
)

export const Route = Type.Object(
  {
    country: countryCode('The hosting country that this route answers for.'),
    primary: memberId('The member responsible.'),
    also: Type.Array(memberId('Another member of the same country.'), {
      maxItems: 20,
      uniqueItems: true,
      description: 'Further members, used as policy says.',
    }),
    policy: Type.Enum([...routePolicies], {
      description: 'primary: also is not used; round_robin: in turns; all_notified: primary owns, also is told.',
    }),
    backup: orNull(memberId('Takes over while the primary is not full; null: nobody.')),
    from: timestamp('First instant of the route.'),
    until: orNull(timestamp('First instant after the route; null: open.')),
  },
  {
    ...closed,
    $id: 'DirectoryRoute',
    description: 'Which member answers for a country. Routes of one country follow each other without gap or overlap.',
  },
)

export const Directory = Type.Object(
  {
    version: counter('One more than the version before.'),
    previous: orNull(sha256Digest('Hash of the directory before, as served; null for version 1.')),
    issuedAt: timestamp('When the officers issued it.'),
    expires: timestamp('From then on nothing is exchanged under it; at most 30 days after issuedAt.'),
    refreshSeconds: Type.Integer({
      minimum: 5,
      maximum: 3600,
      description: 'How often a node looks for a newer one, in seconds.',
    }),
    members: Type.Array(Member, { minItems: 1, maxItems: 2000, description: 'Every member, those that left included.' }),
    routes: Type.Array(Route, { maxItems: 5000, description: 'Which member answers for which country.' }),
    default: Type.Optional(memberId('Takes the items of countries that no route covers. Absent: they are orphans.')),
    policy: Type.Object(
      { minVersion: counter('Lowest version of the federation protocol that the network still speaks.') },
      { ...closed, description: 'Rules for the whole network.' },
    ),
  },
  {
    ...closed,
    $id: 'Directory',
    description: 'The members and their keys. Served as general JSON JWS, typ crossline-directory+jws.',
  },
)

export type EcPublicKey = Static<typeof EcPublicKey>
export type EdPublicKey = Static<typeof EdPublicKey>
export type Root = Static<typeof Root>
export type MemberKey = Static<typeof MemberKey>
export type MemberCertificate = Static<typeof MemberCertificate>
export type Member = Static<typeof Member>
export type Route = Static<typeof Route>
export type Directory = Static<typeof Directory>

export const rootValidator = Compile(Root)
export const directoryValidator = Compile(Directory)
