// A report and its items, as a hotline's own system sends and reads them (domain.md, "Data").
import { type Static, Type } from 'typebox'
import {
  ActionCode,
  AgeGroup,
  Classification,
  Commerciality,
  ContentType,
  Flag,
  Gender,
  Handling,
  ItemState,
  Outcome,
  PaymentMethod,
  Reason,
  Refusal,
  ReportSource,
  SiteType,
} from './code-lists.ts'
import { countryCode, lineOfText, linesOfText, memberId, orNull, timestamp, uuidv7 } from './forms.ts'
import { HostingEvidence } from './hosting-evidence.ts'

/** The most items that one report may hold. */
const maxItems = 10_000
const closed = { additionalProperties: false } as const

const UrlText = Type.String({
  minLength: 1,
  maxLength: 8192,
  description:
    'The URL as found: http, https or ftp, at most 8,192 characters. Media never travel: a `data:` URL is refused. Log-in data belong into accessCredentials, not into the URL.',
})

const hex = (length: number, name: string) =>
  Type.Optional(Type.String({ pattern: `^[0-9a-f]{${length}}$`, description: `${name} of the file, lower-case hex.` }))
export const Hashes = Type.Object(
  { sha256: hex(64, 'SHA-256'), sha1: hex(40, 'SHA-1'), md5: hex(32, 'MD5'), pdq: hex(64, 'PDQ perceptual hash (256 bit)') },
  { ...closed, $id: 'Hashes', description: 'Known hashes of the file. The file itself never travels.' },
)

export const StatedCountry = Type.Object(
  {
    country: countryCode('Country that the analyst states.'),
    by: lineOfText(64, 'Pseudonym of the analyst who states it.'),
    reason: lineOfText(500, 'Why: what the analyst saw.'),
  },
  {
    ...closed,
    $id: 'StatedCountry',
    description: 'A hosting country stated by an analyst. It decides before any trace (routing rule 1).',
  },
)

const AccessCredentials = Type.Object(
  { username: lineOfText(256, 'User name of the page.'), password: lineOfText(256, 'Password of the page.') },
  {
    ...closed,
    $id: 'AccessCredentials',
    description:
      'Log-in data of the reported page: a secret. Sealed at rest, sealed anew for the receiver, never shown in a list.',
  },
)

export const ItemInput = Type.Object(
  {
    id: Type.Optional(uuidv7('Chosen by the client, so that sending twice is harmless; made by the node if absent.')),
    url: Type.Optional(UrlText),
    contentType: ContentType,
    isSource: Type.Optional(Type.Boolean({ description: 'True if this is the source page of the report. Default false.' })),
    hashes: Type.Optional(Hashes),
    statedCountry: Type.Optional(StatedCountry),
  },
  {
    ...closed,
    $id: 'ItemInput',
    description: 'One URL to be acted on. An item without a URL (something seen while travelling) must state its country.',
  },
)
export type ItemInput = Static<typeof ItemInput>

const reportFields = {
  reference: lineOfText(128, "The sender's own file number."),
  receivedAt: timestamp('When the public reported it.'),
  source: ReportSource,
  referrer: Type.Optional(Type.String({ minLength: 1, maxLength: 8192, description: 'URL of the page that led there.' })),
  siteType: SiteType,
  commerciality: Commerciality,
  paymentMethods: Type.Array(PaymentMethod, {
    maxItems: 13,
    uniqueItems: true,
    description: 'Ways of payment that the site offers; empty if none is known.',
  }),
  memo: Type.Optional(
    linesOfText(
      16_384,
      "The analyst's remarks for the next hotline, at most 32 KiB as JSON text. No data about the person who reported.",
    ),
  ),
  handling: Handling,
}

