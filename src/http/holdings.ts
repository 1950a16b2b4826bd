/**
 * Which scope a response with an unfinished body belongs to, so that none outlives the work that asked for it.
 *
 * It belongs to the innermost scope that asked for it. When that scope is cancelled or fails, nobody can get at the
 * response any more in an orderly way and its connection is closed. When the scope ends well the response may just be
 * what it returns (`all([session.get(a), session.get(b)])`, `timeout(1000, session.get(url))`), so it moves outwards, at
 * most to the scope of its session, which closes whatever is left.
 *
 * Rejected: closing it at the end of the innermost scope always, which breaks both examples.
 */
import { currentScope, ScopeClosedError } from "../core/index.ts";
import type { Scope } from "../core/index.ts";

/** A response that still has a connection. */
export interface Holding {
  /** The set that it is in. Whoever ends it takes it out. */
  heldBy: Set<Holding> | null;
  cancel(): void;
}

export class Holdings {
  /** The scope of the session: here the way outwards ends. */
  readonly #outermost: Scope;
  readonly #byScope = new WeakMap<Scope, Set<Holding>>();

  constructor(outermost: Scope) {
    this.#outermost = outermost;
  }

  /** Gives it to the current scope. */
  adopt(holding: Holding): void {
    this.#give(holding, currentScope());
  }

  #give(holding: Holding, scope: Scope): void {
    const set = this.#setOf(scope);
    if (set === null) return;
    holding.heldBy = set;
    set.add(holding);
  }

  /** The holdings of a scope, or of the next one outwards that still takes releases. */
  #setOf(start: Scope): Set<Holding> | null {
    for (let scope: Scope | null = start; scope !== null && scope !== this.#outermost; scope = outwards(scope)) {
      const known = this.#byScope.get(scope);
      if (known !== undefined) return known;
      const own = scope;
      try {
        own.defer(() => this.#ended(own));
      } catch (error) {
        if (error instanceof ScopeClosedError) continue; // it is in its releases already
        throw error;
      }
      const set = new Set<Holding>();
      this.#byScope.set(own, set);
      return set;
    }
    return null;
  }

  #ended(scope: Scope): void {
    const set = this.#byScope.get(scope);
    this.#byScope.delete(scope);
    if (set === undefined || set.size === 0) return;
    const next = endsWell(scope) ? outwards(scope) : null;
    for (const holding of [...set]) {
      holding.heldBy = null;
      if (next === null) holding.cancel();
      else this.#give(holding, next);
    }
  }
}

/** `null` at the root of the loop, which never ends. */
function outwards(scope: Scope): Scope | null {
  const { parent } = scope;
  return parent === null || parent.host === null ? null : (parent as Scope);
}

/** A race cancels itself as obsolete when it has a winner; that is a good end for what the winner returned. */
function endsWell(scope: Scope): boolean {
  return scope.cancelled === null ? !scope.isReached : scope.cancelled.source === "obsolete";
}
