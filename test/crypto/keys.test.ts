import { generateKeyPairSync } from 'node:crypto'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { calculateJwkThumbprint } from 'jose'
import t from 'tap'
import {
  generateAuditKey,
  generateSigningKey,
  parseAuditKey,
  parseSigningKey,
  readAuditKey,
  readSigningKey,
} from '#crypto/keys.ts'
import { createSecretFile } from '#crypto/secret-file.ts'

const refused = { code: 'invalid_config' }

t.test('makes a signing key that is kept in a file and read again', async (t) => {
  const path = join(t.testdir(), 'sign.key')
  const pem = await generateSigningKey()
  t.equal(await createSecretFile(path, pem), true)
  t.equal(await createSecretFile(path, 'another'), false, 'what is there stays')
  const key = await readSigningKey(path)
  t.strictSame(key.publicJwk, parseSigningKey(pem).publicJwk)
  t.strictSame(Object.keys(key.publicJwk), ['kty', 'crv', 'x', 'y'])
  t.equal(key.kid, await calculateJwkThumbprint({ ...key.publicJwk }, 'sha256'))
  t.match(pem, /^-----BEGIN PRIVATE KEY-----\n/, 'PKCS#8')
})

t.test('makes an audit key on Ed25519', async (t) => {
  const path = join(t.testdir(), 'audit.key')
  await createSecretFile(path, await generateAuditKey())
  const key = await readAuditKey(path)
  t.match(key.publicJwk, { kty: 'OKP', crv: 'Ed25519' })
  t.equal(key.kid, await calculateJwkThumbprint({ ...key.publicJwk }, 'sha256'))
})

t.test('refuses a key of another kind', async (t) => {
  const pemOf = (key: { export: (options: { type: 'pkcs8'; format: 'pem' }) => string | Buffer }) =>
    key.export({ type: 'pkcs8', format: 'pem' }).toString()
  const p384 = pemOf(generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey)
  const publicOnly = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    .publicKey.export({ type: 'spki', format: 'pem' })
    .toString()
  for (const pem of [p384, publicOnly, await generateAuditKey(), '', 'marker']) {
    const error = t.throws(() => parseSigningKey(pem), refused) as unknown as Error
    t.notMatch(JSON.stringify([error.message, error.cause]), 'marker')
  }
  t.throws(() => parseAuditKey(p384), refused)
  t.throws(() => parseAuditKey('x'), refused)
})

t.test('refuses a key file that others may use, that is absent, or that is too large', async (t) => {
  const folder = t.testdir()
  const path = join(folder, 'sign.key')
  writeFileSync(path, await generateSigningKey())
  for (const mode of [0o644, 0o640, 0o620, 0o606]) {
    chmodSync(path, mode)
    await t.rejects(readSigningKey(path), refused, mode.toString(8))
  }
  chmodSync(path, 0o600)
  await t.resolves(readSigningKey(path))
  writeFileSync(path, 'x'.repeat(65_537))
  await t.rejects(readSigningKey(path), { ...refused, detail: /too large/ })
  await t.rejects(readSigningKey(join(folder, 'absent')), refused)
  await t.rejects(readSigningKey(folder), refused, 'a folder')
})
