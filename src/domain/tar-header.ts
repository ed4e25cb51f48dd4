// One header block of a tar (POSIX ustar), read strictly: a bundle holds plain files, and every byte that is not said to be free is fixed.
// Stricter than a library for any tar: one spelling of each number, no long names, no links, no extensions, so nothing can hide in a header.

import { CrosslineError } from '#errors.ts'

/** Tar is cut into blocks of this many bytes; a header is one. */
export const tarBlock = 512

export interface TarMember {
  name: string
  /** Bytes of its content, without the padding. */
  size: number
}

const zeros = (bytes: Buffer): boolean => bytes.every((byte) => byte === 0)
const namePattern = /^([A-Za-z0-9._/-]{1,100})\0*$/
const number7 = /^[0-7]{6}(?: \0|\0 )$|^[0-7]{7}[\0 ]$/
const number11 = /^[0-7]{11}[\0 ]$/
/** Fields of eight octal characters that say nothing about the content: mode, uid, gid, device numbers. */
const freeFields = [100, 108, 116, 329, 337]

/** Reads a header; nothing for a block of zeros, which ends a tar. Throws `broken_file` for anything else. */
export function parseTarHeader(block: Buffer): TarMember | undefined {
  if (zeros(block)) return undefined
  const text = block.toString('latin1')
  const field = (at: number, length: number) => text.slice(at, at + length)
  const name = namePattern.exec(field(0, 100))?.[1]
  if (name === undefined) throw refusal('the name of a file')
  if (!number7.test(field(148, 8)) || Number.parseInt(field(148, 7), 8) !== checksum(block)) throw refusal('a checksum')
  if (field(257, 8) !== 'ustar\0' + '00' || field(156, 1) !== '0') throw refusal('the kind of a file')
  if (!number11.test(field(124, 12)) || !number11.test(field(136, 12))) throw refusal('a size or a time')
  if (freeFields.some((at) => !number7.test(field(at, 8)))) throw refusal('a number')
  // Link name, owner's names, prefix of a long name, padding.
  if (![block.subarray(157, 257), block.subarray(265, 329), block.subarray(345)].every(zeros)) throw refusal('an unused field')
  return { name, size: Number.parseInt(field(124, 11), 8) }
}

// The checksum counts its own eight bytes as spaces.
function checksum(block: Buffer): number {
  let sum = 8 * 0x20
  for (let at = 0; at < tarBlock; at++) if (at < 148 || at >= 156) sum += block[at] as number
  return sum
}

const refusal = (what: string): CrosslineError =>
  new CrosslineError('broken_file', { detail: `Not a bundle: ${what} in its headers is not in the form of one` })
