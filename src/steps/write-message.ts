// Writes a message once, as the line whose bytes never change (protocol.md): what its digest names for ever.
import { randomUUIDv7 } from 'node:crypto'
import { leafHash } from '#domain/merkle.ts'
import { codeListVersion } from '#schema/code-lists.ts'
import { type Message, maxLineBytes } from '#schema/message.ts'
import type { NewMessage } from '#storage/message-store.ts'
import type { StepContext } from './context.ts'
import { type SubjectKey, sealLine } from './subject-keys.ts'

export interface MessageFacts {
  kind: string
  item: SubjectKey
  to: string
  handling: Message['handling']
  body: object
  /** Digests of the messages that it follows on. */
  refs?: readonly string[]
}

/** The message ready for the outbox; undefined if its line would be longer than a peer takes. */
export function writeMessage(
  ctx: StepContext,
  { kind, item, to, handling, body, refs = [] }: MessageFacts,
): NewMessage | undefined {
  const message: Message = {
    id: randomUUIDv7(),
    kind,
    item: item.subject,
    author: ctx.self,
    to,
    createdAt: ctx.now().toISOString(),
    schema: { name: 'crossline', version: codeListVersion },
    handling,
    body,
    refs: [...refs],
    ext: {},
    crit: [],
  }
  const line = Buffer.from(JSON.stringify(message))
  if (line.length > maxLineBytes) return undefined
  ctx.recent.lines.set(message.id, line)
  return {
    author: ctx.self,
    id: message.id,
    leaf: leafHash(line),
    itemId: item.subject,
    kind,
    receiver: to,
    sealed: sealLine(item, message.id, line),
    bytes: line.length,
  }
}
