/** The studio's files from `dist/studio`, with a policy that lets nothing else in; a plain page where it is not built. */
import path from 'node:path';
import fastifyStatic from '@fastify/static';
import type { FastifyInstance } from 'fastify';
import { exists, packageFolder } from '../base/host.ts';

const POLICY =
  "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

const PLAIN = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Inkstone</title>
<body style="font:16px/1.6 system-ui;max-width:40rem;margin:3rem auto;padding:0 1rem">
<h1>Inkstone</h1><p>The server is running. The studio is not built here; <code>npm start</code> builds it.</p>
<p>服务器已启动。此处尚未构建界面，请运行 <code>npm start</code>。</p>
<p><a href="/v1/models">/v1/models</a> · <a href="/openapi.json">/openapi.json</a> · <a href="/health">/health</a></p></body></html>`;

export async function addPages(app: FastifyInstance): Promise<void> {
  const root = path.join(packageFolder, 'dist', 'studio');
  if (!(await exists(path.join(root, 'index.html')))) {
    app.get('/', async (_, reply) =>
      reply.type('text/html').header('content-security-policy', POLICY).send(PLAIN),
    );
    return;
  }
  await app.register(fastifyStatic, {
    root,
    setHeaders: (response, file) => {
      const hashed = /[\\/]assets[\\/]/.test(file);
      response.setHeader('cache-control', hashed ? 'public, max-age=31536000, immutable' : 'no-cache');
      if (file.endsWith('.html')) response.setHeader('content-security-policy', POLICY);
    },
  });
}
