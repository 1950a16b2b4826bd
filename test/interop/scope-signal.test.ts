/**
 * scopeSignal(): an AbortSignal that hears of the cancellation of a scope, whichever scope around was cancelled.
 */
import {
  CancelledError,
  currentScope,
  moveOnAfter,
  run,
  scope,
  ScopeClosedError,
  shield,
  sleep,
  spawn,
  UsageError,
  until,
  yieldNow,
} from "fibril";
import type { Coroutine, Scope } from "fibril";
import { cancelSweep, simulateSync } from "fibril/testing";
import { describe, expect, test } from "vitest";
import { scopeSignal } from "../../src/interop/index.ts";
import { now, simulated, thrownBy } from "../core/simulated.ts";
import { virtualLoop } from "./left.ts";

/** Writes down when the signal aborts. */
function follow(signal: AbortSignal, log: unknown[], name = "aborted"): void {
  signal.addEventListener("abort", () => void log.push(name));
}

describe("scopeSignal()", () => {
  test("is one object for each scope, made when asked for", () => {
    simulated(function* () {
      const outer = scopeSignal();
      expect(scopeSignal()).toBe(outer);
      expect(scopeSignal(currentScope())).toBe(outer);
      yield* scope(function* (inner) {
        expect(scopeSignal()).not.toBe(outer);
        expect(scopeSignal(inner)).toBe(scopeSignal());
      });
    });
  });

  test("aborts with a CancelledError that has the reason, in the turn in which the tasks hear of it", () => {
    const log: unknown[] = [];
    const [signal, reason] = simulated(function* () {
      const task = spawn(function* worker() {
        follow(scopeSignal(), log);
        own.push(scopeSignal());
        try {
          yield* sleep(100);
        } finally {
          log.push("unwinds");
          yield* yieldNow();
          log.push("a turn later");
        }
      });
      const own: AbortSignal[] = [];
      yield* sleep(1);
      yield* task.cancel("why");
      return [own[0]!, own[0]!.reason as CancelledError];
    });
    expect(signal.aborted).toBe(true);
    expect(reason).toBeInstanceOf(CancelledError);
    expect(reason.reason).toBe("why");
    expect(log.map(String).toSorted((a, b) => a.localeCompare(b))).toEqual(["a turn later", "aborted", "unwinds"]);
    expect(log.at(-1)).toBe("a turn later");
  });

  test("aborts when a scope around is cancelled: by deadline, failure, cancel, of the task or its parents", () => {
    for (const how of ["deadline", "failure", "cancel", "task"] as const) {
      const log: unknown[] = [];
      simulateSync(function* () {
        const task = spawn(function* parent() {
          yield* scope(
            function* (around) {
              spawn(function* child(): Coroutine<void> {
                yield* scope(function* () {
                  follow(scopeSignal(), log);
                  yield* sleep(100);
                });
              });
              yield* sleep(5);
              if (how === "failure") throw new Error("failure");
              if (how === "cancel") around.cancel();
              yield* sleep(5);
            },
            how === "deadline" ? { timeoutMs: 5 } : {},
          );
        });
        yield* sleep(6);
        if (how === "task") yield* task.cancel();
        expect([how, log]).toEqual([how, ["aborted"]]);
      });
      expect([how, log]).toEqual([how, ["aborted"]]);
    }
  });

  test("a task that has no scope of its own when the signal is made is cancelled later: the signal hears of it", () => {
    const log: unknown[] = [];
    simulated(function* () {
      const middle = spawn(function* middle() {
        yield* scope(function* () {
          yield* scope(function* () {
            follow(scopeSignal(), log);
            yield* sleep(100);
          });
        });
      });
      yield* sleep(1);
      yield* middle.cancel();
    });
    expect(log).toEqual(["aborted"]);
  });

  test("a child that is shielded hears of it by the signal while its scope is still open", () => {
    const log: unknown[] = [];
    const at = simulated(function* () {
      const task = spawn(function* () {
        const signal = scopeSignal();
        yield* shield(function* () {
          while (!signal.aborted) yield* sleep(1);
          log.push(now());
        });
      });
      yield* sleep(5);
      yield* task.cancel();
      return now();
    });
    expect([log, at]).toEqual([[6], 6]);
  });

  test("a shield around keeps the cancellation from it", () => {
    const log: unknown[] = [];
    simulated(function* () {
      const task = spawn(function* () {
        yield* shield(function* () {
          follow(scopeSignal(), log, "inside");
          yield* sleep(10);
          log.push("done");
        });
      });
      yield* sleep(1);
      yield* task.cancel();
    });
    expect(log).toEqual(["done"]);
  });

  test("never aborts after a scope that ended by itself, also when its parent is cancelled later", () => {
    const log: unknown[] = [];
    const kept: AbortSignal[] = [];
    simulated(function* () {
      yield* moveOnAfter(10, function* () {
        yield* scope(function* () {
          kept.push(scopeSignal());
          follow(scopeSignal(), log);
          yield* sleep(1);
        });
        yield* sleep(100);
      });
      yield* sleep(10);
    });
    expect([kept[0]!.aborted, log]).toEqual([false, []]);
  });

  test("in a scope that is cancelled already it is aborted from the start, with the reason", () => {
    const seen: AbortSignal[] = [];
    simulated(function* () {
      const task = spawn(function* () {
        try {
          yield* sleep(10);
        } finally {
          seen.push(scopeSignal());
        }
      });
      yield* sleep(1);
      yield* task.cancel("gone");
    });
    expect(seen[0]!.aborted).toBe(true);
    expect(seen[0]!.reason).toMatchObject({ code: "CANCELLED", reason: "gone" });
  });

  test("works for a scope of another task, and from outside", () => {
    const { loop, host } = virtualLoop();
    const log: unknown[] = [];
    const task = loop.spawn(function* () {
      scopes.push(currentScope());
      yield* sleep(10);
    });
    const scopes: Scope[] = [];
    task.then(undefined, () => {});
    host.drain(() => scopes.length > 0);
    follow(scopeSignal(scopes[0]), log);
    task.cancel();
    host.drain();
    expect(log).toEqual(["aborted"]);
  });

  test("refuses a scope that has ended, and to be called outside coroutines", () => {
    for (const hadOne of [false, true]) {
      let ended: Scope | undefined;
      simulated(() =>
        scope(function* (own) {
          ended = own;
          if (hadOne) scopeSignal();
        }),
      );
      expect(thrownBy(() => scopeSignal(ended))).toBeInstanceOf(ScopeClosedError);
    }
    expect(thrownBy(() => scopeSignal())).toBeInstanceOf(UsageError);
  });

  test("the signal of an inner scope leaves the outer one alone", () => {
    const log: unknown[] = [];
    simulated(function* () {
      follow(scopeSignal(), log, "outer");
      yield* moveOnAfter(1, function* () {
        follow(scopeSignal(), log, "inner");
        yield* sleep(10);
      });
      expect(log).toEqual(["inner"]);
      yield* sleep(1);
    });
    expect(log).toEqual(["inner"]);
  });

  test("nothing stays attached to the loop", () => {
    const { loop, host } = virtualLoop();
    const probes = (): unknown => (loop as unknown as { probes: unknown }).probes;
    loop.spawn(function* () {
      scopeSignal();
      yield* scope(function* () {
        scopeSignal();
        yield* sleep(1);
      });
      expect(probes()).not.toBe(null);
      yield* moveOnAfter(1, () => scope(function* () {
        scopeSignal();
        yield* sleep(5);
      })); // prettier-ignore
    });
    host.drain();
    expect(probes()).toBe(null);
  });

  test("cancels what promise code does with it", async () => {
    const seen = await run(function* () {
      const task = spawn(function* () {
        const signal = scopeSignal();
        yield* until(
          new Promise((_, reject) => {
            signal.addEventListener("abort", () => {
              aborts.push(signal.reason);
              reject(signal.reason as Error);
            });
          }),
        );
      });
      yield* yieldNow();
      yield* task.cancel("enough");
      return task.outcome?.status;
    });
    expect(seen).toBe("cancelled");
    expect(aborts).toEqual([expect.any(CancelledError)]);
  });
  const aborts: unknown[] = [];

  test.each([undefined, 1, 2, 3, 4])("swept: aborted exactly when its scope was cancelled (seed %s)", (seed) => {
    for (const target of ["main", "stepped"] as const) {
      cancelSweep(
        () => {
          const made: { signal: AbortSignal; own: Scope; wasReached: () => boolean }[] = [];
          const note = (): void => {
            const own = currentScope();
            made.push({ signal: scopeSignal(), own, wasReached: () => own.isReached });
          };
          return {
            *main() {
              note();
              const child = spawn(function* () {
                note();
                yield* moveOnAfter(3, function* () {
                  note();
                  yield* scope(function* () {
                    note();
                    yield* sleep(2);
                  });
                  yield* sleep(2);
                });
              });
              yield* shield(function* () {
                note();
                yield* sleep(1);
              });
              yield* child;
            },
            check: () => {
              for (const { signal, wasReached } of made) expect(signal.aborted).toBe(wasReached());
              expect(made.length).toBeGreaterThan(0);
            },
          };
        },
        { target, ...(seed === undefined ? {} : { seed }) },
      );
    }
  });
});
