// The open connections of the server, so that those of a revoked certificate can be closed at once and all of them when the node stops.
import type { Server } from 'node:https'
import type { TLSSocket } from 'node:tls'
import { findPeerCertificate } from './peer-certificate.ts'

export interface OpenSockets {
  /** Closes every connection whose certificate the predicate names (base64url SHA-256 of the DER); gives how many there were. */
  closeOf(isRevoked: (fingerprint: string) => boolean): number
  closeAll(): void
}

export function trackSockets(server: Server): OpenSockets {
  const sockets = new Set<TLSSocket>()
  server.on('secureConnection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  return {
    closeOf(isRevoked) {
      const revoked = [...sockets].filter((socket) => isRevoked(findPeerCertificate(socket)?.fingerprint ?? ''))
      for (const socket of revoked) socket.destroy()
      return revoked.length
    },
    closeAll() {
      for (const socket of sockets) socket.destroy()
    },
  }
}
