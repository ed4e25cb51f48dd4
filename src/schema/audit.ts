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
  'entry.erased',
  'audit.queried',
  'audit.exported',
  'index.root',
  'schema.migrated',
  'client.added',
  'client.revoked',
  'peer.checkpoint',
  'shard.opened',
  'shard.closed',
  'sealing.resumed',
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
    case: Type.Optional(
      lineOfText(128, "Only entries of reports, items and questions that carry this file number: a hotline's or your own."),
    ),
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
const Proof = Type.Object(
  {
    sealed: Type.Literal(true, { description: 'The entry has its place in the log: nothing else is shown.' }),
    witnessed: Type.Integer({ minimum: 0, description: 'Witnesses that cosigned a checkpoint with this entry in it.' }),
    of: Type.Integer({ minimum: 0, description: 'Witnesses that this node asks.' }),
    size: Type.Integer({ minimum: 1, description: 'Size of the signed checkpoint of its log that the entry is proven under.' }),
  },
  { ...closed, description: 'How far the entry is proven: never just "ok".' },
)
const entryView = {
  log: Type.String({ pattern: '^[a-z0-9-]{2,40}/audit/\\d{4}$', description: 'The log: <member id>/audit/<year>.' }),
  year: Type.Integer({ minimum: 2000, maximum: 2099, description: 'Year of the log.' }),
  index: Type.Integer({ minimum: 0, description: 'Leaf index: its place in that log.' }),
  recordedAt: timestamp("When the database stored it, by the database's clock."),
  leaf: sha256Digest('Leaf hash.'),
  country: orNull(countryCode('Country that the entry is about.')),
  entry: Type.String({ description: 'The exact bytes that are hashed, as text (schema Entry).' }),
  disclosed: Type.Record(Type.String(), Disclosed, {
    description: 'What you may see: `actor` and the fields of `payload`; empty once erased.',
  }),
  proof: Proof,
}
export const EntryView = Type.Object(entryView, {
  ...closed,
  $id: 'EntryView',
  description: 'One sealed entry with the fields that the caller may see.',
})
export type EntryView = Static<typeof EntryView>

/** The newest checkpoint when the answer was read: nothing behind it is shown, so the same question under it gets the same answer. */
export const ReadUnder = Type.Object(
  {
    origin: Type.String({ pattern: '^[a-z0-9-]{2,40}/audit/\\d{4}$', description: 'The log that grows now.' }),
    size: Type.Integer({ minimum: 0, description: 'Its size.' }),
    root: sha256Digest('Its root.'),
    signedAt: timestamp("When it was signed, by the node's clock: a claim."),
  },
  { ...closed, $id: 'ReadUnder', description: 'The checkpoint that an answer was read under.' },
)
export type ReadUnder = Static<typeof ReadUnder>

export const EntryPage = Type.Object(
  {
    entries: Type.Array(EntryView, { description: 'Sealed entries in the order of the log.' }),
    next: orNull(
      Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$', description: 'Cursor for `after`; null when nothing more is there now.' }),
    ),
    checkpoint: orNull(ReadUnder),
  },
  { ...closed, $id: 'EntryPage', description: 'One page of the audit log.' },
)
export type EntryPage = Static<typeof EntryPage>

export const CustodyPath = Type.Object(
  {
    ref: Type.String({
      pattern: '^([A-Za-z0-9_-]{43}|[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})$',
      description: 'The pseudonym of an item or report in the log (`ref` of its entries), or its id.',
    }),
  },
  closed,
)
export const CustodyQuery = Type.Object(
  { purpose: EntryQuery.properties.purpose, caseReference: EntryQuery.properties.caseReference },
  closed,
)
export type CustodyQuery = Static<typeof CustodyQuery>

const CustodyLine = Type.Object(
  {
    ...entryView,
    n: Type.Integer({
      minimum: 1,
      description: 'Counts 1, 2, 3 … within the item: a number that is missing is not yours to see.',
    }),
    event: AuditEventCode,
    at: timestamp("When, by the node's clock: a claim."),
    from: orNull(memberId('Who handed over or stated.')),
    to: orNull(memberId('Whom it went to.')),
    holder: orNull(memberId('Who had the item after this, as far as the lines shown say.')),
    text: Type.String({ description: 'What happened, in words.' }),
    facts: Type.Record(Type.String(), Type.Unknown(), { description: 'The same in codes; empty when closed or erased.' }),
  },
  { ...closed, $id: 'CustodyLine', description: 'One line of a custody: an entry, told.' },
)
export const Custody = Type.Object(
  {
    ref: sha256Digest('Pseudonym of the item in this log.'),
    holder: orNull(memberId('Who has the item by the last line shown.')),
    entries: Type.Integer({
      minimum: 1,
      description: 'Sealed entries that the item has in all; those not shown are not yours to see.',
    }),
    complete: Type.Boolean({
      description: 'Every sealed entry of the item is shown, 1 to `entries`, and each follows on the one before.',
    }),
    lines: Type.Array(CustodyLine, { description: 'In the order of the log.' }),
    checkpoint: ReadUnder,
  },
  { ...closed, $id: 'Custody', description: 'The custody of one item: who had it, when, and what they did.' },
)
export type Custody = Static<typeof Custody>
