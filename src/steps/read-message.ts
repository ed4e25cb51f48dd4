// Reads one line of a batch: a message that may be stored, or the exception that its receipt will name. One bad line never blocks another.

import { verifyOrigin } from '#crypto/evidence.ts'
import { canonicalUrl } from '#domain/canonical-url.ts'
import { parseStrictObject } from '#domain/strict-json.ts'
import { refuseMedia, refuseTooLong } from '#domain/text-rules.ts'
import { CrosslineError } from '#errors.ts'
import { type HandoffBody, type Message, maxLineBytes, maxLineBytesWithOrigin } from '#schema/message.ts'
import type { ExceptionCode } from '#schema/receipt.ts'
import { isBodyOf, isMessage } from '#schema/validators.ts'
import type { NewMessage } from '#storage/message-store.ts'
import type { StepContext } from './context.ts'
import { type SubjectKey, sealLine } from './subject-keys.ts'

export interface ReadMessage {
  kind: 'message'
  index: number
  line: Buffer
  leaf: Buffer
  message: Message
}

export interface RejectedLine {
  kind: 'rejected'
  index: number
  id: string | null
  code: ExceptionCode
  member?: string
}

/** Extensions that this node understands. */
const knownExtensions: ReadonlySet<string> = new Set()

const anyUuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

class Rejection extends Error {
  readonly code: ExceptionCode
  readonly member: string | undefined
  constructor(code: ExceptionCode, member?: string) {
    super(code)
    this.code = code
    this.member = member
  }
}

export async function readMessage(
  ctx: StepContext,
  { line, leaf, index, from }: { line: Buffer; leaf: Buffer; index: number; from: string },
): Promise<ReadMessage | RejectedLine> {
  let id: string | null = null
  try {
    if (line.length > maxLineBytesWithOrigin) throw new Rejection('too_large')
    const value = parseLine(line)
    // What is no id is a text of the sender's, which a receipt does not repeat.
    id = typeof value.id === 'string' && anyUuid.test(value.id) ? value.id : null
    const message = checkMessage(ctx, value, { from, bytes: line.length })
    checkTexts(message)
    if (message.kind === 'handoff') await checkHandoff(ctx, message)
    return { kind: 'message', index, line, leaf, message }
  } catch (error) {
    if (!(error instanceof Rejection)) throw error
    return { kind: 'rejected', index, id, code: error.code, ...(error.member === undefined ? {} : { member: error.member }) }
  }
}

function parseLine(line: Buffer): Record<string, unknown> {
  try {
    return parseStrictObject(line)
  } catch (error) {
    if (error instanceof CrosslineError) throw new Rejection('schema_invalid')
    throw error
  }
}

function checkMessage(
  ctx: StepContext,
  value: Record<string, unknown>,
  { from, bytes }: { from: string; bytes: number },
): Message {
  if (!isMessage(value)) throw new Rejection('schema_invalid')
  if (bytes > maxLineBytes && !('origin' in value.body)) throw new Rejection('too_large')
  if (value.author !== from) throw new Rejection('wrong_author')
  if (value.to !== ctx.self) throw new Rejection('wrong_receiver')
  const known = isBodyOf(value.kind, value.body)
  if (known === undefined) throw new Rejection('unknown_kind')
  if (value.crit.some((name) => !knownExtensions.has(name))) throw new Rejection('unknown_crit')
  if (!known) throw new Rejection('schema_invalid')
  return value
}

/** The texts of a peer pass what the texts of our own clients pass: no media, and no referrer that is no URL. */
function checkTexts({ kind, body }: Message): void {
  const { reference, referrer, memo, note } = (kind === 'handoff' ? (body as HandoffBody).report : body) as Record<
    'reference' | 'referrer' | 'memo' | 'note',
    string | undefined
  >
  try {
    for (const text of [reference, memo, note]) if (text !== undefined) refuseMedia(text, '')
    if (memo !== undefined) refuseTooLong(memo, '')
    if (referrer !== undefined) canonicalUrl(referrer)
  } catch (error) {
    if (error instanceof CrosslineError) throw new Rejection('schema_invalid')
    throw error
  }
}

async function checkHandoff(ctx: StepContext, message: Message): Promise<void> {
  const { report, item, origin } = message.body as unknown as HandoffBody
  const sender = item.via.at(-1)
  if (
    item.id !== message.item ||
    item.id === report.id ||
    sender !== message.author ||
    new Set(item.via).size !== item.via.length
  )
    throw new Rejection('schema_invalid')
  if (item.url === undefined ? item.statedCountry === undefined : !isCanonical(item.url)) throw new Rejection('schema_invalid')
  if (report.origin !== item.via[0]) throw new Rejection('bad_origin')
  // Where nothing has moved there is nothing to show: unchecked evidence is never stored.
  if (item.via.length > 1 || origin !== undefined) await checkOrigin(ctx, { item: item.id, via: item.via, origin })
  checkResponsible(ctx, item)
}

function isCanonical(url: string): boolean {
  try {
    return canonicalUrl(url).url === url
  } catch {
    return false
  }
}

async function checkOrigin(
  ctx: StepContext,
  { item, via, origin }: { item: string; via: readonly string[]; origin: unknown },
): Promise<void> {
  try {
    await verifyOrigin(origin, {
      item,
      origin: via[0] as string,
      via,
      findKey: (member, kid) => ctx.directory().findSigningKey(member, kid),
    })
  } catch (error) {
    if (error instanceof CrosslineError) throw new Rejection('bad_origin')
    throw error
  }
}

/** The directory, not the sender, says for which countries this node answers. */
function checkResponsible(ctx: StepContext, item: HandoffBody['item']): void {
  const directory = ctx.directory()
  const countries = [item.assignedCountry, item.hostingCountry]
  const covered = [...ctx.homeCountries, ...directory.coveredCountries(ctx.self, ctx.now())]
  if (countries.some((country) => covered.includes(country))) return
  const responsible = directory.responsibleMember(item.assignedCountry, ctx.now())?.member
  if (responsible === ctx.self) return
  throw new Rejection('not_responsible', responsible)
}

/** A peer's message as it is kept: its line as it came, under its item's key. */
export function keepMessage({ message, line, leaf }: ReadMessage, key: SubjectKey): NewMessage {
  return {
    author: message.author,
    id: message.id,
    leaf,
    itemId: message.item,
    kind: message.kind,
    receiver: message.to,
    sealed: sealLine(key, message.id, line),
    bytes: line.length,
  }
}
