// The OpenAPI 3.1 document, made from the very routes and schemas that serve and check requests (`crossline openapi` writes it to a file).
import swagger from '@fastify/swagger'
import type { ErrorCode } from '#errors.ts'
import { Custody, Entry, EntryPage } from '#schema/audit.ts'
import { AuditExport, ExportInput } from '#schema/audit-export.ts'
import { ConsistencyProof, InclusionProof } from '#schema/audit-proofs.ts'
import { CapabilitiesClaims, SignedDocument } from '#schema/calls.ts'
import { ErrorClaims, PongClaims, ProofClaims } from '#schema/claims.ts'
import { Directory, Root } from '#schema/directory.ts'
import { Envelope, messageBodies, messageOf } from '#schema/message.ts'
import { Problem } from '#schema/problem.ts'
import { CapabilitiesAnswer, PingAnswer, PingInput, ReceiptAnswer, ReceiptClaims } from '#schema/receipt.ts'
import { AcceptInput, ActionInput, AssessmentInput, ItemPage, RefuseInput, Report, ReportInput } from '#schema/report.ts'
import { Status } from '#schema/status.ts'
import type { App } from './app.ts'
import { answerExamples, bodyExamples } from './examples.ts'
import { renderProblem } from './problem.ts'
import { addSharedSchemas } from './shared-schemas.ts'

/** A part of the document, read and completed as plain JSON. */
type Json = { [name: string]: Json } & { [name: string]: unknown }

const description = `The interface of one Crossline node: what a hotline's own system, a liaison and an operator call, and what nodes call at each other.

Every caller presents a client certificate (mutual TLS 1.3), and its role is looked up for every request. Errors are problem documents with a stable \`code\`. Every answer carries \`Crossline-Trace\`; send your own (32 lower-case hex digits) to follow a call through both nodes' audit logs. No URL of a report ever stands in a path or a query.

Federation calls also carry \`Crossline-Proof\`, a JWT bound to this call, its bytes and the certificate; their errors are signed in \`Crossline-Error\`.`

const tags = [
  { name: 'Reports', description: 'Submit and read reports. Role: hotline.' },
  { name: 'Items', description: 'Queues, acceptance, assessment and action. Role: hotline.' },
  { name: 'Audit', description: 'The audit log. Role: liaison.' },
  { name: 'Operations', description: 'How the node does. Role: operator.' },
  { name: 'Federation', description: 'Calls between the nodes of members.' },
]

const messageKinds = Object.keys(messageBodies) as (keyof typeof messageBodies)[]
const messageName = (kind: string) => `${kind[0]?.toUpperCase()}${kind.slice(1)}Message`
const messages = messageKinds.map((kind) => {
  const schema = messageOf(messageBodies[kind])
  const kindName = { const: kind, description: 'Kind of the message.' }
  return {
    ...schema,
    $id: messageName(kind),
    description: `A message of kind ${kind}, one line of a batch.`,
    properties: { ...schema.properties, kind: kindName },
  }
})

const published = [
  Problem,
  ReportInput,
  Report,
  ItemPage,
  AcceptInput,
  RefuseInput,
  AssessmentInput,
  ActionInput,
  EntryPage,
  Custody,
  InclusionProof,
  ConsistencyProof,
  AuditExport,
  ExportInput,
  Entry,
  Status,
  PingInput,
  PingAnswer,
  ReceiptAnswer,
  ReceiptClaims,
  ProofClaims,
  PongClaims,
  ErrorClaims,
  CapabilitiesAnswer,
  CapabilitiesClaims,
  SignedDocument,
  Root,
  Directory,
  Envelope,
  ...messages,
]

