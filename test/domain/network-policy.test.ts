// The policy that follows from the directory: a text that any verifier reads, in which each member counts once.
import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import {
  describePolicy,
  keysOfYear,
  keysOfYears,
  type ListedKey,
  memberOfWitness,
  originOf,
  parseOrigin,
  witnessKeys,
  witnessName,
} from '#domain/network-policy.ts'
import { makeVerifierKey } from '#domain/signed-note.ts'
import { describeQuorum, meetsQuorum, parsePolicy } from '#domain/tlog-policy.ts'

const newKey = (): Buffer => {
  const { x = '' } = createPublicKey(generateKeyPairSync('ed25519').privateKey).export({ format: 'jwk' })
  return Buffer.from(x, 'base64url')
}
const member = (id: string, keys = 1) => ({ id, keys: Array.from({ length: keys }, newKey) })
const logs = [makeVerifierKey(originOf('hotline-gb', 2026), 1, newKey())]
const policyOf = (...witnesses: ReturnType<typeof member>[]) => parsePolicy(describePolicy({ logs, witnesses }))

t.test('the majority of the others is enough', async (t) => {
  const cases: [number, number][] = [
    [1, 1],
    [2, 2],
    [3, 2],
    [4, 3],
    [5, 3],
    [50, 26],
  ]
  for (const [of, needed] of cases) {
    const policy = policyOf(...Array.from({ length: of }, (_, n) => member(`hotline-${n}`)))
    t.same(describeQuorum(policy), { needed, of })
    const names = policy.witnesses.map(({ name }) => name)
    t.ok(meetsQuorum(policy, new Set(names.slice(0, needed))))
    t.notOk(meetsQuorum(policy, new Set(names.slice(0, needed - 1))))
  }
})

t.test('without a witness nobody is needed', async (t) => {
  for (const policy of [policyOf(), policyOf(member('hotline-se', 0))]) {
    t.same(describeQuorum(policy), { needed: 0, of: 0 })
    t.same(policy.logs, logs)
  }
})

t.test('a member with two keys counts once', async (t) => {
  const se = member('hotline-se', 2)
  const policy = policyOf(se, member('hotline-jp'), member('hotline-us'))
  t.same(
    policy.witnesses.map(({ key }) => key.name),
    ['hotline-se/witness', 'hotline-se/witness', 'hotline-jp/witness', 'hotline-us/witness'],
  )
  t.same(
    policy.witnesses.slice(0, 2).map(({ key }) => key.text),
    witnessKeys(se).map(({ text }) => text),
  )
  const named = (...places: number[]) => new Set(places.map((place) => policy.witnesses[place]?.name ?? ''))
  t.notOk(meetsQuorum(policy, named(0, 1)), 'its two keys are one witness of three')
  t.ok(meetsQuorum(policy, named(1, 2)))
})

t.test('a member may be called like a word of the policy', async (t) => {
  const policy = policyOf(member('none'), member('quorum', 2), member('group'))
  t.same(describeQuorum(policy).needed, 2)
})

t.test('origins and names lead back to their members', async (t) => {
  t.same(parseOrigin(originOf('hotline-gb', 2026)), { member: 'hotline-gb', year: 2026 })
  for (const origin of [
    'hotline-gb/audit/26',
    'hotline-gb/audit/20267',
    'Hotline/audit/2026',
    'a/audit/2026',
    '/audit/2026',
    'hotline-gb/audit/2026\n',
  ])
    t.equal(parseOrigin(origin), undefined, origin)
  t.equal(memberOfWitness(witnessName('hotline-gb')), 'hotline-gb')
  t.equal(memberOfWitness('hotline-gb/witness/2'), undefined)
})

const listed = (year: number | undefined, isUsable = true): ListedKey => ({ publicKey: newKey(), year, isUsable })

t.test('a year’s log is under the key that names the year, also when that is retired', async (t) => {
  const [old, young] = [listed(2026), listed(2027)]
  t.same(keysOfYear([old, young], 2026), [old.publicKey], 'the next key is not for this year')
  t.same(keysOfYear([old, young], 2027), [old.publicKey, young.publicKey], 'a node without its new key goes on with the old')
  const retired = { ...old, isUsable: false }
  t.same(keysOfYear([retired, young], 2027), [young.publicKey])
  t.same(keysOfYear([retired, young], 2026), [retired.publicKey, young.publicKey], 'a witness may have had only the new one')
  const any = listed(undefined)
  t.same(keysOfYear([any, { ...listed(undefined), isUsable: false }], 2030), [any.publicKey])
})

t.test('a policy over years names each key once', async (t) => {
  const [old, young, any] = [listed(2026), listed(2027), listed(undefined)]
  const yearsOf = (keys: readonly ListedKey[]) => keysOfYears(keys, [2026, 2027]).map(({ year, publicKey }) => [year, publicKey])
  t.same(yearsOf([old, young]), [
    [2027, young.publicKey],
    [2026, old.publicKey],
  ])
  t.same(yearsOf([old]), [[2026, old.publicKey]], 'one that served two years stands for the one that it names')
  t.same(yearsOf([any]), [[2027, any.publicKey]], 'or for the newest')
  const logKeys = keysOfYears([old, young], [2026, 2027]).map((key) =>
    makeVerifierKey(originOf('hotline-gb', key.year), 1, key.publicKey),
  )
  t.equal(parsePolicy(describePolicy({ logs: logKeys, witnesses: [] })).logs.length, 2)
})
