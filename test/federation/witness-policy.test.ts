// The operator's own witness policy counts instead of the majority, a broken one stops the start, and the doctor names who does not cosign.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { examineWitnesses } from '#commands/doctor-witnesses.ts'
import { holdDirectory } from '#domain/held-directory.ts'
import type { Root } from '#schema/directory.ts'
import { eventually } from '../network.ts'
import { readDirectory } from '../peer.ts'
import { readAuditKey, verifierKey } from '../witness-log.ts'
import { cosignedBy, sizeOf, startNetwork, statusOf } from './witness-network.ts'

const folder = await mkdtemp(join(tmpdir(), 'crossline-policy-'))
t.teardown(() => rm(folder, { recursive: true, force: true }))
const path = join(folder, 'policy.txt')
await writeFile(path, 'quorum none\n')
const { network } = await startNetwork(t, 3, { AUDIT_POLICY: path })
const [gb, jp] = [network.get('hotline-gb'), network.get('hotline-jp')]
const witness = (id: string) => `witness ${id} ${verifierKey(`${id}/witness`, 4, readAuditKey(network.folder, id))}`
const metrics = async () => (await fetch(`http://127.0.0.1:${gb.node().health.port}/metrics`)).text()

async function startWith(text: string): Promise<void> {
  await gb.stop()
  await writeFile(path, text)
  await gb.start()
}

t.test('a policy of one witness is met by that one alone', async (t) => {
  await startWith(['# ours', witness('hotline-se'), 'quorum hotline-se', ''].join('\n'))
  const { witnesses } = await eventually('it is met', async () => {
    const status = await statusOf(gb)
    return status.witnesses.quorumSize > 3 && status
  })
  t.match(witnesses, { witnessed: 1, of: 1 })
  t.match(await metrics(), /^crossline_audit_witnessed 1$/m)
  t.match(await metrics(), /^crossline_audit_quorum_age_seconds \d+$/m)
})

t.test('a policy that asks for somebody who never cosigns is not met', async (t) => {
  await startWith(
    [witness('hotline-se'), witness('hotline-gb'), 'group both all hotline-se hotline-gb', 'quorum both', ''].join('\n'),
  )
  await cosignedBy(gb, 'hotline-se', await sizeOf(gb))
  t.match((await statusOf(gb)).witnesses, { quorumSize: null, quorumAgeS: null, witnessed: 0 })
  t.match(await metrics(), /^crossline_audit_quorum_age_seconds -1$/m)
})

t.test('a broken policy stops the start, with the line that is wrong', async (t) => {
  await gb.stop()
  await writeFile(path, `${witness('hotline-se')}\nquorum hotline-jp\n`)
  await t.rejects(gb.start(), { code: 'bad_policy', detail: /AUDIT_POLICY.*line 2/ })
  await rm(path)
  await t.rejects(gb.start(), { code: 'invalid_config', detail: /AUDIT_POLICY/ })
  await writeFile(path, 'quorum none\n')
  await gb.start()
})

t.test('the doctor names the peers that have not cosigned for a minute', async (t) => {
  const { document, version, hash, bytes } = readDirectory(network.folder)
  const directory = holdDirectory({ document, version, hash, bytes, root: {} as Root })
  const examineAt = (now: Date) => examineWitnesses(gb.database.database, { self: 'hotline-gb', directory, now })
  for (const id of ['hotline-se', 'hotline-jp']) await cosignedBy(gb, id, await sizeOf(gb))
  t.match(await examineAt(new Date()), [{ check: 'witnesses', result: 'ok' }])
  await jp.stop()
  const size = await sizeOf(gb)
  await eventually('the log grows on', async () => (await sizeOf(gb)) > size)
  await cosignedBy(gb, 'hotline-se', size + 1)
  const findings = await examineAt(new Date(Date.now() + 61_000))
  t.ok(findings.some(({ result, says }) => result === 'warning' && says.startsWith('hotline-jp has not cosigned')))
})
