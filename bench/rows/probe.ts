/**
 * What observing costs: the switch of 1,000 tasks with nobody looking, and with a probe that counts every event.
 *
 * What the kernel keeps for the inspector all the time cannot be switched off, so this row does not show its cost;
 * compare two source trees with `--also` for that.
 */
import type { Probe } from "fibril/lowlevel";
import { check, SwitchMeter } from "../meter.ts";
import type { Contestant, TimedProgram, TimedRow } from "../row.ts";

export const probeRow: TimedRow = {
  name: "probe",
  kind: "time",
  title: "give way and get the next turn, observed",
  operation: "switch",
  sizeOf: "tasks",
  sizes: [1_000],
  rounds: 3,
  contestants: [watched("fibril", false), watched("fibril-probed", true)],
  targets: [],
};

function watched(name: string, probed: boolean): Contestant<TimedProgram> {
  return {
    name,
    ...(probed ? { note: "a probe counts every event" } : {}),
    async load() {
      const { EventLoop, run, spawn, yieldNow } = await import("fibril");
      function* task(meter: SwitchMeter) {
        yield* yieldNow();
        meter.arrive();
        for (let i = 1; i < meter.perTask; i++) {
          yield* yieldNow();
          meter.tick();
        }
        meter.finish();
      }
      return async (n, ops) => {
        const meter = new SwitchMeter(n, ops);
        const counter = new Counter();
        await run(function* () {
          if (probed) EventLoop.current().addProbe(counter);
          for (let i = 0; i < n; i++) spawn(task, meter);
        });
        const sample = meter.result();
        if (probed) {
          check(counter.steps >= sample.ops, `the probe saw ${counter.steps} steps of ${sample.ops}`);
          check(counter.open === -1, `the probe saw ${counter.open} tasks and waits too many`);
        }
        return sample;
      };
    },
  };
}

class Counter implements Probe {
  steps = 0;
  #waits = 0;
  #tasks = 0;

  taskSpawned(): void {
    this.#tasks++;
  }

  beforeStep(): void {
    this.steps++;
  }

  waitStarted(): void {
    this.#waits++;
  }

  waitEnded(): void {
    this.#waits--;
  }

  taskSettled(): void {
    this.#tasks--;
  }

  /** Tasks and waits that began and did not end. */
  get open(): number {
    return this.#tasks + this.#waits;
  }
}
