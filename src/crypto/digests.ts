// Digests, random ids and their text form: SHA-256 as base64url without padding, everywhere (protocol.md, Exact forms).

import { hash, randomBytes } from 'node:crypto'

/** base64url SHA-256 of bytes, or of a text's UTF-8. Of a token it names that token for ever. */
export const digest = (data: Uint8Array | string): string => hash('sha256', data, 'base64url')

/** A hash's bytes in their text form. */
export const encodeHash = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64url')

/** The bytes of a digest. The form is checked by the caller (`isDigest`). */
export const decodeHash = (text: string): Buffer => Buffer.from(text, 'base64url')

/** 128 random bits as 22 base64url characters: a `jti`. */
export const randomTokenId = (): string => randomBytes(16).toString('base64url')
