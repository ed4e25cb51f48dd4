// The receipts of a peer form a chain that both sides can check; and a node starts only as the member that its certificate names.
import t from 'tap'
import { memberFiles } from '#commands/dev-files.ts'
import { readConfig } from '#config.ts'
import { startNode } from '#node.ts'
import { withClient } from '#storage/admin-client.ts'
import { addresses, createNetwork, environmentOf, eventually, reportOf } from '../network.ts'

t.test('one report, its chain and its node', async (t) => {
  const network = await createNetwork(t, { zone: { 'content.example': { A: [addresses.SE] } } })
  const gb = network.get('hotline-gb')
  const countGaps = async () => {
    const { database } = gb.database
    const rows = await database.selectFrom('security_event').select('count').where('code', '=', 'receipt_chain').execute()
    return rows.reduce((sum, { count }) => sum + Number(count), 0)
  }
  const handOver = async (n: number) => {
    const answer = await gb.call(
      'hotline',
      'POST',
      '/v1/reports',
      reportOf([{ url: `https://content.example/${n}`, contentType: 'media' }]),
    )
    const { id } = answer.body.items[0]
    await eventually(
      'the item is delivered',
      async () => (await gb.call('hotline', 'GET', `/v1/items/${id}`)).body.state === 'delivered',
    )
    return answer.body
  }

  await t.test('answers a report with the time at which it was stored', async (t) => {
    const report = await handOver(1)
    t.equal((await gb.call('hotline', 'GET', `/v1/reports/${report.id}`)).body.createdAt, report.createdAt)
  })

  await t.test('finds no gap in an unbroken chain of receipts', async (t) => {
    for (const n of [2, 3]) await handOver(n)
    t.equal(await countGaps(), 0)
  })

  await t.test('notes a gap when the last receipt is not the one that the next follows on', async (t) => {
    await withClient(gb.database.adminUrl, (client) => client.query("update crossline.peer set last_receipt_taken = 'another'"))
    await handOver(4)
    await eventually('the gap is noted', async () => (await countGaps()) === 1)
    await handOver(5)
    t.equal(await countGaps(), 1)
  })

  await t.test("refuses to start with another member's certificate", async (t) => {
    const se = memberFiles(network.folder, 'hotline-se')
    const place = { folder: network.folder, port: 0, dnsPort: network.dnsPort }
    const own = environmentOf('hotline-gb', place, gb.database.url)
    await gb.stop()
    const config = readConfig({ ...own, TLS_CERT: se.node.certificate, TLS_KEY: se.node.key, LOG_LEVEL: 'silent' })
    await t.rejects(startNode(config), { code: 'invalid_config', detail: 'TLS_CERT is not a certificate of MEMBER_ID.' })
    const mixed = readConfig({ ...own, TLS_KEY: se.node.key, LOG_LEVEL: 'silent' })
    await t.rejects(startNode(mixed), { code: 'invalid_config', detail: 'TLS_KEY is not the key of TLS_CERT.' })
  })
})
