import t from 'tap'
import { addresses, createNetwork, eventually, reportOf } from '../network.ts'

t.test('an item goes from one hotline to another and back', async (t) => {
  const network = await createNetwork(t, {
    zone: { 'content.example': { A: [addresses.SE] }, 'home.example': { A: [addresses.GB] } },
  })
  const gb = network.get('hotline-gb')
  const se = network.get('hotline-se')
  const answer = await gb.call(
    'hotline',
    'POST',
    '/v1/reports',
    reportOf(
      [
        { url: 'https://content.example/a.jpg', contentType: 'media' },
        { url: 'https://home.example/', contentType: 'website' },
      ],
      { memo: 'What the analyst saw' },
    ),
  )
  t.equal(answer.status, 201)
  const [abroad, home] = answer.body.items.map((item: { id: string }) => item.id)

  const delivered = await eventually('the handoff is receipted', async () => {
    const item = (await gb.call('hotline', 'GET', `/v1/items/${abroad}`)).body
    return item.state === 'delivered' ? item : undefined
  })
  t.match(delivered, { owner: 'hotline-se', hostingCountry: 'SE', route: { rule: 'covered', member: 'hotline-se' } })
  t.match((await gb.call('hotline', 'GET', `/v1/items/${home}`)).body, {
    state: 'routed',
    owner: 'hotline-gb',
    route: { rule: 'home', member: 'hotline-gb' },
  })

  const received = await se.call('hotline', 'GET', `/v1/items/${abroad}`)
  t.match(received.body, {
    state: 'delivered',
    owner: 'hotline-se',
    origin: 'hotline-gb',
    via: ['hotline-gb'],
    url: 'https://content.example/a.jpg',
  })
  t.match((await se.call('hotline', 'GET', `/v1/reports/${answer.body.id}`)).body, {
    memo: 'What the analyst saw',
    origin: 'hotline-gb',
  })

  t.match(await se.call('hotline', 'POST', `/v1/items/${abroad}/accept`, { reference: 'SE-7' }), {
    status: 200,
    body: { state: 'accepted' },
  })
  t.match(await se.call('hotline', 'POST', `/v1/items/${abroad}/assessments`, { classification: 'baseline', analyst: 'an-1' }), {
    status: 200,
    body: { state: 'assessed' },
  })
  t.match(await se.call('hotline', 'POST', `/v1/items/${abroad}/actions`, { action: 'removed', analyst: 'an-1' }), {
    status: 200,
    body: { state: 'closed', outcome: 'removed' },
  })
  const closed = await eventually('the sender hears of the action', async () => {
    const item = (await gb.call('hotline', 'GET', `/v1/items/${abroad}`)).body
    return item.state === 'closed' ? item : undefined
  })
  t.match(closed, {
    outcome: 'removed',
    ownerReference: 'SE-7',
    assessments: [{ classification: 'baseline' }],
    actions: [{ action: 'removed' }],
  })

  const events = await eventually('the last entry is sealed', async () => {
    const { status, body } = await gb.call('liaison', 'GET', '/audit/v1/entries?purpose=test')
    t.equal(status, 200)
    const found = body.entries.map((each: { entry: string }) => JSON.parse(each.entry).event)
    return found.includes('item.closed') && found
  })
  for (const event of [
    'report.submitted',
    'item.traced',
    'item.routed',
    'handoff.sent',
    'handoff.receipt',
    'handoff.accepted',
    'assessment.added',
    'action.recorded',
    'item.closed',
  ])
    t.ok(events.includes(event), event)
})
