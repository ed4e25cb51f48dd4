// What the tokens of a call claim (protocol.md, "Proof JWT", "Errors"), published for whoever writes another node. Ours are checked by the
// tables of crypto/, which are stricter about the order of checks and no looser about any form; a test holds both side by side.
import { Type } from 'typebox'
import { memberId, sha256Digest } from './forms.ts'

const closed = { additionalProperties: false } as const
const numericDate = (description: string) =>
  Type.Integer({ minimum: 0, description: `${description} NumericDate, whole seconds.` })
const shortText = (description: string) => Type.String({ minLength: 1, maxLength: 512, description })

const CallConfirmation = Type.Object(
  { 'x5t#S256': sha256Digest("The certificate of the caller's end of this connection.") },
  { ...closed, $id: 'CallConfirmation', description: 'What the proof is bound to (RFC 8705).' },
)

export const ProofClaims = Type.Object(
  {
    iss: memberId("The caller, the owner of the socket's certificate."),
    aud: memberId('The one that is called; never an array.'),
    iat: numericDate('Within 60 seconds of the moment the headers arrive.'),
    exp: numericDate('At most 120 seconds after iat.'),
    jti: Type.String({ pattern: '^[A-Za-z0-9_-]{22}$', description: '128 random bits; once per issuer.' }),
    htm: shortText('Method of the call, byte for byte.'),
    htu: shortText('Path of the call, byte for byte.'),
    dig: sha256Digest('The body as sent; no body: of nothing.'),
    cnf: CallConfirmation,
    dir: Type.String({
      pattern: '^(?:0|[1-9][0-9]{0,14}):[A-Za-z0-9_-]{43}$',
      description: '`<version>:<hash>` of the directory that the caller holds.',
    }),
    root: Type.Optional(sha256Digest('RFC 9162 root of the message lines; on /batches, and only there.')),
    size: Type.Optional(Type.Integer({ minimum: 0, description: 'Number of message lines; on /batches, and only there.' })),
  },
  { ...closed, $id: 'ProofClaims', description: 'Claims of a proof, typ crossline-proof+jwt.' },
)

export const PongClaims = Type.Object(
  {
    iss: memberId('The one that answers.'),
    aud: memberId('The caller.'),
    iat: numericDate('Time of the answering node.'),
    nonce: Type.String({ pattern: '^[A-Za-z0-9_-]{16,64}$', description: 'The nonce of the ping.' }),
  },
  { ...closed, $id: 'PongClaims', description: 'Claims of a pong, typ crossline-pong+jwt.' },
)

export const ErrorClaims = Type.Object(
  {
    iss: memberId('The one that refuses.'),
    aud: Type.Optional(memberId("Owner of the socket's certificate; absent for a stranger.")),
    iat: numericDate('When it was refused.'),
    proof: Type.Optional(sha256Digest('The proof JWT that is answered; absent if there was none.')),
    code: Type.String({ pattern: '^[a-z_]{2,40}$', description: 'Stable code, as in the problem document.' }),
    status: Type.Integer({ minimum: 400, maximum: 599, description: 'Status of the HTTP answer.' }),
    retryAfter: Type.Optional(Type.Integer({ minimum: 0, description: 'Seconds to wait.' })),
  },
  { ...closed, $id: 'ErrorClaims', description: 'Claims of a signed error, typ crossline-error+jwt, in `Crossline-Error`.' },
)
