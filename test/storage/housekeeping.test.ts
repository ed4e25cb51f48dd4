// What a database forgets by itself, and what it is ready for: old keys and refusals go, young ones stay, and a clock may be set back.
import { randomBytes } from 'node:crypto'
import t from 'tap'
import { deriveKeys } from '#crypto/sealed-text.ts'
import type { StepContext } from '#steps/context.ts'
import { tidyUp } from '#steps/tidy-up.ts'
import { withClient } from '#storage/admin-client.ts'
import { createTestDatabase } from '../database.ts'

t.test('takes an entry by a clock that was set back over the start of a month', async (t) => {
  const { adminUrl } = await createTestDatabase(t)
  await withClient(adminUrl, async (client) => {
    const inserted = await client.query(`insert into crossline.audit_entry (event, item_ref, item_seq, entry, recorded_at)
      values ('item.traced', sha256('a'), 1, '{}', date_trunc('month', now(), 'UTC') - interval '1 second')
      returning tableoid::regclass::text as part`)
    t.match(inserted.rows[0], { part: /audit_entry_\d{4}_\d{2}$/ })
    const pending = await client.query('select from crossline.audit_pending')
    t.equal(pending.rowCount, 1, 'the sealer finds it')
  })
})

t.test('forgets Idempotency-Keys after 30 days and refusals after 400', async (t) => {
  const { adminUrl, database } = await createTestDatabase(t)
  const ages = { idempotency: [29, 31], security_event: [399, 401] }
  await withClient(adminUrl, async (client) => {
    for (const days of ages.idempotency)
      await client.query(
        `insert into crossline.idempotency (client, key, request_digest, resource, created_at)
         values ('c', $1::text, '', gen_random_uuid(), now() - make_interval(days => $2))`,
        [days, days],
      )
    for (const days of ages.security_event)
      await client.query(
        `insert into crossline.security_event (minute, fingerprint, member, code, trace)
         values (now() - make_interval(days => $1), '', '', 'bad_signature', $2::text)`,
        [days, days],
      )
  })
  const ctx = {
    self: 'hotline-gb',
    keys: deriveKeys(randomBytes(32)),
    db: database,
    now: () => new Date(),
    directoryAge: () => 'fresh',
    checkpoint: () => null,
  } as unknown as StepContext
  await tidyUp(ctx)
  await withClient(adminUrl, async (client) => {
    t.same((await client.query('select key from crossline.idempotency')).rows, [{ key: '29' }])
    t.same((await client.query('select trace from crossline.security_event')).rows, [{ trace: '399' }])
  })
})
