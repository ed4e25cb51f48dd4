# The node as a container: production dependencies only, no compiler, no root, and nothing to write but /data.
# Build: docker build -t crossline .    Run: see compose.yaml
ARG NODE_IMAGE=node:26-bookworm-slim

FROM ${NODE_IMAGE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
# The image brings its own Node, and the database is a server of its own: neither of the pinned binaries is wanted here.
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund

FROM ${NODE_IMAGE} AS node
# 26.12.1 has the fixes for TLS and brotli that a listener on the open network needs: an older base image stops the build.
RUN ["node", "-e", "const [a, b, c] = process.versions.node.split('.').map(Number); if (a * 1e6 + b * 1e3 + c < 26012001) throw new Error('Node 26.12.1 or newer is needed')"]
LABEL org.opencontainers.image.title="crossline" \
      org.opencontainers.image.description="The open exchange that child-protection hotlines run: federated, durable, provable handoff of reports." \
      org.opencontainers.image.licenses="Apache-2.0"
ENV NODE_ENV=production \
    DATA_DIR=/data \
    LISTEN_HOST=0.0.0.0 \
    HEALTH_PORT=9464
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json LICENSE NOTICE ./
COPY bin ./bin
COPY src ./src
COPY migrations ./migrations
COPY openapi ./openapi
# The program belongs to root and the node runs as `node`, so it can't change itself.
RUN ["install", "-d", "-o", "node", "-g", "node", "-m", "0700", "/data"]
VOLUME ["/data"]
USER node
EXPOSE 8443
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.HEALTH_PORT || 9464}/health/ready`, { signal: AbortSignal.timeout(4000) }).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "bin/crossline.js"]
CMD ["node", "start"]
