// The lines of messages that are to be sent, and their items' keys: from memory where they were just written, else read and opened.
import { findSealedLines, type WaitingMessage } from '#storage/message-store.ts'
import { type Db, findWrappedKeys } from '#storage/report-store.ts'
import type { StepContext } from './context.ts'
import { openLine, openSubjectKey, type SubjectKey } from './subject-keys.ts'

export interface OpenLines {
  lines: Buffer[]
  /** By message id. */
  keys: Map<string, SubjectKey>
}

export async function openLines(ctx: StepContext, db: Db, messages: readonly WaitingMessage[]): Promise<OpenLines> {
  const itemKeys = await openKeys(
    ctx,
    db,
    messages.map((message) => message.item_id),
  )
  const keys = new Map(messages.map((message) => [message.message_id, itemKeys.get(message.item_id) as SubjectKey]))
  const unread = messages.filter((message) => !ctx.recent.lines.get(message.message_id)).map((message) => message.message_id)
  const sealed = unread.length > 0 ? await findSealedLines(db, ctx.self, unread) : new Map<string, Buffer>()
  const lines = messages.map(({ message_id: id }) => ctx.recent.lines.get(id) ?? openSealed(keys.get(id), id, sealed.get(id)))
  return { lines, keys }
}

function openSealed(key: SubjectKey | undefined, id: string, sealed: Buffer | undefined): Buffer {
  if (!key || !sealed) throw new Error('the line of a message that waits to be sent is gone')
  return openLine(key, id, sealed)
}

/** The keys of items, by item id. One that was erased is absent. */
export async function openKeys(ctx: StepContext, db: Db, items: readonly string[]): Promise<Map<string, SubjectKey>> {
  const unknown = [...new Set(items)].filter((item) => !ctx.recent.keys.get(item))
  const wrapped = unknown.length > 0 ? await findWrappedKeys(db, unknown) : new Map<string, Buffer>()
  for (const [item, bytes] of wrapped) ctx.recent.keys.set(item, openSubjectKey(ctx, item, bytes).key)
  const found = items.flatMap((item) => {
    const key = ctx.recent.keys.get(item)
    return key ? [[item, { subject: item, key }] as const] : []
  })
  return new Map(found)
}
