// What the node counts, in Prometheus form. Labels are route templates, statuses, codes, states and member ids; never a host, a URL or a name.
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Status } from '#schema/status.ts'

export interface Metrics {
  countRequest(request: {
    route: string
    method: string
    status: number
    code: string | undefined
    member: string | undefined
    ms: number
  }): void
  /** A TLS handshake that was refused. */
  countRefusedHandshake(): void
  /** Sets the gauges of queues and peers. */
  showStatus(status: Status): void
  /** The text of `/metrics` and its content type. */
  render(): Promise<{ text: string; contentType: string }>
}

const secondsBuckets = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10]

export function createMetrics(): Metrics {
  const registry = new Registry()
  const registers = [registry]
  const requests = new Counter({
    name: 'crossline_requests_total',
    help: 'Requests answered.',
    labelNames: ['route', 'method', 'status', 'code', 'peer'],
    registers,
  })
  const seconds = new Histogram({
    name: 'crossline_request_seconds',
    help: 'Time to the end of the answer.',
    labelNames: ['route', 'method'],
    buckets: secondsBuckets,
    registers,
  })
  const handshakes = new Counter({ name: 'crossline_refused_handshakes_total', help: 'TLS handshakes refused.', registers })
  const gauges = createGauges(registers)

  return {
    countRequest({ route, method, status, code = '', member = '', ms }) {
      requests.inc({ route, method, status, code, peer: member })
      seconds.observe({ route, method }, ms / 1000)
    },
    countRefusedHandshake: () => handshakes.inc(),
    showStatus: (status) => setGauges(gauges, status),
    render: async () => ({ text: await registry.metrics(), contentType: registry.contentType }),
  }
}

function createGauges(registers: Registry[]) {
  const gauge = (name: string, help: string, labelNames: string[] = []) =>
    new Gauge({ name: `crossline_${name}`, help, labelNames, registers })
  return {
    items: gauge('items', 'Items by state.', ['state']),
    waiting: gauge('messages_waiting', 'Messages that wait for a peer.', ['peer']),
    failures: gauge('peer_failures', 'Failures in a row of a peer.', ['peer']),
    held: gauge('peer_held', '1 while a person must decide about a peer.', ['peer']),
    quarantined: gauge('messages_quarantined', 'Rejected messages that wait for a person.'),
    directoryVersion: gauge('directory_version', 'Version of the directory held.'),
    directoryExpires: gauge('directory_expires_seconds', 'When the directory expires, seconds since 1970.'),
    auditSize: gauge('audit_sealed_entries', 'Entries in the last checkpoint of the log of this year.'),
    auditPending: gauge('audit_pending_entries', 'Entries that wait to be sealed.'),
    auditOldest: gauge('audit_oldest_pending_seconds', 'How long the oldest of them has waited.'),
    auditHalted: gauge('audit_halted', '1 while sealing has halted: an operator must look.'),
    auditWitnessed: gauge('audit_witnessed', 'Witnesses of the last checkpoint with a quorum.'),
    auditQuorumSize: gauge('audit_quorum_size', 'Size of the last checkpoint that enough witnesses have cosigned.'),
    auditQuorumAge: gauge('audit_quorum_age_seconds', 'Seconds since then; -1 before the first.'),
    auditEvidence: gauge('audit_evidence', 'Pairs of signed notes that contradict each other.'),
    securityEvents: gauge('security_events_24h', 'Refusals and alarms of the last 24 hours.', ['code']),
  }
}

// A state or peer that is gone must not go on being shown.
function setGauges(gauges: ReturnType<typeof createGauges>, status: Status): void {
  for (const gauge of [gauges.items, gauges.waiting, gauges.failures, gauges.held, gauges.securityEvents]) gauge.reset()
  for (const { state, count } of status.items) gauges.items.set({ state }, count)
  for (const { member, state, waiting, failures } of status.peers) {
    gauges.waiting.set({ peer: member }, waiting)
    gauges.failures.set({ peer: member }, failures)
    gauges.held.set({ peer: member }, state === 'held' ? 1 : 0)
  }
  for (const { code, count } of status.securityEvents) gauges.securityEvents.set({ code }, count)
  const { checkpoint, pending, oldestPendingS, halted } = status.audit
  gauges.auditSize.set(checkpoint?.size ?? 0)
  gauges.auditPending.set(pending)
  gauges.auditOldest.set(oldestPendingS)
  gauges.auditHalted.set(halted ? 1 : 0)
  setWitnesses(gauges, status.witnesses)
  gauges.quarantined.set(status.quarantined)
  gauges.directoryVersion.set(status.directory.version)
  gauges.directoryExpires.set(Date.parse(status.directory.expires) / 1000)
}

function setWitnesses(gauges: ReturnType<typeof createGauges>, witnesses: Status['witnesses']): void {
  gauges.auditWitnessed.set(witnesses.witnessed)
  gauges.auditQuorumSize.set(witnesses.quorumSize ?? 0)
  gauges.auditQuorumAge.set(witnesses.quorumAgeS ?? -1)
  gauges.auditEvidence.set(witnesses.evidence)
}
