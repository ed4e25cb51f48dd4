// A change of state and its entry commit together or not at all: when the log can't be written, nothing else is, at any step.
import t, { type Test } from 'tap'
import { connect, withClient } from '#storage/admin-client.ts'
import { checkAuditLog, readNodeKeys } from '../audit-check.ts'
import { addresses, createNetwork, eventually, type RunningMember, reportOf } from '../network.ts'
import { readState, setAuditWritable } from './broken-log.ts'

const admin = (member: RunningMember, query: string) => withClient(member.database.adminUrl, (client) => client.query(query))

/**
 * Runs `attempt` while the log of `member` can't be written: nothing of it may stand. The first look comes when the log is broken already:
 * what went on in the background before has then committed, and nothing more can.
 */
async function whileBroken(
  t: Test,
  member: RunningMember,
  { prepare, attempt }: { prepare?: () => Promise<unknown>; attempt: () => Promise<unknown> },
): Promise<void> {
  await setAuditWritable(member.database.adminUrl, false)
  try {
    await prepare?.()
    const before = await readState(member.database.adminUrl)
    await attempt()
    t.same(await readState(member.database.adminUrl), before, 'nothing of it stands')
  } finally {
    await setAuditWritable(member.database.adminUrl, true)
  }
}

/** Lets no batch be cut, by a lock that no timer and no call of a peer undoes; gives what lets them be cut again. */
async function holdCuts(t: Test, member: RunningMember): Promise<() => Promise<unknown>> {
  const holder = await connect(member.database.adminUrl)
  t.teardown(() => holder.end())
  await holder.query('begin')
  await holder.query('lock table crossline.outbound_batch in share row exclusive mode')
  return () => holder.query('commit')
}

const unsent = `select 1 from crossline.outbox where batch_id is null
  union all select 1 from crossline.outbound_batch where receipt is null`

const traceFailures = (member: RunningMember) =>
  member.logLines.filter((line) => line.includes('"worker":"trace"') && line.includes('audit_unavailable')).length

t.test('no step changes anything that it can not record', async (t) => {
  const zone = { 'content.example': { fail: 'servfail' as const }, 'home.example': { A: [addresses.GB] } }
  const network = await createNetwork(t, { zone })
  const gb = network.get('hotline-gb')
  const se = network.get('hotline-se')
  const report = reportOf([{ url: 'https://content.example/', contentType: 'media' }])
  const post = (member: RunningMember, path: string, body: object) =>
    member.call('hotline', 'POST', path, body, { 'idempotency-key': path.replaceAll('/', '-') })
  const unavailable = { status: 503, body: { code: 'audit_unavailable' } }
  const stateAt = async (member: RunningMember, id: string) =>
    (await member.call('hotline', 'GET', `/v1/items/${id}`)).body?.state
  let item = ''

  // Nothing is sent before this test says so.
  const hold = () => holdCuts(t, gb)
  let release = await hold()
  /** Delivery is tried until something shows, whatever it put off before. */
  const whenTried = (what: string, look: () => Promise<boolean>) =>
    eventually(what, async () => {
      await admin(gb, 'update crossline.peer set retry_at = null')
      return look()
    })

  await t.test('intake', async (t) => {
    await whileBroken(t, gb, { attempt: async () => t.match(await post(gb, '/v1/reports', report), unavailable) })
    const accepted = await post(gb, '/v1/reports', report)
    t.equal(accepted.status, 201, 'the same key works once the log does')
    item = accepted.body.items[0].id
  })

  await t.test('trace and route', async (t) => {
    await eventually(
      'the resolver failed',
      async () => (await admin(gb, 'select from crossline.item where trace_attempts = 1')).rowCount,
    )
    Object.assign(zone['content.example'], { fail: undefined, A: [addresses.SE] })
    await whileBroken(t, gb, {
      prepare: () => admin(gb, 'update crossline.item set trace_due_at = now()'),
      attempt: async () => {
        const failed = traceFailures(gb)
        await eventually('the tracer failed', async () => traceFailures(gb) > failed)
      },
    })
    await eventually('it is routed', async () => (await stateAt(gb, item)) === 'routed')
  })

  await t.test('the cut of a batch', async (t) => {
    await whileBroken(t, gb, {
      attempt: async () => {
        await release()
        await whenTried('the cut failed', async () => {
          const { rows } = await admin(gb, "select from crossline.peer where last_error = 'audit_unavailable'")
          return rows.length === 1
        })
        release = await hold()
      },
    })
  })

  await t.test('the storing of a batch', async (t) => {
    await admin(gb, 'update crossline.peer set last_error = null')
    await whileBroken(t, se, {
      attempt: async () => {
        await release()
        await whenTried('the peer refused', async () => {
          const { rows } = await admin(gb, "select from crossline.peer where last_error = 'audit_unavailable'")
          return rows.length === 1 && (await stateAt(gb, item)) === 'sent'
        })
      },
    })
    t.equal(await stateAt(gb, item), 'sent', 'the sender keeps it')
    await whenTried('it is delivered', async () => (await stateAt(gb, item)) === 'delivered')
  })

  await t.test('acceptance, refusal, assessment and action', async (t) => {
    const acts: [string, object][] = [
      ['refuse', { reason: 'out_of_remit' }],
      ['accept', { reference: 'SE-1' }],
      ['assessments', { classification: 'baseline', analyst: 'an-1' }],
      ['actions', { action: 'removed', analyst: 'an-1' }],
    ]
    for (const [name, body] of acts) {
      await eventually('what was said before has been delivered', async () => (await admin(se, unsent)).rowCount === 0)
      await whileBroken(t, se, {
        attempt: async () => t.match(await post(se, `/v1/items/${item}/${name}`, body), unavailable, name),
      })
      if (name !== 'refuse') t.match(await post(se, `/v1/items/${item}/${name}`, body), { status: 200 }, `${name}, once it works`)
    }
    await eventually('the sender hears of it', async () => (await stateAt(gb, item)) === 'closed')
  })

  await t.test('a query of the log', async (t) => {
    await whileBroken(t, gb, {
      attempt: async () => {
        const answer = await gb.call('liaison', 'GET', '/audit/v1/entries?purpose=test')
        t.match(answer, unavailable, 'what can not be recorded is not answered')
      },
    })
  })

  for (const member of [gb, se]) await checkAuditLog(member.database.database, await readNodeKeys(member.config.masterKey))
})
