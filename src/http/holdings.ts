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
import type { Cancelled, Scope } from "../core/index.ts";

/** A response that still has a connection. */
export interface Holding {
  /** Whoever ends it takes it out. */
  heldBy: Holder | null;
  cancel(): void;
}

export interface Holder {
  readonly scope: Scope;
  readonly holdings: Set<Holding>;
}

export class Holdings {
  /** The scope of the session: here the way outwards ends. */
  readonly #outermost: Scope;
  readonly #holders = new WeakMap<Scope, Holder>();

  constructor(outermost: Scope) {
    this.#outermost = outermost;
  }

  /** Gives it to a scope. Default: the current one. */
  adopt(holding: Holding, scope: Scope = currentScope()): void {
    holding.heldBy?.holdings.delete(holding);
    this.#give(holding, scope);
  }

  /** Takes it from its scope: somebody outside of all tasks has it now. The session still closes it at its end. */
  release(holding: Holding): void {
    holding.heldBy?.holdings.delete(holding);
    holding.heldBy = null;
  }

  /** Whether the scope that it belongs to goes down with this cancellation. */
  endsWith(holding: Holding, cancelled: Cancelled): boolean {
    for (let scope = holding.heldBy?.scope ?? this.#outermost; ; scope = scope.parent as Scope) {
      if (scope === cancelled.scope) return true;
      if (scope.isShield || scope.parent === null) return false;
    }
  }

  #give(holding: Holding, scope: Scope): void {
    const holder = this.#holderFor(scope);
    holding.heldBy = holder;
    holder?.holdings.add(holding);
  }

  /** That of the scope, or of the next one outwards that still takes releases; `null` for the session's own. */
  #holderFor(start: Scope): Holder | null {
    for (let scope: Scope | null = start; scope !== null && scope !== this.#outermost; scope = outwards(scope)) {
      const holder = this.#holders.get(scope) ?? this.#register(scope);
      if (holder !== null) return holder;
    }
    return null;
  }

  #register(scope: Scope): Holder | null {
    // A task without a scope of its own would be skipped on the way outwards, and its response outlive it or, at the root, end too soon.
    scope.host?.ownScope();
    try {
      scope.defer(() => this.#ended(scope));
    } catch (error) {
      if (error instanceof ScopeClosedError) return null; // it is in its releases already
      throw error;
    }
    const holder: Holder = { scope, holdings: new Set() };
    this.#holders.set(scope, holder);
    return holder;
  }

  #ended(scope: Scope): void {
    const { holdings } = this.#holders.get(scope)!;
    this.#holders.delete(scope);
    if (holdings.size === 0) return;
    const next = endsWell(scope) ? outwards(scope) : null;
    for (const holding of [...holdings]) {
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
