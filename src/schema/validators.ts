// Validators of what comes over the federation or from a file of ours, compiled once from the same values that make types and OpenAPI.
import { Compile } from 'typebox/compile'
import { ExportFilter } from './audit-export.ts'
import { ErasureRecord } from './erasure.ts'
import { Message, messageBodies } from './message.ts'

const message = Compile(Message)
const erasureRecord = Compile(ErasureRecord)
const exportFilter = Compile(ExportFilter)
const bodies = new Map(Object.entries(messageBodies).map(([kind, schema]) => [kind, Compile(schema)]))

export function isMessage(value: unknown): value is Message {
  return message.Check(value)
}

/** Whether a body has the form of its kind; undefined for a kind that this node doesn't know. */
export function isBodyOf(kind: string, body: unknown): boolean | undefined {
  return bodies.get(kind)?.Check(body)
}

export function isErasureRecord(value: unknown): value is ErasureRecord {
  return erasureRecord.Check(value)
}

export function isExportFilter(value: unknown): value is ExportFilter {
  return exportFilter.Check(value)
}
