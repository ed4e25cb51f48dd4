// Examples for the API documentation: names under `.example`, addresses from the documentation ranges. The types hold them to the schemas.

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

const reportId = '019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071'
const itemId = '019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6072'
const receivedAt = '2026-11-02T08:15:00.000Z'
const storedAt = '2026-11-02T08:20:31.417Z'

const reportInput: ReportInput = {
  id: reportId,
  reference: 'HL-2026-004711',
  receivedAt,
  source: 'public_form',
  siteType: 'image_host',
  commerciality: 'not_determined',
  memo: 'Second report of this gallery within a week.',
  handling: 'lea',
  items: [{ id: itemId, url: 'https://gallery.example/album/7', contentType: 'website', isSource: true }],
}

const item: Item = {
  id: itemId,
  report: reportId,
  origin: 'aurora',
  url: 'https://gallery.example/album/7',
  contentType: 'website',
  isSource: true,
  hashes: {},
  hostingEvidence: {
    host: 'gallery.example',
    addresses: [
      {
        address: '192.0.2.7',
        family: 'ipv4',
        country: 'SE',
        countrySource: { database: 'Example-Country', builtAt: '2026-10-01T00:00:00.000Z' },
        asn: 64496,
        organisation: 'Example Hosting',
        cdn: false,
      },
    ],
    dns: 'answered',
    resolver: 'configured',
    resolvedAt: storedAt,
    flags: [],
    decision: { country: 'SE', rule: 'agreed', confidence: 'agreed' },
  },
  hostingCountry: 'SE',
  assignedCountry: 'SE',
  owner: 'borealis',
  ownerReference: null,
  via: ['aurora'],
  route: { rule: 'covered', member: 'borealis', flags: [] },
  assessments: [],
  actions: [],
  state: 'delivered',
  outcome: null,
  refusal: null,
  refusalNote: null,
  refusalEvidence: null,
  createdAt: storedAt,
  changedAt: '2026-11-02T08:20:32.002Z',
  erasedAt: null,
}

const report: Report = {
  id: reportId,
  origin: 'aurora',
  reference: 'HL-2026-004711',
  receivedAt,
  source: 'public_form',
  siteType: 'image_host',
  commerciality: 'not_determined',
  paymentMethods: [],
  memo: 'Second report of this gallery within a week.',
  handling: 'lea',
  createdAt: storedAt,
  erasedAt: null,
  items: [item],
}

const page: ItemPage = { items: [item], next: 'cDQyMTc' }
const accept: AcceptInput = { reference: 'BO-2026-000815' }
const refuse: RefuseInput = { reason: 'wrong_country', note: 'The host moved abroad this morning.' }
const assessment: AssessmentInput = { classification: 'ignore', analyst: 'analyst-12' }
const action: ActionInput = { action: 'provider_notified', analyst: 'analyst-12' }
const ping: PingInput = { nonce: 'h0m9Pq7x1Zt4b2Lk' }
const status: Status = {
  member: 'aurora',
  directory: { version: 4, hash: 'Zm9yIGFuIGV4YW1wbGUsIG5vdCBhIHJlYWwgaGFzaC4', expires: '2026-12-01T00:00:00.000Z', ageS: 42 },
  peers: [
    {
      member: 'borealis',
      state: 'open',
      waiting: 0,
      oldestWaitingAt: null,
      inFlight: 0,
      failures: 0,
      retryAt: null,
      lastError: null,
      heldReason: null,
      lastHeardAt: storedAt,
    },
  ],
  items: [{ state: 'delivered', count: 1 }],
  witnesses: {
    witnessed: 1,
    of: 1,
    quorumSize: 4090,
    quorumAgeS: 6,
    evidence: 0,
    peers: [{ member: 'borealis', size: 4090, cosignedAt: '2026-11-02T08:15:30.000Z', failures: 0, lastError: null }],
  },
  quarantined: 0,
  quarantine: [],
  audit: {
    checkpoint: { origin: 'aurora/audit/2026', size: 4711, root: 'Zm9yIGFuIGV4YW1wbGUsIG5vdCBhIHJlYWwgcm9vdC4' },
    pending: 0,
    oldestPendingS: 0,
    halted: null,
  },
  securityEvents: [{ code: 'unknown_client', count: 2 }],
}

/** Body of each operation, by operationId. */
export const bodyExamples: Record<string, unknown> = {
  submitReport: reportInput,
  acceptItem: accept,
  refuseItem: refuse,
  assessItem: assessment,
  recordAction: action,
  answerPing: ping,
}

/** Successful answer of each operation, by operationId. */
export const answerExamples: Record<string, unknown> = {
  submitReport: report,
  getReport: report,
  getItem: item,
  findItems: page,
  acceptItem: { ...item, state: 'accepted', ownerReference: 'BO-2026-000815' },
  refuseItem: { ...item, state: 'refused', owner: 'aurora', via: [], refusal: 'wrong_country' },
  findStatus: status,
}
