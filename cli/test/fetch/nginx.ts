/**
 * A web server that is not ours: nginx, with a configuration of its own in a temporary folder, on a free port.
 * It is needed, not wished for: where it is missing, the tests fail and say how to get it.
 */
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { get } from "node:http";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

export interface Nginx {
  readonly origin: string;
  /** What it serves. */
  readonly root: string;
  stop(): Promise<void>;
}

const PROGRAM = "nginx";
const START_LIMIT_MS = 50_000;
const LOOK_EVERY_MS = 20;
const TRIES = 5;
const IS_TAKEN = /Address already in use/;

/** Nginx cannot choose its port. One that is free now may be another test's a moment later: then it is another one. */
export async function startNginx(): Promise<Nginx> {
  for (let tries = 1; ; tries++) {
    try {
      return await startOn(await freePort());
    } catch (error) {
      if (tries === TRIES || !IS_TAKEN.test(String(error))) throw error;
    }
  }
}

async function startOn(port: number): Promise<Nginx> {
  const home = await mkdtemp(join(tmpdir(), "fibril-nginx-"));
  const root = join(home, "www");
  await mkdir(root);
  // Started by root it serves as another user, who has to get in.
  await chmod(home, 0o755);
  const mark = randomUUID();
  await writeFile(join(root, "mark"), mark);
  await writeFile(join(home, "nginx.conf"), configuration(home, root, port));
  const server = spawn(PROGRAM, ["-p", home, "-c", join(home, "nginx.conf")], {
    env: { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/usr/local/sbin` },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let complaint = "";
  server.stderr.setEncoding("utf8").on("data", (text: string) => (complaint += text));
  const ended = new Promise<never>((_resolve, reject) => {
    server.once("error", (error) =>
      reject(new Error("these tests need nginx; on Debian: apt-get install nginx-light", { cause: error })),
    );
    server.once("exit", (code) => reject(new Error(`nginx ended with code ${code}: ${complaint}`)));
  });
  ended.catch(() => undefined); // after the start nobody waits for it any more
  const stop = async (): Promise<void> => {
    if (server.pid !== undefined && server.exitCode === null) {
      const exit = once(server, "exit");
      server.kill("SIGTERM");
      await exit;
    }
    await rm(home, { recursive: true, force: true });
  };
  const origin = `http://127.0.0.1:${port}`;
  const given = new AbortController();
  try {
    await Promise.race([ended, untilServing(`${origin}/mark`, mark, given.signal)]);
  } catch (error) {
    await stop();
    throw error;
  } finally {
    given.abort();
  }
  return { origin, root, stop };
}

function configuration(home: string, root: string, port: number): string {
  const folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (name) => `  ${name}_temp_path ${join(home, name)};`,
  );
  return `
daemon off;
worker_processes 1;
pid ${join(home, "nginx.pid")};
error_log stderr crit;
events { worker_connections 2048; }
http {
  access_log off;
  gzip off;
  keepalive_requests 100000;
${folders.join("\n")}
  server { listen 127.0.0.1:${port}; root ${root}; }
}
`;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** There is no event for it: a process in the foreground does not tell when it listens. */
async function untilServing(url: string, mark: string, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + START_LIMIT_MS;
  while ((await textAt(url)) !== mark && !signal.aborted) {
    if (performance.now() > deadline) throw new Error(`nginx does not serve after ${START_LIMIT_MS} ms`);
    await pause(LOOK_EVERY_MS);
  }
}

/** What is there, be it nginx or a stranger; `undefined`: nothing. */
function textAt(url: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const asked = get(url, { agent: false, timeout: 1_000 }, (response) => {
      let text = "";
      response.setEncoding("latin1").on("data", (chunk: string) => (text += chunk));
      response.once("close", () => resolve(text));
    });
    asked.once("timeout", () => asked.destroy()).once("error", () => resolve(undefined));
  });
}
