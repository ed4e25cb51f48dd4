// What proves the log, as a liaison asks for it and gets it (C2SP's forms beside JSON; audit.md).
import { type Static, Type } from 'typebox'
import { orNull } from './forms.ts'

const closed = { additionalProperties: false } as const

// Text, because 2^53 − 1 and one more are the same number to JSON.parse; the step says which are too large.
const count = (description: string) =>
  Type.String({ pattern: '^(0|[1-9][0-9]{0,19})$', description: `${description} A decimal number up to 2^53 − 1.` })
const base64Hash = (description: string) =>
  Type.String({ pattern: '^[A-Za-z0-9+/]{43}=$', description: `${description} SHA-256, base64 with padding, as C2SP writes it.` })
const whole = (description: string) => Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description })

export const YearPath = Type.Object(
  { year: Type.String({ pattern: '^20[0-9]{2}$', description: 'Year of the shard: the log <member id>/audit/<year>.' }) },
  closed,
)
// The segments of a tile's path are checked by its own form; here only that nothing endless comes in.
export const TilePath = Type.Object(
  { '*': Type.String({ maxLength: 64, description: 'C2SP path of a tile, behind `tile/`.' }) },
  closed,
)
export const YearTilePath = Type.Object({ ...YearPath.properties, ...TilePath.properties }, closed)

export const InclusionQuery = Type.Object(
  {
    index: count('Index of the leaf.'),
    size: Type.Optional(count("Size of the tree; default: the newest checkpoint's.")),
  },
  closed,
)
export type InclusionQuery = Static<typeof InclusionQuery>

export const ConsistencyQuery = Type.Object(
  {
    first: count('Size of the older tree, at least 1.'),
    second: Type.Optional(count("Size of the newer tree; default: the newest checkpoint's.")),
  },
  closed,
)
export type ConsistencyQuery = Static<typeof ConsistencyQuery>

const common = {
  log: Type.String({ pattern: '^[a-z0-9-]{2,40}/audit/\\d{4}$', description: 'The log: <member id>/audit/<year>.' }),
  checkpoint: orNull(
    Type.String({ description: 'The signed checkpoint of this size with its cosignatures; null when none was signed at it.' }),
  ),
}

export const InclusionProof = Type.Object(
  {
    ...common,
    index: whole('Index of the leaf.'),
    size: whole('Size of the tree.'),
    leaf: base64Hash('The leaf.'),
    root: base64Hash('The root that the path leads to: believe it only from a checkpoint that verifies.'),
    path: Type.Array(base64Hash('A node.'), { maxItems: 53, description: "From the leaf's sibling up (RFC 6962 §2.1.1)." }),
  },
  { ...closed, $id: 'InclusionProof', description: 'Leads from a leaf to the root of a tree.' },
)
export type InclusionProof = Static<typeof InclusionProof>

export const ConsistencyProof = Type.Object(
  {
    ...common,
    first: whole('Size of the older tree.'),
    firstRoot: base64Hash('Root of the older tree.'),
    second: whole('Size of the newer tree.'),
    secondRoot: base64Hash('Root of the newer tree.'),
    path: Type.Array(base64Hash('A node.'), { maxItems: 106, description: 'The path of RFC 6962 §2.1.2.' }),
  },
  { ...closed, $id: 'ConsistencyProof', description: 'Shows that one tree only grew into another.' },
)
export type ConsistencyProof = Static<typeof ConsistencyProof>
