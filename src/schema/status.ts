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
    quarantined: count('Messages that a peer rejected and a person has not yet looked at.'),
    quarantine: Type.Array(QuarantinedMessage, { maxItems: 100, description: 'The newest of them, at most 100.' }),
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
