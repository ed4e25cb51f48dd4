// The attacks of The Update Framework, played with real signatures from bytes to decision: what a hostile mirror, or too few officers, can try.

import { flattenedVerify } from 'jose'
import t from 'tap'
import { digest } from '#crypto/digests.ts'
import { verifyDirectory, verifyFirstRoot, verifyNextRoot } from '#crypto/directory-documents.ts'
import { maxDocumentBytes, signGeneralJws, verifyGeneralJws } from '#crypto/directory-signature.ts'
import { decideDirectory, decideRoot, isRootAlive, maxVersionsAhead } from '#domain/directory-rules.ts'
import type { Directory } from '#schema/directory.ts'
import { authorDirectory, authorRoot } from '#steps/office/publish-directory.ts'
import { anyDigest, at, dayMs, makeDirectory, makeMember, makeOfficers, makeRoot, now } from './directory-fixture.ts'

const officers = await makeOfficers(3)
const strangers = await makeOfficers(2)
const [one, two, three] = officers as [(typeof officers)[0], (typeof officers)[0], (typeof officers)[0]]
const root = makeRoot(officers)
const directoryTyp = 'crossline-directory+jws' as const
const bad = { code: 'bad_directory' }

const signed = async (overrides: Partial<Directory> = {}, officerKeys = [one, two]) =>
  verifyDirectory((await authorDirectory({ officerKeys, document: makeDirectory(overrides) })).bytes, root)
const jws = (overrides: Partial<Directory>, officerKeys: typeof officers) =>
  signGeneralJws(Buffer.from(JSON.stringify(makeDirectory(overrides))), directoryTyp, officerKeys)
const edited = (bytes: Uint8Array, edit: (document: { payload: string; signatures: Record<string, unknown>[] }) => void) => {
  const document = JSON.parse(Buffer.from(bytes).toString())
  edit(document)
  return Buffer.from(JSON.stringify(document))
}
const headerOf = (header: unknown) =>
  Buffer.from(typeof header === 'string' ? header : JSON.stringify(header)).toString('base64url')

const held = await signed()
const next = (overrides: Partial<Directory> = {}) => signed({ version: 2, previous: held.hash, ...overrides })

t.test('follows the next version, and one that skips versions', async (t) => {
  t.same(decideDirectory({ held, candidate: await next(), now }), { kind: 'accept' })
  t.same(decideDirectory({ held, candidate: await next({ version: 9, previous: anyDigest() }), now }), { kind: 'accept' })
  t.same(decideDirectory({ held: undefined, candidate: held, now }), { kind: 'accept' })
  t.same(decideDirectory({ held, candidate: held, now }), { kind: 'already_held' })
})

t.test('keeps the bytes and their hash exactly as they were served', async (t) => {
  const { bytes } = await authorDirectory({ officerKeys: [one, two], document: makeDirectory() })
  const pretty = Buffer.from(JSON.stringify(JSON.parse(bytes.toString()), null, 1))
  const verified = await verifyDirectory(pretty, root)
  t.ok(verified.bytes.equals(pretty))
  t.equal(verified.hash, digest(pretty))
})

t.test('rollback: refuses a version below the held one', async (t) => {
  const candidate = held
  t.same(decideDirectory({ held: await next(), candidate, now }), { kind: 'refused', reason: 'rollback' })
})

t.test('freeze: refuses a directory whose life is over, and one from the future', async (t) => {
  const candidate = await next()
  const end = Date.parse(candidate.document.expires)
  t.same(decideDirectory({ held, candidate, now: new Date(end - 1) }), { kind: 'accept' })
  t.same(decideDirectory({ held, candidate, now: new Date(end) }), { kind: 'refused', reason: 'expired' })
  t.same(decideDirectory({ held: undefined, candidate, now: new Date(end) }), { kind: 'refused', reason: 'expired' })
  const early = new Date(Date.parse(candidate.document.issuedAt) - 5 * 60_000)
  t.same(decideDirectory({ held, candidate, now: early }), { kind: 'accept' })
  t.same(decideDirectory({ held, candidate, now: new Date(early.getTime() - 1) }), {
    kind: 'refused',
    reason: 'issued_in_future',
  })
})

t.test('mix-and-match: refuses a version that follows on another history', async (t) => {
  const candidate = await next({ previous: anyDigest() })
  t.same(decideDirectory({ held, candidate, now }), { kind: 'refused', reason: 'wrong_previous' })
})

t.test('mix-and-match: a document of one type never stands for another', async (t) => {
  const asRoot = await signGeneralJws(Buffer.from(JSON.stringify(makeDirectory())), 'crossline-root+jws', [one, two])
  await t.rejects(verifyDirectory(asRoot, root), bad)
  const rootDocument = await authorRoot({ officerKeys: [one, two], root })
  await t.rejects(verifyDirectory(rootDocument.bytes, root), bad)
})

