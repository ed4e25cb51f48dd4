// The API documentation in the browser and as a file, for any registered client. Everything comes from this node: no outside request is made,
// and the content security policy would not let one through.
import swaggerUi from '@fastify/swagger-ui'
import type { App } from '#http/app.ts'
import { requireRole } from '#http/client-guard.ts'
import type { Steps } from '#http/steps-table.ts'

const contentPolicy = {
  'default-src': "'none'",
  'base-uri': "'none'",
  'connect-src': "'self'",
  'font-src': "'self'",
  'form-action': "'none'",
  'frame-ancestors': "'none'",
  'img-src': ["'self'", 'data:'],
  'script-src': "'self'",
  'style-src': ["'self'", "'unsafe-inline'"],
}

export async function addDocsRoutes(app: App, { steps }: { steps: Steps }): Promise<void> {
  const guard = requireRole(steps, 'hotline', 'liaison', 'operator')
  app.addHook('onRequest', guard)
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger())
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: contentPolicy,
    validatorUrl: false,
    uiConfig: { docExpansion: 'list', deepLinking: true, tryItOutEnabled: false },
    theme: { title: 'Crossline API' },
  })
}
