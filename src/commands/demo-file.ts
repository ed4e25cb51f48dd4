// demo.json: where everything of the running demo is, for a program that wants to take part. It names files and holds no secret itself.
import { isAbsolute, join, relative } from 'node:path'
import { auditKeyFile } from '#crypto/audit-keys.ts'
import { developmentMembers } from './certs-dev.ts'
import type { NodeFiles } from './demo-processes.ts'
import { authorityFiles, memberFiles, networkFiles } from './dev-files.ts'
import { describeDemoNetwork } from './office-dev-network.ts'
import { writeWhole } from './write-whole.ts'

/** Password of the .p12 files that `certs dev` makes. */
export const bundlePassword = 'crossline'

export interface DemoPlaces {
  certs: string
  /** Origins by member; a member without one has no endpoint. */
  urls: Record<string, string>
  /** Files of the members that run a node here. */
  homes: ReadonlyMap<string, NodeFiles>
}

export async function writeDemoFile(folder: string, places: DemoPlaces): Promise<void> {
  const described = describeDemoNetwork(places.urls).members
  const members = developmentMembers.map(({ id, name, countries }) => ({
    id,
    name,
    countries,
    status: described.find((member) => member.id === id)?.status ?? 'full',
    url: places.urls[id] ?? null,
    runsNode: places.homes.has(id),
    ...describeFiles(places, id),
  }))
  await writeWhole(join(folder, 'demo.json'), `${JSON.stringify({ p12Password: bundlePassword, members }, null, 2)}\n`, 0o644)
}

function describeFiles({ certs, homes }: DemoPlaces, id: string) {
  const files = memberFiles(certs, id)
  const network = networkFiles(certs)
  const home = homes.get(id)
  return {
    ca: authorityFiles(certs).certificate,
    clients: files.clients,
    node: files.node,
    keys: { sign: files.sign, encrypt: files.encrypt, audit: auditKeyFile(files.audit, new Date().getUTCFullYear()) },
    root: network.root,
    directory: network.directory,
    ...(home ? { settings: home.env, log: home.log } : {}),
  }
}

/** A path as one types it in this folder, quoted where a shell needs it. */
export function shown(path: string): string {
  const near = relative(process.cwd(), path)
  const short = near !== '' && !near.startsWith('..') && !isAbsolute(near) ? near : path
  return /^[\w./@+-]+$/.test(short) ? short : `'${short.replaceAll("'", "'\\''")}'`
}
