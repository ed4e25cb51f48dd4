// A signed echo: shows that a peer is there, holds its key, and how far its clock is from ours.
import { randomBytes } from 'node:crypto'
import { verifyPong } from '#crypto/pong.ts'
import { parseStrictObject } from '#domain/strict-json.ts'
import { CrosslineError } from '#errors.ts'
import { type CallingContext, type CallResult, callPeer } from './call-peer.ts'

export type PingResult = Exclude<CallResult, { kind: 'answered' }> | { kind: 'answered'; skewS: number }

export async function pingPeer(ctx: CallingContext, member: string): Promise<PingResult> {
  const nonce = randomBytes(16).toString('base64url')
  const answer = await callPeer(ctx, {
    member,
    method: 'POST',
    path: '/federation/v1/ping',
    body: Buffer.from(JSON.stringify({ nonce })),
    headers: { 'content-type': 'application/json' },
    trace: randomBytes(16).toString('hex'),
    timeoutMs: 10_000,
  })
  if (answer.kind !== 'answered') return answer
  try {
    const { pong } = parseStrictObject(answer.body)
    const findKey = (kid: string) =>
      ctx
        .directory()
        .signingKeys(member)
        .find((key) => key.kid === kid)
    const { iat } = await verifyPong(pong, { issuer: member, audience: ctx.self, nonce, findKey })
    return { kind: 'answered', skewS: iat - Math.floor(ctx.now().getTime() / 1000) }
  } catch (error) {
    if (!(error instanceof CrosslineError)) throw error
    return { kind: 'unreachable', reason: 'bad_answer' }
  }
}
