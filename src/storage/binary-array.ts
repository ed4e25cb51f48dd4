// Arrays as PostgreSQL's binary format, so that a batch of a thousand rows is one parameter per column: no text escaping of bytes,
// no placeholder per value. Each function gives a Buffer for a parameter that the SQL casts to the array type.
const header = 20

function encode(oid: number, values: readonly (Buffer | null)[]): Buffer {
  let bytes = header
  for (const value of values) bytes += 4 + (value?.length ?? 0)
  const out = Buffer.allocUnsafe(bytes)
  out.writeInt32BE(values.length === 0 ? 0 : 1, 0)
  out.writeInt32BE(values.includes(null) ? 1 : 0, 4)
  out.writeInt32BE(oid, 8)
  if (values.length === 0) return out.subarray(0, 12)
  out.writeInt32BE(values.length, 12)
  out.writeInt32BE(1, 16)
  let at = header
  for (const value of values) {
    out.writeInt32BE(value === null ? -1 : value.length, at)
    at += 4
    if (value !== null) at += value.copy(out, at)
  }
  return out
}

/** For `$1::bytea[]`. */
export function byteaArray(values: readonly (Buffer | null)[]): Buffer {
  return encode(17, values)
}

/** For `$1::text[]`. */
export function textArray(values: readonly (string | null)[]): Buffer {
  return encode(
    25,
    values.map((value) => (value === null ? null : Buffer.from(value))),
  )
}

/** For `$1::uuid[]`. */
export function uuidArray(values: readonly (string | null)[]): Buffer {
  return encode(
    2950,
    values.map((value) => (value === null ? null : Buffer.from(value.replaceAll('-', ''), 'hex'))),
  )
}

/** For `$1::int[]`. */
export function intArray(values: readonly (number | null)[]): Buffer {
  return encode(
    23,
    values.map((value) => {
      if (value === null) return null
      const bytes = Buffer.allocUnsafe(4)
      bytes.writeInt32BE(value)
      return bytes
    }),
  )
}

/** For `$1::bigint[]`. */
export function bigintArray(values: readonly number[]): Buffer {
  return encode(
    20,
    values.map((value) => {
      const bytes = Buffer.allocUnsafe(8)
      bytes.writeBigInt64BE(BigInt(value))
      return bytes
    }),
  )
}

/** For `$1::boolean[]`. */
export function booleanArray(values: readonly boolean[]): Buffer {
  return encode(
    16,
    values.map((value) => Buffer.of(value ? 1 : 0)),
  )
}
