/**
 * Measures one contestant from inside its process: when each request began and ended, memory, threads, loop lag.
 *
 * Every contestant has a process to itself, so all that the system counts for the process is the contestant's own.
 *
 * Peak memory is read from `/proc`, where there is one. `resourceUsage().maxRSS` is the fallback only: Linux hands that
 * maximum down through fork and exec, so a small child of a large parent reports the parent's (measured: 290 MB for 45).
 */
import { readFileSync, writeSync } from "node:fs";
import { LagMeter } from "./lag-meter.ts";
import type { ContestantEvent, Measured } from "../protocol.ts";
import type { RequestSpan, Warning } from "../report.ts";

const STANDARD_OUTPUT = 1;

export class Meter {
  readonly #createdAt = performance.now();
  readonly #lag = new LagMeter(() => this.#countThreads());
  readonly #spans: { startMs: number; endMs: number; ok: boolean }[] = [];
  readonly #warnings: Warning[] = [];
  #ownThreads = 1;
  #equipment = 0;
  #threads = 0;
  #openedAt = 0;

  /** Tells the conductor. Synchronous, see `protocol.ts`. */
  tell(event: ContestantEvent): void {
    writeSync(STANDARD_OUTPUT, `${JSON.stringify(event)}\n`);
  }

  /** The contestant has started `threads` threads of its own: what is reported where the system does not count. */
  startedThreads(threads: number): void {
    this.#ownThreads += threads;
  }

  /** One more thread that only measures; it is not counted. */
  addEquipment(): void {
    this.#equipment += 1;
  }

  /** Preparations are over. From here to `close` is the time that counts. */
  open(): void {
    this.tell({ type: "open" });
    this.#lag.start();
    this.#openedAt = performance.now();
  }

  begin(request: number): void {
    const startMs = performance.now() - this.#openedAt;
    this.#spans[request] = { startMs, endMs: startMs, ok: false };
    if (request === 0) this.#countThreads();
    this.tell({ type: "begin", request });
  }

  end(request: number, ok: boolean): void {
    const span = this.#spans[request];
    if (span === undefined) throw new Error(`request ${request} ended before it began; please report this`);
    span.endMs = performance.now() - this.#openedAt;
    span.ok = ok;
    this.tell({ type: "end", request, ok });
  }

  warn(warning: Warning): void {
    this.#warnings.push(warning);
  }

  close(): Measured {
    const loopLagMs = this.#lag.stop();
    this.#countThreads();
    const requests: RequestSpan[] = this.#spans.map(({ startMs, endMs, ok }) => ({
      startMs: round(startMs),
      endMs: round(endMs),
      ok,
    }));
    return {
      figures: {
        wallMs: Math.max(0, ...requests.map(({ endMs }) => endMs)),
        setUpMs: round(this.#openedAt - this.#createdAt),
        peakRssMb: round(peakRssMb()),
        threads: this.#threads,
        loopLagMs: round(loopLagMs),
      },
      requests,
      warnings: this.#warnings,
    };
  }

  #countThreads(): void {
    const counted = statusLine("Threads");
    this.#threads = Math.max(this.#threads, counted === undefined ? this.#ownThreads : counted - this.#equipment);
  }
}

function peakRssMb(): number {
  return (statusLine("VmHWM") ?? process.resourceUsage().maxRSS) / 1_024;
}

/** A number of `/proc/self/status`, where the system has such a file. */
function statusLine(name: string): number | undefined {
  try {
    const found = new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(readFileSync("/proc/self/status", "utf8"));
    return found === null ? undefined : Number(found[1]);
  } catch {
    return undefined;
  }
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
