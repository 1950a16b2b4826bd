/**
 * The circuit breaker against a reference automaton that keeps every call in a list.
 */
import { EventLoop, moveOnAfter, scope } from "fibril";
import { simulateSync } from "fibril/testing";
import fc from "fast-check";
import { expect, test } from "vitest";
import { CIRCUIT_TRANSITIONS, CircuitBreaker, CircuitOpenError, sleepUntil } from "../../src/time/index.ts";
import type { CircuitState } from "../../src/time/index.ts";
import { LAW_TIMEOUT_MS, runs } from "./runs.ts";

interface Settings {
  readonly failures: number;
  readonly ratio: number;
  readonly windowMs: number;
  readonly openMs: number;
  readonly halfOpenMax: number;
}

type Act =
  | { readonly do: "call"; readonly at: number; readonly ms: number; readonly end: "success" | "failure" | "cancel" }
  | { readonly do: "trip"; readonly at: number }
  | { readonly do: "reset"; readonly at: number };

type Event =
  | { readonly what: "admitted" | "refused"; readonly id: number; readonly at: number }
  | { readonly what: "success" | "failure" | "cancel"; readonly id: number; readonly at: number }
  | { readonly what: "trip" | "reset"; readonly id: number; readonly at: number };

const settings: fc.Arbitrary<Settings> = fc.record({
  failures: fc.integer({ min: 1, max: 4 }),
  ratio: fc.constantFrom(0, 0.3, 0.5, 1),
  windowMs: fc.constantFrom(10, 30, 70),
  openMs: fc.nat(30),
  halfOpenMax: fc.integer({ min: 1, max: 3 }),
});
const at = fc.nat(150);
const call = fc.record({
  do: fc.constant("call" as const),
  at,
  ms: fc.oneof(fc.constant(0), fc.nat(25)),
  end: fc.constantFrom("success" as const, "failure" as const, "failure" as const, "cancel" as const),
});
const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 15, arbitrary: call },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("trip" as const, "reset" as const), at }) },
);
const acts = fc.array(act, { minLength: 1, maxLength: 40 });
const seeds = fc.option(fc.nat(), { nil: undefined });

interface Observed {
  readonly events: Event[];
  /** The states after each event. */
  readonly states: CircuitState[];
  readonly changes: [CircuitState, CircuitState][];
  readonly breaker: CircuitBreaker;
}

function observe(how: Settings, all: readonly Act[], seed: number | undefined, cancelAt: number | null): Observed {
  const events: Event[] = [];
  const states: CircuitState[] = [];
  const changes: [CircuitState, CircuitState][] = [];
  const breaker = new CircuitBreaker({ ...how, onStateChange: ({ from, to }) => void changes.push([from, to]) });
  const note = (what: Event["what"], id: number): void => {
    events.push({ what, id, at: EventLoop.current().now() } as Event);
    states.push(breaker.state);
  };
  const down = new Error("down");
  const { leaks, reports } = simulateSync(
    () =>
      scope(function* (own) {
        for (const [id, it] of all.entries()) {
          own.spawn(function* () {
            yield* sleepUntil(it.at);
            if (it.do !== "call") {
              breaker[it.do]();
              note(it.do, id);
              return;
            }
            let end: "success" | "failure" | "cancel" | "refused" = "cancel";
            try {
              yield* moveOnAfter(it.end === "cancel" ? it.ms : Infinity, function* () {
                try {
                  yield* breaker.use(function* () {
                    note("admitted", id);
                    if (it.end === "cancel") yield* sleepUntil(Infinity);
                    else if (it.ms > 0) yield* sleepUntil(it.at + it.ms);
                    if (it.end === "failure") throw down;
                  });
                  end = "success";
                } catch (error) {
                  if (error instanceof CircuitOpenError) end = "refused";
                  else if (error === down) end = "failure";
                  else throw error;
                } finally {
                  note(end, id);
                }
              });
            } catch (error) {
              if (error !== down) throw error;
            }
          });
        }
      }),
    seed === undefined ? {} : { seed },
    (_, stepped, steps) => void (steps === cancelAt && stepped?.cancel()),
  );
  expect([leaks, reports, breaker.statistics().trials]).toEqual([[], [], 0]);
  return { events, states, changes, breaker };
}

/** The state after each event; `"wrong"` where an event could not have happened. */
function automaton(how: Settings, events: readonly Event[]): (CircuitState | "wrong")[] {
  let state: CircuitState = "closed";
  let until = 0;
  let era = 0; // changes with every state, and with a reset
  const began = new Map<number, number>();
  let ends: { readonly slice: number; readonly failed: boolean }[] = [];
  const become = (next: CircuitState, now: number): void => {
    state = next;
    era++;
    ends = [];
    if (next === "open") until = now + how.openMs;
  };
  const trials = (): number => [...began.values()].filter((it) => it === era).length;
  return events.map(({ what, id, at: now }) => {
    if (what === "trip") become("open", now);
    else if (what === "reset") become("closed", now);
    else if (what === "admitted" || what === "refused") {
      if (state === "open" && now >= until) become("half-open", now);
      const admits = state === "closed" || (state === "half-open" && trials() < how.halfOpenMax);
      if (admits !== (what === "admitted")) return "wrong";
      if (admits) began.set(id, era);
    } else {
      const counts = began.get(id) === era;
      began.delete(id);
      if (counts && what !== "cancel") {
        if (state === "half-open") become(what === "success" ? "closed" : "open", now);
        else {
          const slice = Math.floor(now / (how.windowMs / 10));
          ends.push({ slice, failed: what === "failure" });
          const window = ends.filter((it) => it.slice > slice - 10);
          const failed = window.filter((it) => it.failed).length;
          if (what === "failure" && failed >= how.failures && failed / window.length >= how.ratio) become("open", now);
        }
      }
    }
    return state;
  });
}

test(
  "does what the automaton does, with calls that overlap, are cancelled, or outlive the state they began in",
  () => {
    fc.assert(
      fc.property(settings, acts, seeds, (how, all, seed) => {
        const { events, states, changes, breaker } = observe(how, all, seed, null);
        expect(states).toEqual(automaton(how, events));
        for (const [from, to] of changes) expect(CIRCUIT_TRANSITIONS[from]).toContain(to);
        const count = (what: Event["what"]): number => events.filter((it) => it.what === what).length;
        expect(breaker.statistics()).toMatchObject({
          succeeded: count("success"),
          failed: count("failure"),
          cancelled: count("cancel"),
          refused: count("refused"),
          opened: changes.filter(([, to]) => to === "open").length,
        });
      }),
      runs(200),
    );
  },
  LAW_TIMEOUT_MS,
);

test(
  "also when any task is cancelled at any step",
  () => {
    fc.assert(
      fc.property(settings, acts, seeds, fc.nat(150), (how, all, seed, cancelAt) => {
        const { events, states } = observe(how, all, seed, cancelAt);
        // A task that was cancelled before its call is refused nothing and admitted nowhere.
        const begun = new Set(events.filter((it) => it.what !== "cancel").map((it) => it.id));
        const real = events.map((it, i) => ({ it, state: states[i] })).filter(({ it }) => begun.has(it.id));
        expect(real.map(({ state }) => state)).toEqual(
          automaton(
            how,
            real.map(({ it }) => it),
          ),
        );
      }),
      runs(100),
    );
  },
  LAW_TIMEOUT_MS,
);
