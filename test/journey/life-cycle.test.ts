// The invariants 2 to 5 where a hotline's own program meets them: what the API refuses changes nothing, and says why.
import t from 'tap'
import { addresses, createNetwork, eventually, reportOf } from '../network.ts'

t.test('the owner of an item assesses and acts by the rules', async (t) => {
  const network = await createNetwork(t, {
    zone: { 'home.example': { A: [addresses.GB] }, 'abroad.example': { A: [addresses.SE] } },
  })
  const gb = network.get('hotline-gb')
  const se = network.get('hotline-se')
  const submit = async (host: string, state: string) => {
    const { body } = await gb.call(
      'hotline',
      'POST',
      '/v1/reports',
      reportOf([{ url: `https://${host}/`, contentType: 'media' }]),
    )
    const id = body.items[0].id as string
    await eventually(`it is ${state}`, async () => (await gb.call('hotline', 'GET', `/v1/items/${id}`)).body.state === state)
    return id
  }
  const analyst = 'an-1'
  const accept = (id: string, member = gb) => member.call('hotline', 'POST', `/v1/items/${id}/accept`, { reference: 'F-1' })
  const assess = (id: string, classification: string, member = gb) =>
    member.call('hotline', 'POST', `/v1/items/${id}/assessments`, { classification, analyst })
  const act = (id: string, action: string, reason?: string, member = gb) =>
    member.call('hotline', 'POST', `/v1/items/${id}/actions`, { action, analyst, ...(reason ? { reason } : {}) })
  const ok = (state: string) => ({ status: 200, body: { state } })
  const refused = (state: string) => ({ status: 409, body: { code: 'wrong_state', facts: { state } } })
  const accepted = async () => {
    const id = await submit('home.example', 'routed')
    t.match(await accept(id), ok('accepted'))
    return id
  }

  await t.test('baseline is locked, national is not', async (t) => {
    const id = await accepted()
    t.match(await assess(id, 'national'), ok('assessed'))
    t.match(await assess(id, 'national'), ok('assessed'))
    t.match(await assess(id, 'baseline'), ok('assessed'))
    t.match(await assess(id, 'national'), refused('assessed'), 'nobody overrules it')
    t.match(await assess(id, 'ignore'), refused('assessed'))
    t.match(await act(id, 'not_illegal', 'adult'), refused('assessed'), 'nor by an action')
    const { body } = await gb.call('hotline', 'GET', `/v1/items/${id}`)
    t.same(
      body.assessments.map((each: { classification: string }) => each.classification),
      ['national', 'national', 'baseline'],
    )
    t.same(body.actions, [], 'what was refused left nothing')
  })

  await t.test('nothing is set before an assessment but unavailable, which needs a reason', async (t) => {
    const id = await accepted()
    for (const action of ['lea_notified', 'provider_notified', 'removed'])
      t.match(await act(id, action), refused('accepted'), action)
    t.match(await act(id, 'not_illegal', 'adult'), refused('accepted'))
    t.match(await act(id, 'unavailable'), { status: 422, body: { code: 'schema_invalid' } })
    t.match(await act(id, 'unavailable', 'error_404'), { status: 200, body: { state: 'closed', outcome: 'unavailable' } })
    t.match(await assess(id, 'national'), refused('closed'), 'and then no assessment follows')
  })

  await t.test('the notifications are set once each, and the final action ends it', async (t) => {
    const id = await accepted()
    t.match(await assess(id, 'baseline'), ok('assessed'))
    t.match(await act(id, 'lea_notified'), ok('assessed'))
    t.match(await act(id, 'provider_notified'), ok('assessed'))
    t.match(await act(id, 'lea_notified'), refused('assessed'), 'not twice')
    t.match(await act(id, 'removed', 'other'), { status: 422, body: { code: 'schema_invalid' } }, 'a reason belongs to others')
    t.match(await act(id, 'removed'), { status: 200, body: { state: 'closed', outcome: 'removed' } })
    for (const action of ['removed', 'lea_notified', 'provider_notified'])
      t.match(await act(id, action), refused('closed'), `no ${action} after it`)
    t.match(await act(id, 'unavailable', 'error_404'), refused('closed'))
    t.match(await assess(id, 'national'), refused('closed'))
  })

  await t.test('not_illegal follows on ignore, with a reason', async (t) => {
    const id = await accepted()
    t.match(await assess(id, 'national'), ok('assessed'))
    t.match(await act(id, 'not_illegal', 'adult'), refused('assessed'))
    t.match(await assess(id, 'ignore'), ok('assessed'))
    t.match(await act(id, 'not_illegal'), { status: 422, body: { code: 'schema_invalid' } })
    t.match(await act(id, 'not_illegal', 'adult'), { status: 200, body: { state: 'closed', outcome: 'not_illegal' } })
  })

  await t.test('one of two final actions at the same moment wins', async (t) => {
    const id = await accepted()
    t.match(await assess(id, 'ignore'), ok('assessed'))
    const answers = await Promise.all([act(id, 'removed'), act(id, 'unavailable', 'error_404'), act(id, 'not_illegal', 'adult')])
    t.same(answers.map(({ status }) => status).sort(), [200, 409, 409])
    const { body } = await gb.call('hotline', 'GET', `/v1/items/${id}`)
    t.equal(body.actions.length, 1)
    t.equal(body.outcome, body.actions[0].action)
  })

  await t.test('who handed it over reads it, and may do nothing', async (t) => {
    const id = await submit('abroad.example', 'delivered')
    const notOwner = { status: 409, body: { code: 'not_owner' } }
    t.match(await accept(id), notOwner)
    t.match(await accept(id, se), ok('accepted'))
    t.match(await assess(id, 'national'), notOwner)
    t.match(await assess(id, 'ignore', se), ok('assessed'))
    t.match(await act(id, 'removed'), notOwner)
    t.match(await act(id, 'not_illegal', 'adult', se), { status: 200, body: { state: 'closed' } })
    await eventually(
      'it is told',
      async () => (await gb.call('hotline', 'GET', `/v1/items/${id}`)).body.outcome === 'not_illegal',
    )
  })
})
