// Receipts that a sender must not believe: each is signed well, or nearly, and says something else than what was sent.
import { generateKeyPairSync } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { type Claims, type Identity, newId, sha256, signClaims } from '../peer.ts'
import type { Misbehaviour, PeerServer, SeenCall } from '../peer-server.ts'

const receiptTyp = 'crossline-receipt+jwt'

/** Misbehaves on the delivery of a batch only. */
export const onBatch =
  (misbehave: (call: SeenCall, response: ServerResponse, peer: PeerServer) => unknown): Misbehaviour =>
  async (call, response, peer) => {
    if (!call.batch) return false
    await misbehave(call, response, peer)
    return true
  }

function sendText(response: ServerResponse, text: string, type = 'application/json'): void {
  response.writeHead(200, { 'content-type': type }).end(text)
}

const withReceipt = (make: (call: SeenCall, peer: PeerServer) => string): Misbehaviour =>
  onBatch((call, response, peer) => sendText(response, JSON.stringify({ receipt: make(call, peer) })))

const claiming = (change: (call: SeenCall) => Claims): Misbehaviour =>
  withReceipt((call, peer) => peer.sign(receiptTyp, peer.claimsFor(call, change(call))))

const idOf = (call: SeenCall, index: number): string => JSON.parse(call.batch?.lines[index]?.toString() ?? '{}').id
const rejected = (index: number, id: string | null, more: object = {}) => ({
  index,
  id,
  status: 'rejected',
  code: 'wrong_state',
  ...more,
})
const excepting = (list: (call: SeenCall) => unknown): Misbehaviour => claiming((call) => ({ exceptions: list(call) }))

/** What a peer may answer instead of a receipt, by what is wrong with it; `other` is another member. */
export function badReceipts(other: Identity): Record<string, Misbehaviour> {
  const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  return {
    'a page of HTML': onBatch((_call, response) => sendText(response, '<html>Welcome</html>', 'text/html')),
    nothing: onBatch((_call, response) => sendText(response, '')),
    'JSON without a receipt': onBatch((_call, response) => sendText(response, '{}')),
    'a name twice': onBatch((call, response, peer) => {
      const receipt = peer.sign(receiptTyp, peer.claimsFor(call))
      sendText(response, `{"receipt":"x","receipt":"${receipt}"}`)
    }),
    'a receipt with a padded signature': withReceipt((call, peer) => `${peer.sign(receiptTyp, peer.claimsFor(call))}=`),
    'a token of another kind': withReceipt((call, peer) => peer.sign('crossline-pong+jwt', peer.claimsFor(call))),
    'a receipt for another batch': claiming(() => ({ batch: newId() })),
    'a receipt for another root': claiming(() => ({ root: sha256('other') })),
    'a receipt for one message less': claiming((call) => ({ size: (call.batch?.lines.length ?? 0) - 1 })),
    'a receipt that names an unknown proof': claiming(() => ({ proof: sha256('unknown') })),
    'a receipt for another member': claiming(() => ({ aud: other.id })),
    'a receipt in the name of another member': claiming(() => ({ iss: other.id })),
    'a receipt with one claim more': claiming(() => ({ exp: 1 })),
    'a receipt without a checkpoint': claiming(() => ({ checkpoint: undefined })),
    'a receipt signed by another member': withReceipt((call, peer) => signClaims(other, receiptTyp, peer.claimsFor(call))),
    'a receipt signed by a stranger under the right kid': withReceipt((call, peer) =>
      signClaims({ kid: peer.identity.kid, signKey: stranger }, receiptTyp, peer.claimsFor(call)),
    ),
    'an exception out of range': excepting(() => [rejected(2, null)]),
    'an exception before the first': excepting(() => [rejected(-1, null)]),
    'exceptions in descending order': excepting((call) => [rejected(1, idOf(call, 1)), rejected(0, idOf(call, 0))]),
    'an exception twice': excepting((call) => [rejected(0, idOf(call, 0)), rejected(0, idOf(call, 0))]),
    'an exception for another message': excepting((call) => [rejected(0, idOf(call, 1))]),
    'a rejection without a code': excepting((call) => [{ index: 0, id: idOf(call, 0), status: 'rejected' }]),
    'a rejection by an unknown code': excepting((call) => [rejected(0, idOf(call, 0), { code: 'bad_mood' })]),
    'a duplicate without a time': excepting((call) => [{ index: 0, id: idOf(call, 0), status: 'duplicate' }]),
    'a duplicate without an id': excepting(() => [{ index: 0, id: null, status: 'duplicate', at: 1 }]),
    'exceptions that are no list': excepting(() => ({})),
  }
}

/** A receipt under a key of the peer's past. */
export const receiptUnder = (old: Pick<Identity, 'kid' | 'signKey'>): Misbehaviour =>
  withReceipt((call, peer) => signClaims(old, receiptTyp, peer.claimsFor(call)))

/** Rejects one message of a batch and commits the others. */
export const rejecting = (index: number, facts: object): Misbehaviour =>
  onBatch((call, response, peer) => {
    for (const [place, line] of call.batch?.lines.entries() ?? [])
      if (place !== index) {
        const message = JSON.parse(line.toString())
        peer.committed.set(message.id, sha256(line))
        peer.messages.push(message)
      }
    const exceptions = [{ index, id: idOf(call, index), status: 'rejected', ...facts }]
    sendText(response, JSON.stringify({ receipt: peer.sign(receiptTyp, peer.claimsFor(call, { exceptions })) }))
  })
