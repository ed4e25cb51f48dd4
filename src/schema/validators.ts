// Validators of what comes over the federation, compiled once from the same values that make types and OpenAPI.
import { Compile } from 'typebox/compile'
import { Evidence, Message, messageBodies } from './message.ts'
import { ReportFacts } from './report.ts'

const message = Compile(Message)
const evidence = Compile(Evidence)
const reportFacts = Compile(ReportFacts)
const bodies = new Map(Object.entries(messageBodies).map(([kind, schema]) => [kind, Compile(schema)]))

export function isMessage(value: unknown): value is Message {
  return message.Check(value)
}

export function isEvidence(value: unknown): value is Evidence {
  return evidence.Check(value)
}

export function isReportFacts(value: unknown): value is ReportFacts {
  return reportFacts.Check(value)
}

/** Whether a body has the form of its kind; undefined for a kind that this node doesn't know. */
export function isBodyOf(kind: string, body: unknown): boolean | undefined {
  return bodies.get(kind)?.Check(body)
}
