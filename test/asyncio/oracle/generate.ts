/**
 * Random programs: the same seed gives the same program.
 *
 * What finds differences is contention, so every program favours a few features and has few resources, short times with
 * many ties, and few task slots. Waits that nobody might end often stand in a timeout, and a feeder function sets, puts
 * and releases in the background: without the two, half of all programs would only deadlock.
 */
import { Random } from "./random.ts";
import type { Block, ErrorKind, PlainStatement, Program, QueueKind, Statement } from "./program.ts";

export const FEATURES = [
  "group",
  "timeout",
  "gather",
  "wait",
  "waitfor",
  "shield",
  "uncancel",
  "lock",
  "semaphore",
  "event",
  "condition",
  "barrier",
  "queue",
  "future",
  "callback",
  "context",
  "ascompleted",
  "eager",
  "groupcancel",
] as const;

export type Feature = (typeof FEATURES)[number];

/** Needs `TaskGroup.cancel()`, which CPython has since 3.15. */
export const NEEDS_3_15: readonly Feature[] = ["groupcancel"];

const SLOTS = 5;
const MESSAGES = [null, null, null, "m1", "m2"] as const;
const ERROR_KINDS: readonly (readonly [number, ErrorKind])[] = [
  [4, "Cancelled"],
  [3, "E"],
  [3, "Exception"],
  [2, "Timeout"],
  [2, "Group"],
  [3, "Base"],
];

type Resources = Required<Program["res"]>;

/** What is around the statement that is made. */
interface Place {
  readonly fn: number;
  readonly depth: number;
  /** Whether a group is surely around. */
  readonly group: boolean;
}

type Choice = readonly [weight: number, make: (place: Place) => Statement];

/** Goes on whatever error these raise. */
function guarded(...statements: Statement[]): Statement {
  return ["try", statements, [["Exception", []]], null];
}

class Generator {
  readonly #random: Random;
  readonly #weights = new Map<Feature, number>();
  readonly #functions: number;
  readonly #resources: Resources;
  readonly #plain: (readonly [weight: number, make: () => PlainStatement])[] = [];
  readonly #choices: Choice[] = [];

  constructor(seed: number, features: readonly Feature[]) {
    const random = (this.#random = new Random(seed));
    // Three favourites; the rest now and then.
    for (const feature of features) this.#weights.set(feature, random.chance(0.5) ? 0.25 : 0);
    for (let i = 0; i < 3; i++) this.#weights.set(random.pick(features), 2);
    this.#functions = 4 + random.below(4);
    this.#resources = this.#makeResources();
    this.#fillPlain();
    this.#fillChoices();
  }

  program(seed: number): Program {
    const fns: Block[] = [];
    for (let fn = 0; fn < this.#functions; fn++) fns.push(this.#function(fn));
    const res = Object.fromEntries(
      Object.entries(this.#resources).filter(([, value]) =>
        Array.isArray(value) ? value.length > 0 : Number(value) > 0,
      ),
    );
    return { seed, res, fns };
  }

  #has(feature: Feature): number {
    return this.#weights.get(feature) ?? 0;
  }

  #makeResources(): Resources {
    const random = this.#random;
    const few = (feature: Feature): number => (this.#has(feature) > 0 ? 1 + random.below(2) : 0);
    const list = <T>(feature: Feature, make: () => T): T[] => Array.from({ length: few(feature) }, make);
    return {
      lock: few("lock"),
      sem: list("semaphore", () => [random.below(3), random.chance(0.4)] as const),
      ev: few("event"),
      cond: few("condition"),
      shared: random.chance(0.3),
      bar: list("barrier", () => 1 + random.below(3)),
      q: list("queue", () => [random.pick<QueueKind>(["fifo", "fifo", "lifo", "prio"]), random.below(3)] as const),
      fut: few("future"),
      ctx: few("context"),
    };
  }

  // ── pieces ───────────────────────────────────────────────────────────────────────────────────────────────────────

  #time(): number {
    return this.#random.pick([0, 1, 1, 1, 2, 2, 3, 4, 5, 7]);
  }

