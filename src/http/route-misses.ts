// What is said of a path or method that is not served: 404, 405 with the methods that are, or 426 for another version of the protocol.
// It is known before anything else of the request is looked at (protocol.md, "order of checks").
import type { FastifyReply } from 'fastify'
import { CrosslineError } from '#errors.ts'
import type { AnyRequest, App } from './app.ts'

interface Served {
  pattern: RegExp
  methods: string[]
}

/** Learns every route as it is registered; the function then throws for a request that has none. */
export function watchRoutes(app: App): (request: AnyRequest, reply: FastifyReply) => never {
  const served = new Map<string, Served>()
  app.addHook('onRoute', ({ url, method }) => {
    const known = served.get(url) ?? { pattern: patternOf(url), methods: [] }
    known.methods.push(...[method].flat())
    served.set(url, known)
  })

  return function refuse(request, reply) {
    const path = request.url.split('?', 1)[0] ?? ''
    const methods = [...served.values()].filter(({ pattern }) => pattern.test(path)).flatMap((route) => route.methods)
    if (methods.length > 0) {
      reply.header('allow', [...new Set(methods)].join(', '))
      throw new CrosslineError('method_not_allowed')
    }
    if (/^\/federation\/v(?!1(?:\/|$))(?:0|[1-9]\d{0,8})(?:\/|$)/.test(path))
      throw new CrosslineError('version_unsupported', { facts: { served: ['1'] } })
    throw new CrosslineError('not_found')
  }
}

const decimal = /^[1-9][0-9]{0,14}$/

/** Whether no route is meant. Where a number stands in a path (`:version`, `:number`), a word is another path, not a bad number. */
export function isMiss({ is404, params }: { is404: boolean; params: unknown }): boolean {
  const { version = '1', number = '1' } = (params ?? {}) as Record<string, string>
  return is404 || !decimal.test(version) || !decimal.test(number)
}

// Templates are ours: letters, slashes, `:name` and a last `*`.
function patternOf(template: string): RegExp {
  const source = template
    .replaceAll(/[.]/g, '\\.')
    .replaceAll(/:(version|number)\b/g, decimal.source.slice(1, -1))
    .replaceAll(/:[A-Za-z]+/g, '[^/]+')
    .replace(/\*$/, '.*')
  return new RegExp(`^${source}$`)
}