export const ReportInput = Type.Object(
  {
    id: Type.Optional(uuidv7('Chosen by the client, so that sending twice is harmless; made by the node if absent.')),
    ...reportFields,
    paymentMethods: Type.Optional(reportFields.paymentMethods),
    handling: Type.Optional(Handling),
    sourceItem: Type.Optional(uuidv7('Id of the item in `items` that is the source page.')),
    accessCredentials: Type.Optional(AccessCredentials),
    items: Type.Array(ItemInput, { minItems: 1, maxItems, description: `The content items found, 1 to ${maxItems}.` }),
  },
  { ...closed, $id: 'ReportInput', description: 'One submission of a hotline: a source page and the content items found on it.' },
)
export type ReportInput = Static<typeof ReportInput>

/** A report as it travels to the next hotline: without its items and without credentials. */
export const ReportFacts = Type.Object(
  {
    id: uuidv7('Id of the report, the same on every node.'),
    origin: memberId('Hotline that took the report.'),
    ...reportFields,
    sourceItem: Type.Optional(uuidv7('Id of the item that is the source page.')),
  },
  { ...closed, $id: 'ReportFacts', description: 'A report without its items.' },
)
export type ReportFacts = Static<typeof ReportFacts>

export const AssessmentInput = Type.Object(
  {
    id: Type.Optional(uuidv7('Chosen by the client, so that sending twice is harmless.')),
    classification: Classification,
    gender: Type.Optional(Gender),
    ageGroup: Type.Optional(AgeGroup),
    flags: Type.Optional(
      Type.Array(Flag, { maxItems: 4, uniqueItems: true, description: 'Properties of the material; empty if none.' }),
    ),
    analyst: lineOfText(64, 'Pseudonym of the analyst. Never a real name: it travels to peers.'),
  },
  { ...closed, $id: 'AssessmentInput', description: 'What the owner found the content to be.' },
)
export type AssessmentInput = Static<typeof AssessmentInput>

export const Assessment = Type.Object(
  {
    id: uuidv7('Id of the assessment.'),
    classification: Classification,
    gender: Gender,
    ageGroup: AgeGroup,
    flags: Type.Array(Flag, { maxItems: 4, uniqueItems: true, description: 'Properties of the material.' }),
    analyst: lineOfText(64, 'Pseudonym of the analyst.'),
    member: memberId('Hotline that assessed.'),
    madeAt: timestamp('When it was made, by the clock of that hotline.'),
  },
  { ...closed, $id: 'Assessment', description: 'One assessment; all are kept and the last counts.' },
)
export type Assessment = Static<typeof Assessment>

export const ActionInput = Type.Object(
  {
    id: Type.Optional(uuidv7('Chosen by the client, so that sending twice is harmless.')),
    action: ActionCode,
    reason: Type.Optional(Reason),
    analyst: lineOfText(64, 'Pseudonym of the analyst. Never a real name: it travels to peers.'),
  },
  {
    ...closed,
    $id: 'ActionInput',
    description: 'What the owner did. unavailable and not_illegal need a reason; not_illegal needs a last assessment of ignore.',
  },
)
export type ActionInput = Static<typeof ActionInput>

export const Action = Type.Object(
  {
    id: uuidv7('Id of the action.'),
    action: ActionCode,
    reason: Type.Optional(Reason),
    analyst: lineOfText(64, 'Pseudonym of the analyst.'),
    member: memberId('Hotline that acted.'),
    takenAt: timestamp('When it was taken, by the clock of that hotline.'),
  },
  { ...closed, $id: 'Action', description: 'One action. After a final one nothing more may be set.' },
)
export type Action = Static<typeof Action>

export const AcceptInput = Type.Object(
  { reference: lineOfText(128, "The accepting hotline's own file number.") },
  { ...closed, $id: 'AcceptInput', description: 'The owner takes the item into its own case system.' },
)
export type AcceptInput = Static<typeof AcceptInput>

