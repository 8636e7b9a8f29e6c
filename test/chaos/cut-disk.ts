/**
 * A disk whose power can be cut: a file system in a file, shut down in the middle of its work as the kernel's own tests do
 * it, so that all that was not synced is lost and its journal is replayed when it is there again. PostgreSQL writes past
 * what recorder.mjs can write down; here it has a disk of its own. Linux, root and ext4 only.
 */
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { TestPostgres } from '../services/postgres.ts';
import { type Cut, killAt, look } from './power.ts';

/** Of the file, which is sparse. */
const SIZE = '2G';

/** EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH. Node has no ioctl; Perl is part of every Debian. */
const SHUTDOWN =
  'open(my $root, "<", $ARGV[0]) or die $!; my $how = pack("L", 2); ioctl($root, 0x8004587D, $how) or die $!;';

const ran = (command: string, ...words: string[]): string | undefined => {
  const { status, stderr, error } = spawnSync(command, words, { encoding: 'utf8' });
  return status === 0 ? undefined : `${command}: ${error?.message ?? stderr.trim()}`;
};
const run = (command: string, ...words: string[]): void => {
  const failed = ran(command, ...words);
  if (failed !== undefined) throw new Error(failed);
};

export class CutDisk {
  readonly folder: string;
  private readonly place: string;
  private readonly image: string;

  private constructor(place: string) {
    this.place = place;
    this.image = path.join(place, 'disk');
    this.folder = path.join(place, 'mounted');
  }

  /** @returns the disk, or why there can be none here */
  static make(): CutDisk | string {
    const disk = new CutDisk(mkdtempSync(path.join(tmpdir(), 'inkstone-disk-')));
    // PostgreSQL is another user.
    chmodSync(disk.place, 0o755);
    mkdirSync(disk.folder);
    const failed =
      ran('truncate', '-s', SIZE, disk.image) ??
      ran('mkfs.ext4', '-q', '-F', disk.image) ??
      ran('mount', '-o', 'loop', disk.image, disk.folder) ??
      ran('perl', '-e', '1');
    if (failed === undefined) return disk;
    disk.remove();
    return failed;
  }

  /** From now on nothing reaches the disk. */
  cut(): void {
    run('perl', '-e', SHUTDOWN, this.folder);
  }

  /** The power is back. Whoever had files open on it must be gone. */
  again(): void {
    run('umount', this.folder);
    run('mount', '-o', 'loop', this.image, this.folder);
  }

  remove(): void {
    ran('umount', '-l', this.folder);
    rmSync(this.place, { recursive: true, force: true });
  }
}

/** Cuts the power under a PostgreSQL and a store that writes to it, again and again on one disk. */
export class PostgresCuts {
  private readonly disk: CutDisk;
  private readonly server: TestPostgres;
  private made = 0;

  private constructor(disk: CutDisk, server: TestPostgres) {
    this.disk = disk;
    this.server = server;
  }

  static async start(disk: CutDisk): Promise<PostgresCuts> {
    const server = await TestPostgres.start([], disk.folder);
    // What initdb made it did not sync.
    run('sync', '-f', disk.folder);
    return new PostgresCuts(disk, server);
  }

  async cut(chance: () => number): Promise<Cut> {
    const { disk, server } = this;
    const database = await server.database();
    const home = path.join(disk.folder, `home-${this.made++}`);
    const writer = spawn(process.execPath, [path.join(import.meta.dirname, 'writer.mjs'), home, database], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const acknowledged = await killAt(writer, 10 + Math.floor(chance() * 60), () => disk.cut());
    await server.kill();
    disk.again();
    await server.start();
    const problems = existsSync(home) ? [] : ['the home folder is gone'];
    return { acknowledged, lost: 0, problems: [...problems, ...(await look(home, database, acknowledged))] };
  }

  async stop(): Promise<void> {
    await this.server.stop();
    this.disk.remove();
  }
}
