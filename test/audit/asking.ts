// A liaison's questions in tests: asked over HTTP, answered by a real node, after what was written before is sealed.
import { withClient } from '#storage/admin-client.ts'
import { type Answer, addresses, eventually, type RunningMember, reportOf } from '../network.ts'

export interface View {
  log: string
  year: number
  index: number
  recordedAt: string
  leaf: string
  country: string | null
  entry: string
  disclosed: Record<string, { salt: string; value: unknown }>
  proof: { sealed: boolean; witnessed: number; of: number; size: number }
}

export type Role = 'liaison' | 'operator'

export const zone = {
  'abroad.example': { A: [addresses.SE] },
  'home.example': { A: [addresses.GB] },
  'us.example': { A: [addresses.US] },
}

export const admin = (member: RunningMember, query: string, values: unknown[] = []) =>
  withClient(member.database.adminUrl, (client) => client.query(query, values))

/** Waits until everything that stands in the log now is under a signed checkpoint. */
export async function untilSealed(member: RunningMember): Promise<void> {
  const { rows } = await admin(member, 'select coalesce(max(id), 0) as last from crossline.audit_entry')
  await eventually('the log is sealed', async () => {
    const { rowCount } = await admin(
      member,
      `select from crossline.audit_entry e where id <= $1 and not exists (select from crossline.audit_leaf l
         join crossline.audit_checkpoint c on c.year = l.year and c.size > l.leaf_index where l.entry_id = e.id)`,
      [rows[0].last],
    )
    return rowCount === 0
  })
}

export async function ask(member: RunningMember, query: Record<string, string>, role: Role = 'liaison'): Promise<Answer> {
  return member.call(role, 'GET', `/audit/v1/entries?${new URLSearchParams({ purpose: 'a test', ...query })}`)
}

/** Everything that is found, after all that was written before is sealed. */
export async function entriesOf(
  member: RunningMember,
  query: Record<string, string> = {},
  role: Role = 'liaison',
): Promise<View[]> {
  await untilSealed(member)
  return sealedEntriesOf(member, query, role)
}

/** The same, without waiting. */
export async function sealedEntriesOf(
  member: RunningMember,
  query: Record<string, string> = {},
  role: Role = 'liaison',
): Promise<View[]> {
  const answer = await ask(member, { limit: '1000', ...query }, role)
  if (answer.status !== 200) throw new Error(answer.text)
  return answer.body.entries
}

export const custodyOf = (member: RunningMember, ref: string, role: Role = 'liaison'): Promise<Answer> =>
  member.call(role, 'GET', `/audit/v1/items/${ref}?purpose=a+test`)

/** One item abroad, one at home, one that nobody covers; all settled. */
export async function submitAll(member: RunningMember): Promise<Record<'abroad' | 'home' | 'us', string>> {
  const items = ['abroad', 'home', 'us'].map((name) => ({ url: `https://${name}.example/`, contentType: 'website' }))
  const { body } = await member.call('hotline', 'POST', '/v1/reports', reportOf(items))
  const [abroad, home, us] = body.items.map(({ id }: { id: string }) => id)
  await eventually('the items have settled', async () => {
    const states = await Promise.all(
      [abroad, home, us].map(async (id) => (await member.call('hotline', 'GET', `/v1/items/${id}`)).body.state),
    )
    return states.join() === 'delivered,routed,orphaned'
  })
  return { abroad, home, us }
}
