// A sealer as the node's worker runs it, for a run that kills it: alone in a process, at most one step long when a step is named. It ends
// itself by SIGKILL at that exact step; without one it seals until somebody kills it. What it needs comes as JSON on its standard input.
import { createPrivateKey } from 'node:crypto'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'
import { deriveKeys } from '#crypto/sealed-text.ts'
import { createLogger } from '#log.ts'
import { createSealer, type SealContext } from '#steps/seal-audit.ts'
import { createSealing } from '#steps/sealing.ts'
import { openDatabase } from '#storage/database.ts'

export interface SealerOrder {
  url: string
  auditFolder: string
  masterKey: string
  logKey: string
  /** The step at which it ends itself; anything else: it does not. */
  step: string
}

// What of a pass has just been answered by the database.
const statements: Record<string, RegExp> = {
  locked: /for update skip locked/,
  taken: /^\s*delete from audit_pending/,
  leaves: /^\s*insert into audit_leaf/,
  tiles: /^\s*insert into audit_tile/,
  tree: /^\s*insert into "audit_shard"/,
  signed: /^\s*insert into "audit_checkpoint"/,
}

const order = JSON.parse(await text(process.stdin)) as SealerOrder
const die = () => process.kill(process.pid, 'SIGKILL')
if (order.step in statements || order.step === 'placed' || order.step === 'committing') watchStatements()
await sealForEver()

function watchStatements(): void {
  const query = Client.prototype.query as (...args: unknown[]) => Promise<unknown>
  let hasSigned = false
  const watched = function (this: Client, ...args: unknown[]) {
    const said = typeof args[0] === 'string' ? args[0] : (args[0] as { text: string }).text
    // Everything is done but the commit, which never leaves.
    if (order.step === 'placed' && hasSigned && said === 'commit') die()
    const answer = query.apply(this, args)
    hasSigned ||= statements.signed?.test(said) === true
    // Sent, and not yet answered: it stands or it does not.
    if (order.step === 'committing' && hasSigned && said === 'commit') setImmediate(die)
    if (statements[order.step]?.test(said)) answer.then(die, () => undefined)
    return answer
  }
  Client.prototype.query = watched as typeof Client.prototype.query
}

async function sealForEver(): Promise<void> {
  const sealer = createSealer(openContext(), { gapMs: 0 })
  process.stdout.write('ready\n')
  for (;;) {
    await sealer.seal().catch(() => sleep(50))
    await sleep(5)
  }
}

function openContext(): SealContext {
  const { url, auditFolder, masterKey, logKey, step } = order
  const sealing = createSealing()
  const key = createPrivateKey(logKey)
  let before = 0
  const told: typeof sealing = Object.create(sealing, {
    // Called when a pass is committed, before it is published.
    seal: {
      value: (...[checkpoint, isEmpty]: Parameters<typeof sealing.seal>) => {
        sealing.seal(checkpoint, isEmpty)
        const hasGrown = (checkpoint?.size ?? 0) > before
        before = checkpoint?.size ?? 0
        if (hasGrown && step === 'committed') die()
        // The publication is one stretch of work without a pause but for one query: after it comes the next pass.
        if (hasGrown && step === 'published') watchPublication()
      },
    },
  })
  return {
    self: 'hotline-gb',
    keys: deriveKeys(Buffer.from(masterKey, 'base64')),
    log: createLogger({ level: 'fatal', destination: process.stderr }),
    sealing: told,
    db: openDatabase({ url, applicationName: 'chaos sealer', maxConnections: 3 }),
    now: () => new Date(),
    auditKey: () => ({ key, kid: '', publicJwk: { kty: 'OKP', crv: 'Ed25519', x: '' } }),
    checkpoint: () => sealing.checkpoint,
    auditFolder,
  }
}

// The next statement after the one that reads what is published comes only when it was.
function watchPublication(): void {
  const query = Client.prototype.query as (...args: unknown[]) => Promise<unknown>
  let seen = 0
  const watched = function (this: Client, ...args: unknown[]) {
    seen += 1
    if (seen > 1) die()
    return query.apply(this, args)
  }
  Client.prototype.query = watched as typeof Client.prototype.query
}