  #limit(): number | null {
    return this.#random.chance(0.1) ? null : this.#random.chance(0.05) ? -1 : this.#time();
  }

  #slot(): number {
    // The main task fills the first few; the others are often empty.
    return this.#random.below(this.#random.chance(0.85) ? 3 : SLOTS);
  }

  #slots(): number[] {
    return Array.from({ length: 1 + this.#random.below(3) }, () => this.#slot());
  }

  #small(): number {
    return this.#random.below(10);
  }

  /** A function behind this one; the last of all, the feeder, is for the main task. */
  #later(place: Place): number {
    return place.fn + 1 + this.#random.below(this.#functions - place.fn - 2);
  }

  #isLeaf(place: Place): boolean {
    return place.fn + 2 >= this.#functions;
  }

  // ── statements ───────────────────────────────────────────────────────────────────────────────────────────────────

  #fillPlain(): void {
    const random = this.#random;
    const { lock, sem, ev, cond, bar, q, fut, ctx } = this.#resources;
    const add = (weight: number, make: () => PlainStatement): void => {
      if (weight > 0) this.#plain.push([weight, make]);
    };
    add(1, () => ["log", this.#small()]);
    add(3, () => ["cancel", this.#slot(), random.pick(MESSAGES)]);
    add(0.5, () => ["tstate", this.#slot()]);
    add(0.2, () => ["tresult", this.#slot()]);
    add(0.3, () => ["cancelself"]);
    add(this.#has("uncancel"), () => ["uncancel"]);
    add(this.#has("uncancel") / 2, () => ["uncanceltask", this.#slot()]);
    add(this.#has("uncancel"), () => ["cancelling"]);
    add(this.#has("uncancel") / 2, () => ["cancelself"]);
    add(this.#has("timeout") / 2, () => ["resched", this.#limit()]);
    add(this.#has("timeout") / 3, () => ["tmstate"]);
    add(this.#has("groupcancel") * 2, () => ["gcancel"]);
    add(this.#has("callback"), () => ["tcb", this.#slot(), this.#small()]);
    add(this.#has("callback") / 4, () => ["tuncb", this.#slot(), this.#small()]);
    add(this.#has("callback") / 2, () => ["hcancel", random.below(3)]);
    if (lock > 0) {
      const weight = this.#has("lock");
      add(weight / 2, () => ["release", random.below(lock)]);
      add(weight / 3, () => ["locked", random.below(lock)]);
    }
    if (sem.length > 0) {
      const weight = this.#has("semaphore");
      add(weight, () => ["semrelease", random.below(sem.length)]);
      add(weight / 2, () => ["semlocked", random.below(sem.length)]);
    }
    if (ev > 0) {
      const weight = this.#has("event");
      add(weight, () => ["evset", random.below(ev)]);
      add(weight / 2, () => ["evclear", random.below(ev)]);
      add(weight / 4, () => ["evisset", random.below(ev)]);
    }
    if (cond > 0) {
      const weight = this.#has("condition");
      add(weight / 2, () => ["inc", random.below(cond)]);
      add(weight / 4, () => ["notify", random.below(cond), 1]);
    }
    if (bar.length > 0) add(this.#has("barrier") / 2, () => ["barstate", random.below(bar.length)]);
    if (q.length > 0) {
      const weight = this.#has("queue");
      add(weight, () => ["putnw", random.below(q.length), this.#small()]);
      add(weight, () => ["getnw", random.below(q.length)]);
      add(weight, () => ["taskdone", random.below(q.length)]);
      add(weight / 4, () => ["qstate", random.below(q.length)]);
      add(weight / 2, () => ["shutdown", random.below(q.length), random.chance(0.3)]);
    }
    if (fut > 0) {
      const weight = this.#has("future");
      add(weight, () => ["futset", random.below(fut), this.#small()]);
      add(weight / 2, () => ["futexc", random.below(fut), this.#small()]);
      add(weight / 2, () => ["futcancel", random.below(fut), random.pick(MESSAGES)]);
      add(weight / 4, () => ["futstate", random.below(fut)]);
      add(weight / 4, () => ["futresult", random.below(fut)]);
      add(weight / 4, () => ["futerror", random.below(fut)]);
      add(weight, () => ["futnew", random.below(fut)]);
      add(weight / 2, () => ["futcb", random.below(fut), this.#small()]);
      add(weight / 2, () => ["futgather", random.below(fut), this.#slots(), random.chance(0.4)]);
      add(weight / 4, () => ["futshield", random.below(fut), this.#slot()]);
    }
    if (ctx > 0) {
      const weight = this.#has("context");
      add(weight, () => ["ctxset", random.below(ctx), this.#small()]);
      add(weight, () => ["ctxget", random.below(ctx)]);
      add(weight / 2, () => ["ctxreset", random.below(ctx)]);
    }
  }

  #fillChoices(): void {
    const random = this.#random;
    const { lock, sem, ev, cond, bar, q, fut, ctx } = this.#resources;
    const add = (weight: number, make: (place: Place) => Statement): void => {
      if (weight > 0) this.#choices.push([weight, make]);
    };
    /** A wait that perhaps nobody ends. */
    const open = (statement: Statement): Statement =>
      random.chance(0.35) ? ["timeout", 1 + random.below(5), [statement]] : statement;
    let plainWeight = 0;
    for (const [weight] of this.#plain) plainWeight += weight;

    add(plainWeight * 0.4, () => this.#plainStatement());
    add(plainWeight * 0.6, () => guarded(this.#plainStatement()));
    add(4, () => ["sleep", this.#time()]);
    add(2, (place) => this.#spawn(place));
    add(1.5, () => ["await", this.#slot()]);
    add(0.7, (place) => (this.#isLeaf(place) ? ["sleep", 0] : ["call", this.#later(place)]));
    add(2, (place) => this.#try(place));
    add(0.5, (place) => ["repeat", 2 + random.below(2), this.#block(place, 2)]);
    add(0.5, () => [
      "raise",
      random.weighted<number | "Cancelled" | "Timeout">([
        [6, this.#small()],
        [1, "Cancelled"],
        [1, "Timeout"],
      ]),
    ]);
    add(0.4, () => ["return", this.#small()]);

    const group = this.#has("group");
    add(group * 2, (place) => ["group", this.#groupBlock(place)]);
    add(group, (place) =>
      this.#isLeaf(place) || (!place.group && random.chance(0.6)) ? this.#spawn(place) : this.#groupSpawn(place),
    );
    add(group / 2, (place) => [
      "try",
      [["group", this.#groupBlock(place)]],
      [["Group", [["split", random.weighted(ERROR_KINDS)]]]],
      null,
    ]);
    // Into a group that is shutting down.
    add(group / 2, (place) =>
      this.#isLeaf(place)
        ? this.#spawn(place)
        : [
            "try",
            [["sleep", 1 + random.below(6)]],
            [["Cancelled", [guarded(this.#groupSpawn(place)), ["raise", "again"]]]],
            [guarded(this.#groupSpawn(place))],
          ],
    );
    if (this.#has("groupcancel") > 0) add(2, (place) => ["group", this.#groupBlock(place)]);
    const timeout = this.#has("timeout");
    add(timeout * 1.5, (place) => ["timeout", this.#limit(), this.#block(place, 3)]);
    add(timeout, (place) => {
      const inside: Statement = random.chance(0.7) ? ["resched", this.#limit()] : ["tmstate"];
      return ["timeout", this.#limit(), [...this.#block(place, 2), inside, ...this.#block(place, 2)]];
    });
    add(timeout / 2, (place) => ["timeoutat", this.#limit(), this.#block(place, 3)]);
    add(timeout, (place) => ["timeout", this.#time(), [["timeout", this.#time(), this.#block(place, 3)]]]);
    const gather = this.#has("gather");
    add(gather * 2, () => ["gather", random.chance(0.05) ? [] : this.#slots(), random.chance(0.4)]);
    add(gather, (place) =>
      this.#isLeaf(place)
        ? ["gather", this.#slots(), false]
        : ["gatherfn", Array.from({ length: 1 + random.below(3) }, () => this.#later(place)), random.chance(0.4)],
    );
    add(this.#has("wait") * 2, () => [
      "wait",
      random.chance(0.05) ? [] : this.#slots(),
      this.#limit(),
      random.below(3) as 0 | 1 | 2,
    ]);
    const waitfor = this.#has("waitfor");
    add(waitfor, () => ["waitfor", this.#slot(), this.#limit()]);
    add(waitfor, (place) =>
      this.#isLeaf(place) ? ["waitfor", this.#slot(), this.#limit()] : ["waitforfn", this.#later(place), this.#limit()],
    );
    const shield = this.#has("shield");
    add(shield, () => open(["shield", this.#slot()]));
    add(shield, (place) => (this.#isLeaf(place) ? ["shield", this.#slot()] : open(["shieldfn", this.#later(place)])));
    add(this.#has("ascompleted"), () => ["ascompleted", this.#slots(), this.#limit()]);
    if (lock > 0) {
      add(this.#has("lock") * 2, (place) => open(["lock", random.below(lock), this.#block(place, 2)]));
      add(this.#has("lock") / 3, () => open(["acquire", random.below(lock)]));
    }
    if (sem.length > 0) {
      add(this.#has("semaphore") * 2, (place) => open(["sem", random.below(sem.length), this.#block(place, 2)]));
      add(this.#has("semaphore") / 2, () => open(["semacquire", random.below(sem.length)]));
    }
    if (ev > 0) add(this.#has("event") * 2, () => open(["evwait", random.below(ev)]));
    if (cond > 0) {
      add(this.#has("condition") * 3, (place) => {
        const index = random.below(cond);
        return open(["cond", index, this.#conditionBlock(place, index)]);
      });
      add(this.#has("condition") / 4, () => open(["condwait", random.below(cond)]));
    }
    if (bar.length > 0) {
      add(this.#has("barrier") * 3, () => open(["barrier", random.below(bar.length)]));
      add(this.#has("barrier") / 3, () => ["barreset", random.below(bar.length)]);
      add(this.#has("barrier") / 6, () => ["barabort", random.below(bar.length)]);
    }
    if (q.length > 0) {
      const weight = this.#has("queue");
      add(weight, () => open(["put", random.below(q.length), this.#small()]));
      add(weight * 1.5, () => open(["get", random.below(q.length)]));
      add(weight / 3, () => open(["join", random.below(q.length)]));
    }
    if (fut > 0) {
      const weight = this.#has("future");
      add(weight, () => open(["futawait", random.below(fut)]));
      add(weight, () => open(["shieldfut", random.below(fut)]));
      const futures = (): number[] => Array.from({ length: 1 + random.below(2) }, () => random.below(fut));
      add(weight / 2, () => open(["gatherfut", futures(), random.chance(0.4)]));
      add(weight / 2, () => ["waitfut", futures(), this.#limit(), random.below(3) as 0 | 1 | 2]);
      add(weight / 2, () => ["futwaitfor", random.below(fut), this.#limit()]);
    }
    if (ctx > 0) {
      add(this.#has("context") / 2, (place) =>
        this.#isLeaf(place) ? this.#spawn(place) : ["ctxspawn", this.#slot(), this.#later(place), random.below(2)],
      );
    }
    const callback = this.#has("callback");
    add(callback, () => ["callsoon", random.below(3), this.#plainStatements()]);
    add(callback, () => [
      "calllater",
      random.below(3),
      random.chance(0.1) ? -1 : this.#time(),
      this.#plainStatements(),
    ]);
    add(callback / 3, () => ["callat", random.below(3), this.#time(), this.#plainStatements()]);
  }

  #plainStatement(): PlainStatement {
    return this.#random.weighted(this.#plain)();
  }

  #plainStatements(): PlainStatement[] {
    return Array.from({ length: 1 + this.#random.below(2) }, () => this.#plainStatement());
  }

  #spawn(place: Place): Statement {
    if (this.#isLeaf(place)) return ["sleep", this.#time()];
    return [this.#isEager() ? "eager" : "spawn", this.#slot(), this.#later(place)];
  }

  #groupSpawn(place: Place): Statement {
    return [this.#isEager() ? "geager" : "gspawn", this.#slot(), this.#later(place)];
  }

  #isEager(): boolean {
    return this.#random.chance(Math.min(this.#has("eager"), 0.6));
  }

  #try(place: Place): Statement {
    const random = this.#random;
    const body = this.#block(place, 3);
    const handlers = Array.from({ length: random.below(3) }, () => {
      const kind = random.weighted(ERROR_KINDS);
      const block: Statement[] = random.chance(0.5) ? [...this.#block(place, 2)] : [];
      if (kind === "Group" && random.chance(0.5)) block.unshift(["split", random.weighted(ERROR_KINDS)]);
      if (random.chance(0.25)) block.push(["raise", "again"]);
      return [kind, block] as const;
    });
    const last = handlers.length === 0 || random.chance(0.3) ? this.#block(place, 2) : null;
    return ["try", body, handlers, last];
  }

  #groupBlock(place: Place): Block {
    const block: Statement[] = [];
    if (!this.#isLeaf(place)) {
      for (let i = 1 + this.#random.below(2); i > 0; i--) block.push(this.#groupSpawn(place));
    }
    return [...block, ...this.#block({ ...place, group: true }, 2)];
  }

  #conditionBlock(place: Place, index: number): Block {
    const random = this.#random;
    const inside: Statement = random.weighted<Statement>([
      [6, ["condwait", index]],
      [3, ["condwaitfor", index, 1 + random.below(3)]],
      [3, ["notify", index, random.below(3)]],
      [2, ["notifyall", index]],
      [1, ["inc", index]],
    ]);
    const before = random.chance(0.3) ? this.#block(place, 1) : [];
    return [...before, inside, ...(random.chance(0.3) ? this.#block(place, 2) : [])];
  }

  #block(place: Place, most: number): Block {
    if (place.depth >= 4) return [["sleep", this.#time()]];
    const inner = { ...place, depth: place.depth + 1 };
    return Array.from({ length: 1 + this.#random.below(most) }, () => this.#random.weighted(this.#choices)(inner));
  }

  // ── functions ────────────────────────────────────────────────────────────────────────────────────────────────────

  #function(fn: number): Block {
    const random = this.#random;
    if (fn === this.#functions - 1) return this.#feeder();
    const place: Place = { fn, depth: fn === 0 ? 0 : 1, group: false };
    const block: Statement[] = [];
    if (fn === 0) {
      const feeder = this.#functions - 1;
      block.push(["spawn", SLOTS, feeder]);
      for (let slot = 0, count = 3 + random.below(2); slot < count; slot++)
        block.push(["spawn", slot, this.#later(place)]);
    }
    const body = [...this.#block(place, 3), ...this.#block(place, 3)];
    if (fn === 0) {
      // When the main task ends, everything ends: let it often survive what happens to it.
      if (random.chance(0.7)) block.push(["try", body, [["Base", []]], null]);
      else block.push(...body);
      if (random.chance(0.8)) block.push(["sleep", 6 + random.below(30)]);
    } else {
      block.push(...body);
      if (random.chance(0.15)) block.push(["raise", this.#small()]);
      else if (random.chance(0.6)) block.push(["return", this.#small()]);
    }
    return block;
  }

  /** Sets, puts and releases what others wait for. */
  #feeder(): Block {
    const block: Statement[] = [];
    for (let i = 2 + this.#random.below(3); i > 0; i--) block.push(["sleep", this.#time()], ...this.#feed());
    return [["repeat", 1 + this.#random.below(2), block]];
  }

  #feed(): Statement[] {
    const random = this.#random;
    const { lock, sem, ev, cond, bar, q, fut } = this.#resources;
    const choices: (readonly [number, () => Statement[]])[] = [[1, () => [["sleep", 1]]]];
    if (lock > 0) choices.push([1, () => [["lock", random.below(lock), [["sleep", this.#time()]]]]]);
    if (sem.length > 0) choices.push([2, () => [guarded(["semrelease", random.below(sem.length)])]]);
    if (ev > 0) choices.push([2, () => [[random.pick(["evset", "evset", "evclear"] as const), random.below(ev)]]]);
    if (cond > 0) {
      choices.push([
        3,
        () => {
          const index = random.below(cond);
          return [["cond", index, [["inc", index], random.chance(0.5) ? ["notifyall", index] : ["notify", index, 1]]]];
        },
      ]);
    }
    if (bar.length > 0) choices.push([2, () => [guarded(["timeout", 2, [["barrier", random.below(bar.length)]]])]]);
    if (q.length > 0) {
      choices.push([2, () => [guarded(["putnw", random.below(q.length), this.#small()])]]);
      choices.push([1.2, () => [guarded(["putnw", 0, this.#small()], ["shutdown", 0, false])]]);
      choices.push([1, () => [guarded(["getnw", random.below(q.length)], ["taskdone", random.below(q.length)])]]);
    }
    if (fut > 0)
      choices.push([
        3,
        () => [guarded([random.pick(["futset", "futset", "futexc"] as const), random.below(fut), this.#small()])],
      ]);
    return random.weighted(choices)();
  }
}

/** The program of a seed, made of these features (default: all that the pinned CPython has). */
export function generate(
  seed: number,
  features: readonly Feature[] = FEATURES.filter((feature) => !NEEDS_3_15.includes(feature)),
): Program {
  return new Generator(seed, features).program(seed);
}
