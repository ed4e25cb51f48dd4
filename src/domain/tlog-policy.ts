// C2SP tlog-policy: which logs are known, which witnesses, and how many of them must have cosigned. Read line by line, then asked.
// Errors name the line and the rule, never what stands there.

import { CrosslineError } from '#errors.ts'
import { parseDecimal } from './exact-text.ts'
import { parseVerifierKey, type VerifierKey } from './signed-note.ts'

export interface PolicyWitness {
  /** The name inside the policy; the key has one of its own. */
  name: string
  key: VerifierKey
  url?: string
}

/** Has witnessed when at least `threshold` of its members, witnesses or earlier groups, have. */
export interface PolicyGroup {
  name: string
  threshold: number
  members: readonly string[]
}

export interface Policy {
  logs: VerifierKey[]
  witnesses: PolicyWitness[]
  /** In the order of definition: members always stand before their group. */
  groups: PolicyGroup[]
  /** The name of a witness or a group, or `none`. */
  quorum: string
}

/** A policy while it is read, and what may not be used a second time. */
interface Draft extends Omit<Policy, 'quorum'> {
  quorum: string | undefined
  names: Set<string>
  members: Set<string>
  logKeys: Set<string>
  witnessKeys: Set<string>
}

const maxLength = 1_048_576
// The specification names the octets: tab, newline, 0x20 to 0x7E and all from 0x80, which it leaves opaque.
const forbidden = /[^\t\n\x20-\x7e\u0080-\uffff]/

/** Reads a policy file. Throws `bad_policy` with the line at fault in `facts.line`. */
export function parsePolicy(text: string): Policy {
  if (text.length > maxLength) throw refusal('the file is too long')
  if (!text.endsWith('\n')) throw refusal('the last line has no newline')
  const draft = newDraft()
  text.split('\n').forEach((line, n) => {
    const fault = readLine(draft, line)
    if (fault) throw refusal(fault, n + 1)
  })
  const { logs, witnesses, groups, quorum } = draft
  if (quorum === undefined) throw refusal('there is no quorum line')
  return { logs, witnesses, groups, quorum }
}

function newDraft(): Draft {
  const seen = {
    names: new Set(['none']),
    members: new Set<string>(),
    logKeys: new Set<string>(),
    witnessKeys: new Set<string>(),
  }
  return { logs: [], witnesses: [], groups: [], quorum: undefined, ...seen }
}

// Each of these says what is wrong with the line, or nothing.
function readLine(draft: Draft, line: string): string | undefined {
  if (forbidden.test(line)) return 'it holds a control character'
  const [keyword, ...words] = line.split(/[\t ]+/).filter((word) => word !== '')
  if (keyword === undefined || keyword.startsWith('#')) return undefined
  if (keyword === 'log') return readLog(draft, words)
  if (keyword === 'witness') return readWitness(draft, words)
  if (keyword === 'group') return readGroup(draft, words)
  if (keyword === 'quorum') return readQuorum(draft, words)
  return 'it begins with no word that a policy knows'
}

function readLog(draft: Draft, [keyText = '', ...more]: string[]): string | undefined {
  // At most a URL more, and nobody asks for it: the directory says where a log is.
  if (more.length > 1) return 'it has too many words'
  const key = readKey(keyText)
  if (key?.type !== 1) return 'it has no Ed25519 verifier key of a log'
  if (!isNew(draft.logKeys, key.publicKey.toString('hex')))
    return 'two logs have the same public key, so a new log needs a new key'
  draft.logs.push(key)
  return undefined
}

function readWitness(draft: Draft, [name = '', keyText = '', url, ...more]: string[]): string | undefined {
  if (more.length > 0) return 'it has too many words'
  const key = readKey(keyText)
  if (key?.type !== 4) return 'it has no cosignature/v1 verifier key of a witness'
  if (!isNew(draft.witnessKeys, key.publicKey.toString('hex'))) return 'two witnesses have the same public key'
  if (!isNew(draft.names, name)) return 'its name is taken'
  draft.witnesses.push({ name, key, ...(url === undefined ? {} : { url }) })
  return undefined
}

function readGroup(draft: Draft, [name = '', thresholdText = '', ...members]: string[]): string | undefined {
  if (members.length === 0) return 'the group has no members'
  const threshold = readThreshold(thresholdText, members.length)
  if (threshold === undefined || threshold < 1 || threshold > members.length)
    return 'the threshold is not one that the group can have'
  for (const member of members) {
    if (member === 'none' || !draft.names.has(member)) return 'a member is not defined above'
    // Each counts in one way only, so that one witness is never counted twice.
    if (!isNew(draft.members, member)) return 'a member is already in a group'
  }
  if (!isNew(draft.names, name)) return 'its name is taken'
  draft.groups.push({ name, threshold, members })
  return undefined
}

function readThreshold(text: string, members: number): number | undefined {
  if (text === 'any') return 1
  return text === 'all' ? members : parseDecimal(text)
}

function readQuorum(draft: Draft, [name = '', ...more]: string[]): string | undefined {
  if (more.length > 0) return 'it has too many words'
  if (draft.quorum !== undefined) return 'there is a quorum already'
  if (!draft.names.has(name)) return 'the quorum is not defined above'
  draft.quorum = name
  return undefined
}

function readKey(text: string): VerifierKey | undefined {
  try {
    return parseVerifierKey(text)
  } catch {
    return undefined
  }
}

function isNew(seen: Set<string>, value: string): boolean {
  const before = seen.size
  return seen.add(value).size > before
}

/** Whether these witnesses, by their names in the policy, are enough. */
export function meetsQuorum(policy: Policy, witnesses: ReadonlySet<string>): boolean {
  const known = policy.witnesses.map(({ name }) => name)
  const witnessed = new Set(['none', ...known.filter((name) => witnesses.has(name))])
  for (const { name, threshold, members } of policy.groups)
    if (members.filter((member) => witnessed.has(member)).length >= threshold) witnessed.add(name)
  return witnessed.has(policy.quorum)
}

/** The fewest witnesses that can be enough, and how many the quorum counts at all. With `none` both are 0. */
export function describeQuorum(policy: Policy): { needed: number; of: number } {
  const parts = new Map([
    ['none', { needed: 0, of: 0 }],
    ...policy.witnesses.map(({ name }) => [name, { needed: 1, of: 1 }] as const),
  ])
  for (const { name, threshold, members } of policy.groups) {
    const inside = members.map((member) => parts.get(member) ?? { needed: 0, of: 0 })
    const cheapest = inside.map(({ needed }) => needed).sort((a, b) => a - b)
    parts.set(name, { needed: sum(cheapest.slice(0, threshold)), of: sum(inside.map((part) => part.of)) })
  }
  return parts.get(policy.quorum) ?? { needed: 0, of: 0 }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0)

const refusal = (why: string, line?: number): CrosslineError =>
  new CrosslineError('bad_policy', {
    detail: line === undefined ? `The policy is not usable: ${why}` : `The policy is not usable, line ${line}: ${why}`,
    ...(line === undefined ? {} : { facts: { line } }),
  })
