/**
 * Which core each thread of this process stands on.
 *
 * Left to itself the system keeps some pairs of threads on one core and puts others on two, and a round trip between two costs several times as much:
 * both its wakings are of a core that sleeps. So the bench has settings that are alike for all pools: everything on one core, or the main thread on
 * one and all others on the other.
 */
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";

/** Holds the main thread on core 0, and every other thread that there is now on core 1: start all pools first. Linux only. */
export function standApart(): void {
  for (const thread of readdirSync("/proc/self/task")) {
    const core = Number(thread) === process.pid ? "0" : "1";
    execFileSync("taskset", ["-p", "-c", core, thread], { stdio: "ignore" });
  }
}