export const RefuseInput = Type.Object(
  {
    reason: Refusal,
    note: Type.Optional(linesOfText(2000, 'What the sender should know, for an analyst to read.')),
    evidence: Type.Optional(HostingEvidence),
  },
  {
    ...closed,
    $id: 'RefuseInput',
    description: 'The receiver gives the item back, with a reason and, if it has one, its own hosting evidence.',
  },
)
export type RefuseInput = Static<typeof RefuseInput>

const Route = Type.Object(
  {
    rule: Type.String({
      pattern: '^[a-z_]{2,40}$',
      description:
        'The rule that decided where the item goes: home, covered, backup, default, orphaned, or the rule that sent it to a side state.',
    }),
    member: Type.Optional(memberId('The member that the item goes to; absent in a side state.')),
    flags: Type.Array(Type.String({ pattern: '^[a-z_]{2,40}$', description: 'cdn, conflict, truncated, …' }), {
      maxItems: 8,
      description: 'What an analyst should know about the decision.',
    }),
  },
  { ...closed, $id: 'Route', description: 'A decision: this item goes to this member, for this reason.' },
)

export const Item = Type.Object(
  {
    id: uuidv7('Id of the item, the same on every node for its whole life.'),
    report: uuidv7('Id of its report.'),
    origin: memberId('Hotline that took the report.'),
    url: orNull(
      Type.String({ description: 'Canonical URL; null for an item without one, or after erasure. Show it to people defanged.' }),
    ),
    contentType: ContentType,
    isSource: Type.Boolean({ description: 'True if this is the source page of the report.' }),
    hashes: Hashes,
    hostingEvidence: orNull(HostingEvidence),
    hostingCountry: orNull(countryCode('Where the content is hosted; null if not known.')),
    assignedCountry: orNull(countryCode('Whose hotline it is assigned to; differs from hostingCountry for an orphan.')),
    owner: memberId('The one hotline that may assess and act on the item now.'),
    ownerReference: orNull(lineOfText(128, "The owner's own file number, known after acceptance.")),
    via: Type.Array(memberId('A hotline that held the item.'), {
      maxItems: 9,
      description: 'Every hotline that held the item before its owner, first one first.',
    }),
    route: orNull(Route),
    assessments: Type.Array(Assessment, { description: 'All assessments, oldest first; the last counts.' }),
    actions: Type.Array(Action, { description: 'All actions, oldest first.' }),
    state: ItemState,
    outcome: orNull(Outcome),
    refusal: orNull(Refusal),
    refusalNote: orNull(
      linesOfText(2000, 'What the one that refused adds, for an analyst to read; null without a refusal or a note.'),
    ),
    refusalEvidence: orNull(HostingEvidence),
    createdAt: timestamp('When this node stored the item.'),
    changedAt: timestamp('When its state last changed on this node.'),
    erasedAt: orNull(timestamp('When this node erased its URL, hashes, evidence and file numbers; null while it holds them.')),
  },
  { ...closed, $id: 'Item', description: 'One URL to be acted on: the unit of routing, ownership, assessment and action.' },
)
export type Item = Static<typeof Item>

export const Report = Type.Object(
  {
    ...ReportFacts.properties,
    accessCredentials: Type.Optional(AccessCredentials),
    createdAt: timestamp('When this node stored the report.'),
    erasedAt: orNull(timestamp('When this node erased its texts (`reference` then says erased); null while it holds them.')),
    items: Type.Array(Item, { description: 'The items of the report that this node holds, in the order of submission.' }),
  },
  { ...closed, $id: 'Report', description: 'One submission with its items as they stand now.' },
)
export type Report = Static<typeof Report>

export const ItemPage = Type.Object(
  {
    items: Type.Array(Item, { description: 'Items in the order in which they came into their state.' }),
    next: orNull(
      Type.String({
        pattern: '^[A-Za-z0-9_-]{1,64}$',
        description: 'Cursor for `after`. Null when the page is empty: ask again later with the cursor that you have.',
      }),
    ),
  },
  { ...closed, $id: 'ItemPage', description: 'One page of a queue.' },
)
export type ItemPage = Static<typeof ItemPage>
