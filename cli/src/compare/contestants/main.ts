/**
 * The program of a contestant's process: `node main.js NAME URL REQUESTS DELAY_MS`.
 *
 * Each contestant is loaded only where it is wanted, so that the one which uses plain `fetch` does not carry the library.
 */
import { Meter } from "./meter.ts";
import { endWithConductor } from "../leash.ts";
import type { Contest } from "./contest.ts";
import { withoutTypes } from "./stripped.ts";
import type { ContestantName } from "../contestants.ts";

/** `empty` makes no request: it shows what a process costs anyway. */
const CONTESTS: Record<ContestantName | "empty", () => Promise<{ contest: Contest }>> = {
  empty: () => import("./empty.ts"),
  blocking: () => import("./blocking.ts"),
  session: () => import("./session.ts"),
  fetch: () => import("./fetch.ts"),
  threads: () => import(withoutTypes("threads")) as Promise<{ contest: Contest }>,
  many: () => import("./session.ts"),
};

const [name = "", url = "", requests = "", delayMs = ""] = process.argv.slice(2);

endWithConductor();
try {
  const { contest } = await CONTESTS[name as keyof typeof CONTESTS]();
  const meter = new Meter();
  meter.tell({ type: "loaded" });
  const measured = await contest({ url, requests: Number(requests), delayMs: Number(delayMs), meter });
  meter.tell({ type: "done", measured });
  process.exit(0);
} catch (error) {
  new Meter().tell({ type: "failed", error: sentence(error) });
  process.exit(1);
}

/** The message with those of its causes: `fetch failed` alone says nothing. */
function sentence(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${sentence(error.cause)}`;
}
