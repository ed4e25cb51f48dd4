import { chmodSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { deriveKeys, generateSubjectKey, keyedHash, open, readMasterKey, seal, unwrapKey, wrapKey } from '#crypto/sealed-text.ts'

const key = generateSubjectKey()
const refused = { code: 'internal' }

t.test('opens what it sealed, under the same key and for the same purpose only', async (t) => {
  for (const text of ['', 'memo', 'é 😀', 'x'.repeat(100_000)])
    t.equal(open(key, seal(key, text, 'item 1'), 'item 1').toString(), text)
  const bytes = Buffer.from([0, 255, 1])
  t.strictSame(open(key, seal(key, bytes, ''), ''), bytes)
  const sealed = seal(key, 'memo', 'item 1')
  t.throws(() => open(generateSubjectKey(), sealed, 'item 1'), refused)
  t.throws(() => open(key, sealed, 'item 2'), refused)
  t.throws(() => open(key.subarray(1), sealed, 'item 1'), refused)
})

t.test('opens nothing in which a bit has changed or that was cut', async (t) => {
  const sealed = seal(key, 'memo', 'item 1')
  for (let at = 0; at < sealed.length; at++) {
    const changed = Buffer.from(sealed)
    changed[at] = (changed[at] as number) ^ 1
    t.throws(() => open(key, changed, 'item 1'), refused, `byte ${at}`)
  }
  for (let length = 0; length < sealed.length; length++) t.throws(() => open(key, sealed.subarray(0, length), 'item 1'), refused)
})

t.test('says nothing about what does not open', async (t) => {
  const error = t.throws(() => open(key, seal(key, 'marker', 'marker'), 'other')) as unknown as Error
  t.notMatch(JSON.stringify([error.message, error.cause, Object.values(error)]), 'marker')
})

t.test('never uses a nonce or a key twice, across many refills of its random numbers', async (t) => {
  const nonces = new Set<string>()
  const keys = new Set<string>()
  for (let n = 0; n < 5_000; n++) {
    nonces.add(seal(key, '', '').subarray(1, 13).toString('hex'))
    keys.add(generateSubjectKey().toString('hex'))
  }
  t.equal(nonces.size, 5_000)
  t.equal(keys.size, 5_000)
  t.notOk(
    [...keys].some((text) => text.includes('0'.repeat(24))),
    'none is taken from a wiped stretch',
  )
})

t.test('wraps a key for one subject', async (t) => {
  const { wrap } = deriveKeys(generateSubjectKey())
  t.strictSame(unwrapKey(wrap, wrapKey(wrap, key, 'report 1'), 'report 1'), key)
  t.throws(() => unwrapKey(wrap, wrapKey(wrap, key, 'report 1'), 'report 2'), refused)
  t.throws(() => unwrapKey(wrap, seal(wrap, 'short', 'report 1'), 'report 1'), refused)
})

t.test('derives another key for every use, the same ones each time', async (t) => {
  const master = Buffer.alloc(32, 7)
  const derived = deriveKeys(master)
  const values = Object.values(derived).map((value) => (typeof value === 'string' ? value : value.toString('base64url')))
  t.equal(new Set([...values, master.toString('base64url')]).size, Object.keys(derived).length + 1)
  t.strictSame(deriveKeys(Buffer.from(master)), derived)
  t.notSame(deriveKeys(Buffer.alloc(32, 8)).wrap, derived.wrap)
  // Written down: data sealed by an older version must still open.
  t.equal(derived.wrap.toString('base64url'), 'E9wkscddadge-jEfZsst8q5vVMnC40ARN4Xjsb6nSpA')
  t.throws(() => deriveKeys(Buffer.alloc(31)), refused)
})

t.test('hashes equal texts equally, under one key', async (t) => {
  t.strictSame(keyedHash(key, 'a'), keyedHash(key, 'a'))
  t.notSame(keyedHash(key, 'a'), keyedHash(key, 'b'))
  t.notSame(keyedHash(key, 'a'), keyedHash(generateSubjectKey(), 'a'))
  t.equal(keyedHash(key, 'a').length, 32)
})

t.test('makes the master key once, for its owner alone', async (t) => {
  const path = join(t.testdir(), 'deep', 'master.key')
  const made = await Promise.all(Array.from({ length: 8 }, () => readMasterKey(path)))
  t.equal(made.filter(({ created }) => created).length, 1, 'one of many at once makes it')
  for (const { key } of made) t.strictSame(key, made[0]?.key)
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.strictSame(readdirSync(join(path, '..')), ['master.key'], 'no draft is left')
  const text = readFileSync(path, 'utf8')
  const { mtimeMs } = statSync(join(path, '..'))
  t.match(await readMasterKey(path), { created: false })
  t.equal(statSync(join(path, '..')).mtimeMs, mtimeMs, 'a key that is there may lie on a read-only mount')
  t.equal(readFileSync(path, 'utf8'), text)
})

t.test('never replaces a master key that is unusable', async (t) => {
  const folder = t.testdir({ short: 'AAAA\n', empty: '', long: `${'A'.repeat(43)}\nmore` })
  for (const name of ['short', 'empty', 'long']) {
    const path = join(folder, name)
    const text = readFileSync(path, 'utf8')
    chmodSync(path, 0o600)
    await t.rejects(readMasterKey(path), { code: 'invalid_config' }, name)
    t.equal(readFileSync(path, 'utf8'), text)
  }
  symlinkSync(join(folder, 'nowhere'), join(folder, 'link'))
  await t.rejects(readMasterKey(join(folder, 'link')), { code: 'invalid_config' }, 'a link to nowhere')
  await t.rejects(readMasterKey(join(folder, 'short', 'below')), { code: 'invalid_config' }, 'a folder that is a file')
})

t.test('refuses a master key that others may read', async (t) => {
  const path = join(t.testdir(), 'master.key')
  writeFileSync(path, `${'A'.repeat(43)}\n`)
  for (const mode of [0o644, 0o640, 0o604, 0o660, 0o601]) {
    chmodSync(path, mode)
    await t.rejects(readMasterKey(path), { code: 'invalid_config' }, mode.toString(8))
  }
  chmodSync(path, 0o400)
  t.match(await readMasterKey(path), { created: false }, 'a read-only one will do')
})