/** Registers the shared schemas and the generator; call it before any route is added. */
export function addOpenapi(app: App): void {
  addSharedSchemas(app, published)
  void app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Crossline node',
        version: '1.0.0',
        description,
        license: { name: 'Apache License 2.0', identifier: 'Apache-2.0' } as { name: string },
      },
      tags,
      security: [{ clientCertificate: [] }],
      components: {
        securitySchemes: {
          clientCertificate: {
            type: 'mutualTLS',
            description: 'The TLS client certificate, by its SHA-256 fingerprint.',
          } as never,
        },
      },
    },
    refResolver: { buildLocalReference: (json) => String(json.$id) },
    transformObject: (made) => complete(('openapiObject' in made ? made.openapiObject : {}) as Json) as never,
  })
}

const component = (name: string) => ({ $ref: `#/components/schemas/${name}` })

// The rest of a path has no name in a route; in the document it needs one.
function nameWildcards(document: Json): void {
  const paths = document['paths'] ?? {}
  for (const path of Object.keys(paths).filter((each) => each.includes('{*}'))) {
    const operations = paths[path] as Json
    for (const operation of Object.values(operations)) {
      const parameters = Object.values(operation['parameters'] ?? {}) as { name?: unknown }[]
      for (const parameter of parameters) if (parameter.name === '*') parameter.name = 'path'
    }
    paths[path.replace('{*}', '{path}')] = operations
    delete paths[path]
  }
}

// What a route's schema can't say: lines, signed contents, examples.
function complete(document: Json): Json {
  nameWildcards(document)
  for (const path of Object.values(document['paths'] ?? {})) for (const operation of Object.values(path)) addExamples(operation)
  describeFederation(document)
  describeBatch(document)
  describeWitness(document)
  describeSigned(document)
  return sortedNames(document)
}

function addExamples(operation: Json): void {
  const id = String(operation['operationId'])
  const body = operation['requestBody']?.['content']?.['application/json']
  if (body !== undefined && id in bodyExamples) body['example'] = bodyExamples[id] as Json
  for (const [status, response] of Object.entries(operation['responses'] ?? {})) {
    addAnswerExample(response, { status, id })
    response['headers'] = {
      'Crossline-Trace': { description: 'Trace id of the call.', schema: traceHeader },
    } as never
  }
}

function addAnswerExample(response: Json, { status, id }: { status: string; id: string }): void {
  const answer = response['content']?.['application/json']
  if (answer !== undefined && status.startsWith('2') && id in answerExamples) answer['example'] = answerExamples[id] as Json
  const problem = response['content']?.['application/problem+json']
  const code = /`([a-z_]+)`/.exec(String(response['description']))?.[1]
  if (problem === undefined || code === undefined) return
  const fault = { code: code as ErrorCode, pointer: undefined, detail: undefined, retryAfterS: undefined, facts: undefined }
  problem['example'] = renderProblem(fault, '4bf92f3577b34da6a3ce929d0e0e4736') as never
}

const traceHeader = { type: 'string', pattern: '^[0-9a-f]{32}$' }
const jwtHeader = (claims: string) => ({ type: 'string', contentMediaType: 'application/jwt', contentSchema: component(claims) })
const federationHeaders = {
  trace: {
    name: 'Crossline-Trace',
    in: 'header',
    required: false,
    description: "Trace of the call, the same in both nodes' logs and audit entries. Absent or malformed: the node makes one.",
    schema: traceHeader,
  },
  proof: {
    name: 'Crossline-Proof',
    in: 'header',
    required: true,
    description: 'The proof of this call: compact JWS, ES256, typ crossline-proof+jwt, at most 8 KiB; exactly one.',
    schema: jwtHeader('ProofClaims'),
  },
  encoding: {
    name: 'Content-Encoding',
    in: 'header',
    required: false,
    description: 'How the body is compressed. The proof is over the bytes as sent.',
    schema: { type: 'string', enum: ['gzip', 'identity'] },
  },
}
const signedErrorHeader = {
  description:
    'The refusal, signed: compact JWS, typ crossline-error+jwt. Without it (what the HTTP parser refuses, a flood) it counts as a fault of the network.',
  schema: jwtHeader('ErrorClaims'),
}

