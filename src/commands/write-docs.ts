// The tables in docs/ that come from the code, so that they can't drift from it: `npm run docs` writes them, a test compares them.
import { writeFileSync } from 'node:fs'
import { errorCodes } from '#errors.ts'

const intro = `# Error codes

Every failure that a caller can meet, by its stable code. A code never changes its meaning; new ones may be added.
Answers are \`application/problem+json\` (RFC 9457) with \`type\` \`urn:crossline:problem:<code>\`. Codes with status 500 that name a
configuration, a file or a document stay on the command line and in the log; a caller sees \`internal\`.

This file is written by \`npm run docs\` from src/errors.ts. Do not edit it.
`

/** The whole text of docs/errors.md. */
export function renderErrorTable(): string {
  const rows = Object.entries(errorCodes).map(([code, { status, title }]) => `| \`${code}\` | ${status} | ${title} |`)
  return `${intro}\n| code | status | title |\n|---|---|---|\n${rows.join('\n')}\n`
}

if (import.meta.main) writeFileSync(new URL('../../docs/errors.md', import.meta.url), renderErrorTable())
