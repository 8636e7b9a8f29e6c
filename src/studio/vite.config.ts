/**
 * How the studio becomes files: one page, one script, one style sheet under `dist/studio`. Knows nothing
 * of the server that hands them out; every address in the page is relative, so any prefix works.
 */
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const here = fileURLToPath(new URL('.', import.meta.url));

export default defineConfig({
  root: here,
  base: './',
  publicDir: 'public',
  // The address of the real server while working on the studio with `npx vite --config ...`.
  server: {
    proxy: { '/api': 'http://127.0.0.1:4747', '/v1': 'http://127.0.0.1:4747' },
  },
  // Not for development, whatever NODE_ENV says (tests set it): places in the source have no business in the page.
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact', development: false } },
  build: {
    outDir: fileURLToPath(new URL('../../dist/studio', import.meta.url)),
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: { polyfill: false },
    // Nothing is inlined as data: addresses, so that a strict content policy holds.
    assetsInlineLimit: 0,
  },
});
