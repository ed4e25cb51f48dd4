// The witness policy that follows from the directory when the operator sets none: every other active member with an audit key is a witness,
// and the majority of them is enough. One member counts once, however many keys it has at the moment.
import { makeVerifierKey, type VerifierKey } from './signed-note.ts'

/** A member that may witness, with its raw Ed25519 public keys. */
export interface WitnessMember {
  id: string
  keys: readonly Buffer[]
}

/** Name under which a member cosigns. */
export const witnessName = (member: string): string => `${member}/witness`

/** The member behind the name of a witness; undefined for a name of another form. */
export function memberOfWitness(name: string): string | undefined {
  return /^([a-z0-9-]{2,40})\/witness$/.exec(name)?.[1]
}

/** Origin of a member's log of one year. */
export const originOf = (member: string, year: number): string => `${member}/audit/${year}`

/** Whose log of which year it is; undefined for an origin of another form. */
export function parseOrigin(origin: string): { member: string; year: number } | undefined {
  const [, member, year] = /^([a-z0-9-]{2,40})\/audit\/([0-9]{4})$/.exec(origin) ?? []
  return member === undefined ? undefined : { member, year: Number(year) }
}

/** An audit key as the directory lists it; revoked ones are none. */
export interface ListedKey {
  publicKey: Buffer
  /** Year of the log that it is for; undefined: not stated. */
  year: number | undefined
  /** Current or next: may sign now. */
  isUsable: boolean
}

/**
 * Which keys of a member may stand under its log of a year, and under what it cosigned of others' logs of that year: those that name it,
 * retired ones too, for what they signed stays; and usable ones of an earlier year or of none, so that a node without its new key works on.
 * Where no usable one names the year, every usable one.
 */
export function keysOfYear(keys: readonly ListedKey[], year: number): Buffer[] {
  const hasOwn = keys.some((key) => key.isUsable && key.year === year)
  return keys
    .filter((key) => key.year === year || (key.isUsable && (!hasOwn || key.year === undefined || key.year < year)))
    .map(({ publicKey }) => publicKey)
}

/** The same for several years of one log in one policy, which may name a key once: the year that it names has it, else the newest. */
export function keysOfYears(keys: readonly ListedKey[], years: readonly number[]): { year: number; publicKey: Buffer }[] {
  const isFree = (key: ListedKey, year: number) => key.year === undefined || key.year === year || !years.includes(key.year)
  const found = years
    .toSorted((one, other) => other - one)
    .flatMap((year) =>
      keysOfYear(
        keys.filter((key) => isFree(key, year)),
        year,
      ).map((publicKey) => ({ year, publicKey })),
    )
  return found.filter(({ publicKey }, n) => found.findIndex((other) => other.publicKey.equals(publicKey)) === n)
}

/** The keys under which a member cosigns. */
export function witnessKeys({ id, keys }: WitnessMember): VerifierKey[] {
  return keys.map((key) => makeVerifierKey(witnessName(id), 4, key))
}

/** The text of a C2SP tlog-policy. Without a witness the quorum is none. */
export function describePolicy({
  logs,
  witnesses,
}: {
  logs: readonly VerifierKey[]
  witnesses: readonly WitnessMember[]
}): string {
  const members = witnesses.filter(({ keys }) => keys.length > 0).map(describeWitness)
  const majority = Math.floor(members.length / 2) + 1
  const quorum =
    members.length === 0
      ? ['quorum none']
      : [`group network/majority ${majority} ${members.map(({ name }) => name).join(' ')}`, 'quorum network/majority']
  return [...logs.map(({ text }) => `log ${text}`), ...members.flatMap(({ lines }) => lines), ...quorum, ''].join('\n')
}

// A slash stands in every name: no member id can be mistaken for one, nor for the word none.
function describeWitness(member: WitnessMember): { name: string; lines: string[] } {
  const name = witnessName(member.id)
  const [key, ...more] = witnessKeys(member)
  if (more.length === 0) return { name, lines: [`witness ${name} ${key?.text}`] }
  const each = witnessKeys(member).map(({ text }, n) => ({ name: `${name}/${n + 1}`, text }))
  return {
    name,
    lines: [
      ...each.map((one) => `witness ${one.name} ${one.text}`),
      `group ${name} any ${each.map((one) => one.name).join(' ')}`,
    ],
  }
}
