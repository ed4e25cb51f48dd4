// A hotline that lies about when it wrote something: the node itself, with its real key, sealed by its real sealer and cosigned by its real
// witnesses. Nothing of it was altered afterwards; the verifier tells by what the witnesses had signed before.
import t from 'tap'
import { createLogger } from '#log.ts'
import { createSealing } from '#steps/sealing.ts'
import { inTransaction } from '#storage/database.ts'
import { findLatestCheckpoint } from '#storage/tree-store.ts'
import { readNodeKeys } from '../audit-check.ts'
import { admin, cosignedBy, grow, sizeOf, startNetwork } from '../federation/witness-network.ts'
import { eventually, type RunningMember } from '../network.ts'
import { envOf } from './erasing.ts'
import { appendTo } from './own-log.ts'
import { exportAndVerify, fsck, type Looked, writePolicy } from './tampering.ts'

const { network } = await startNetwork(t, 3)
const [gb, se, jp] = ['hotline-gb', 'hotline-se', 'hotline-jp'].map((id) => network.get(id)) as [
  RunningMember,
  RunningMember,
  RunningMember,
]
const policy = writePolicy(network, { log: gb.id, witnesses: [se.id, jp.id] })

/** What is written now stands under a checkpoint that both have cosigned. */
async function witnessed(): Promise<void> {
  const size = await sizeOf(gb)
  for (const peer of [se, jp]) await cosignedBy(gb, peer.id, size)
  await eventually('one checkpoint has both', async () => {
    const found = await admin(
      gb,
      `select size from crossline.cosignature where size >= ${size} group by size having count(*) = 2`,
    )
    return found.length > 0
  })
}

/** Has the hotline write an entry as it always does, with its clock an hour behind. Gives its place in the log. */
async function writeBack(): Promise<number> {
  const db = gb.database.database
  const latest = (await findLatestCheckpoint(db)) ?? null
  const ctx = {
    self: gb.id,
    db,
    keys: await readNodeKeys(gb.config.masterKey),
    now: () => new Date(Date.now() - 3_600_000),
    log: createLogger({ level: 'silent' }),
    checkpoint: () => latest,
    sealing: createSealing(),
    auditFolder: '',
    auditKey: () => {
      throw new Error('it signs nothing here')
    },
  }
  await inTransaction(db, (trx) => appendTo(ctx, trx, { subject: 'forgotten', event: 'item.corrected' }))
  return eventually('it is sealed', async () => {
    const [found] = await admin(
      gb,
      "select leaf_index::int as place from crossline.audit_leaf join crossline.audit_entry e on e.id = entry_id where e.event = 'item.corrected'",
    )
    return found?.place
  })
}

for (let rounds = 0; rounds < 2; rounds++) {
  await grow(gb, 2)
  await witnessed()
}

const looked = async (): Promise<{ fsck: Looked; bundle: Looked }> => {
  const env = envOf(network, gb)
  return { fsck: await fsck(env), bundle: await exportAndVerify({ env }, { policy }) }
}

t.test('an honest log stands between the rounds of its witnesses', async (t) => {
  const { fsck, bundle } = await looked()
  t.match(bundle, { exitCode: 0 }, JSON.stringify(bundle.faults))
  t.match(fsck, { exitCode: 0 }, JSON.stringify(fsck.faults))
  t.equal(bundle.counts.bracketed + bundle.counts.noEarlier, bundle.counts.entries)
  t.ok(bundle.counts.bracketed > 0)
})

t.test('an entry that the node itself dated before witnesses had cosigned the log without it is shown', async (t) => {
  const place = await writeBack()
  await grow(gb, 1)
  await witnessed()
  const { fsck, bundle } = await looked()
  for (const found of [bundle, fsck]) {
    t.equal(found.exitCode, 1, JSON.stringify(found.faults))
    t.match(found.faults, [{ stage: 'time', kind: 'tampered', index: place, says: /before .* without it: it was dated back/ }])
    t.equal(found.faultCount, 1, 'nothing else is wrong with it')
  }
})
