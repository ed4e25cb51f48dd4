// Everything the HTTP side asks of the node: one function per call, bound to its context by node.ts. Handlers call one of them each.
import type { ErrorCode } from '#errors.ts'
import type { Custody, CustodyQuery, EntryPage, EntryQuery } from '#schema/audit.ts'
import type { AuditExport, ExportInput } from '#schema/audit-export.ts'
import type { ConsistencyProof, ConsistencyQuery, InclusionProof, InclusionQuery } from '#schema/audit-proofs.ts'
import type { ItemQuery } from '#schema/calls.ts'
import type { PingInput } from '#schema/receipt.ts'
import type {
  AcceptInput,
  ActionInput,
  AssessmentInput,
  Item,
  ItemPage,
  RefuseInput,
  Report,
  ReportInput,
} from '#schema/report.ts'
import type { Status } from '#schema/status.ts'
import type { AdmittedCall, ApiClient, Caller } from '#steps/context.ts'
import type { OpenedBundle, RangeAsked } from '#steps/request-export.ts'
import type { WitnessAnswer } from '#steps/witness-checkpoint.ts'

/** A federation call before anything about it is believed. */
export interface FederationCall {
  /** DER of the certificate on the socket. */
  certificate: Buffer | undefined
  /** Every `Crossline-Proof` line of the request, in order. */
  proofs: string[]
  method: string
  /** As sent, byte for byte; never with a query. */
  path: string
  /** When the headers had arrived. */
  arrivedAt: Date
  /** True on `POST /batches`: the proof must carry root and size; elsewhere it must not. */
  withRoot: boolean
  trace: string
}

/** What an answer refuses, for `Crossline-Error`. */
export interface RefusedCall {
  code: ErrorCode
  status: number
  retryAfterS?: number
  certificate: Buffer | undefined
  /** The one proof of the call, if it had exactly one. */
  proof: string | undefined
}

export interface Steps {
  /** I-JSON only. Throws `malformed_request`. */
  parseJson(bytes: Buffer): unknown

  acceptReport(input: ReportInput, caller: Caller): Promise<{ report: Report; created: boolean }>
  getReport(id: string, caller: Caller): Promise<Report>
  getItem(id: string, caller: Caller): Promise<Item>
  findItems(query: ItemQuery & { limit: number }, caller: Caller): Promise<ItemPage>
  acceptItem(id: string, input: AcceptInput, caller: Caller): Promise<Item>
  refuseItem(id: string, input: RefuseInput, caller: Caller): Promise<Item>
  assessItem(id: string, input: AssessmentInput, caller: Caller): Promise<Item>
  recordAction(id: string, input: ActionInput, caller: Caller): Promise<Item>
  findEntries(query: EntryQuery, caller: Caller): Promise<EntryPage>
  showCustody(asked: { ref: string; query: CustodyQuery }, caller: Caller): Promise<Custody>
  /** Without a year the log that grows now is meant, here and below. */
  findNote(shard: { year?: number }, caller: Caller): Promise<string>
  findTile(asked: { year?: number; path: string }, caller: Caller): Promise<{ bytes: Buffer; isFull: boolean }>
  proveInclusion(asked: { year?: number; query: InclusionQuery }, caller: Caller): Promise<InclusionProof>
  proveInclusionAsText(asked: { year?: number; query: InclusionQuery }, caller: Caller): Promise<string>
  proveConsistency(asked: { year?: number; query: ConsistencyQuery }, caller: Caller): Promise<ConsistencyProof>
  proveConsistencyAsText(asked: { year?: number; query: ConsistencyQuery }, caller: Caller): Promise<string>
  requestExport(input: ExportInput, caller: Caller): Promise<AuditExport>
  showExport(id: string, caller: Caller): Promise<AuditExport>
  openBundle(asked: RangeAsked & { id: string }, caller: Caller): Promise<OpenedBundle>
  findStatus(): Promise<Status>
  /** Who holds this certificate (base64url SHA-256 of its DER); asked again for every request. */
  findClient(fingerprint: string): Promise<ApiClient | undefined>

  /** Every check up to the jti, before the body is read. Throws the codes of protocol.md, "Errors". */
  admitCall(call: FederationCall): Promise<AdmittedCall>
  /** Certificate and status only, for the one call without a proof. */
  admitMember(call: { certificate: Buffer | undefined }): { member: string }
  /** Throws `digest_mismatch` unless these are the bytes that the proof signed. */
  checkBody(call: AdmittedCall, body: Buffer): void
  receiveBatch(call: AdmittedCall, body: { bytes: Buffer; gzip: boolean }): Promise<{ receipt: string }>
  findReceipt(call: AdmittedCall, batchId: string): Promise<{ receipt: string }>
  /** C2SP add-checkpoint of a peer. Throws `malformed_request`, `unknown_log`, `unsigned_checkpoint`, `broken_proof`. */
  witnessCheckpoint(call: AdmittedCall, body: Buffer): Promise<WitnessAnswer>
  /** Our newest checkpoint as a signed note. Throws `not_found` before the first. */
  findOwnCheckpoint(): Promise<string>
  answerPing(call: AdmittedCall, input: PingInput): Promise<{ pong: string }>
  stateCapabilities(member: string): Promise<{ capabilities: string }>
  /** The signed bytes as published; without a version the current one. Throws `not_found`. */
  findDirectory(version: number | undefined): Promise<Buffer>
  findRoot(number: number): Promise<Buffer>
  /** The JWT for `Crossline-Error`. */
  signError(refused: RefusedCall): Promise<string>
  /** Counts; never throws, never waits. */
  recordRefusal(refusal: { certificate: Buffer | undefined; code: ErrorCode; trace: string }): void

  /** What `/health/ready` answers: each check by name, `ok` or the code of what is wrong. */
  readiness(): Promise<{ ready: boolean; checks: Record<string, string> }>
}
