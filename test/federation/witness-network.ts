// What the tests of witnessing between real nodes share: a network whose rounds are short, and looks into its logs.
import { withClient } from '#storage/admin-client.ts'
import type { Teardown } from '../database.ts'
import {
  addresses,
  createNetwork,
  eventually,
  type Member,
  type NetworkOptions,
  type RunningMember,
  reportOf,
} from '../network.ts'

const hosts = ['localhost', '127.0.0.1']
const members: Member[] = [
  { id: 'hotline-gb', name: 'GB', countries: ['GB'], hosts },
  { id: 'hotline-se', name: 'SE', countries: ['SE'], hosts },
  { id: 'hotline-jp', name: 'JP', countries: ['JP'], hosts },
]
export const roundMs = 150

export const admin = async (member: RunningMember, query: string) =>
  (await withClient(member.database.adminUrl, (client) => client.query(query))).rows
export const statusOf = async (member: RunningMember) => (await member.call('operator', 'GET', '/operations/v1/status')).body
export const evidenceOf = (member: RunningMember) => admin(member, 'select * from crossline.audit_evidence order by id')
export const countEvents = async (member: RunningMember, code: string): Promise<number> =>
  (await statusOf(member)).securityEvents.find((event: { code: string }) => event.code === code)?.count ?? 0
export const sizeOf = async (member: RunningMember): Promise<number> => (await statusOf(member)).audit.checkpoint?.size ?? 0

export async function startNetwork(t: Teardown, count: number, env: Record<string, string> = {}) {
  const options: NetworkOptions = {
    members: members.slice(0, count),
    zone: { 'home.example': { A: [addresses.GB] } },
    witnessRoundMs: roundMs,
    peerWaitMs: 2000,
    env,
  }
  const network = await createNetwork(t, options)
  return { network, options }
}

/** Adds entries to a node's log and waits until they are sealed. */
export async function grow(member: RunningMember, count: number): Promise<void> {
  const before = await sizeOf(member)
  const items = Array.from({ length: count }, () => ({
    contentType: 'media',
    statedCountry: { country: 'GB', by: 'an-1', reason: 'seen there' },
  }))
  await member.call('hotline', 'POST', '/v1/reports', reportOf(items))
  await eventually('the log has grown', async () => (await sizeOf(member)) >= before + count)
}

/** Waits until a witness has cosigned at least this size of a member's log. */
export const cosignedBy = (member: RunningMember, witness: string, size: number) =>
  eventually(`${witness} has cosigned ${size} of ${member.id}`, async () => {
    const { witnesses } = await statusOf(member)
    return witnesses.peers.some((peer: { member: string; size: number }) => peer.member === witness && peer.size >= size)
  })