const newerDirectoryHeader = {
  description:
    'Only when the `dir` of the proof names an older directory: `<version>:<hash>` of the one held here. A reason to fetch it, no more.',
  schema: { type: 'string', pattern: '^[1-9][0-9]{0,14}:[A-Za-z0-9_-]{43}$' },
}

/** The headers of calls between nodes. They stand in no route's schema: they are checked before one, and refused with codes of their own. */
function describeFederation(document: Json): void {
  const federation = Object.entries(document['paths'] ?? {}).filter(([path]) => path.startsWith('/federation/'))
  for (const [path, operations] of federation) {
    const { trace, proof, encoding } = federationHeaders
    const headers = [...(path.endsWith('/capabilities') ? [] : [proof]), trace, ...(path.endsWith('/batches') ? [encoding] : [])]
    for (const operation of Object.values(operations)) {
      operation['parameters'] = [...((operation['parameters'] ?? []) as unknown as object[]), ...headers] as never
      for (const [status, response] of Object.entries(operation['responses'] ?? {})) {
        if (!path.endsWith('/capabilities'))
          Object.assign(response['headers'] ?? {}, { 'Crossline-Directory': newerDirectoryHeader })
        if (Number(status) >= 400) Object.assign(response['headers'] ?? {}, { 'Crossline-Error': signedErrorHeader })
      }
    }
  }
}

function describeBatch(document: Json): void {
  const lines = {
    description: 'The schema of one line: the envelope first, then the messages.',
    anyOf: [component('Envelope'), ...messageKinds.map((kind) => component(messageName(kind)))],
  }
  const operation = document['paths']?.['/federation/v1/batches']?.['post']
  if (operation !== undefined) {
    operation['requestBody'] = {
      required: true,
      description: 'At most 4 MiB as sent and 16 MiB inflated.',
      content: { 'application/x-ndjson': { schema: lines } },
    } as never
  }
}

function describeWitness(document: Json): void {
  const operation = document['paths']?.['/federation/v1/witness']?.['post']
  if (operation === undefined) return
  operation['requestBody'] = {
    required: true,
    description: '`old <size>`, at most 63 lines of consistency proof, an empty line, the signed note.',
    content: { 'text/plain': { schema: { type: 'string', maxLength: 65_536 } } },
  } as never
}

function describeSigned(document: Json): void {
  const schemas = document['components']?.['schemas'] ?? {}
  const token = (answer: string, field: string, claims: string) =>
    Object.assign(schemas[answer]?.['properties']?.[field] ?? {}, {
      contentMediaType: 'application/jwt',
      contentSchema: component(claims),
    })
  token('ReceiptAnswer', 'receipt', 'ReceiptClaims')
  token('PingAnswer', 'pong', 'PongClaims')
  token('CapabilitiesAnswer', 'capabilities', 'CapabilitiesClaims')
  Object.assign(schemas['EntryView']?.['properties']?.['entry'] ?? {}, {
    contentMediaType: 'application/json',
    contentSchema: component('Entry'),
  })
  for (const [path, name] of [
    ['', 'Directory'],
    ['/{version}', 'Directory'],
    ['/roots/{number}', 'Root'],
  ] as const) {
    const content =
      document['paths']?.[`/federation/v1/directory${path}`]?.['get']?.['responses']?.['200']?.['content']?.[
        'application/jose+json'
      ]
    const payload = { contentEncoding: 'base64url', contentMediaType: 'application/json', contentSchema: component(name) }
    if (content !== undefined) content['schema'] = { allOf: [component('SignedDocument')], properties: { payload } } as never
  }
}

// Maps of names are sorted, so that the file changes only where the API does; everything else keeps the order of its schema.
function sortedNames(document: Json): Json {
  const components = document['components'] ?? {}
  return {
    ...document,
    components: { ...components, schemas: sorted(components['schemas'] ?? {}) },
    paths: sorted(document['paths'] ?? {}),
  } as Json
}

function sorted(map: Json): Json {
  return Object.fromEntries(Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1))) as Json
}
