// What to do with a demo that stays up: documentation, calls that work as printed, the node's doctor, the laboratory.
import { isAbsolute, join, relative, resolve } from 'node:path'
import { bundlePassword } from './demo-file.ts'
import type { DemoNetwork } from './demo-network.ts'
import { submitter } from './demo-scenario.ts'
import { authorityFiles, memberFiles } from './dev-files.ts'

export function describeNextSteps({ folder, certs, get }: DemoNetwork, report: string): string {
  const { url, files } = get(submitter)
  const client = memberFiles(certs, submitter).clients.hotline
  const program = resolve(import.meta.dirname, '..', '..', 'bin', 'crossline.js')
  const curl = `curl --silent --show-error --cacert ${shown(authorityFiles(certs).certificate)} \\
  --cert ${shown(client.certificate)} --key ${shown(client.key)}`
  return `What you can do now
───────────────────
The API in a browser: import ${shown(client.p12)} (password: ${bundlePassword}) as your certificate,
  then open ${url}/docs (the browser warns of an authority that it does not know: it is the demo's own)

Read the report:
${curl} \\
  ${url}/v1/reports/${report}

Submit another:
${curl} \\
  --header 'content-type: application/json' --data '${sampleReport()}' \\
  ${url}/v1/reports

Ask a node how it does:
node --env-file=${shown(files.env)} ${shown(program)} doctor

Take part with a program of your own: ${shown(join(folder, 'demo.json'))} names every address, certificate and key. Be “lab”:
  an item hosted in the Philippines waits for it.
`
}

function sampleReport(): string {
  return JSON.stringify({
    reference: 'BY-CURL',
    receivedAt: new Date().toISOString(),
    source: 'analyst',
    siteType: 'website',
    commerciality: 'not_determined',
    items: [{ url: 'https://gallery.abroad.example/by-curl.jpg', contentType: 'media' }],
  })
}

/** A path as one types it in this folder, quoted where a shell needs it. */
function shown(path: string): string {
  const near = relative(process.cwd(), path)
  const short = near !== '' && !near.startsWith('..') && !isAbsolute(near) ? near : path
  return /^[\w./@+-]+$/.test(short) ? short : `'${short.replaceAll("'", "'\\''")}'`
}
