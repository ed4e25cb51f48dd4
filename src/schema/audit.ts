// What a liaison asks of the audit log and what it gets (audit.md).
import { type Static, Type } from 'typebox'
import { countryCode, lineOfText, memberId, orNull, sha256Digest, timestamp, uuidv7 } from './forms.ts'

const closed = { additionalProperties: false } as const

/** Every event that may stand in the log (domain.md, "Life cycle", and the node's own). */
export const auditEvents = [
  'report.submitted',
  'item.duplicate_linked',
  'item.traced',
  'item.trace_conflict',
  'item.untraceable',
  'item.orphaned',
  'item.orphan_claimed',
  'item.routed',
  'handoff.sent',
  'handoff.received',
  'handoff.receipt',
  'handoff.accepted',
  'handoff.refused',
  'handoff.overdue',
  'item.moved',
  'assessment.added',
  'assessment.disputed',
  'action.recorded',
  'hold.placed',
  'hold.released',
  'item.closed',
  'item.reopened',
  'item.corrected',
  'report.withdrawn',
  'retention.erased',
  'audit.queried',
  'schema.migrated',
  'client.added',
  'client.revoked',
] as const
export type AuditEvent = (typeof auditEvents)[number]
const AuditEventCode = Type.Enum([...auditEvents], { description: 'What happened.' })

/** The entry itself: RFC 8785 JSON, strings and integers only, members without a value are absent. These bytes are what is hashed. */
export const Entry = Type.Object(
  {
    v: Type.Integer({ minimum: 1, maximum: 1, description: 'Version of the entry form.' }),
    log: Type.String({ pattern: '^[a-z0-9-]{2,40}/audit/\\d{4}$', description: 'The log: <member id>/audit/<year>.' }),
    id: uuidv7('Id of the entry.'),
    event: AuditEventCode,
    at: timestamp("When, by the node's clock: a claim."),
    from: Type.Optional(memberId('Who handed over or stated.')),
    to: Type.Optional(memberId('Whom it went to.')),
    ref: sha256Digest('Keyed pseudonym of the item, report or query: HMAC of its id.'),
    n: Type.Integer({ minimum: 1, description: 'Counts 1, 2, 3 … within ref.' }),
    prev: Type.Optional(sha256Digest('Leaf hash of the entry n − 1 of the same ref; absent for n = 1.')),
    seen: Type.Object(
      {
        size: Type.Integer({ minimum: 0, description: 'Size of the last checkpoint known when the entry was written.' }),
        root: sha256Digest('Its root.'),
      },
      { ...closed, description: 'Proves that the entry is not older than that checkpoint.' },
    ),
    actor: sha256Digest('Commitment SHA-256(salt || JCS(value)) to who did it.'),
    payload: Type.Record(Type.String({ pattern: '^[a-z]{2,20}$' }), sha256Digest('Commitment SHA-256(salt || JCS(value)).'), {
      description: 'One commitment for each field that may be disclosed alone.',
    }),
    peer: Type.Optional(sha256Digest("Digest of the counterparty's proof or receipt JWT.")),
  },
  { ...closed, $id: 'Entry', description: 'One audit entry as hashed. Leaf hash: SHA-256(0x00 || these bytes).' },
)
export type Entry = Static<typeof Entry>

export const EntryQuery = Type.Object(
  {
    purpose: Type.Optional(lineOfText(200, 'Why you ask; recorded in the log before the answer goes out. Required.')),
    caseReference: Type.Optional(lineOfText(64, 'Your file number; recorded with the purpose.')),
    since: Type.Optional(timestamp('Only entries recorded at or after this time.')),
    until: Type.Optional(timestamp('Only entries recorded before this time.')),
    event: Type.Optional(AuditEventCode),
    member: Type.Optional(memberId('Only entries from or to this member.')),
    country: Type.Optional(countryCode('Only entries about content hosted there.')),
    item: Type.Optional(uuidv7('Only entries of this item.')),
    after: Type.Optional(
      Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$', description: 'Cursor of the page before: its `next`.' }),
    ),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, description: 'Entries on a page, 1 to 1,000. Default 100.' })),
  },
  { ...closed, $id: 'EntryQuery', description: 'Filters of the audit log.' },
)
export type EntryQuery = Static<typeof EntryQuery>

const Disclosed = Type.Object(
  {
    salt: sha256Digest('The 32-byte salt, base64url.'),
    value: Type.Unknown({ description: 'The value that the commitment opens to.' }),
  },
  { ...closed, description: 'Opens one commitment: SHA-256(salt || JCS(value)).' },
)
export const EntryView = Type.Object(
  {
    id: Type.Integer({ minimum: 1, description: 'Place in the database of this node; becomes the leaf index when sealed.' }),
    recordedAt: timestamp("When the database stored it, by the database's clock."),
    leaf: sha256Digest('Leaf hash.'),
    country: orNull(countryCode('Country that the entry is about.')),
    entry: Type.String({ description: 'The exact bytes that are hashed, as text (schema Entry).' }),
    disclosed: Type.Record(Type.String(), Disclosed, {
      description: 'What you may see: `actor` and the fields of `payload`; empty once erased.',
    }),
  },
  { ...closed, $id: 'EntryView', description: 'One entry with the fields that the caller may see.' },
)
export type EntryView = Static<typeof EntryView>
export const EntryPage = Type.Object(
  {
    entries: Type.Array(EntryView, { description: 'Entries in the order of the log.' }),
    next: orNull(
      Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$', description: 'Cursor for `after`; null when nothing more is there now.' }),
    ),
  },
  { ...closed, $id: 'EntryPage', description: 'One page of the audit log.' },
)
export type EntryPage = Static<typeof EntryPage>
