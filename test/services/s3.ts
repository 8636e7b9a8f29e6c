/** A throw-away S3 server for tests, in this process; its credentials are put into the environment. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import S3rver from '@20minutes/s3rver';

export interface TestS3 {
  bucket: string;
  folder: string;
  stop(): Promise<void>;
}

export async function startS3(bucket = 'inkstone'): Promise<TestS3> {
  const folder = mkdtempSync(path.join(tmpdir(), 'inkstone-s3-'));
  const server = new S3rver({
    port: 0,
    address: '127.0.0.1',
    silent: true,
    directory: folder,
    configureBuckets: [{ name: bucket, configs: [] }],
  });
  const { port } = (await server.run()) as { port: number };
  const before = { ...process.env };
  // The server's only user.
  process.env.AWS_ACCESS_KEY_ID = 'S3RVER';
  process.env.AWS_SECRET_ACCESS_KEY = 'S3RVER';
  process.env.AWS_REGION = 'us-east-1';
  process.env.AWS_ENDPOINT_URL_S3 = `http://127.0.0.1:${port}`;
  return {
    bucket,
    folder,
    async stop() {
      await server.close();
      process.env = before;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