t.test('mix-and-match: keys of one role sign nothing of another', async (t) => {
  const separated = makeRoot(officers, {
    roles: { ...root.roles, directory: { keys: strangers.map(({ publicJwk }) => publicJwk), threshold: 2 } },
  })
  await t.rejects(verifyDirectory(await jws({}, [one, two]), separated), bad)
  t.ok(await verifyDirectory(await jws({}, strangers), separated))
})

t.test('fast-forward: leaves more than 1,000 versions ahead to a person', async (t) => {
  const far = await next({ version: held.number + maxVersionsAhead + 1, previous: anyDigest() })
  t.same(decideDirectory({ held, candidate: far, now }), { kind: 'needs_person' })
  t.same(decideDirectory({ held, candidate: far, now, isAllowedAhead: true }), { kind: 'accept' })
  const near = await next({ version: held.number + maxVersionsAhead, previous: anyDigest() })
  t.same(decideDirectory({ held, candidate: near, now }), { kind: 'accept' })
})

t.test('equivocation: tells two contents under one version', async (t) => {
  const candidate = await signed({ members: [...held.document.members, makeMember('intruder')] })
  t.same(decideDirectory({ held, candidate, now }), { kind: 'equivocation' })
})

t.test('a mirror that wraps the same content anew convicts no officer', async (t) => {
  const rewrapped = await verifyDirectory(
    edited(held.bytes, ({ signatures }) => signatures.reverse()),
    root,
  )
  t.not(rewrapped.hash, held.hash)
  t.same(decideDirectory({ held, candidate: rewrapped, now }), { kind: 'already_held' })
  t.same(decideDirectory({ held: rewrapped, candidate: await next(), now }), { kind: 'refused', reason: 'wrong_previous' })
  t.same(decideDirectory({ held: rewrapped, candidate: await next(), now, servings: [held.hash] }), { kind: 'accept' })
})

t.test('threshold − 1: refuses too few signatures, and none', async (t) => {
  await t.rejects(verifyDirectory(await jws({}, [one]), root), bad)
  await t.rejects(verifyDirectory(await jws({}, [one, ...strangers]), root), bad)
  await t.rejects(
    verifyDirectory(
      edited(held.bytes, (document) => {
        document.signatures = []
      }),
      root,
    ),
    bad,
  )
  t.ok(await verifyDirectory(await jws({}, [one, three, ...strangers]), root), 'strangers add nothing and spoil nothing')
})

t.test('one key counted twice: a key that signs twice is one signature', async (t) => {
  await t.rejects(verifyDirectory(await jws({}, [one, one]), root), bad)
  await t.rejects(
    verifyDirectory(
      edited(await jws({}, [one]), ({ signatures }) => signatures.push(...signatures)),
      root,
    ),
    bad,
  )
  t.ok(await verifyDirectory(await jws({}, [one, one, two]), root))
})

t.test('refuses a payload or signature changed by one bit', async (t) => {
  await t.rejects(
    verifyDirectory(
      edited(held.bytes, (document) => {
        document.payload = headerOf(makeDirectory())
      }),
      root,
    ),
    bad,
  )
  const flipped = edited(held.bytes, ({ signatures }) => {
    const bytes = Buffer.from(signatures[1]?.signature as string, 'base64url')
    bytes[5] = (bytes[5] ?? 0) ^ 1
    Object.assign(signatures[1] ?? {}, { signature: bytes.toString('base64url') })
  })
  await t.rejects(verifyDirectory(flipped, root), bad)
})

t.test('refuses every odd form around a good signature', async (t) => {
  const oddly = (edit: Parameters<typeof edited>[1]) => t.rejects(verifyDirectory(edited(held.bytes, edit), root), bad)
  const withHeader = (header: unknown) =>
    oddly(({ signatures }) => Object.assign(signatures[0] ?? {}, { protected: headerOf(header) }))
  const header = { alg: 'ES256', typ: directoryTyp, kid: one.kid }
  await withHeader({ ...header, crit: ['x'] })
  await withHeader({ ...header, alg: 'none' })
  await withHeader({ ...header, typ: directoryTyp.toUpperCase() })
  await withHeader({ alg: 'ES256', typ: directoryTyp })
  await withHeader(`{"alg":"ES256","alg":"ES256","typ":"${directoryTyp}","kid":"${one.kid}"}`)
  await oddly(({ signatures }) => Object.assign(signatures[0] ?? {}, { header: { kid: one.kid } }))
  await oddly(({ signatures }) => Object.assign(signatures[0] ?? {}, { signature: `${signatures[0]?.signature}=` }))
  await oddly(({ signatures }) => Object.assign(signatures[0] ?? {}, { signature: 'AAAA' }))
  await oddly((document) => Object.assign(document, { extra: 1 }))
  await oddly((document) => {
    document.payload = `${document.payload}\n`
  })
  await oddly((document) => {
    document.signatures = Array(33).fill(document.signatures).flat()
  })
  // 64 bytes leave four unused bits in the last character: the next letter decodes to the same bytes.
  const spareBits = (text: string) => text.slice(0, -1) + String.fromCharCode(text.charCodeAt(text.length - 1) + 1)
  await oddly(({ signatures }) =>
    Object.assign(signatures[0] ?? {}, { signature: spareBits(signatures[0]?.signature as string) }),
  )
  for (const text of ['', 'null', '[]', '"x"', '{', `\uFEFF${held.bytes}`, `{"payload":"","payload":"e30","signatures":[]}`]) {
    await t.rejects(verifyDirectory(Buffer.from(text), root), bad)
  }
  const padded = (length: number) => Buffer.concat([held.bytes, Buffer.alloc(length - held.bytes.length, ' ')])
  t.ok(await verifyDirectory(padded(maxDocumentBytes), root))
  await t.rejects(verifyDirectory(padded(maxDocumentBytes + 1), root), bad)
})

