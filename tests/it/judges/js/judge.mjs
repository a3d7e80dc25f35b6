// tuf-js as a judge. One JSON command a line on standard input, one JSON answer a line on standard output: the commands
// `refresh`, `find` and `download` of ../python_tuf.py, with the same answers.

import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Updater } from 'tuf-js';

const ROLES = ['root', 'timestamp', 'snapshot', 'targets'];

const commands = {
  refresh: (command) => withUpdater(command, (updater) => versions(updater)),

  find: (command) =>
    withUpdater(command, async (updater) => {
      const found = {};
      for (const path of command.paths) {
        const info = await updater.getTargetInfo(path);
        found[path] = info ? info.toJSON() : null;
      }
      return found;
    }),

  download: (command) =>
    withUpdater(command, async (updater, scratch) => {
      const info = await updater.getTargetInfo(command.path);
      if (!info) throw new Error(`${command.path} is not a target`);
      const content = readFileSync(await updater.downloadTarget(info, join(scratch, 'download')));
      return { length: content.length, sha256: createHash('sha256').update(content).digest('hex') };
    }),
};

// Calls `use` with a client that has refreshed, and with a directory that is removed afterwards.
async function withUpdater(command, use) {
  const scratch = mkdtempSync(join(tmpdir(), 'tuf-js-'));
  try {
    const metadataDir = command.cache ?? join(scratch, 'metadata');
    mkdirSync(metadataDir, { recursive: true });
    const trusted = join(metadataDir, 'root.json');
    if (!existsSync(trusted)) copyFileSync(command.root, trusted);
    const updater = new Updater({
      metadataDir,
      metadataBaseUrl: command.url,
      targetDir: scratch,
      targetBaseUrl: command.targets_url,
      config: { fetchRetries: 0 },
    });
    await updater.refresh();
    return await use(updater, scratch);
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

function versions(updater) {
  return Object.fromEntries(ROLES.map((role) => [role, updater.trustedSet[role].signed.version]));
}

// What `fetch` throws when there is no connection, or when it ends too early.
function isUnreachable(error) {
  return error.statusCode >= 500 || ['fetch failed', 'terminated'].includes(error.message);
}

async function outcome(command) {
  try {
    return { ok: await commands[command.do](command) };
  } catch (error) {
    const text = `${error.constructor.name}: ${error.message} ${error.statusCode ?? ''}`.trim();
    return isUnreachable(error) ? { unreachable: text } : { refused: text };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await outcome(JSON.parse(line))));
}
