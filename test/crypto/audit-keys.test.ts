// A key for each year of the audit log, out of files that are named for it.
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { auditKeyFile, findAuditKeyFiles, readAuditKeys, signerOf } from '#crypto/audit-keys.ts'
import { generateAuditKey } from '#crypto/keys.ts'

async function makeKeys(t: Test, years: readonly number[]): Promise<string> {
  const path = join(t.testdir(), 'audit-{year}.key')
  for (const year of years) writeFileSync(auditKeyFile(path, year), await generateAuditKey(), { mode: 0o600 })
  return path
}

t.test('each year has its own, found by the names of the files', async (t) => {
  const path = await makeKeys(t, [2027, 2026])
  for (const name of ['audit-2026.key.old', 'audit-20260.key', 'audit-.key', 'audit-26.key', 'audit-1999.key', 'other-2028.key'])
    writeFileSync(join(path, '..', name), 'not looked at')
  t.same(
    (await findAuditKeyFiles(path)).map(({ year }) => year),
    [2026, 2027],
  )
  const keys = await readAuditKeys(path)
  t.match([keys.forYear(2026), keys.forYear(2027)], [{ year: 2026 }, { year: 2027 }])
  t.not(keys.forYear(2026).kid, keys.forYear(2027).kid)
  t.equal(signerOf(keys, 2027).key, keys.forYear(2027).privateKey)
})

t.test('a year without one has that of the last year before it, else of the first after it', async (t) => {
  const keys = await readAuditKeys(await makeKeys(t, [2026, 2028]))
  t.same(
    [2024, 2026, 2027, 2028, 2031].map((year) => keys.forYear(year).year),
    [2026, 2026, 2026, 2028, 2028],
  )
})

t.test('a file without a year in its name is for all years', async (t) => {
  const path = auditKeyFile(await makeKeys(t, [2026]), 2026)
  const keys = await readAuditKeys(path)
  t.equal(keys.forYear(2026).year, undefined)
  t.equal(keys.forYear(2026).kid, keys.forYear(2030).kid)
})

t.test('no key at all, one key under two names, and one that others may read are refused', async (t) => {
  const none = await makeKeys(t, [])
  await t.rejects(readAuditKeys(none), { code: 'invalid_config' })
  await t.rejects(readAuditKeys(join(none, '..', 'absent', '{year}.key')), { code: 'invalid_config' })
  const path = await makeKeys(t, [2026])
  const pem = await generateAuditKey()
  for (const year of [2027, 2028]) writeFileSync(auditKeyFile(path, year), pem, { mode: 0o600 })
  await t.rejects(readAuditKeys(path), { code: 'invalid_config', message: /each needs its own/ })
  writeFileSync(auditKeyFile(path, 2028), await generateAuditKey())
  t.match((await readAuditKeys(path)).forYear(2028), { year: 2028 })
  chmodSync(auditKeyFile(path, 2027), 0o644)
  await t.rejects(readAuditKeys(path), { code: 'invalid_config' })
})
