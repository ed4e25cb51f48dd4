// What a receiver signs after it stored a batch, and the small answers of the federation calls (protocol.md).
import { type Static, Type } from 'typebox'
import { memberId, orNull, sha256Digest, uuidv7 } from './forms.ts'

const closed = { additionalProperties: false } as const

/** Why one message of a batch was not stored. */
export const exceptionCodes = [
  'schema_invalid',
  'too_large',
  'wrong_author',
  'wrong_receiver',
  'unknown_kind',
  'unknown_crit',
  'id_conflict',
  'wrong_state',
  'not_owner',
  'not_responsible',
  'bad_origin',
] as const
export type ExceptionCode = (typeof exceptionCodes)[number]

const ReceiptException = Type.Object(
  {
    index: Type.Integer({ minimum: 0, maximum: 999, description: 'Position of the message in the batch, from 0.' }),
    id: orNull(Type.String({ maxLength: 64, description: 'Id of the message; null if the line could not be read.' })),
    status: Type.Enum(['duplicate', 'rejected'], { description: 'duplicate: stored before, a success. rejected: not stored.' }),
    code: Type.Optional(Type.Enum([...exceptionCodes], { description: 'Why it was rejected; only with rejected.' })),
    at: Type.Optional(Type.Integer({ minimum: 0, description: 'When it was first stored, NumericDate; only with duplicate.' })),
    member: Type.Optional(memberId('Who is responsible; only with not_responsible.')),
  },
  { ...closed, $id: 'ReceiptException', description: 'A message that was not newly stored.' },
)

const CheckpointClaim = Type.Object(
  {
    origin: Type.String({ maxLength: 80, description: 'Origin of the log: <member id>/audit/<year>.' }),
    size: Type.Integer({ minimum: 0, description: 'Number of entries.' }),
    root: sha256Digest('Root of the log at that size.'),
  },
  { ...closed, $id: 'CheckpointClaim', description: "State of the receiver's audit log." },
)

export const ReceiptClaims = Type.Object(
  {
    iss: memberId('The receiver.'),
    aud: memberId('The sender.'),
    iat: Type.Integer({ minimum: 0, description: 'NumericDate.' }),
    jti: Type.String({ pattern: '^[A-Za-z0-9_-]{22}$', description: '128 random bits.' }),
    batch: uuidv7('Id of the batch.'),
    root: sha256Digest('Root as recomputed by the receiver.'),
    size: Type.Integer({ minimum: 1, maximum: 1000, description: 'Number of messages.' }),
    proof: sha256Digest('Digest of the first proof JWT accepted for this batch.'),
    exceptions: Type.Array(ReceiptException, {
      maxItems: 1000,
      description: 'Ascending by index, each once; every other message is stored.',
    }),
    previous: orNull(sha256Digest('Digest of the last receipt to this peer.')),
    checkpoint: orNull(CheckpointClaim),
  },
  { ...closed, $id: 'ReceiptClaims', description: 'Claims of a receipt, typ crossline-receipt+jwt.' },
)
export type ReceiptClaims = Static<typeof ReceiptClaims>

const jws = (typ: string) =>
  Type.String({ pattern: '^[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+$', description: `Compact JWS, typ ${typ}.` })
export const ReceiptAnswer = Type.Object(
  { receipt: jws('crossline-receipt+jwt') },
  { ...closed, $id: 'ReceiptAnswer', description: 'The receipt of a stored batch; the same bytes each time.' },
)
export const PingInput = Type.Object(
  {
    nonce: Type.String({
      pattern: '^[A-Za-z0-9_-]{16,64}$',
      description: '16 to 64 base64url characters, chosen by the caller.',
    }),
  },
  { ...closed, $id: 'PingInput', description: 'A signed echo.' },
)
export type PingInput = Static<typeof PingInput>
export const PingAnswer = Type.Object(
  { pong: jws('crossline-pong+jwt') },
  { ...closed, $id: 'PingAnswer', description: 'The nonce, signed, with the time of the answering node.' },
)
export const CapabilitiesAnswer = Type.Object(
  { capabilities: jws('crossline-capabilities+jwt') },
  { ...closed, $id: 'CapabilitiesAnswer', description: 'What the node serves, signed.' },
)
