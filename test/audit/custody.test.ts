// The custody of one item as a liaison gets it: who had it, when, what they did, in words and codes, each line with how far it is proven.
import { hash } from 'node:crypto'
import canonicalize from 'canonicalize'
import t from 'tap'
import { createBucket } from '#steps/liaison-limits.ts'
import { checkAuditLog, readNodeKeys } from '../audit-check.ts'
import { createNetwork, eventually, type RunningMember } from '../network.ts'
import { admin, ask, custodyOf, submitAll, untilSealed, type View, zone } from './asking.ts'

interface Line extends View {
  n: number
  event: string
  from: string | null
  to: string | null
  holder: string | null
  text: string
  facts: Record<string, unknown>
}

const linesOf = (body: { lines: Line[] }) => body.lines
const queries = async (member: RunningMember) =>
  (await admin(member, "select from crossline.audit_entry where event = 'audit.queried'")).rowCount

/** Accepted, assessed and removed by the hotline that has it; told to the other. */
async function workOn(se: RunningMember, gb: RunningMember, id: string): Promise<void> {
  const post = async (path: string, body: object) => {
    const answer = await se.call('hotline', 'POST', `/v1/items/${id}/${path}`, body)
    if (answer.status !== 200) throw new Error(answer.text)
  }
  await post('accept', { reference: 'SE-2026-77' })
  await post('assessments', { classification: 'baseline', analyst: 'an-1' })
  await post('actions', { action: 'removed', analyst: 'an-1' })
  await eventually('the other hotline was told', async () => {
    const { body } = await gb.call('hotline', 'GET', `/v1/items/${id}`)
    return body.state === 'closed'
  })
}

