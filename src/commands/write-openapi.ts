// `crossline openapi`: writes openapi/openapi.json from the server that production starts, or compares the two. Needs no database and no keys.
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { buildServer } from '#http/server.ts'
import type { Steps } from '#http/steps-table.ts'
import { createLogger } from '#log.ts'

const openapiFile = resolve(import.meta.dirname, '..', '..', 'openapi', 'openapi.json')

/** Gives `written`, or with `check` `current` or `stale` (then nothing is written). */
export async function writeOpenapi({ check }: { check: boolean }): Promise<'written' | 'current' | 'stale'> {
  const text = await renderOpenapi()
  if (check) return (await readFile(openapiFile, 'utf8').catch(() => '')) === text ? 'current' : 'stale'
  await mkdir(dirname(openapiFile), { recursive: true })
  await writeFile(openapiFile, text)
  return 'written'
}

/** The document as text, the same for the same program. No step runs and no connection is opened. */
export async function renderOpenapi(): Promise<string> {
  const { app } = buildServer({ steps: {} as Steps, log: createLogger({ level: 'silent' }), tls: { ca: [], cert: '', key: '' } })
  await app.ready()
  const document = app.swagger()
  await app.close()
  return `${JSON.stringify(document, null, 2)}\n`
}
