// The two calls about audit checkpoints (audit.md, "Peers as witnesses"): C2SP's bodies and statuses, under the same certificate and proof
// as every call between nodes.
import type { FastifyReply } from 'fastify'
import type { App } from '#http/app.ts'
import { refuseEncoding } from '#http/client-guard.ts'
import { admit, bytesOf, callOf, checkSignedBody } from '#http/federation-guard.ts'
import { problems, proofCodes } from '#http/problem-responses.ts'
import type { Steps } from '#http/steps-table.ts'
import type { WitnessAnswer } from '#steps/witness-checkpoint.ts'

const tags = ['Federation']
/** Old size, at most 63 lines of proof, and a note with as many signatures as a network has members. */
const maxBytes = 64 * 1024
/** C2SP tlog-witness. */
const sizeType = 'text/x.tlog.size'

const text = (description: string, type = 'text/plain') => ({ description, content: { [type]: { schema: { type: 'string' } } } })

export async function addWitnessRoutes(app: App, { steps, now }: { steps: Steps; now: () => Date }): Promise<void> {
  app.addHook('onRequest', admit(steps, { withRoot: false, now }))
  app.addHook('onRequest', refuseEncoding)
  app.addHook('preValidation', checkSignedBody(steps))
  app.addContentTypeParser('text/plain', { parseAs: 'buffer' }, async (_request: unknown, body: Buffer) => body)
  addCheckpoint(app, steps)
  addWitness(app, steps)
}

function addCheckpoint(app: App, steps: Steps): void {
  app.route({
    method: 'GET',
    url: '/federation/v1/checkpoint',
    schema: {
      operationId: 'findOwnCheckpoint',
      summary: 'The newest checkpoint of the audit log of this node',
      description: 'A C2SP signed note: checkpoint, signature of the log, and the cosignatures of its witnesses so far.',
      tags,
      response: { 200: text('The note.'), ...problems(...proofCodes, 'not_found') },
    },
    handler: async (_request, reply) => reply.type('text/plain; charset=utf-8').send(await steps.findOwnCheckpoint()),
  })
}

function addWitness(app: App, steps: Steps): void {
  app.route({
    method: 'POST',
    url: '/federation/v1/witness',
    bodyLimit: maxBytes,
    schema: {
      operationId: 'witnessCheckpoint',
      summary: 'Have a checkpoint of your audit log cosigned',
      description:
        'C2SP tlog-witness, add-checkpoint. The checkpoint must be of your own log of this year, the last or the next, signed with a current key of use `audit`, and follow on the last one that this node cosigned. A log that has grown is cosigned once a second: before, it is `rate_limited`, and signed.',
      tags,
      response: {
        200: text('The signature lines of this node, cosignature/v1.'),
        409: text(
          'This node holds another size: a decimal number and a line feed. `Crossline-Checkpoint` shows the note that it holds, base64url. With `replayed_proof` it is a signed problem document.',
          sizeType,
        ),
        ...withoutConflict(
          problems(
            ...proofCodes,
            'unknown_log',
            'unsigned_checkpoint',
            'broken_proof',
            'too_large',
            'unsupported_media_type',
            'unsupported_encoding',
            'audit_unavailable',
          ),
        ),
      },
    },
    handler: async (request, reply) => answer(reply, await steps.witnessCheckpoint(callOf(request), bytesOf(request))),
  })
}

function withoutConflict({ 409: _conflict, ...others }: Record<number, object>): Record<number, object> {
  return others
}

function answer(reply: FastifyReply, answered: WitnessAnswer): FastifyReply {
  if (answered.kind === 'cosigned') return reply.type('text/plain; charset=utf-8').send(answered.lines)
  const { size, held } = answered
  if (held !== '') reply.header('crossline-checkpoint', Buffer.from(held).toString('base64url'))
  return reply.code(409).type(sizeType).send(`${size}\n`)
}
