/**
 * Worker processes that are killed and replaced, and what can be read of their work: each run in a file, each outcome in Redis.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Redis } from "ioredis";
import { onTestFinished } from "vitest";
import type { OutcomeRecord } from "../../../src/executors/index.ts";
import { RedisServer } from "./redis-server.ts";

const worker = fileURLToPath(new URL("programs/chaos-worker.ts", import.meta.url));

export interface CrewPlan {
  readonly queue: string;
  readonly workers: number;
  readonly concurrency: number;
  readonly leaseMs: number;
  /** Whether Redis may crash: what it has acknowledged is on the disk then. */
  readonly isDurable: boolean;
}

export class Crew {
  readonly redis: RedisServer;
  /** Where the jobs write down that they run. */
  readonly log: string;
  killed = 0;
  readonly #plan: CrewPlan;
  readonly #processes = new Set<ChildProcess>();

  private constructor(redis: RedisServer, log: string, plan: CrewPlan) {
    this.redis = redis;
    this.log = log;
    this.#plan = plan;
  }

  /** It ends with the test, however that ends: what comes after an `await` of a test that takes too long is not carried out. */
  static async start(plan: CrewPlan): Promise<Crew> {
    const folder = mkdtempSync(join(tmpdir(), "fibril-chaos-"));
    const redis = await RedisServer.start({ isDurable: plan.isDurable });
    const crew = new Crew(redis, join(folder, "runs"), plan);
    onTestFinished(async () => {
      await crew.end();
      await redis.stop();
      rmSync(folder, { recursive: true, force: true });
    });
    for (let i = 0; i < plan.workers; i++) crew.add();
    return crew;
  }

  add(): void {
    const { queue, concurrency, leaseMs } = this.#plan;
    const flags = ["--conditions=fibril-source", "--disable-warning=ExperimentalWarning"];
    const args = [this.redis.url, queue, `${concurrency}`, `${leaseMs}`];
    // It ends when its input does: this process may be killed, too.
    this.#processes.add(spawn(process.execPath, [...flags, worker, ...args], { stdio: ["pipe", "ignore", "ignore"] }));
  }

  /** @param which Between 0 and 1, or the id of a process. */
  kill(which: number): void {
    const all = [...this.#processes];
    const victim = which < 1 ? all[Math.floor(which * all.length)]! : all.find(({ pid }) => pid === which)!;
    this.#processes.delete(victim);
    this.killed++;
    victim.kill("SIGKILL");
    this.add();
  }

  /** In good order. */
  async end(): Promise<void> {
    const left = [...this.#processes].filter((it) => it.exitCode === null && it.signalCode === null);
    const gone = left.map((it) => new Promise((resolve) => it.once("exit", resolve)));
    for (const it of left) it.kill("SIGTERM");
    await Promise.all(gone);
  }

  /** Every outcome that Redis has. */
  async records(): Promise<Map<string, OutcomeRecord>> {
    const client = new Redis(this.redis.url);
    const records = new Map<string, OutcomeRecord>();
    const prefix = `fibril:${this.#plan.queue}:record:`;
    for await (const keys of client.scanStream({ match: `${prefix}*`, count: 1_000 }) as AsyncIterable<string[]>) {
      for (const key of keys) {
        records.set(key.slice(prefix.length), JSON.parse((await client.get(key))!) as OutcomeRecord);
      }
    }
    client.disconnect();
    return records;
  }

  /** How often each job was begun. */
  runs(): Map<string, number> {
    const runs = new Map<string, number>();
    for (const line of readFileSync(this.log, { encoding: "utf8", flag: "a+" }).split("\n")) {
      const id = line.split(" ")[1];
      if (id !== undefined) runs.set(id, (runs.get(id) ?? 0) + 1);
    }
    return runs;
  }
}
