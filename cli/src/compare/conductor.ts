/**
 * Conducts the comparison: starts the slow server, then lets one contestant after the other run in a fresh process.
 *
 * One after the other, because they would take the machine from each other; in fresh processes, because peak memory and
 * threads can only be counted for a process. The conductor is a Fibril program itself: cancelling it (Ctrl-C) ends the
 * processes through `use()`, and a contestant that hangs runs into a `timeout`.
 */
import { availableParallelism } from "node:os";
import { Cancelled, scope, timeout, until, use } from "fibril";
import type { Coroutine } from "fibril";
import { CONTESTANTS } from "./contestants.ts";
import type { Contestant, ContestantName } from "./contestants.ts";
import { NodeProgram, programBeside } from "./node-program.ts";
import type { Ending } from "./node-program.ts";
import type { ContestantEvent, Measured } from "./protocol.ts";
import type { Report, Row } from "./report.ts";
import type { Settings } from "./settings.ts";
import { speedup } from "./statistics.ts";

/** What somebody who watches is told. */
export interface Audience {
  contestantStarts(contestant: Contestant): void;
  contestantSays(contestant: Contestant, event: ContestantEvent): void;
  contestantEnds(row: Row): void;
}

/** The user has ended a child with Ctrl-C: the terminal tells all processes, and the child was first. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
}

/** For starting a process and, on a small machine, a thousand threads. */
const START_UP_LIMIT_MS = 60_000;

export function* compare(settings: Settings, audience: Audience): Coroutine<Report> {
  const server = yield* startServer(settings.delayMs);
  const empty = yield* measure("empty", "", 0, settings, START_UP_LIMIT_MS, () => undefined);
  const rows: Row[] = [];
  for (const contestant of CONTESTANTS.filter(({ key }) => settings.only.includes(key))) {
    audience.contestantStarts(contestant);
    const row = yield* runContestant(contestant, server, settings, audience);
    rows.push(row);
    audience.contestantEnds(row);
  }
  return {
    settings,
    machine: {
      node: process.versions.node,
      cores: availableParallelism(),
      platform: `${process.platform} ${process.arch}`,
      emptyPeakRssMb: empty.figures.peakRssMb,
      emptyThreads: empty.figures.threads,
    },
    rows,
  };
}

/** Resolves to the server's address. The server ends with the scope of the caller. */
function* startServer(delayMs: number): Coroutine<string> {
  let tellPort: (line: string) => void = () => undefined;
  const firstLine = new Promise<string>((resolve) => (tellPort = resolve));
  const server = yield* use(
    new NodeProgram(programBeside(import.meta.url, "slow-server"), [`${delayMs}`], (line) => tellPort(line)),
  );
  const port = yield* until(Promise.race([firstLine, server.ended]));
  if (typeof port === "string") return `http://127.0.0.1:${port}/`;
  throw new Error(`the slow server could not start: ${explained(port)}`);
}

function* runContestant(contestant: Contestant, url: string, settings: Settings, audience: Audience): Coroutine<Row> {
  const requests = contestant.requests(settings);
  const head = { key: contestant.key, name: contestant.name, title: contestant.title(requests) };
  const limitMs = START_UP_LIMIT_MS + 2 * contestant.idealMs(settings);
  try {
    const measured = yield* measure(contestant.name, url, requests, settings, limitMs, (event) =>
      audience.contestantSays(contestant, event),
    );
    const unanswered = measured.requests.filter(({ ok }) => !ok).length;
    if (unanswered > 0) throw new Error(`${unanswered} of ${requests} requests were not answered with 200`);
    return {
      ...head,
      outcome: "finished",
      ...measured.figures,
      speedup: Math.round(speedup(requests, settings.delayMs, measured.figures.wallMs) * 100) / 100,
      processStartMs: measured.processStartMs,
      requests: measured.requests,
      warnings: measured.warnings,
    };
  } catch (error) {
    if (error instanceof Cancelled || error instanceof Interrupted) throw error;
    return {
      ...head,
      outcome: "failed",
      error: error instanceof Error ? error.message : String(error),
      requests: [],
      warnings: [],
    };
  }
}

/** Runs one contestant in its process and returns what it measured. The process is gone afterwards, however it ended. */
function* measure(
  name: ContestantName | "empty",
  url: string,
  requests: number,
  settings: Settings,
  limitMs: number,
  hear: (event: ContestantEvent) => void,
): Coroutine<Measured & { readonly processStartMs: number }> {
  const startedAt = performance.now();
  let processStartMs = 0;
  let measured: Measured | undefined;
  let failure: string | undefined;
  const listen = (line: string): void => {
    // Whatever else the user's settings make Node print there is not for us.
    if (!line.startsWith("{")) return;
    const event = JSON.parse(line) as ContestantEvent;
    if (event.type === "loaded") processStartMs = Math.round(performance.now() - startedAt);
    if (event.type === "done") measured = event.measured;
    if (event.type === "failed") failure = event.error;
    hear(event);
  };
  const ending = yield* scope(function* () {
    const args = [name, url, `${requests}`, `${settings.delayMs}`];
    const program = yield* use(new NodeProgram(programBeside(import.meta.url, "contestants/main"), args, listen));
    return yield* timeout(limitMs, until(program.ended));
  });
  if (ending.signal === "SIGINT") throw new Interrupted();
  if (measured === undefined) throw new Error(failure ?? explained(ending));
  return { ...measured, processStartMs };
}

function explained({ code, signal, complaint }: Ending): string {
  const how = signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`;
  const lastLine = complaint.split("\n").findLast((line) => /error|cannot|failed/i.test(line)) ?? "";
  return `its process ${how}${lastLine === "" ? "" : `: ${lastLine.trim()}`}`;
}
