// Keeps a node from sealing for a while, as a database or a process that hangs would, and lets what waits look old.
import { connect, withClient } from '#storage/admin-client.ts'
import { type RunningMember, reportOf } from '../network.ts'
import { tamper } from './own-log.ts'

/** A report that is traced and sent abroad, or waits there. */
export const report = () => reportOf([{ url: `https://content.example/${Math.random()}`, contentType: 'media' }])

/** Keeps everybody from sealing, and makes what waits look as if it had waited for so long. Ends with what it gives. */
export async function holdSealing(member: RunningMember, seconds: number): Promise<() => Promise<void>> {
  const holder = await connect(member.database.adminUrl)
  await holder.query('begin')
  await holder.query('select from crossline.audit_state for update')
  await member.call('hotline', 'POST', '/v1/reports', report())
  const ask = async (query: string, values: unknown[] = []) =>
    (await withClient(member.database.adminUrl, (client) => client.query(query, values.length > 0 ? values : undefined))).rows
  const date = (change: string) => tamper({ ask }, 'audit_pending', change)
  await date(`update crossline.audit_pending set recorded_at = recorded_at - interval '${seconds} seconds'`)
  return async () => {
    await date('update crossline.audit_pending p set recorded_at = e.recorded_at from crossline.audit_entry e where e.id = p.id')
    await holder.end()
  }
}
