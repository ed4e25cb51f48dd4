// The error document: RFC 9457 with a stable code. Never a value from the input, only the JSON pointer of the field.
import { type Static, Type } from 'typebox'

export const Problem = Type.Object(
  {
    type: Type.String({ pattern: '^urn:crossline:problem:[a-z_]+$', description: 'urn:crossline:problem:<code> (RFC 9457).' }),
    code: Type.String({ pattern: '^[a-z_]+$', description: 'Stable code; all of them stand in docs/errors.md.' }),
    status: Type.Integer({ minimum: 400, maximum: 599, description: 'The HTTP status of this answer.' }),
    title: Type.String({ description: 'What the code means, the same text for every occurrence.' }),
    detail: Type.Optional(Type.String({ description: 'What to do about this occurrence. Holds no value from the request.' })),
    pointer: Type.Optional(
      Type.String({
        description: 'JSON pointer (RFC 6901) of the field at fault, from the top of the body, or of the query parameter.',
      }),
    ),
    trace: Type.String({ pattern: '^[0-9a-f]{32}$', description: 'Trace id of the call; name it when you ask the operator.' }),
    facts: Type.Optional(
      Type.Record(Type.String(), Type.Union([Type.String(), Type.Integer(), Type.Array(Type.String())]), {
        description: 'Facts for a program, e.g. `state` and `allowed` for wrong_state.',
      }),
    ),
  },
  { $id: 'Problem', additionalProperties: false, description: 'Problem details, application/problem+json (RFC 9457).' },
)
export type Problem = Static<typeof Problem>
