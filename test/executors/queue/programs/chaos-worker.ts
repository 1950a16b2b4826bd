/** A worker that somebody will kill. */
import { run } from "fibril";
import { BullEngine, serveJobs } from "../../../../src/executors/index.ts";
import { double } from "./chaos-jobs.ts";

process.stdin.on("end", () => process.exit()).resume(); // who has started it is gone
const [url = "", queue = "", concurrency = "", lease = ""] = process.argv.slice(2);
const leaseMs = Number(lease);
const engine = new BullEngine({ url, queue, leaseMs, stalledCheckMs: leaseMs / 4, maxStalled: 20 });
await run(() => serveJobs(engine, [double], { concurrency: Number(concurrency), name: `pid ${process.pid}` }), {
  handleSignals: true,
}).catch(() => {});
await engine.close();
process.exit();