t.test('the custody of one item', async (t) => {
  const network = await createNetwork(t, { zone, witnessRoundMs: 300 })
  const [gb, se] = [network.get('hotline-gb'), network.get('hotline-se')]
  const items = await submitAll(gb)
  await workOn(se, gb, items.abroad)
  await untilSealed(gb)
  await untilSealed(se)

  await t.test('tells in words and codes who had it, on both sides', async (t) => {
    const sent = await custodyOf(gb, items.abroad)
    t.match(sent, { status: 200, body: { holder: 'hotline-se', complete: true, entries: 8 } })
    t.strictSame(
      linesOf(sent.body).map(({ n, event, holder }) => [n, event, holder]),
      [
        [1, 'item.traced', 'hotline-gb'],
        [2, 'item.routed', 'hotline-gb'],
        [3, 'handoff.sent', 'hotline-gb'],
        [4, 'handoff.receipt', 'hotline-se'],
        [5, 'handoff.accepted', 'hotline-se'],
        [6, 'assessment.added', 'hotline-se'],
        [7, 'action.recorded', 'hotline-se'],
        [8, 'item.closed', 'hotline-se'],
      ],
    )
    t.strictSame(
      linesOf(sent.body).map(({ text }) => text),
      [
        'hotline-gb traced the host: country SE, rule agreed, confidence agreed.',
        'hotline-gb chose hotline-se, rule covered.',
        'hotline-gb sent the item to hotline-se.',
        'hotline-se signed the receipt for the item: stored.',
        'hotline-se accepted the item.',
        'hotline-se assessed the item as baseline.',
        'hotline-se recorded the action removed.',
        'hotline-se closed the item as removed.',
      ],
    )
    t.match(linesOf(sent.body)[6]?.facts, { code: 'removed' })
    const received = await custodyOf(se, items.abroad)
    t.match(received, { status: 200, body: { holder: 'hotline-se', complete: true } })
    t.match(linesOf(received.body)[0], {
      event: 'handoff.received',
      text: 'hotline-se stored the item that hotline-gb handed over.',
    })
    t.not(received.body.ref, sent.body.ref, 'each log has a pseudonym of its own')
    t.notMatch(sent.text + received.text, /abroad\.example/, 'no URL, no host')
  })

  await t.test('says of each line how far it is proven', async (t) => {
    await eventually('the witness has cosigned', async () =>
      linesOf((await custodyOf(gb, items.abroad)).body).every(({ proof }) => proof.witnessed === 1),
    )
    const { body } = await custodyOf(gb, items.abroad)
    for (const { index, proof } of linesOf(body)) {
      t.match(proof, { sealed: true, witnessed: 1, of: 1 })
      t.ok(proof.size > index && proof.size <= body.checkpoint.size)
    }
    // What no witness has seen is sealed only.
    await se.stop()
    await ask(gb, { purpose: 'while the witness is away' })
    await untilSealed(gb)
    await admin(gb, "update crossline.api_client set network_wide = true where role = 'liaison'")
    const last = (await ask(gb, { event: 'audit.queried', limit: '1000' })).body.entries.at(-1)
    t.match(last.proof, { sealed: true, witnessed: 0, of: 1 })
    await admin(gb, "update crossline.api_client set network_wide = false where role = 'liaison'")
    await se.start()
  })

  await t.test('opens what may be seen, by the commitments of the entry', async (t) => {
    const { body } = await custodyOf(gb, items.abroad)
    for (const { entry, leaf, disclosed } of linesOf(body)) {
      const { actor, payload } = JSON.parse(entry)
      t.equal(hash('sha256', Buffer.concat([Buffer.of(0), Buffer.from(entry)]), 'base64url'), leaf)
      for (const [name, { salt, value }] of Object.entries(disclosed)) {
        const opened = hash(
          'sha256',
          Buffer.concat([Buffer.from(salt, 'base64url'), Buffer.from(canonicalize(value) ?? '')]),
          'base64url',
        )
        t.equal(opened, name === 'actor' ? actor : payload[name], name)
      }
      t.same(Object.keys(disclosed).sort(), ['actor', ...Object.keys(payload)].sort())
    }
  })

  await t.test('is found by the pseudonym too', async (t) => {
    const { body } = await custodyOf(gb, items.abroad)
    t.match((await custodyOf(gb, body.ref)).body, { ref: body.ref, entries: 8, complete: true })
  })

  await t.test('is found by the file number of either hotline', async (t) => {
    const byOwner = await ask(gb, { case: 'SE-2026-77', limit: '1000' })
    t.same(
      byOwner.body.entries.map(({ index }: View) => index),
      linesOf((await custodyOf(gb, items.abroad)).body).map(({ index }) => index),
    )
    const bySender = await ask(se, { case: 'FILE-1' })
    t.match(bySender.body.entries[0], { proof: { sealed: true } }, 'it travelled with the report')
    t.same((await ask(gb, { case: 'file-1' })).body.entries, [], 'another number is another number')
  })

  await t.test('of an item outside the scope is that of one that never was, and the question stands in the log', async (t) => {
    await admin(gb, "update crossline.api_client set role = 'liaison', countries = '{SE}' where role = 'operator'")
    const before = await queries(gb)
    const outside = await custodyOf(gb, items.home, 'operator')
    const never = await custodyOf(gb, '019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071', 'operator')
    const pseudonym = (await custodyOf(gb, items.home)).body.ref
    const byRef = await custodyOf(gb, pseudonym, 'operator')
    for (const answer of [outside, never, byRef]) {
      const { trace: _trace, ...problem } = answer.body
      const { trace: _other, ...expected } = never.body
      t.same([answer.status, problem], [404, expected])
    }
    t.equal(await queries(gb), (before ?? 0) + 4, 'each is an entry, found or not')
    t.match(await custodyOf(gb, items.abroad, 'operator'), { status: 200 })
  })

  await t.test('says when not every line is the reader’s to see', async (t) => {
    // For Sweden the item was only ever abroad until it was moved there: what stood before is another country's.
    await admin(gb, "update crossline.api_client set countries = '{JP}' where countries = '{SE}'")
    t.match(await custodyOf(gb, items.us, 'operator'), { status: 404 })
    const keys = await readNodeKeys(gb.config.masterKey)
    const about = (await checkAuditLog(gb.database.database, keys)).about(items.us)
    t.equal(about.length, 2)
    // One of its two entries touches Japan: told by a superuser, who alone can.
    await changeCountry(gb, about[1]?.id ?? 0, 'JP')
    t.match(await custodyOf(gb, items.us, 'operator'), {
      status: 200,
      body: { entries: 2, complete: false, lines: [{ n: 2, event: 'item.orphaned' }] },
    })
    await changeCountry(gb, about[1]?.id ?? 0, 'US')
  })

  await t.test('needs a purpose and a name in the right form', async (t) => {
    const before = await queries(gb)
    t.match(await gb.call('liaison', 'GET', `/audit/v1/items/${items.abroad}`), {
      status: 422,
      body: { code: 'purpose_required' },
    })
    for (const ref of ['nine', 'A'.repeat(44), `${items.abroad}0`, items.abroad.toUpperCase()])
      t.match(await custodyOf(gb, ref), { status: 422, body: { code: 'schema_invalid' } }, ref)
    t.match(await gb.call('hotline', 'GET', `/audit/v1/items/${items.abroad}?purpose=x`), { status: 403 })
    t.equal(await queries(gb), before)
  })
})

