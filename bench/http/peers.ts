/**
 * What the suite starts beside itself: the servers, the clients, and nginx. All of them in processes of their own, all of
 * them ended by their id.
 */
import { execFileSync, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const PATHS = `${process.env["PATH"] ?? ""}:/usr/sbin:/usr/local/sbin:/usr/local/go/bin`;
const START_LIMIT_MS = 10_000;
const ANSWER_LIMIT_MS = 90_000;

export interface Server {
  readonly origin: string;
  stop(): Promise<void>;
}

/** Node's own server. */
export async function startNodeServer(): Promise<Server> {
  const server = startNode("server.ts", []);
  const port = (await firstLine(server)).trim();
  return { origin: `http://127.0.0.1:${port}`, stop: () => end(server) };
}

/** nginx; `undefined` where it is missing. @param fill Writes what it serves. */
export async function startNginx(
  fill: (root: string) => void,
): Promise<(Server & { readonly root: string }) | undefined> {
  if (!isThere("nginx", "-v")) return undefined;
  const home = mkdtempSync(join(tmpdir(), "fibril-bench-nginx-"));
  chmodSync(home, 0o755); // started by root it serves as another user, who has to get in
  const root = join(home, "www");
  mkdirSync(root);
  fill(root);
  const port = await freePort();
  writeFileSync(join(home, "nginx.conf"), configuration(home, root, port));
  const server = spawn("nginx", ["-p", home, "-c", join(home, "nginx.conf")], {
    env: { ...process.env, PATH: PATHS },
    stdio: "ignore",
  });
  const stop = async (): Promise<void> => {
    await end(server);
    rmSync(home, { recursive: true, force: true });
  };
  const deadline = performance.now() + START_LIMIT_MS;
  while (!(await accepts(port))) {
    if (performance.now() > deadline || server.exitCode !== null) {
      await stop();
      throw new Error("nginx does not start");
    }
    await pause(20);
  }
  return { origin: `http://127.0.0.1:${port}`, root, stop };
}

function configuration(home: string, root: string, port: number): string {
  const folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  return `daemon off; worker_processes 1; pid ${join(home, "nginx.pid")}; error_log stderr crit;
events { worker_connections 4096; }
http { access_log off; gzip off; sendfile on; keepalive_requests 100000000;
${folders.map((name) => `${name}_temp_path ${join(home, name)};`).join(" ")}
server { listen 127.0.0.1:${port} backlog=4096; root ${root}; } }`;
}

/** The clients in other languages that this machine has: name → the command before the arguments. */
export function foreignClients(folder: string): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, readonly string[]>();
  const python = ["python3", "/usr/bin/python3"].find((command) => isThere(command, "-c", "import aiohttp"));
  if (python !== undefined) found.set("aiohttp", [python, join(HERE, "client.py")]);
  if (isThere("go", "version")) {
    const program = join(folder, "go-client");
    execFileSync("go", ["build", "-o", program, "main.go"], {
      cwd: join(HERE, "go"),
      env: { ...process.env, PATH: PATHS, GO111MODULE: "off" },
      stdio: ["ignore", "ignore", "inherit"],
    });
    found.set("go, one core", [program]);
  }
  return found;
}

/** One measurement: what the client printed. */
export async function measure(
  name: string,
  foreign: readonly string[] | undefined,
  args: readonly string[],
): Promise<Readonly<Record<string, number>>> {
  const client =
    foreign === undefined
      ? startNode("client.ts", [name, ...args])
      : spawn(foreign[0]!, [...foreign.slice(1), ...args], {
          stdio: ["ignore", "pipe", "pipe"],
          env: { ...process.env, GOMAXPROCS: "1" },
        });
  const limit = AbortSignal.timeout(ANSWER_LIMIT_MS);
  const late = (): void => void client.kill("SIGKILL");
  limit.addEventListener("abort", late);
  try {
    return JSON.parse(await firstLine(client)) as Record<string, number>;
  } finally {
    limit.removeEventListener("abort", late);
    await end(client);
  }
}

function startNode(file: string, args: readonly string[]): ChildProcess {
  return spawn(process.execPath, [...process.execArgv, join(HERE, file), ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
}

async function firstLine(child: ChildProcess): Promise<string> {
  let complaint = "";
  child.stderr?.on("data", (chunk: Buffer) => void (complaint = (complaint + chunk.toString()).slice(-2_000)));
  return await new Promise<string>((resolve, reject) => {
    child.stdout!.once("data", (data: Buffer) => resolve(data.toString()));
    child.once("error", reject);
    child.once("exit", (code, signal) => reject(new Error(`ended with ${signal ?? code}: ${complaint.trim()}`)));
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exit = once(child, "exit");
  child.kill("SIGTERM");
  await exit;
}

function isThere(command: string, ...args: string[]): boolean {
  try {
    execFileSync(command, args, { stdio: "ignore", env: { ...process.env, PATH: PATHS } });
    return true;
  } catch {
    return false;
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    }).once("error", () => resolve(false));
  });
}
