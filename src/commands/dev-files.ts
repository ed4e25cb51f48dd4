// Where `certs dev` and `office dev-network` keep their files: the one place that knows the layout (certs-dev/README.md).
import { join } from 'node:path'

/** Roles of clients at a node. */
export const clientRoles = ['hotline', 'liaison', 'operator'] as const
export type ClientRole = (typeof clientRoles)[number]

/** Officers of a development network's office. */
export const officerNames = ['officer-1', 'officer-2', 'officer-3'] as const

export interface IdentityFiles {
  certificate: string
  key: string
  /** For a browser; a node has none. */
  p12?: string
}

export interface BrowserFiles extends IdentityFiles {
  p12: string
}

export interface MemberFiles {
  node: IdentityFiles
  /** ES256: proofs and receipts. */
  sign: string
  /** P-256: secrets are sealed to it. */
  encrypt: string
  /** Ed25519: checkpoints of the audit log, one for each year: `{year}` stands in the name (`auditKeyFile`). */
  audit: string
  clients: Record<ClientRole, BrowserFiles>
}

export function authorityFiles(folder: string): IdentityFiles {
  return { certificate: join(folder, 'authority', 'authority.pem'), key: join(folder, 'authority', 'authority.key') }
}

export function memberFiles(folder: string, id: string): MemberFiles {
  const home = join(folder, 'members', id)
  const client = (role: ClientRole) => browserFiles(join(home, 'clients'), role)
  return {
    node: { certificate: join(home, 'node.pem'), key: join(home, 'node.key') },
    sign: join(home, 'sign.key'),
    encrypt: join(home, 'encrypt.key'),
    audit: join(home, 'audit-{year}.key'),
    clients: { hotline: client('hotline'), liaison: client('liaison'), operator: client('operator') },
  }
}

export function officerFiles(folder: string, name: string): { identity: BrowserFiles; sign: string } {
  return { identity: browserFiles(join(folder, 'office'), name), sign: join(folder, 'office', `${name}.sign.key`) }
}

export function pulseKeyFile(folder: string): string {
  return join(folder, 'office', 'pulse.sign.key')
}

export function networkFiles(folder: string): { root: string; directory: string } {
  return { root: join(folder, 'network', 'root.json'), directory: join(folder, 'network', 'directory.json') }
}

function browserFiles(home: string, name: string): BrowserFiles {
  return { certificate: join(home, `${name}.pem`), key: join(home, `${name}.key`), p12: join(home, `${name}.p12`) }
}
