// A refusal carries what the one that refused found: both sides keep its note and evidence sealed, and show them to a person.
import t from 'tap'
import { withClient } from '#storage/admin-client.ts'
import { createNetwork, eventually, reportOf } from '../network.ts'

const network = await createNetwork(t)
const [gb, se] = [network.get('hotline-gb'), network.get('hotline-se')]

const note = 'The name has moved to a host in Japan.'
const evidence = {
  host: 'moved.example',
  addresses: [],
  dns: 'answered',
  resolver: 'configured',
  resolvedAt: '2026-11-20T10:00:00.000Z',
  flags: [],
  decision: { country: 'JP', rule: 'agreed', confidence: 'agreed' },
}

async function handOver(): Promise<string> {
  const item = { contentType: 'media', statedCountry: { country: 'SE', by: 'an-1', reason: 'seen there' } }
  const { body } = await gb.call('hotline', 'POST', '/v1/reports', reportOf([item]))
  const id = body.items[0].id
  await eventually('it arrived', async () => (await se.call('hotline', 'GET', `/v1/items/${id}`)).status === 200)
  return id
}

/** The item as both sides show it, once both know of the refusal. */
async function refuse(id: string, body: object) {
  const answer = await se.call('hotline', 'POST', `/v1/items/${id}/refuse`, body)
  const told = await eventually('the sender knows', async () => {
    const item = (await gb.call('hotline', 'GET', `/v1/items/${id}`)).body
    return item.state === 'refused' && item
  })
  return [answer.body, told]
}

t.test('note and evidence of a refusal are shown at both sides and lie sealed', async (t) => {
  const id = await handOver()
  for (const item of await refuse(id, { reason: 'wrong_country', note, evidence }))
    t.match(item, {
      state: 'refused',
      owner: 'hotline-gb',
      refusal: 'wrong_country',
      refusalNote: note,
      refusalEvidence: evidence,
    })
  for (const { database } of [gb, se]) {
    const { rows } = await withClient(database.adminUrl, (client) =>
      client.query(`select encode(refusal_details, 'escape') as text from crossline.item_content where item_id = $1`, [id]),
    )
    t.ok(rows[0].text)
    t.notMatch(rows[0].text, /moved|Japan/)
  }
})

t.test('a refusal without them shows none', async (t) => {
  for (const item of await refuse(await handOver(), { reason: 'out_of_remit' }))
    t.match(item, { refusal: 'out_of_remit', refusalNote: null, refusalEvidence: null })
})
