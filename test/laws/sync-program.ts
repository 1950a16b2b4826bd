/**
 * Random programs for the primitives of `sync/`: a crew of workers who sleep, cancel each other, abandon each other's waits,
 * and do what the primitive under test offers. A naive model is told everything at the same moment, and before every step of
 * any task the two are compared, so the first difference is found where it happens.
 *
 * A model is arrays and loops, without tasks: `fate[worker]` says what has to become of the worker's latest request.
 */
import { Cancelled, CancelledError, scope, sleep, UsageError, yieldNow } from "fibril";
import type { Coroutine, Operation, Scope, Task } from "fibril";
import { simulateSync } from "fibril/testing";
import fc from "fast-check";

export type Node<Op> =
  | { readonly do: "sleep"; readonly ms: number }
  | { readonly do: "yield" }
  | { readonly do: "cancel"; readonly worker: number }
  | { readonly do: "abandon"; readonly choice: number }
  | { readonly do: "act"; readonly op: Op; readonly body: readonly Node<Op>[] };

/** What each worker does. */
export type Program<Op> = readonly (readonly Node<Op>[])[];

/** What becomes of a request; anything else is the code of an error. */
export type Fate = "served" | "waits" | "gave up" | (string & {});

export interface Model {
  readonly fate: Fate[];
  /** The wait that the worker is at, if it is still in line, is withdrawn. */
  gaveUp(worker: number): void;
  /** The worker has settled. */
  ended(worker: number): void;
}

export interface World<Op> {
  readonly model: Model;
  perform(worker: number, op: Op, inner: () => Operation<void>): Operation<void>;
  /** What the model and the primitive say of the present; plain data that has to be equal. */
  compare(): readonly [model: unknown, real: unknown];
  /** The worker's step begins. */
  stepping?(worker: number): void;
}

export interface Injection {
  readonly at: number;
  readonly target: "main" | "stepped";
}

export interface Execution {
  readonly steps: number;
  /** What went wrong; every entry is a bug. */
  readonly broken: readonly string[];
}

const CLOSING_MS = 60; // then whoever still waits, waits for ever: the crew is cancelled
const MANY_STEPS = 5_000;

export class Crew {
  readonly broken: string[] = [];
  readonly tasks: Task<void>[] = [];
  readonly model: () => Model;
  readonly #isCancelled: boolean[] = [];
  readonly #open: Scope[][] = [];
  /** Main is cancelled, and with it everyone, also who is spawned later. */
  #isOver = false;

  constructor(model: () => Model) {
    this.model = model;
  }

