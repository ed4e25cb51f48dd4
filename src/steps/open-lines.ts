// The lines of messages that are to be sent, and their items' keys: from memory where they were just written, else read and opened.
// Each by itself: one that can't be opened, or is not what its leaf says, never stops the others.
import { leafHash } from '#domain/merkle.ts'
import { findSealedLines, type WaitingMessage } from '#storage/message-store.ts'
import { type Db, findWrappedKeys } from '#storage/report-store.ts'
import type { StepContext } from './context.ts'
import { makeSubjectKey, openLine, openSubjectKey, type SubjectKey } from './subject-keys.ts'

export interface OpenLines {
  /** Messages that can be sent, in their order. */
  messages: WaitingMessage[]
  /** Their lines, in the same order. */
  lines: Buffer[]
  /** Messages whose line is gone or broken. */
  unreadable: WaitingMessage[]
  /** By message id, of every message. Where an item's key is gone it is one that nobody keeps: what it seals is as good as erased. */
  keys: Map<string, SubjectKey>
}

export async function openLines(ctx: StepContext, db: Db, wanted: readonly WaitingMessage[]): Promise<OpenLines> {
  const itemKeys = await openKeys(
    ctx,
    db,
    wanted.map((message) => message.item_id),
  )
  const unread = wanted.filter((message) => !ctx.recent.lines.get(message.message_id)).map((message) => message.message_id)
  const sealed = unread.length > 0 ? await findSealedLines(db, ctx.self, unread) : new Map<string, Buffer>()
  const opened: OpenLines = { messages: [], lines: [], unreadable: [], keys: new Map() }
  for (const message of wanted) {
    const { message_id: id, item_id: item } = message
    const key = itemKeys.get(item)
    opened.keys.set(id, key ?? makeSubjectKey(ctx, item))
    const line = readLine(ctx, message, { key, sealed: sealed.get(id) })
    if (line) opened.lines.push(line)
    ;(line ? opened.messages : opened.unreadable).push(message)
  }
  return opened
}

function readLine(
  ctx: StepContext,
  { message_id: id, leaf }: WaitingMessage,
  { key, sealed }: { key: SubjectKey | undefined; sealed: Buffer | undefined },
): Buffer | undefined {
  try {
    const line = ctx.recent.lines.get(id) ?? (key && sealed && openLine(key, id, sealed))
    if (line && leafHash(line).equals(leaf)) return line
    ctx.log.error({ step: 'deliver-batch', message: id, code: 'internal' }, 'the line of a message that waits is gone or changed')
  } catch (error) {
    ctx.log.error({ step: 'deliver-batch', message: id, err: error }, 'the line of a message that waits can not be opened')
  }
  return undefined
}

/** The keys of items, by item id. One that was erased, or can't be opened, is absent. */
export async function openKeys(ctx: StepContext, db: Db, items: readonly string[]): Promise<Map<string, SubjectKey>> {
  const unknown = [...new Set(items)].filter((item) => !ctx.recent.keys.get(item))
  const wrapped = unknown.length > 0 ? await findWrappedKeys(db, unknown) : new Map<string, Buffer>()
  for (const [item, bytes] of wrapped) rememberKey(ctx, item, bytes)
  const found = items.flatMap((item) => {
    const key = ctx.recent.keys.get(item)
    return key ? [[item, { subject: item, key }] as const] : []
  })
  return new Map(found)
}

function rememberKey(ctx: StepContext, item: string, wrapped: Buffer): void {
  try {
    ctx.recent.keys.set(item, openSubjectKey(ctx, item, wrapped).key)
  } catch (error) {
    ctx.log.error({ step: 'open-keys', item, err: error }, 'the key of an item can not be opened')
  }
}
