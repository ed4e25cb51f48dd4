// What to do with a demo that stays up: documentation, calls that work as printed, the node's doctor, the laboratory.
import { join, resolve } from 'node:path'
import { bundlePassword, shown } from './demo-file.ts'
import type { DemoNetwork } from './demo-network.ts'
import { submitter } from './demo-scenario.ts'
import { authorityFiles, type IdentityFiles, memberFiles } from './dev-files.ts'

export function describeNextSteps(
  { folder, certs, get }: DemoNetwork,
  { report, item }: { report: string; item: string },
): string {
  const { url, files } = get(submitter)
  const { hotline: client, liaison } = memberFiles(certs, submitter).clients
  const program = resolve(import.meta.dirname, '..', '..', 'bin', 'crossline.js')
  const curlOf = ({ certificate, key }: IdentityFiles) =>
    `curl --silent --show-error --cacert ${shown(authorityFiles(certs).certificate)} \\
  --cert ${shown(certificate)} --key ${shown(key)}`
  const curl = curlOf(client)
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

As the liaison: order the export of the custody above, then look how far it is and fetch it at /audit/v1/exports/<id>[/bundle]:
${curlOf(liaison)} \\
  --header 'content-type: application/json' --data '${JSON.stringify({ item, purpose: 'demo' })}' \\
  ${url}/audit/v1/exports

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
