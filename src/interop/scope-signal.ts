/**
 * From the cancellation of a scope to an `AbortSignal`: for APIs of promises that a whole scope uses.
 *
 * The kernel tells tasks of a cancellation, at their waits, and a signal has to hear of it even when no task of the scope
 * waits for anything that it could be withdrawn from (a shield, a child that lingers in cleanup). So a probe listens to the
 * requests. It is attached while a loop has signals at all, and costs nothing per step.
 *
 * A request may come for any scope around, so a signal is entered in an index under each scope that can reach it: up to a
 * shield. The chain must not change afterwards. It could in one way, a task gets the scope that stands for it only when
 * needed, so that is made here for every task on the way. With the index a cancellation that concerns no signal costs one
 * look-up, however many signals there are.
 *
 * The abort itself is a callback of the loop, in the turn in which the tasks hear of the cancellation: listeners are code of
 * others, and must not run in the middle of the kernel's request.
 */
import { CancelledError, currentScope } from "../core/index.ts";
import type { Cancelled, EventLoop, Scope } from "../core/index.ts";

const signals = new WeakMap<Scope, ScopeSignal>();
/** Under each scope: the signals that its cancellation aborts. */
const reachedBy = new WeakMap<object, Set<ScopeSignal>>();
const loops = new WeakMap<EventLoop, Observation>();

/**
 * A signal that aborts when the scope is cancelled, itself or by a scope around it, for whatever reason: a deadline, a
 * failure, `cancel()`. Its reason is a `CancelledError`. Each scope has one, made when it is first asked for.
 *
 * It aborts in the turn in which the tasks hear of the cancellation. When the scope ends without one, the signal is let
 * go of and never aborts. In cleanup after a cancellation it is aborted already: open a `shield` for a fresh one.
 * For a single promise `until((signal) => …)` is simpler, and its signal also aborts when only that wait is cancelled.
 *
 * @param scope Default: the current scope.
 * @throws {ScopeClosedError} when the scope has ended.
 * @throws {UsageError} outside a coroutine, without a scope.
 * @example
 * const signal = scopeSignal();
 * yield* all(urls.map((url) => until(fetch(url, { signal }))));
 */
export function scopeSignal(scope: Scope = currentScope()): AbortSignal {
  let own = signals.get(scope);
  if (own === undefined || scope.isLeft) {
    own = new ScopeSignal(scope);
    signals.set(scope, own);
  }
  return own.signal;
}

class ScopeSignal {
  readonly #scope: Scope;
  readonly #controller = new AbortController();
  /** The scopes under which it is entered. */
  #around: Scope[] = [];

  constructor(scope: Scope) {
    this.#scope = scope;
    scope.defer(() => this.#release());
    if (scope.isReached) this.#abort(cancellationOf(scope));
    else this.#enter();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  abortSoon(cancelled: Cancelled): void {
    this.#leave();
    (this.#scope.loop as EventLoop).callSoon(() => this.#abort(cancelled));
  }

  #enter(): void {
    let scope: Scope | null = this.#scope;
    while (scope !== null) {
      scope.host?.ownScope();
      this.#around.push(scope);
      const there = reachedBy.get(scope);
      if (there === undefined) reachedBy.set(scope, new Set([this]));
      else there.add(this);
      scope = scope.isShield ? null : (scope.parent as Scope | null);
    }
    observationOf(this.#scope.loop as EventLoop).add();
  }

  #leave(): void {
    if (this.#around.length === 0) return;
    for (const scope of this.#around) reachedBy.get(scope)?.delete(this);
    this.#around = [];
    observationOf(this.#scope.loop as EventLoop).remove();
  }

  #abort(cancelled: Cancelled | null): void {
    if (this.#controller.signal.aborted) return;
    this.#controller.abort(new CancelledError(`scope "${this.#scope.name}"`, cancelled?.reason));
  }

  #release(): void {
    this.#leave();
    if (this.#scope.isReached) this.#abort(cancellationOf(this.#scope)); // the callback may come too late
  }
}

/** The request that reached the scope, the innermost one. */
function cancellationOf(reached: Scope): Cancelled | null {
  for (let scope: Scope | null = reached; scope !== null; scope = scope.parent as Scope | null) {
    if (scope.cancelled !== null) return scope.cancelled;
    if (scope.isShield) break;
  }
  return null;
}

function observationOf(loop: EventLoop): Observation {
  let observation = loops.get(loop);
  if (observation === undefined) loops.set(loop, (observation = new Observation(loop)));
  return observation;
}

/** The probe of one loop, attached while there are signals. */
class Observation {
  readonly #loop: EventLoop;
  #signals = 0;
  #detach: (() => void) | null = null;

  constructor(loop: EventLoop) {
    this.#loop = loop;
  }

  add(): void {
    this.#signals++;
    this.#detach ??= this.#loop.addProbe({ cancelRequested });
  }

  remove(): void {
    this.#signals--;
    if (this.#signals > 0) return;
    this.#detach?.();
    this.#detach = null;
  }
}

function cancelRequested(scope: object, cancelled: Cancelled): void {
  const concerned = reachedBy.get(scope);
  if (concerned !== undefined) for (const signal of [...concerned]) signal.abortSoon(cancelled);
}
