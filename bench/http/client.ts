/**
 * One measurement, in a process of its own: `client.ts <contestant> <work> <origin> <path> <concurrency> <ms>`.
 * Prints one line of JSON.
 *
 * `get`: as many requests as go in `ms`, after a warm-up of as long. `hold`: `concurrency` requests at once, one time, to a
 * server that keeps them waiting: what they take in memory. `stream`: one body, three times.
 */
import { contestants } from "./contestants.ts";
import type { Client } from "./contestants.ts";

const MIN_WARM_UP = 5_000; // requests: until the rate no longer rises
const STREAMS = 3;

const [name, work, origin, path, concurrencyText, msText] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
  string,
];
const concurrency = Number(concurrencyText);
const windowMs = Number(msText);
const contestant = contestants.find((each) => each.name === name);
if (contestant === undefined) throw new Error(`there is no contestant "${name}"`);
const url = `${origin}${path}`;
const client = await contestant.open(origin, concurrency);
const works: Readonly<Record<string, (client: Client) => Promise<object>>> = { get, hold, stream };
const sample = await works[work]!(client);
await client.close();
console.log(JSON.stringify(sample));

async function get({ batch }: Client): Promise<object> {
  const warm = performance.now();
  let left = MIN_WARM_UP;
  await batch(
    () => (left-- > 0 || performance.now() - warm < windowMs / 2 ? url : undefined),
    concurrency,
    () => {},
  );
  const latencies: number[] = [];
  const startedAt = performance.now();
  const cpuBefore = process.cpuUsage();
  const until = startedAt + windowMs;
  await batch(
    () => (performance.now() < until ? url : undefined),
    concurrency,
    (begun) => void latencies.push(performance.now() - begun),
  );
  const cpu = process.cpuUsage(cpuBefore);
  const ms = performance.now() - startedAt;
  latencies.sort((a, b) => a - b);
  return {
    rate: (latencies.length / ms) * 1000,
    cpuUs: (cpu.user + cpu.system) / latencies.length,
    p50Ms: latencies[latencies.length >> 1],
    p99Ms: latencies[Math.floor(latencies.length * 0.99)],
  };
}

async function hold({ batch }: Client): Promise<object> {
  let warm = 3;
  await batch(
    () => (warm-- > 0 ? `${origin}/512` : undefined),
    1,
    () => {},
  );
  globalThis.gc?.();
  const idle = process.memoryUsage.rss();
  let left = concurrency;
  let done = 0;
  let errors = 0;
  const cpuBefore = process.cpuUsage();
  await batch(
    () => (left-- > 0 ? url : undefined),
    concurrency,
    () => void done++,
  ).catch(() => void errors++);
  const cpu = process.cpuUsage(cpuBefore);
  const peak = process.resourceUsage().maxRSS * 1024;
  return {
    kibPerRequest: (peak - idle) / 1024 / concurrency,
    peakMb: peak / 1e6,
    cpuS: (cpu.user + cpu.system) / 1e6,
    errors: errors + (concurrency - done),
  };
}

async function stream(client: Client): Promise<object> {
  if (client.stream === undefined) throw new Error(`${name} does not stream`);
  let best = 0;
  let cpuS = Infinity;
  for (let i = 0; i < STREAMS; i++) {
    const startedAt = performance.now();
    const cpuBefore = process.cpuUsage();
    const length = await client.stream(url);
    const cpu = process.cpuUsage(cpuBefore);
    best = Math.max(best, length / 1e6 / ((performance.now() - startedAt) / 1000));
    cpuS = Math.min(cpuS, ((cpu.user + cpu.system) / 1e6 / length) * 1e9);
  }
  return { mbPerS: best, cpuSPerGb: cpuS };
}