async function changeCountry(member: RunningMember, id: number, country: string): Promise<void> {
  await admin(
    member,
    `set session_replication_role = 'replica'; begin; insert into crossline.migration_window (name) values ('test');
     alter table crossline.audit_entry disable trigger audit_no_change; update crossline.audit_entry set country = '${country}' where id = ${id};
     alter table crossline.audit_entry enable always trigger audit_no_change; commit`,
  )
}

t.test('the limits of one liaison', async (t) => {
  const env = { LIAISON_QUESTIONS_PER_MINUTE: '3', LIAISON_ROWS_PER_DAY: '1000000' }
  const gb = (
    await createNetwork(t, { zone, env, members: [{ id: 'hotline-gb', name: 'GB', countries: ['GB'], hosts: ['localhost'] }] })
  ).get('hotline-gb')
  await admin(gb, "update crossline.api_client set network_wide = true where role = 'liaison'")
  await admin(gb, "update crossline.api_client set role = 'liaison', countries = '{SE}' where role = 'operator'")
  await untilSealed(gb)
  const answers = [await ask(gb, {}), await ask(gb, {}), await custodyOf(gb, '019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071')]
  t.same(
    answers.map(({ status }) => status),
    [200, 200, 404],
  )
  const before = await queries(gb)
  const refused = await ask(gb, {})
  t.match(refused, { status: 429, body: { code: 'rate_limited' } })
  t.ok(Number(refused.headers['retry-after']) >= 1, 'it is told when to come back')
  t.equal(await queries(gb), before, 'what was not answered is no query')
  t.match(await ask(gb, {}, 'operator'), { status: 200 }, 'another liaison has limits of its own')
  t.match(await gb.call('liaison', 'GET', '/audit/v1/checkpoint'), { status: 200 }, 'proofs go on')
  const { rows } = await admin(gb, 'select queries::int, rows::int from crossline.liaison_use order by rows desc')
  t.ok(rows[0].queries === 3 && rows[0].rows > 0, 'the database counts what was shown')
  await admin(gb, 'update crossline.liaison_use set rows = 1000000')
  const over = await ask(gb, {}, 'operator')
  t.match(over, { status: 429, body: { code: 'quota_exceeded' } })
  t.ok(Number(over.headers['retry-after']) <= 86_400)
  await admin(gb, 'update crossline.liaison_use set day = day - 1')
  t.match(await ask(gb, {}, 'operator'), { status: 200 }, 'a new day begins anew')
})

t.test('a bucket fills again by its rate, whatever the clock does', async (t) => {
  let at = 1_800_000_000_000
  const bucket = createBucket(60, () => new Date(at))
  const take = () => bucket('x')
  for (let taken = 0; taken < 60; taken++) t.equal(take(), 0)
  t.equal(take(), 1, 'empty: in a second')
  at += 1000
  t.equal(take(), 0)
  t.equal(take(), 1)
  at -= 3_600_000
  t.equal(take(), 1, 'a clock set back gives nothing')
  at += 1000
  t.equal(take(), 0, 'and takes nothing away')
  at += 86_400_000
  for (let taken = 0; taken < 60; taken++) t.equal(take(), 0, 'full, not fuller')
  t.equal(take(), 1)
  t.equal(bucket('y'), 0, 'each certificate has its own')
})
