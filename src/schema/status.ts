// What an operator sees of a node: peers, queues, ages, counts. Ids, countries, counts and codes only, never a URL or a text of a report.
import { type Static, Type } from 'typebox'
import { ItemState } from './code-lists.ts'
import { memberId, orNull, sha256Digest, timestamp, uuidv7 } from './forms.ts'

const closed = { additionalProperties: false } as const
const count = (description: string) => Type.Integer({ minimum: 0, description })
const code = (description: string) => Type.String({ pattern: '^[a-z_]{2,40}$', description })

export const PeerStatus = Type.Object(
  {
    member: memberId('The peer.'),
    state: Type.Enum(['open', 'backing_off', 'probing', 'held'], {
      description:
        'open: delivery runs; backing_off: it failed and waits for retryAt; probing: one ping and one message are tried; held: a person must decide.',
    }),
    waiting: count('Messages that wait for this peer.'),
    oldestWaitingAt: orNull(timestamp('Since when the oldest of them waits; null if none does.')),
    inFlight: count('Messages in the batch that is on its way now.'),
    failures: count('Failures in a row.'),
    retryAt: orNull(timestamp('When delivery is tried again; null unless it waits.')),
    lastError: orNull(
      Type.String({ pattern: '^[a-z0-9_]{2,40}$', description: 'Code of the last failure; null since the last success.' }),
    ),
    heldReason: orNull(code('Why delivery is held; null unless it is.')),
    lastHeardAt: orNull(timestamp('The last call or answer of this peer that verified; null if none did.')),
  },
  { ...closed, $id: 'PeerStatus', description: 'Delivery to one other member.' },
)
export type PeerStatus = Static<typeof PeerStatus>

const QuarantinedMessage = Type.Object(
  {
    message: uuidv7('Id of the message.'),
    item: uuidv7('The item that it is about.'),
    peer: memberId('Whom it was for.'),
    code: code('Why the peer did not take it; internal: this node can not read it any more.'),
    since: timestamp('Since when it waits.'),
  },
  { ...closed, description: 'A message that waits for a person.' },
)

const PeerAsWitness = Type.Object(
  {
    member: memberId('The peer that cosigns our checkpoints.'),
    size: count('Size of our log as it cosigned it last; 0 before the first time.'),
    cosignedAt: orNull(timestamp('When it did; null before the first time.')),
    failures: count('Failures in a row.'),
    lastError: orNull(
      Type.String({ pattern: '^[a-z0-9_]{2,40}$', description: 'Code of the last failure; null since the last success.' }),
    ),
  },
  { ...closed, description: 'One peer as a witness of our log.' },
)

const WitnessStatus = Type.Object(
  {
    witnessed: count('Witnesses that have cosigned the last checkpoint with a quorum.'),
    of: count('Witnesses that the policy counts.'),
    quorumSize: orNull(count('Size of the last checkpoint that enough witnesses have cosigned; null before the first.')),
    quorumAgeS: orNull(count('Seconds since it had enough: for what came later only this node speaks. Null before the first.')),
    evidence: count('Pairs of signed notes that contradict each other, kept for ever. Anything but 0 wants a person.'),
    peers: Type.Array(PeerAsWitness, { description: 'Every other active member with an audit key, by id.' }),
  },
  { ...closed, description: 'How the audit log is witnessed by peers.' },
)

export const Status = Type.Object(
  {
    member: memberId('The member that runs this node.'),
    directory: Type.Object(
      {
        version: Type.Integer({ minimum: 1, description: 'Version of the directory that the node holds.' }),
        hash: sha256Digest('Hash of the directory as served.'),
        expires: timestamp('When it expires: from then on nothing is exchanged under it.'),
        ageS: count('Seconds since a peer or the office last confirmed it.'),
      },
      { ...closed, description: 'The directory that the node holds.' },
    ),
    peers: Type.Array(PeerStatus, { description: 'Every other member that messages go to, by id.' }),
    items: Type.Array(
      Type.Object(
        { state: ItemState, count: count('Items in this state.') },
        { ...closed, description: 'How many items are in one state.' },
      ),
      { description: 'Items by state; a state without items is absent.' },
    ),
    witnesses: WitnessStatus,
    quarantined: count('Messages that a peer rejected and a person has not yet looked at.'),
    quarantine: Type.Array(QuarantinedMessage, { maxItems: 100, description: 'The newest of them, at most 100.' }),
    audit: Type.Object(
      {
        checkpoint: orNull(
          Type.Object(
            {
              origin: Type.String({ maxLength: 80, description: 'The log: <member id>/audit/<year>.' }),
              size: count('Entries in it.'),
              root: sha256Digest('Its root.'),
            },
            { ...closed, description: 'The last checkpoint that is signed and committed; null before the first.' },
          ),
        ),
        pending: count('Entries that wait to be sealed; more than 100,000 are not counted.'),
        oldestPendingS: count('Seconds that the oldest of them has waited.'),
        halted: orNull(
          Type.Object(
            { why: code('What contradicts what.'), since: timestamp('Since when.') },
            {
              ...closed,
              description: 'Sealing has stopped until an operator looks: `crossline audit resume`; null while it runs.',
            },
          ),
        ),
      },
      { ...closed, description: 'How the sealing of the audit log does.' },
    ),
    securityEvents: Type.Array(
      Type.Object(
        { code: code('Code of the refusal or alarm.'), count: count('How often.') },
        { ...closed, description: 'How often one thing was refused.' },
      ),
      { description: 'Refusals and alarms of the last 24 hours, by code.' },
    ),
  },
  { ...closed, $id: 'Status', description: 'How the node does, for its operator.' },
)
export type Status = Static<typeof Status>
