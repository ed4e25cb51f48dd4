// Exports of the audit log: what a liaison asks for, and how far the bundle is.
import { type Static, Type } from 'typebox'
import { EntryQuery } from './audit.ts'
import { orNull, timestamp, uuidv7 } from './forms.ts'

const closed = { additionalProperties: false } as const
const { after: _after, limit: _limit, purpose, caseReference, ...filters } = EntryQuery.properties

const ExportFormat = Type.Enum(['ndjson', 'csv'], {
  description: 'csv puts a table for people beside each file of entries; a verifier makes it again from them and compares.',
})

export const ExportInput = Type.Object(
  { ...filters, purpose, caseReference, format: Type.Optional(ExportFormat) },
  { ...closed, $id: 'ExportInput', description: 'Filters as of the query of entries, and why you ask.' },
)
export type ExportInput = Static<typeof ExportInput>

export const ExportFilter = Type.Object(filters, { ...closed, $id: 'ExportFilter', description: 'What was asked for.' })
export type ExportFilter = Static<typeof ExportFilter>

export const exportFailures = {
  too_many_rows: 'more entries than one export may hold: ask for a shorter time',
  disk_full: 'the disk of the node is full: its operator must make room',
  disk_failed: 'the node could not write the file: its operator must look',
  internal: 'the node could not read the log: its operator must look',
} as const
export type ExportFailure = keyof typeof exportFailures

const count = (description: string) => Type.Integer({ minimum: 0, description })

export const AuditExport = Type.Object(
  {
    id: uuidv7('Id of the export.'),
    state: Type.Enum(['waiting', 'running', 'done', 'failed'], {
      description: 'waiting: for its turn or for a checkpoint; done: the bundle can be fetched; failed: see `failure`.',
    }),
    format: ExportFormat,
    rows: count('Entries in the bundle so far.'),
    total: Type.Optional(count('Entries that it will hold; absent until they are counted.')),
    bytes: count('Bytes of the bundle so far.'),
    filter: ExportFilter,
    checkpoint: orNull(
      Type.Object(
        {
          origin: Type.String({ pattern: '^[a-z0-9-]{2,40}/audit/\\d{4}$', description: 'The log.' }),
          size: count('Its size: nothing behind it is in the bundle.'),
        },
        { ...closed, description: 'The checkpoint that the bundle is pinned to; null until it is chosen.' },
      ),
    ),
    complete: Type.Optional(
      Type.Enum(['item', 'country', 'log', 'none'], {
        description: 'What the bundle can prove to have left nothing out of, up to its index.root entry or its checkpoint.',
      }),
    ),
    failure: Type.Optional(
      Type.Enum(Object.keys(exportFailures) as ExportFailure[], {
        description: Object.entries(exportFailures)
          .map(([code, text]) => `${code}: ${text}`)
          .join('; '),
      }),
    ),
    createdAt: timestamp('When it was asked for.'),
    finishedAt: Type.Optional(timestamp('When the bundle was done, or given up.')),
    expiresAt: timestamp('From then on it is gone.'),
  },
  { ...closed, $id: 'AuditExport', description: 'One export, as it stands now.' },
)
export type AuditExport = Static<typeof AuditExport>

export const ExportPath = Type.Object({ id: uuidv7('Id of the export.') }, closed)

export const RangeHeaders = Type.Object({
  range: Type.Optional(Type.String({ maxLength: 200, description: '`bytes=<first>-`: the rest of a download that broke off.' })),
  'if-range': Type.Optional(
    Type.String({ maxLength: 200, description: 'The ETag that the range belongs to; of another bundle all is sent.' }),
  ),
})
