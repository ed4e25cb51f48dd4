// Nodes that witness each other: a round ends with a quorum, what was cosigned verifies, and a peer that is down costs nothing.
import t from 'tap'
import { verifyCheckpoint } from '#crypto/checkpoint-note.ts'
import { parsePolicy } from '#domain/tlog-policy.ts'
import { checkAuditLog, readNodeKeys } from '../audit-check.ts'
import { eventually, type RunningMember } from '../network.ts'
import { readAuditKey, readCosignature, verifierKey } from '../witness-log.ts'
import { admin, cosignedBy, grow, sizeOf, startNetwork, statusOf } from './witness-network.ts'

t.test('a round between three nodes ends with a quorum', async (t) => {
  const { network } = await startNetwork(t, 3)
  const [gb, se, jp] = ['hotline-gb', 'hotline-se', 'hotline-jp'].map((id) => network.get(id)) as [
    RunningMember,
    RunningMember,
    RunningMember,
  ]

  await t.test('at each of them', async (t) => {
    for (const member of [gb, se, jp]) {
      const { witnesses } = await eventually(`${member.id} is witnessed`, async () => {
        const status = await statusOf(member)
        return status.witnesses.quorumSize !== null && status
      })
      t.match(witnesses, { witnessed: 2, of: 2, evidence: 0, quorumAgeS: Number })
      t.equal(witnesses.peers.length, 2)
    }
  })

  await t.test('whose cosignatures anybody can verify', async (t) => {
    const size = (await statusOf(gb)).witnesses.quorumSize
    const [{ note }] = await admin(gb, `select note from crossline.audit_checkpoint where size = ${size}`)
    const lines = (await admin(gb, `select line, witness from crossline.cosignature where size = ${size} order by witness`)) as {
      line: string
      witness: string
    }[]
    t.same(
      lines.map(({ witness }) => witness),
      ['hotline-jp/witness', 'hotline-se/witness'],
    )
    const text = `${note.split('\n\n')[0]}\n`
    for (const { line, witness } of lines) {
      const key = readAuditKey(network.folder, witness.split('/')[0] ?? '')
      t.type(readCosignature(text, line, { name: witness, key }), 'number', `${witness}, by an independent reader`)
    }
    const [origin = ''] = text.split('\n')
    const policy = parsePolicy(
      [
        `log ${verifierKey(origin, 1, readAuditKey(network.folder, 'hotline-gb'))}`,
        ...['hotline-se', 'hotline-jp'].map(
          (id) => `witness ${id} ${verifierKey(`${id}/witness`, 4, readAuditKey(network.folder, id))}`,
        ),
        'group all 2 hotline-se hotline-jp',
        'quorum all',
        '',
      ].join('\n'),
    )
    t.match(verifyCheckpoint(`${note}${lines.map(({ line }) => line).join('')}`, policy), { quorum: true, checkpoint: { size } })
  })

  await t.test('and what each has cosigned stands in its own log', async (t) => {
    for (const member of [gb, se, jp]) {
      const checked = await checkAuditLog(member.database.database, await readNodeKeys(member.config.masterKey))
      const peers = new Set(checked.entries.filter(({ event }) => event === 'peer.checkpoint').map(({ from }) => from))
      t.equal(peers.size, 2, `${member.id} has seen two logs`)
    }
  })

  await t.test('a peer that is down costs nothing, and is seen', async (t) => {
    await jp.stop()
    await grow(gb, 3)
    await cosignedBy(gb, 'hotline-se', await sizeOf(gb))
    const { witnesses } = await eventually('the failure shows', async () => {
      const status = await statusOf(gb)
      // Asked while it was still stopping, it has said so (http_503).
      return status.witnesses.peers[0]?.lastError === 'refused' && status
    })
    t.match(witnesses.peers, [
      { member: 'hotline-jp', failures: Number, lastError: 'refused' },
      // At these short rounds it may just have been asked to wait.
      { member: 'hotline-se', failures: 0 },
    ])
    t.equal(witnesses.witnessed, 2, 'what it shows is still the last checkpoint with a quorum')
    t.ok(witnesses.quorumSize < (await sizeOf(gb)), 'which is older now')
    await jp.start()
    await cosignedBy(gb, 'hotline-jp', await sizeOf(gb))
  })

  await t.test('a start remembers the last quorum', async (t) => {
    const before = (await statusOf(gb)).witnesses.quorumSize
    for (const other of [se, jp]) await other.stop()
    await gb.stop()
    await gb.start()
    const { witnesses } = await eventually('it is there', async () => {
      const status = await statusOf(gb)
      return status.witnesses.quorumSize !== null && status
    })
    t.ok(witnesses.quorumSize >= before)
    t.match(witnesses, { witnessed: 2, of: 2 })
  })
})
