/** What TypeScript's annotations tell the rules. None of what is found here is a type error. */
import { run, sleep, spawn, until, type Coroutine, type Operation, type Scope, type Task } from "fibril";
import * as fibril from "fibril";
import type { Session } from "fibril/http";

export function* byTheTypeOfAParameter(session: Session, scope: Scope, inner: fibril.Scope): Coroutine<void> {
  // found: no-floating-operation
  session.get("https://example.org/");
  // found: no-floating-operation
  scope.start(server);
  // found: no-floating-operation
  inner.start(server);
  yield* session.get("https://example.org/");
  session.close(); // begins with the call
  scope.cancel();
  scope.spawn(server);
}

export function* byTheTypeOfAFunction(load: () => Operation<number>, plain: () => number): Coroutine<void> {
  // found: no-floating-operation
  load();
  plain();
  yield* load();
}

export function* givesAnOperation(): Coroutine<Operation<void>> {
  return sleep(1); // as the annotation says
}

export class Store {
  readonly #session: Session;
  readonly tasks: Task<void>[] = [];

  constructor(session: Session) {
    this.#session = session;
  }

  *save(): Coroutine<void> {
    // found: no-floating-operation
    this.#session.post("https://example.org/");
    // found: no-floating-operation
    this.load()!;
    // found: no-floating-operation
    this.flush() as unknown;
    this.close();
    yield* this.load();
  }

  load(): Coroutine<void> {
    return this.save();
  }

  flush(): Operation<void> {
    return sleep(1);
  }

  close(): Operation<void> {
    return this.#session.close();
  }
}

function overloaded(ms: number): Coroutine<void>;
function overloaded(ms: string): Coroutine<void>;
function* overloaded(ms: number | string): Coroutine<void> {
  yield* sleep(Number(ms));
}

export function* callsOverloads(): Coroutine<void> {
  // found: no-floating-operation
  overloaded(1);
  yield* overloaded("1");
}

export function* annotatedCoroutine(): Coroutine<void> {
  // @ts-expect-error -- the compiler sees this one, too
  // found: no-yield-without-star
  yield 1;
}

export function* annotatedGenerator(): Generator<number> {
  yield 1;
  yield* annotatedGenerator();
}

export async function promises(): Promise<void> {
  // found: no-await-in-coroutine
  await sleep(1);
  // found: no-await-in-coroutine
  await (sleep(1) as Operation<void>);
  await run(server as () => Coroutine<void>);
  // @ts-expect-error -- the compiler sees this one, too
  // found: no-await-in-coroutine
  await run(async () => {});
}

export function* swallows(signal: AbortSignal): Coroutine<void> {
  try {
    yield* until(Promise.resolve());
    // found: no-swallowed-cancelled
  } catch (error: unknown) {
    if (signal.aborted) throw error;
  }
  try {
    yield* until(Promise.resolve());
  } catch (error: unknown) {
    if ((error as { code?: string }).code !== "ENOENT") throw error;
  }
  try {
    yield* until(Promise.resolve());
  } catch (error) {
    if (error instanceof fibril.Cancelled) throw error;
  }
}

export function* spawnsClosures(): Coroutine<void> {
  for (let count = 0; count < 3; count++) {
    // found: prefer-hoisted-coroutine
    spawn(function* (): Coroutine<void> {
      yield* sleep(count);
    });
  }
}

function limited<F extends (n: number) => Coroutine<number>>(fn: F): F {
  return ((n: number) => fn(n)) as F;
}

export const shadowed: (n: number) => Coroutine<number> = limited(function* shadowed(n: number): Coroutine<number> {
  // found: no-shadowed-recursion
  return n === 0 ? 0 : yield* shadowed(n - 1);
});

function* server(ready: (value: number) => void = () => {}): Coroutine<void> {
  ready(1);
  yield* sleep(1);
}
