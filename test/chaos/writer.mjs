/** Writes rows and objects one after the other and says each that was acknowledged, until it is killed. */
import { openAt } from '../../dist/store/index.js';

const [home, database] = process.argv.slice(2);
const store = await openAt(home, { database, objects: 'folder' });
process.stdout.write('ready\n');
for (let i = 0; ; i++) {
  const object = i % 5 === 0 ? (await store.objects.put(Buffer.from(`object ${i} `.repeat(500)))).hash : null;
  await store.rows.put('notes', { id: `n${i}`, object, text: `${i} `.repeat(1 + (i % 300)) });
  if (i % 7 === 6) await store.rows.update('notes', `n${i - 3}`, (row) => ({ ...row, changed: i }));
  process.stdout.write(`${i}\n`);
}
