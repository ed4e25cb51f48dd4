// Who may call a node's own API is the operator's act: registering a client and revoking it are each one transaction with its entry.

import { type ClientRow, findClientState, insertClient, markClientRevoked } from '#storage/client-store.ts'
import { inTransaction } from '#storage/database.ts'
import type { Trx } from '#storage/report-store.ts'
import { type AuditContext, appendAudit } from './append-audit.ts'
import type { StepContext } from './context.ts'
import { findOrMakeKey } from './stable-keys.ts'
import { stableSubject } from './subject-keys.ts'

export type RegistryContext = AuditContext & Pick<StepContext, 'db'>

/** added; known: registered already, nothing changed; revoked: it was revoked, and stays so. */
export async function registerClient(ctx: RegistryContext, client: ClientRow): Promise<'added' | 'known' | 'revoked'> {
  return inTransaction(ctx.db, async (trx) => {
    if (!(await insertClient(trx, client)))
      return (await findClientState(trx, client.fingerprint)) === 'revoked' ? 'revoked' : 'known'
    await record(ctx, trx, { event: 'client.added', client })
    return 'added'
  })
}

/** From the commit on every call with this certificate is refused. unknown: no such certificate is registered, or it was revoked before. */
export async function revokeClient(ctx: RegistryContext, fingerprint: string): Promise<'revoked' | 'unknown'> {
  return inTransaction(ctx.db, async (trx) => {
    const client = await markClientRevoked(trx, fingerprint)
    if (!client) return 'unknown'
    await record(ctx, trx, { event: 'client.revoked', client })
    return 'revoked'
  })
}

async function record(
  ctx: RegistryContext,
  trx: Trx,
  { event, client }: { event: 'client.added' | 'client.revoked'; client: ClientRow },
): Promise<void> {
  const { fingerprint, role, countries, network_wide: networkWide } = client
  await appendAudit(ctx, trx, [
    {
      event,
      // One subject for each certificate, so that its revocation follows on its registration in one chain.
      subject: await findOrMakeKey(ctx, trx, stableSubject(`client ${fingerprint}`)),
      actor: { kind: 'operator' },
      // The name stays out: it may be a person's.
      payload: { client: { fingerprint, role, countries, networkWide } },
    },
  ])
}
