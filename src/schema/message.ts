// What travels between nodes: the message line and the body of each kind (protocol.md, "Message, batch, evidence, receipt").
import { type Static, type TSchema, Type } from 'typebox'
import { ContentType, Handling, Refusal } from './code-lists.ts'
import { countryCode, lineOfText, linesOfText, memberId, sha256Digest, timestamp, uuidv7 } from './forms.ts'
import { HostingEvidence } from './hosting-evidence.ts'
import { Action, Assessment, Hashes, ReportFacts, StatedCountry } from './report.ts'

/** The most messages in one batch, and the most bytes of one line without and with `origin` evidence. */
export const maxMessages = 1000
export const maxLineBytes = 65_536
export const maxLineBytesWithOrigin = 196_608
const closed = { additionalProperties: false } as const

const Evidence = Type.Object(
  {
    message: Type.String({ maxLength: maxLineBytes, description: 'The message line, as sent, without its newline.' }),
    index: Type.Integer({ minimum: 0, maximum: maxMessages - 1, description: 'Position of the message in its batch, from 0.' }),
    size: Type.Integer({ minimum: 1, maximum: maxMessages, description: 'Number of messages in the batch.' }),
    path: Type.Array(sha256Digest('A node of the inclusion path.'), {
      maxItems: 10,
      description: 'Inclusion path, leaf to root (RFC 9162, 2.1.3).',
    }),
    proof: Type.String({ maxLength: 8192, description: 'The proof JWT that signed the root.' }),
    receipt: Type.String({ maxLength: 65_536, description: "Its receiver's receipt JWT." }),
  },
  { ...closed, $id: 'Evidence', description: "Proof of one message, which anybody can check with the author's public key." },
)

/** The item as it travels in a handoff. */
export const HandedItem = Type.Object(
  {
    id: uuidv7('Id of the item.'),
    url: Type.Optional(
      Type.String({ minLength: 1, maxLength: 12_288, description: 'Canonical URL; absent for an item without one.' }),
    ),
    contentType: ContentType,
    isSource: Type.Boolean({ description: 'True if this is the source page of the report.' }),
    hashes: Hashes,
    statedCountry: Type.Optional(StatedCountry),
    hostingEvidence: HostingEvidence,
    hostingCountry: countryCode('Where the sender found the content to be hosted.'),
    assignedCountry: countryCode('Whose hotline it is assigned to.'),
    via: Type.Array(memberId('A hotline that held the item.'), {
      minItems: 1,
      maxItems: 8,
      description: 'Every hotline that held the item, the origin first, the sender last.',
    }),
  },
  { ...closed, $id: 'HandedItem', description: 'The item that a handoff passes on.' },
)
export type HandedItem = Static<typeof HandedItem>

export const HandoffBody = Type.Object(
  { report: ReportFacts, item: HandedItem, origin: Type.Optional(Evidence) },
  { ...closed, $id: 'HandoffBody', description: 'Ownership of the item passes when the receipt says stored.' },
)
export type HandoffBody = Static<typeof HandoffBody>
export const AcceptBody = Type.Object(
  { reference: lineOfText(128, "The owner's own file number.") },
  { ...closed, $id: 'AcceptBody', description: 'The owner took the item into its case system.' },
)
export type AcceptBody = Static<typeof AcceptBody>
export const RefuseBody = Type.Object(
  {
    reason: Refusal,
    evidence: Type.Optional(HostingEvidence),
    note: Type.Optional(linesOfText(2000, 'For an analyst to read.')),
  },
  {
    ...closed,
    $id: 'RefuseBody',
    description: 'The owner gives the item back to the one that handed it over, which becomes owner again.',
  },
)
export type RefuseBody = Static<typeof RefuseBody>

/** Body schema of every kind that this node understands. */
export const messageBodies = {
  handoff: HandoffBody,
  accept: AcceptBody,
  refuse: RefuseBody,
  assessment: Assessment,
  action: Action,
} as const

/** A message with its body still unread: the envelope is checked first, then the body by its kind. */
export const Message = Type.Object(
  {
    id: uuidv7('Id of the message; with its author and its digest it is known for ever.'),
    kind: Type.String({
      pattern: '^[a-z_]{2,40}$',
      description: 'handoff, accept, refuse, assessment, action; a receiver rejects a kind that it does not know.',
    }),
    item: uuidv7('The item that the message is about.'),
    author: memberId('Member that states it: the sender of the batch.'),
    to: memberId('Member that it is addressed to.'),
    createdAt: timestamp("The author's claim of when it was written."),
    schema: Type.Object(
      {
        name: Type.Literal('crossline', { description: 'Family of the schema.' }),
        version: Type.Integer({ minimum: 1, maximum: 9999, description: 'Version of the schema and code lists.' }),
      },
      { ...closed, description: 'Schema that the body follows.' },
    ),
    handling: Handling,
    body: Type.Object({}, { description: 'By kind.' }),
    refs: Type.Array(sha256Digest('Digest of a message that this one follows on.'), {
      maxItems: 16,
      description: 'Digests of the messages that this one follows on.',
    }),
    ext: Type.Object({}, { description: 'Extensions; may be ignored unless named in crit.' }),
    crit: Type.Array(Type.String({ minLength: 1, maxLength: 128, description: 'A name in ext.' }), {
      maxItems: 16,
      uniqueItems: true,
      description: 'Names in ext that must be understood.',
    }),
  },
  { ...closed, $id: 'Message', description: 'A statement from one node to another: one line of JSON whose bytes never change.' },
)
export type Message = Static<typeof Message>

/** Message of one kind with its body, for the published JSON Schema. */
export function messageOf<T extends TSchema>(body: T) {
  return Type.Object({ ...Message.properties, body }, closed)
}

export const Envelope = Type.Object(
  { batch: uuidv7('Id of the batch.'), from: memberId('Sender.'), to: memberId('Receiver.') },
  { ...closed, $id: 'Envelope', description: 'First line of a batch.' },
)
export type Envelope = Static<typeof Envelope>
