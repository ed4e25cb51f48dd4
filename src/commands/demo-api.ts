// The demo as a client of the hotlines' API: mutual TLS with a member's client certificate, the way a hotline's own system calls.

import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { createPeerClient } from '#clients/peer-client.ts'
import { fingerprintOf } from '#crypto/certificates.ts'
import { CrosslineError } from '#errors.ts'
import type { Status } from '#schema/status.ts'
import { authorityFiles, type ClientRole, clientRoles, memberFiles } from './dev-files.ts'

export interface Api {
  member: string
  get<T>(role: ClientRole, path: string): Promise<T>
  post<T>(role: ClientRole, path: string, body: object): Promise<T>
  /** The bytes of what is no JSON. */
  download(role: ClientRole, path: string): Promise<Buffer>
  /** False while nobody answers, or what waits to be sealed is old. */
  isReady(): Promise<boolean>
  close(): Promise<void>
}

const timeoutMs = 15_000
const maxBytes = 16 * 1024 * 1024

export function openApi(member: string, { url, certs }: { url: string; certs: string }): Api {
  const files = memberFiles(certs, member)
  const fingerprints = [fingerprintOf(new X509Certificate(readFileSync(files.node.certificate)))]
  const ca = readFileSync(authorityFiles(certs).certificate)
  const clients = new Map(
    clientRoles.map((role) => {
      const { certificate, key } = files.clients[role]
      const tls = { ca, cert: readFileSync(certificate), key: readFileSync(key) }
      return [role, createPeerClient(() => tls)] as const
    }),
  )
  async function send(role: ClientRole, method: 'GET' | 'POST', { path, body }: { path: string; body?: object }) {
    const content = body === undefined ? {} : { body: Buffer.from(JSON.stringify(body)) }
    const headers: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/json' }
    const answer = await clients.get(role)?.call({ url, fingerprints, method, path, headers, ...content, timeoutMs, maxBytes })
    return answer ?? { kind: 'unreachable' as const, reason: 'closed' as const }
  }
  async function fetchBytes(role: ClientRole, method: 'GET' | 'POST', call: { path: string; body?: object }): Promise<Buffer> {
    const answer = await send(role, method, call)
    if (answer.kind === 'unreachable') throw failed(`${member} does not answer (${answer.reason})`)
    if (answer.status < 300) return answer.body
    const { code = '' } = JSON.parse(answer.body.toString()) as { code?: string }
    throw failed(`${member} answers ${answer.status} ${code} to ${method} ${plainPath(call.path)}`)
  }
  async function ask<T>(role: ClientRole, method: 'GET' | 'POST', call: { path: string; body?: object }): Promise<T> {
    return JSON.parse((await fetchBytes(role, method, call)).toString()) as T
  }
  return {
    member,
    get: (role, path) => ask(role, 'GET', { path }),
    post: (role, path, body) => ask(role, 'POST', { path, body }),
    download: (role, path) => fetchBytes(role, 'GET', { path }),
    isReady: async () => {
      const answer = await send('operator', 'GET', { path: '/operations/v1/status' })
      if (answer.kind === 'unreachable' || answer.status !== 200) return false
      // What an earlier run left unsealed is sealed first; until then a node may refuse reports.
      return (JSON.parse(answer.body.toString()) as Status).audit.oldestPendingS < 5
    },
    close: async () => {
      await Promise.all([...clients.values()].map((client) => client.close()))
    },
  }
}

function plainPath(path: string): string {
  return path.replace(/\?.*/, '')
}

function failed(what: string): CrosslineError {
  return new CrosslineError('demo_failed', { detail: `${what}: see the node.log of that member in the data folder.` })
}

/** Looks until something is there. Undefined when it does not come in time; throws when the signal says so. */
export async function waitFor<T>(
  look: () => Promise<T | undefined>,
  { patienceMs, signal }: { patienceMs: number; signal: AbortSignal },
): Promise<T | undefined> {
  for (const end = Date.now() + patienceMs; ; await sleep(50)) {
    signal.throwIfAborted()
    const found = await look()
    if (found !== undefined || Date.now() > end) return found
  }
}
