// What stands in the path, the query and the headers of our calls. Ids, codes and cursors only: no URL or text of a report (domain.md, "Safety rules").
import { type Static, Type } from 'typebox'
import { ItemState } from './code-lists.ts'
import { sha256Digest, uuidv7 } from './forms.ts'

const closed = { additionalProperties: false } as const
const number = (description: string) =>
  Type.String({ pattern: '^[1-9][0-9]{0,14}$', description: `${description} A decimal number.` })

export const ReportPath = Type.Object({ id: uuidv7('Id of the report.') }, closed)
export const ItemPath = Type.Object({ id: uuidv7('Id of the item.') }, closed)
export const BatchPath = Type.Object({ batchId: uuidv7('Id of the batch.') }, closed)
export const DirectoryPath = Type.Object({ version: number('Version of the directory.') }, closed)
export const RootPath = Type.Object({ number: number('Number of the root.') }, closed)

export const ItemQuery = Type.Object(
  {
    state: Type.Optional(ItemState),
    after: Type.Optional(
      Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$', description: 'Cursor of the page before: its `next`.' }),
    ),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, description: 'Items on a page, 1 to 1,000. Default 100.' })),
  },
  closed,
)
export type ItemQuery = Static<typeof ItemQuery>

export const IdempotencyHeader = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({
      pattern: '^[!-~]{1,128}$',
      description:
        'Chosen by the client, 1 to 128 visible ASCII characters: the same call with the same key is done once, and answered again. Remembered for 30 days.',
    }),
  ),
})

/** A signed document of the network as it is served (general JSON JWS, RFC 7515 section 7.2.1). */
export const SignedDocument = Type.Object(
  {
    payload: Type.String({ pattern: '^[A-Za-z0-9_-]+$', description: 'The document, UTF-8 JSON, base64url.' }),
    signatures: Type.Array(
      Type.Object(
        {
          protected: Type.String({ pattern: '^[A-Za-z0-9_-]+$', description: 'Header `alg, typ, kid`, base64url.' }),
          signature: Type.String({ pattern: '^[A-Za-z0-9_-]+$', description: 'ES256 signature, base64url.' }),
        },
        { ...closed, description: 'One signature.' },
      ),
      { minItems: 1, maxItems: 20, description: 'The signatures; each key counts once.' },
    ),
  },
  { ...closed, $id: 'SignedDocument', description: 'A signed document, exactly the bytes that were signed and published.' },
)

/** What the capabilities token claims (protocol.md, "Exact forms"). */
export const CapabilitiesClaims = Type.Object(
  {
    iss: Type.String({ pattern: '^[a-z0-9-]{2,40}$', description: 'The answering member.' }),
    aud: Type.String({ pattern: '^[a-z0-9-]{2,40}$', description: 'The asking member.' }),
    iat: Type.Integer({ minimum: 0, description: 'NumericDate: the server time.' }),
    exp: Type.Integer({ minimum: 0, description: 'NumericDate.' }),
    versions: Type.Array(Type.Integer({ minimum: 1, description: 'A version of the protocol.' }), {
      minItems: 1,
      description: 'Versions served.',
    }),
    limits: Type.Object(
      {
        maxMessages: Type.Integer({ minimum: 1, description: 'Most messages in one batch.' }),
        maxBytes: Type.Integer({ minimum: 1, description: 'Most bytes of a batch as sent.' }),
        maxInflated: Type.Integer({ minimum: 1, description: 'Most bytes of a batch once inflated.' }),
      },
      { ...closed, description: 'What the node takes at most.' },
    ),
    directory: Type.Object(
      { version: Type.Integer({ minimum: 1, description: 'Version held.' }), hash: sha256Digest('Its hash as served.') },
      { ...closed, description: 'The directory that the node holds.' },
    ),
  },
  { ...closed, $id: 'CapabilitiesClaims', description: 'Claims of the capabilities token, typ crossline-capabilities+jwt.' },
)
