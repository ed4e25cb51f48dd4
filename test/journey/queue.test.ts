// A hotline's program reads a queue with a cursor: it comes by every item once, however slowly another call commits.
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { connect } from '#storage/admin-client.ts'
import { addresses, createNetwork, eventually, reportOf } from '../network.ts'

t.test('a queue is read to its end and on from there', async (t) => {
  const network = await createNetwork(t, { zone: { 'home.example': { A: [addresses.GB] }, 'us.example': { A: [addresses.US] } } })
  const gb = network.get('hotline-gb')
  const submit = async (host: string) => {
    const report = reportOf([{ url: `https://${host}/`, contentType: 'website' }])
    return (await gb.call('hotline', 'POST', '/v1/reports', report)).body.items[0].id as string
  }
  const stateOf = async (id: string) => (await gb.call('hotline', 'GET', `/v1/items/${id}`)).body.state
  const read = async (query: Record<string, string>) =>
    (await gb.call('hotline', 'GET', `/v1/items?${new URLSearchParams(query)}`)).body
  const settled = async (host: string, state: string) => {
    const id = await submit(host)
    await eventually(`it is ${state}`, async () => (await stateOf(id)) === state)
    return id
  }
  let after = ''

  await t.test('each page with items gives the cursor of the next, an empty one gives none', async (t) => {
    const ids = [await settled('us.example', 'orphaned'), await settled('us.example', 'orphaned')]
    const first = await read({ state: 'orphaned', limit: '1' })
    const second = await read({ state: 'orphaned', limit: '1', after: first.next })
    t.same(
      [...first.items, ...second.items].map(({ id }: { id: string }) => id),
      ids,
    )
    t.type(second.next, 'string', 'the last page too')
    t.same(await read({ state: 'orphaned', after: second.next }), { items: [], next: null })
    ids.push(await settled('us.example', 'orphaned'))
    const later = await read({ state: 'orphaned', after: second.next })
    t.same(
      later.items.map(({ id }: { id: string }) => id),
      ids.slice(2),
      'what comes later is found from there',
    )
    after = later.next
  })

  await t.test('an item whose writer commits last, though it came first, is on a page', async (t) => {
    const [late, early] = [await settled('home.example', 'routed'), await settled('home.example', 'routed')]
    const slow = await connect(gb.database.adminUrl)
    t.teardown(() => slow.end())
    const orphan = "update crossline.item set state = 'orphaned', state_seq = nextval('crossline.state_seq') where id = $1"
    await slow.query('begin')
    await slow.query(orphan, [late])
    const quick = await connect(gb.database.adminUrl)
    t.teardown(() => quick.end())
    await quick.query(orphan, [early])
    const page = read({ state: 'orphaned', after })
    await Promise.race([page, sleep(300)])
    await slow.query('commit')
    const seen: string[] = (await page).items.map(({ id }: { id: string }) => id)
    const next = (await page).next ?? after
    const rest = await read({ state: 'orphaned', after: next })
    t.same([...seen, ...rest.items.map(({ id }: { id: string }) => id)], [late, early])
  })
})
