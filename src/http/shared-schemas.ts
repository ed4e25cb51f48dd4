// One name for one schema: every TypeBox value with an `$id` becomes a component of the OpenAPI document and is referred to, not repeated.
// The validator gets the same references, so what is published is what is checked. Two different schemas under one name stop the start.
import { isDeepStrictEqual } from 'node:util'
import type { App } from './app.ts'

type Json = Record<string, unknown>

/** Refers to a schema by its `$id`; to TypeScript it stays the schema itself. Throws for a schema without one: a mistake of ours. */
export function refTo<T extends object>(schema: T): T {
  const { $id } = schema as { $id?: string }
  if ($id === undefined) throw new Error('A shared schema needs an $id')
  return { $ref: `${$id}#` } as unknown as T
}

/** A schema in place, its named parts referred to; for path, query and headers. */
export function inPlace<T extends object>(schema: T): T {
  const { $id: _named, ...unnamed } = schema as Json
  return withReferences(unnamed) as T
}

/** Registers these schemas and every named schema inside them. */
export function addSharedSchemas(app: App, schemas: readonly object[]): void {
  const found = new Map<string, object>()
  for (const schema of schemas) collect(schema, found)
  for (const [name, schema] of found) app.addSchema({ ...(withReferences({ ...schema, $id: undefined }) as Json), $id: name })
}

function collect(value: unknown, found: Map<string, object>): void {
  if (typeof value !== 'object' || value === null) return
  if (isNamed(value)) {
    const known = found.get(value.$id)
    if (known !== undefined && !isDeepStrictEqual(known, value)) throw new Error(`Two schemas are called ${value.$id}`)
    found.set(value.$id, value)
  }
  for (const part of Object.values(value)) collect(part, found)
}

function withReferences(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withReferences)
  if (typeof value !== 'object' || value === null) return value
  if (isNamed(value)) return { $ref: `${value.$id}#` }
  const parts = Object.entries(value).filter(([, part]) => part !== undefined)
  return Object.fromEntries(parts.map(([name, part]) => [name, withReferences(part)]))
}

function isNamed(value: object): value is { $id: string } {
  return '$id' in value && typeof value.$id === 'string'
}
