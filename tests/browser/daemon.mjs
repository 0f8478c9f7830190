// A real daemon on loopback, with its demo channels and a state of its own that goes when it does.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const program = process.env.TUNERD ?? fileURLToPath(new URL("../../target/debug/tunerd", import.meta.url));
const START_MS_MAX = 20_000;

/** `more` is written into its settings, such as "[access]\nopen = true\n". */
export async function startDaemon(more = "") {
  const directory = mkdtempSync(join(tmpdir(), "tunerd-browser-"));
  // Each has an address of its own, so that its ports need no luck.
  const address = `127.${10 + (process.pid % 200)}.${1 + Math.floor(Math.random() * 250)}.${1 + Math.floor(Math.random() * 250)}`;
  const settings = join(directory, "tunerd.toml");
  writeFileSync(settings, `name = "Test box"
state_dir = "${directory}/state"
[network]
address = "${address}"
page_port = 8080
stream_port = 5004
discovery = false
ssdp = false
mdns = false
${more}`);
  const log = [];
  const child = spawn(program, ["--config", settings], { stdio: ["ignore", "pipe", "pipe"] });
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (part) => log.push(String(part)));
  const ended = new Promise((done) => { child.on("exit", done); });
  const url = `http://${address}:8080`;
  const until = Date.now() + START_MS_MAX;
  for (;;) {
    const answer = await fetch(`${url}/healthz`).catch(() => null);
    if (answer?.ok) break;
    if (child.exitCode !== null || Date.now() > until) {
      child.kill("SIGKILL");
      throw new Error(`the daemon did not start:\n${log.join("")}`);
    }
    await new Promise((done) => { setTimeout(done, 50); });
  }
  return {
    url, address, log, directory,
    /** Watches `number` until the answer is aborted. */
    watch(number, agent = "VLC/3.0.20 LibVLC/3.0.20") {
      const abort = new AbortController();
      const done = fetch(`http://${address}:5004/auto/v${number}`, { signal: abort.signal, headers: { "user-agent": agent } })
        .then(async (answer) => { for await (const part of answer.body) if (!part) break; }).catch(() => null);
      return { stop: () => abort.abort(), done };
    },
    async stop() {
      child.kill("SIGTERM");
      await Promise.race([ended, new Promise((done) => { setTimeout(done, 5000); })]);
      child.kill("SIGKILL");
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
