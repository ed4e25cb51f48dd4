// The doctor's look at the peers: a signed echo from each tells who can be reached, whether they accept us, and how far the clocks are apart.
import type { CallingContext } from '#steps/call-peer.ts'
import { type PingResult, pingPeer } from '#steps/ping-peer.ts'
import { compareWithPeer } from './doctor-directory.ts'
import { type Finding, failed, judgeSkew, ok, warning } from './doctor-findings.ts'

const unreachableWords: Record<string, string> = {
  refused: 'nothing listens there, or a firewall refuses',
  timeout: 'no answer in time',
  not_found: 'its name is not in DNS',
  tls: 'the TLS connection fails: an expired certificate, or an authority that TLS_CA does not hold',
  pin: 'the certificate that answers is not the one in the directory',
  closed: 'the connection was closed',
  bad_answer: 'what answers does not sign as that member',
  directory_expired: 'not asked, because this node’s directory has expired',
}
const clockCodes = ['clock_skew', 'expired_proof']
const identityCodes = ['not_a_member', 'member_suspended', 'certificate_mismatch', 'unknown_key', 'bad_signature']

export async function examinePeers(ctx: CallingContext): Promise<Finding[]> {
  const peers = ctx
    .directory()
    .peersOf(ctx.self)
    .map(({ id }) => id)
  if (peers.length === 0) return [ok('peers', 'The directory lists nobody that this node could exchange with.')]
  const results = await Promise.all(peers.map(async (peer) => ({ peer, result: await pingPeer(ctx, peer) })))
  const findings = results.flatMap(({ peer, result }) => judgePing(peer, result))
  if (peers.length > 1 && results.every(({ result }) => result.kind === 'unreachable')) {
    findings.push(
      failed('peers', 'No peer at all can be reached.', 'Look at this machine’s network, its firewall and its resolver first.'),
    )
  }
  const answering = results.find(({ result }) => result.kind === 'answered')
  return answering ? [...findings, ...(await compareWithPeer(ctx, answering.peer))] : findings
}

function judgePing(peer: string, result: PingResult): Finding[] {
  switch (result.kind) {
    case 'answered':
      return [ok('peers', `${peer} answers and signs as itself.`), judgeSkew('clock', peer, result.skewS)]
    case 'unreachable':
      return [
        warning(
          'peers',
          `${peer} cannot be reached: ${unreachableWords[result.reason] ?? result.reason}.`,
          'Messages for it wait and are tried again; ask that hotline whether its node is up.',
        ),
      ]
    case 'refused':
      return [judgeRefusal(peer, result.code)]
  }
}

function judgeRefusal(peer: string, code: string): Finding {
  if (clockCodes.includes(code)) {
    return failed(
      'clock',
      `${peer} refuses this node’s calls (${code}): the clocks are more than a minute apart.`,
      'Let both machines take their time from NTP.',
    )
  }
  if (identityCodes.includes(code)) {
    return failed(
      'peers',
      `${peer} refuses this node (${code}).`,
      'Compare certificate and signing key with the directory, and ask the network office.',
    )
  }
  return warning('peers', `${peer} answers with a refusal (${code}).`, 'If it lasts, ask that hotline.')
}