t.test('refuses a payload that is not strict JSON although officers signed it', async (t) => {
  const text = JSON.stringify(makeDirectory())
  for (const payload of [text.replace('{', '{"version":1,'), text.replace('"version":1', '"version":1.0'), '[]', 'null']) {
    await t.rejects(verifyDirectory(await signGeneralJws(Buffer.from(payload), directoryTyp, [one, two]), root), bad)
  }
})

t.test('refuses to count to nothing', async (t) => {
  await t.rejects(verifyGeneralJws(await jws({}, [one]), { typ: directoryTyp, keys: [], threshold: 0 }), bad)
})

t.test('signs what any JWS library verifies', async (t) => {
  const { payload, signatures } = JSON.parse(held.bytes.toString())
  const { protectedHeader } = await flattenedVerify({ payload, ...signatures[0] }, one.publicJwk)
  t.same(protectedHeader, { alg: 'ES256', typ: directoryTyp, kid: one.kid })
})

t.test('takes as first root only the pinned one, under its own threshold', async (t) => {
  const first = await authorRoot({ officerKeys: [one, two], root })
  t.equal((await verifyFirstRoot(first.bytes, [anyDigest(), first.hash])).number, 1)
  await t.rejects(verifyFirstRoot(first.bytes, []), bad)
  await t.rejects(verifyFirstRoot(first.bytes, [anyDigest()]), bad)
  const weak = await authorRoot({ officerKeys: [one], root })
  await t.rejects(verifyFirstRoot(weak.bytes, [weak.hash]), bad)
})

t.test('takes a next root only under the threshold of the one before and its own', async (t) => {
  const successors = await makeOfficers(2)
  const heir = makeRoot(successors, { number: 2 })
  const by = async (officerKeys: typeof officers) => (await authorRoot({ officerKeys, root: heir })).bytes
  const verified = await verifyNextRoot(await by([one, two, ...successors]), root)
  t.equal(verified.number, 2)
  await t.rejects(verifyNextRoot(await by([one, ...successors]), root), bad, 'too few of the old')
  await t.rejects(verifyNextRoot(await by([one, two, ...successors.slice(0, 1)]), root), bad, 'too few of the new')
  await t.rejects(verifyNextRoot(await by(successors), root), bad, 'only the new')
  await t.rejects(verifyNextRoot(await by([one, two]), root), bad, 'only the old')
})

t.test('follows roots one by one, and never back', async (t) => {
  const rootAt = async (number: number, expires = at(dayMs)) => {
    const { bytes, hash } = await authorRoot({ officerKeys: [one, two], root: makeRoot(officers, { number, expires }) })
    return verifyFirstRoot(bytes, [hash])
  }
  const second = await rootAt(2)
  t.same(decideRoot(second, await rootAt(3)), { kind: 'accept' })
  t.same(decideRoot(second, second), { kind: 'already_held' })
  t.same(decideRoot(second, await rootAt(4)), { kind: 'refused', reason: 'gap' })
  t.same(decideRoot(second, await rootAt(1)), { kind: 'refused', reason: 'rollback' })
  t.same(decideRoot(second, await rootAt(2, at(2 * dayMs))), { kind: 'equivocation' })
  t.equal(isRootAlive(second.document, now), true)
  t.equal(isRootAlive(second.document, new Date(now.getTime() + dayMs)), false)
})

t.test('the office signs nothing that a node would refuse', async (t) => {
  await t.rejects(authorDirectory({ officerKeys: [one, two], document: makeDirectory({ default: 'nobody' }) }), bad)
  await t.rejects(authorRoot({ officerKeys: [one, two], root: { ...root, number: 0 } }), bad)
})
