// Opens the tar of a bundle where it lies: walks its headers once, then reads members by name. Promise: no more than a few blocks are in
// memory, only the names that a bundle has are taken, and a tar that ends too early is told apart from one that is none.
import { parseTarHeader, tarBlock } from '#domain/tar-header.ts'
import { CrosslineError } from '#errors.ts'

/** A file, or bytes: `read` gives fewer bytes only at the end. */
export interface BundleSource {
  readonly size: number
  read(position: number, length: number): Buffer
}

/** Where a member's content lies. */
export interface MemberPlace {
  name: string
  position: number
  size: number
}

export interface OpenBundle {
  source: BundleSource
  /** Those that are whole, in the order of the tar. */
  members: ReadonlyMap<string, MemberPlace>
  /** True when the tar ends before its end mark. */
  isCut: boolean
}

const nameForm =
  /^(?:policy\.txt|manifest\.json|[0-9]{4}\/(?:checkpoint|index\.ndjson|tile\/[0-9x/]{5,30}(?:\.p\/[0-9]{1,3})?|entries\/[0-9]{6}\.(?:ndjson|csv)|brackets\/[0-9]{6}\.ndjson))$/
const maxMembers = 5_000_000

/** Walks the headers. Throws `broken_file` for what is no tar of a bundle. */
export function openBundle(source: BundleSource): OpenBundle {
  const members = new Map<string, MemberPlace>()
  for (let at = 0; ; ) {
    if (at + tarBlock > source.size) return { source, members, isCut: true }
    const header = parseTarHeader(source.read(at, tarBlock))
    if (!header) return { source, members, isCut: !endsHere(source, at) }
    const place = { ...header, position: at + tarBlock }
    at = place.position + Math.ceil(place.size / tarBlock) * tarBlock
    if (at > source.size) return { source, members, isCut: true }
    takeName(members, place)
    refusePadding(source.read(place.position + place.size, at - place.position - place.size))
  }
}

/** The whole of a small member. Throws `broken_file` when it is larger than a member of its kind can be. */
export function readMember({ source }: OpenBundle, { position, size }: MemberPlace, most: number): Buffer {
  if (size > most) throw refusal('a file in it is larger than such a file can be')
  return source.read(position, size)
}

const pieceBytes = 1 << 20

/** The content of a member, piece by piece. */
export function* readPieces({ source }: OpenBundle, { position, size }: MemberPlace): Generator<Buffer> {
  for (let at = 0; at < size; at += pieceBytes) yield source.read(position + at, Math.min(pieceBytes, size - at))
}

function takeName(members: Map<string, MemberPlace>, place: MemberPlace): void {
  if (!nameForm.test(place.name)) throw refusal('a file in it is none of a bundle')
  if (members.has(place.name)) throw refusal('a file is in it twice')
  if (members.size >= maxMembers) throw refusal('it has too many files')
  members.set(place.name, place)
}

// A tar ends with two blocks of zeros, and nothing comes after them.
function endsHere(source: BundleSource, at: number): boolean {
  const rest = source.size - at
  if (rest > 2 * tarBlock) throw refusal('something comes after its end')
  const end = source.read(at, rest)
  if (end.some((byte) => byte !== 0)) throw refusal('something comes after its end')
  return end.length === 2 * tarBlock
}

function refusePadding(padding: Buffer): void {
  if (padding.some((byte) => byte !== 0)) throw refusal('something stands where nothing may stand')
}

const refusal = (why: string): CrosslineError => new CrosslineError('broken_file', { detail: `Not a bundle: ${why}.` })
