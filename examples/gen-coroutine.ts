// How tornado's `gen.coroutine` works: a runner that goes on until it meets a future that is not done. Then the same with Fibril.
import { coroutine, Future as FibrilFuture, run } from "fibril";

class Future<T> {
  outcome: { readonly value: T } | { readonly error: unknown } | null = null;
  #callbacks: (() => void)[] = [];

  set(outcome: { readonly value: T } | { readonly error: unknown }): void {
    this.outcome = outcome;
    for (const callback of this.#callbacks.splice(0)) queueMicrotask(callback); // never inside the setter
  }

  whenDone(callback: () => void): void {
    if (this.outcome === null) this.#callbacks.push(callback);
    else queueMicrotask(callback);
  }
}

function genCoroutine<Args extends readonly unknown[], T>(
  generatorFunction: (...args: Args) => Generator<Future<unknown>, T, unknown>,
): (...args: Args) => Future<T> {
  return (...args) => {
    const result = new Future<T>();
    const generator = generatorFunction(...args);
    function advance(finished: Future<unknown> | null): void {
      try {
        let it = resume(generator, finished);
        while (!it.done && it.value.outcome !== null) it = resume(generator, it.value); // done already: no turn of the loop
        if (it.done) result.set({ value: it.value });
        else {
          const future = it.value;
          future.whenDone(() => advance(future));
        }
      } catch (error) {
        result.set({ error }); // and lost, if nobody looks
      }
    }
    advance(null); // eager: the first step runs inside the call
    return result;
  };
}

function resume<T>(generator: Generator<Future<unknown>, T, unknown>, finished: Future<unknown> | null) {
  const outcome = finished?.outcome ?? { value: undefined };
  return "error" in outcome ? generator.throw(outcome.error) : generator.next(outcome.value);
}

const answer = new Future<number>();
const tornado = genCoroutine(function* (name: string) {
  console.log(`${name}: begun inside the call`);
  return Number(yield answer) + 1;
});
const result = tornado("first");
console.log("the call has returned a future,", result.outcome);
answer.set({ value: 41 });
await new Promise<void>((resolve) => result.whenDone(resolve));
console.log(result.outcome);
console.log(tornado("second").outcome); // from beginning to end inside the call

const known = new FibrilFuture<number>();
const fibril = coroutine(function* (name: string) {
  console.log(`${name}: begun by yield*`);
  return (yield* known) + 1;
});
await run(function* () {
  const operation = fibril("third"); // nothing runs yet, and there is no future that could be forgotten
  console.log("the call has returned an operation");
  known.resolve(41);
  console.log(yield* operation);
});

// prints:
// first: begun inside the call
// the call has returned a future, null
// { value: 42 }
// second: begun inside the call
// { value: 42 }
// the call has returned an operation
// third: begun by yield*
// 42
