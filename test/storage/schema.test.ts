// migrations/schema.sql says what the migrations end in.
import { readFileSync } from 'node:fs'
import t from 'tap'
import { withClient } from '#storage/admin-client.ts'
import { createTestDatabase } from '../database.ts'
import { renderSchema, schemaFile } from './schema-text.ts'

t.test('the committed end state of the schema is the one that the migrations make (else run `npm run docs`)', async (t) => {
  const { adminUrl } = await createTestDatabase(t)
  const [first, again] = [await withClient(adminUrl, renderSchema), await withClient(adminUrl, renderSchema)]
  t.equal(first, again, 'and it is the same each time')
  t.equal(first, readFileSync(schemaFile, 'utf8'))
})

t.test('a change of any kind shows in it', async (t) => {
  const { adminUrl } = await createTestDatabase(t)
  const committed = readFileSync(schemaFile, 'utf8')
  const changes = [
    'alter table crossline.item add column mine int',
    'alter table crossline.item alter column state drop not null',
    'alter table crossline.item drop constraint item_outcome_check',
    'drop index crossline.item_queue',
    'alter table crossline.audit_entry enable trigger audit_no_change',
    'drop policy liaison_scope on crossline.audit_entry',
    'grant update on crossline.audit_entry to crossline_service',
    'grant insert (recorded_at) on crossline.audit_entry to crossline_service',
    'alter function crossline.audit_enqueue() security invoker',
    'grant execute on function crossline.refuse_change() to public',
  ]
  await withClient(adminUrl, async (client) => {
    for (const change of changes) {
      await client.query('begin')
      await client.query("insert into crossline.migration_window (name) values ('test')")
      await client.query(change)
      t.not(await renderSchema(client), committed, change)
      await client.query('rollback')
    }
  })
})