  /** Waits for `operation` as `worker`; `requested` tells the model, in the step in which the wait starts. */
  *wait<T>(
    worker: number,
    operation: Operation<T>,
    requested: () => void,
    hasBegun: () => boolean = () => false,
  ): Coroutine<Fate | { readonly value: T }> {
    const { fate } = this.model();
    let got: Fate | { readonly value: T };
    try {
      const value = yield* this.abandonable(worker, function* (isDoomed) {
        if (!isDoomed) requested();
        return yield* operation;
      });
      got = { value };
    } catch (error) {
      if (error instanceof Cancelled) throw error;
      got = codeOf(error);
      // An error has taken the place of the cancellation: the worker would run on in its cleanup.
      if (got !== "gave up" && hasBegun() && this.#isDoomed(worker)) throw new Stop();
    }
    const said = fate[worker]!;
    const did = typeof got === "string" ? got : "served";
    if (!hasBegun() && said !== did) this.broken.push(`worker ${worker}: the model says ${said}, the primitive ${did}`);
    return got;
  }

  /** Like `wait`, for a `use`: `work` runs inside it, once the model has served the worker. */
  *use(
    worker: number,
    use: (body: () => Operation<void>) => Operation<void>,
    requested: () => void,
    work: () => Operation<void>,
  ): Coroutine<void> {
    let hasBegun = false;
    const { broken } = this;
    const { fate } = this.model();
    function* body(): Coroutine<void> {
      hasBegun = true;
      if (fate[worker] !== "served") broken.push(`worker ${worker}: the model says ${fate[worker]}, use ran its body`);
      yield* work();
    }
    yield* this.wait(worker, use(body), requested, () => hasBegun);
  }

  /** Runs `body` in a scope that other workers may cancel. */
  *abandonable<T>(worker: number, body: (isDoomed: boolean) => Operation<T>): Coroutine<T> {
    const open = (this.#open[worker] ??= []);
    try {
      return yield* scope((own) => {
        open.push(own);
        return body(this.#isDoomed(worker));
      });
    } finally {
      open.pop();
    }
  }

  /** Calls something that does not wait; gives the code of its error. */
  call<T>(fn: () => T): { readonly value: T } | Fate {
    try {
      return { value: fn() };
    } catch (error) {
      return codeOf(error);
    }
  }

  /** What a `try…` gave, compared with the model. */
  tried<T>(said: Fate, fn: () => T | undefined): { readonly value: T } | Fate {
    const got = this.call(fn);
    const did = typeof got === "string" ? got : got.value === undefined ? "waits" : "served";
    this.expect("try", said, did);
    return did === "served" ? (got as { readonly value: T }) : did;
  }

  /** Notes when the primitive does not do what the model says. */
  expect(what: string, model: unknown, real: unknown): void {
    const [a, b] = [JSON.stringify(model), JSON.stringify(real)];
    if (a !== b) this.broken.push(`${what}: the model says ${a}, the primitive ${b}`);
  }

  cancel(worker: number): void {
    const task = this.tasks[worker];
    if (task === undefined || task.isSettled) return;
    this.#isCancelled[worker] = true;
    this.model().gaveUp(worker);
    task.cancel("law");
  }

  cancelAll(main: Task<unknown>): void {
    this.#isOver = true;
    this.tasks.forEach((task, worker) => {
      if (!task.isSettled) this.model().gaveUp(worker);
    });
    main.cancel("law");
  }

  /** Cancels what one of those who wait is doing; `choice` says which. That of a worker who does not wait cancels its body. */
  abandon(choice: number): void {
    const waiting = this.tasks.map((_, worker) => worker).filter((worker) => this.model().fate[worker] === "waits");
    const worker = waiting.length > 0 ? waiting[choice % waiting.length]! : choice % this.tasks.length;
    const own = this.#open[worker]?.at(-1);
    if (own === undefined) return;
    this.model().gaveUp(worker);
    own.cancel("law");
  }

  /** Its next wait will throw. */
  #isDoomed(worker: number): boolean {
    return (
      this.#isOver || this.#isCancelled[worker] === true || this.#open[worker]!.some((own) => own.cancelled !== null)
    );
  }
}

/** Ends a worker. */
class Stop extends Error {}

function codeOf(error: unknown): Fate {
  if (error instanceof CancelledError) return "gave up";
  if (error instanceof UsageError || (error instanceof Error && "code" in error)) return String(error.code);
  throw error;
}

function execute<Op>(
  program: Program<Op>,
  make: (crew: Crew) => World<Op>,
  seed?: number,
  injection?: Injection,
): Execution {
  const crew: Crew = new Crew(() => world.model);
  const world = make(crew);
  const { broken, tasks } = crew;
  let mainTask: Task<unknown>;
  let steps = 0;

  function* run(worker: number, nodes: readonly Node<Op>[]): Coroutine<void> {
    for (const node of nodes) {
      if (node.do === "sleep") yield* sleep(node.ms);
      else if (node.do === "yield") yield* yieldNow();
      else if (node.do === "cancel") crew.cancel(node.worker % program.length);
      else if (node.do === "abandon") crew.abandon(node.choice);
      else yield* world.perform(worker, node.op, () => run(worker, node.body));
    }
  }
  function* start(worker: number, nodes: readonly Node<Op>[]): Coroutine<void> {
    try {
      yield* run(worker, nodes);
    } catch (error) {
      if (!(error instanceof Stop)) throw error;
    }
  }
  function* main(): Coroutine<void> {
    yield* scope(function* (own) {
      for (const [worker, nodes] of program.entries())
        tasks.push(own.spawn({ name: `${worker}` }, start, worker, nodes));
      own.spawn(function* closing() {
        yield* sleep(CLOSING_MS);
        crew.cancelAll(mainTask);
      });
    });
  }

  const compare = (): void => {
    const [model, real] = world.compare().map((it) => JSON.stringify(it));
    if (model !== real) broken.push(`after ${steps} steps the model is ${model}, the primitive ${real}`);
  };
  const { outcome, leaks, reports } = simulateSync(
    main,
    {
      ...(seed === undefined ? {} : { seed }),
      probe: {
        beforeStep: (task) => {
          compare();
          const worker = tasks.indexOf(task as Task<void>);
          if (worker >= 0) world.stepping?.(worker);
        },
        taskSettled: (task) => {
          const worker = tasks.indexOf(task as Task<void>);
          if (worker >= 0) world.model.ended(worker);
        },
      },
    },
    (main, stepped, count) => {
      mainTask = main;
      steps = count;
      if (count > MANY_STEPS) throw new Error("the program does not end");
      if (count !== injection?.at) return;
      const worker = tasks.indexOf(stepped as Task<void>);
      if (injection.target === "main") crew.cancelAll(main);
      else if (worker >= 0) crew.cancel(worker);
    },
  );
  compare();
  if (outcome.status === "failed") broken.push(`failed: ${String(outcome.error)}`);
  broken.push(...leaks, ...reports.map((report) => report.message));
  return { steps, broken };
}

/** What a call that answers at once came to, as the model says it. */
export function okOr(got: { readonly value: unknown } | Fate): Fate {
  return typeof got === "string" ? got : "served";
}

const worker = fc.nat({ max: 5 });

/** Programs of 3 to `most` workers; `op` is what they can do with the primitive. */
function programs<Op>(op: fc.Arbitrary<Op>, most = 6): fc.Arbitrary<Program<Op>> {
  const { body } = fc.letrec<{ body: readonly Node<Op>[]; node: Node<Op> }>((tie) => ({
    node: fc.oneof(
      { maxDepth: 3, withCrossShrink: true },
      { weight: 4, arbitrary: fc.record({ do: fc.constant("sleep" as const), ms: fc.integer({ min: 0, max: 4 }) }) },
      { weight: 1, arbitrary: fc.constant({ do: "yield" as const }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("cancel" as const), worker }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant("abandon" as const), choice: worker }) },
      { weight: 9, arbitrary: fc.record({ do: fc.constant("act" as const), op, body: tie("body") }) },
    ),
    body: fc.array(tie("node"), { maxLength: 4 }),
  }));
  return fc.array(body, { minLength: 3, maxLength: most });
}

/**
 * The properties of every primitive: no difference in the order of the loop, in seeded orders, and cancelled at any step.
 * @param opening Workers that are there before the random ones, where chance alone would seldom bring about what matters.
 */
export function checkLaw<Op>(
  op: fc.Arbitrary<Op>,
  make: (crew: Crew) => World<Op>,
  parameters: fc.Parameters<unknown>,
  opening: Program<Op> = [],
): void {
  const seeds = fc.option(fc.nat(), { nil: undefined });
  const targets = fc.constantFrom("main" as const, "stepped" as const);
  fc.assert(
    fc.property(programs(op), seeds, fc.nat(), targets, (rest, seed, at, target) => {
      const program = [...opening, ...rest];
      const whole = execute(program, make, seed);
      if (whole.broken.length > 0) throw new Error(whole.broken.join("\n"));
      const cut = execute(program, make, seed, { at: at % (whole.steps + 1), target });
      if (cut.broken.length > 0) throw new Error(`cancelled: ${cut.broken.join("\n")}`);
    }),
    parameters as fc.Parameters<[Program<Op>, number | undefined, number, "main" | "stepped"]>,
  );
}
