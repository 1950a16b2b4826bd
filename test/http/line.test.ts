import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Line, LineHost } from "../../src/http/queue/line.ts";
import type { LineClock, LineLimits, Place } from "../../src/http/queue/line.ts";
import { checkRate, TokenCount } from "../../src/http/queue/rates.ts";
import type { Rate } from "../../src/http/queue/rates.ts";

class Host extends LineHost {}

/** Stands still until the test moves it, and rings on the way. */
class TestClock implements LineClock {
  time = 0;
  ringsAt = Infinity;
  line: Line | null = null;

  now(): number {
    return this.time;
  }

  ringAt(deadline: number): void {
    this.ringsAt = deadline;
  }

  pass(ms: number): void {
    const end = this.time + ms;
    while (this.ringsAt <= end) {
      this.time = Math.max(this.time, this.ringsAt);
      this.ringsAt = Infinity;
      this.line!.timeCame();
    }
    this.time = end;
  }
}

interface TestLine {
  readonly line: Line;
  readonly clock: TestClock;
}

function makeLine(limits: Partial<LineLimits>): TestLine {
  const clock = new TestClock();
  const line = new Line({ limit: Infinity, limitPerHost: Infinity, rate: null, ratePerHost: null, ...limits }, clock);
  clock.line = line;
  return { line, clock };
}

function plainLine(limit: number, limitPerHost: number): Line {
  return makeLine({ limit, limitPerHost }).line;
}

class Visitor implements Place {
  readonly host: LineHost;
  readonly name: string;
  ticket = 0;
  standing: Place["standing"] = "outside";
  previous: Place | null = null;
  next: Place | null = null;
  onAdmitted: () => void = () => undefined;
  readonly #log: string[];

  constructor(host: LineHost, name: string, log: string[]) {
    this.host = host;
    this.name = name;
    this.#log = log;
  }

  admitted(): void {
    this.#log.push(this.name);
    this.onAdmitted();
  }
}

function visitors(line: Line, entries: readonly (readonly [Host, string])[]): { log: string[]; all: Visitor[] } {
  const log: string[] = [];
  const all = entries.map(([host, name]) => {
    const visitor = new Visitor(host, name, log);
    if (line.enter(visitor)) log.push(name);
    return visitor;
  });
  return { log, all };
}

function leave(line: Line, place: Place): void {
  line.leave(place);
  line.admit();
}

describe("the line for connections", () => {
  test("lets in at once while there is room, then first come first served over all hosts", () => {
    const [a, b] = [new Host(), new Host()];
    const line = plainLine(2, Infinity);
    const { log, all } = visitors(line, [
      [a, "a1"],
      [b, "b1"],
      [b, "b2"],
      [a, "a2"],
      [b, "b3"],
    ]);
    expect(log).toEqual(["a1", "b1"]);
    leave(line, all[1]!);
    leave(line, all[0]!);
    leave(line, all[2]!);
    expect(log).toEqual(["a1", "b1", "b2", "a2", "b3"]);
  });

  test("a place that only its host's limit holds back lets others pass", () => {
    const [a, b] = [new Host(), new Host()];
    const line = plainLine(2, 1);
    const { log, all } = visitors(line, [
      [a, "a1"],
      [a, "a2"],
      [b, "b1"],
      [b, "b2"],
    ]);
    expect(log).toEqual(["a1", "b1"]);
    leave(line, all[2]!);
    expect(log).toEqual(["a1", "b1", "b2"]);
    leave(line, all[0]!);
    expect(log).toEqual(["a1", "b1", "b2", "a2"]);
  });

  test("one that gives up takes nothing and holds nobody up", () => {
    const a = new Host();
    const line = plainLine(1, 1);
    const { log, all } = visitors(line, [
      [a, "1"],
      [a, "2"],
      [a, "3"],
    ]);
    leave(line, all[1]!);
    leave(line, all[1]!);
    expect(line.waiting).toBe(1);
    leave(line, all[0]!);
    expect(log).toEqual(["1", "3"]);
    leave(line, all[2]!);
    expect([line.inside, line.waiting, a.inside]).toEqual([0, 0, 0]);
  });

  test("whoever enters again keeps the age it had", () => {
    const [a, b] = [new Host(), new Host()];
    const line = plainLine(1, Infinity);
    const { log, all } = visitors(line, [
      [a, "old"],
      [b, "b2"],
      [b, "b3"],
    ]);
    const again = new Visitor(b, "old again", log);
    again.ticket = all[0]!.ticket;
    expect(line.enter(again)).toBe(false);
    leave(line, all[0]!);
    leave(line, again);
    expect(log).toEqual(["old", "old again", "b2"]);
  });

  test("places that leave together let in only who is left", () => {
    const a = new Host();
    const line = plainLine(1, 1);
    const { log, all } = visitors(line, [
      [a, "1"],
      [a, "2"],
      [a, "3"],
    ]);
    line.leave(all[0]!);
    line.leave(all[1]!);
    expect(line.enter(new Visitor(a, "4", log))).toBe(false);
    line.admit();
    expect(log).toEqual(["1", "3"]);
  });

  test("100,000 places that fail while they are admitted do not overflow the stack", () => {
    const a = new Host();
    const line = plainLine(1, 1);
    const first = new Visitor(a, "first", []);
    line.enter(first);
    const log: string[] = [];
    for (let i = 0; i < 100_000; i++) {
      const visitor = new Visitor(a, "", log);
      visitor.onAdmitted = () => leave(line, visitor);
      line.enter(visitor);
    }
    leave(line, first);
    expect([log.length, line.inside, line.waiting]).toEqual([100_000, 0, 0]);
  });

  test("a pause holds one host back, lets others pass, and its place in line is kept", () => {
    const [a, b] = [new Host(), new Host()];
    const { line, clock } = makeLine({ limit: 1 });
    line.pause(a, 10, "by Retry-After");
    const { log, all } = visitors(line, [
      [a, "a1"],
      [b, "b1"],
      [b, "b2"],
    ]);
    expect(log).toEqual(["b1"]);
    expect(line.causeFor(a)).toBe("paused");
    expect(clock.ringsAt).toBe(Infinity); // the limit holds it back as well: a release will look at the time
    clock.pass(10);
    leave(line, all[1]!);
    expect(log).toEqual(["b1", "a1"]);
    leave(line, all[0]!);
    expect(log).toEqual(["b1", "a1", "b2"]);
  });

  test("a pause ends by itself, by resume, and not by a shorter one; nobody is asked to ring while nobody waits", () => {
    const a = new Host();
    const { line, clock } = makeLine({});
    line.pause(a, 10, "");
    expect(clock.ringsAt).toBe(Infinity);
    const { log, all } = visitors(line, [
      [a, "1"],
      [a, "2"],
    ]);
    expect(clock.ringsAt).toBe(10);
    line.pause(a, 5, "");
    clock.pass(9);
    expect(log).toEqual([]);
    line.leave(all[0]!);
    expect(clock.ringsAt).toBe(10);
    clock.pass(1);
    expect([log, clock.ringsAt]).toEqual([["2"], Infinity]);
    line.pause(a, 100, "");
    const third = visitors(line, [[a, "3"]]);
    line.resume(a);
    line.admit();
    expect([third.log, clock.ringsAt]).toEqual([["3"], Infinity]);
    line.pause(a, 200, "");
    const [fourth] = visitors(line, [[a, "4"]]).all;
    expect(clock.ringsAt).toBe(200);
    line.leave(fourth!);
    expect(clock.ringsAt).toBe(Infinity);
    expect(line.isBlank(a)).toBe(false);
  });

  test("a host is blank again when its pause is over and its tokens are back", () => {
    const a = new Host();
    const { line, clock } = makeLine({ ratePerHost: checkRate("rate", { requests: 1, perMs: 10 }) });
    const { all } = visitors(line, [[a, "1"]]);
    leave(line, all[0]!);
    expect(line.isBlank(a)).toBe(false);
    clock.pass(10);
    expect(line.isBlank(a)).toBe(true);
    line.pause(a, 15, "");
    expect(line.isBlank(a)).toBe(false);
    clock.pass(5);
    expect(line.isBlank(a)).toBe(true);
  });

  test("a rate spaces those who come in; whoever gives up has taken nothing of it", () => {
    const [a, b] = [new Host(), new Host()];
    const { line, clock } = makeLine({ rate: checkRate("rate", { requests: 1, perMs: 10, burst: 1 }) });
    const { log, all } = visitors(line, [
      [a, "1"],
      [b, "2"],
      [a, "3"],
      [b, "4"],
    ]);
    expect([log, line.causeFor(b)]).toEqual([["1"], "rate"]);
    clock.pass(5);
    leave(line, all[1]!);
    clock.pass(4);
    expect(log).toEqual(["1"]);
    clock.pass(1);
    expect(log).toEqual(["1", "3"]);
    clock.pass(10);
    expect([log, clock.ringsAt]).toEqual([["1", "3", "4"], Infinity]);
  });

  test("limits and rates that change take effect at once, and keep what was taken", () => {
    const a = new Host();
    const { line, clock } = makeLine({
      limit: 1,
      ratePerHost: checkRate("rate", { requests: 1, perMs: 1_000, burst: 1 }),
    });
    const { log } = visitors(line, [
      [a, "1"],
      [a, "2"],
      [a, "3"],
      [a, "4"],
    ]);
    const change = (changes: Partial<LineLimits>): void => {
      line.setLimits({ ...line.limits, ...changes }, [a]);
      line.admit();
    };
    expect(clock.ringsAt).toBe(Infinity);
    change({ limit: 4 });
    expect([log, clock.ringsAt]).toEqual([["1"], 1_000]);
    clock.pass(500); // half a token is back
    change({ ratePerHost: checkRate("rate", { requests: 1, perMs: 10, burst: 1 }) });
    expect(clock.ringsAt).toBe(505);
    clock.pass(5);
    expect(log).toEqual(["1", "2"]);
    change({ limitPerHost: 2 });
    clock.pass(1_000);
    expect([log, line.causeFor(a)]).toEqual([["1", "2"], "limitPerHost"]);
    change({ ratePerHost: null, limitPerHost: 3 });
    expect([log, clock.ringsAt]).toEqual([["1", "2", "3"], Infinity]);
    change({ limit: 1, limitPerHost: Infinity });
    expect([line.inside, line.waiting]).toEqual([3, 1]);
  });

  test("100,000 that wait for one host, behind a rate and a pause, cost no search", () => {
    const hosts = [new Host(), new Host()];
    const { line, clock } = makeLine({ limitPerHost: 1, ratePerHost: checkRate("rate", { requests: 1, perMs: 1 }) });
    line.pause(hosts[0]!, 50, "");
    const log: string[] = [];
    for (let i = 0; i < 100_000; i++) {
      const visitor = new Visitor(hosts[i % 2]!, "", log);
      visitor.onAdmitted = () => line.leave(visitor);
      if (line.enter(visitor)) leave(line, visitor);
    }
    clock.pass(60_000);
    expect([log.length, line.inside, line.waiting, clock.ringsAt]).toEqual([99_999, 0, 0, Infinity]);
  });

  test("law: tokens are never more than burst + t * requests / perMs in any window, and never fewer when somebody always asks", () => {
    const step = fc.integer({ min: 0, max: 30 });
    const rate = fc.record({
      requests: fc.constantFrom(1, 2, 5),
      perMs: fc.constantFrom(10, 20),
      burst: fc.integer({ min: 1, max: 3 }),
    });
    fc.assert(
      fc.property(rate, fc.array(step), (options, steps) => {
        const count = new TokenCount(checkRate("rate", options)!);
        const taken: number[] = [];
        let now = 0;
        for (const ms of steps) {
          now += ms;
          while (count.dueAt() <= now) {
            count.take(now);
            taken.push(now);
          }
        }
        for (const [i, from] of taken.entries()) {
          for (const [j, to] of taken.entries()) {
            if (j < i) continue;
            expect(j - i + 1).toBeLessThanOrEqual(options.burst + ((to - from) * options.requests) / options.perMs);
          }
        }
        const model = new NaiveBucket(checkRate("rate", options)!);
        const expected: number[] = [];
        now = 0;
        for (const ms of steps) {
          now += ms;
          while (model.has(now)) {
            model.take(now);
            expected.push(now);
          }
        }
        expect(taken).toEqual(expected);
      }),
    );
  });

  test("law: the same as searching a list for the lowest ticket whose host may go", () => {
    const command = fc.oneof(
      { weight: 4, arbitrary: fc.record({ kind: fc.constant("enter" as const), host: fc.nat(3) }) },
      { weight: 4, arbitrary: fc.record({ kind: fc.constant("leave" as const), index: fc.nat(30) }) },
      fc.record({ kind: fc.constant("again" as const), index: fc.nat(30), host: fc.nat(3) }),
      { weight: 3, arbitrary: fc.record({ kind: fc.constant("pass" as const), ms: fc.integer({ min: 1, max: 25 }) }) },
      fc.record({ kind: fc.constant("pause" as const), host: fc.nat(3), ms: fc.nat(20) }),
      fc.record({ kind: fc.constant("resume" as const), host: fc.nat(3) }),
      fc.record({
        kind: fc.constant("limits" as const),
        limit: fc.integer({ min: 1, max: 4 }),
        limitPerHost: fc.integer({ min: 1, max: 3 }),
      }),
    );
    const rate = fc.option(
      fc.record({
        requests: fc.constantFrom(1, 2, 5),
        perMs: fc.constantFrom(10, 20),
        burst: fc.integer({ min: 1, max: 3 }),
      }),
    );
    fc.assert(
      fc.property(
        fc.record({
          limit: fc.integer({ min: 1, max: 4 }),
          limitPerHost: fc.integer({ min: 1, max: 3 }),
          rate,
          ratePerHost: rate,
        }),
        fc.array(command, { maxLength: 60 }),
        (options, commands) => {
          const limits = {
            ...options,
            rate: checkRate("rate", options.rate),
            ratePerHost: checkRate("rate", options.ratePerHost),
          };
          const { line, clock } = makeLine(limits);
          const hosts = Array.from({ length: 4 }, () => new Host());
          const log: string[] = [];
          const present: Visitor[] = [];
          const model = new NaiveLine(limits);
          let names = 0;
          const enter = (visitor: Visitor, ticket: number): void => {
            present.push(visitor);
            visitor.ticket = ticket;
            if (line.enter(visitor)) log.push(visitor.name);
            model.enter(visitor.name, hosts.indexOf(visitor.host as Host), visitor.ticket);
          };
          for (const step of commands) {
            if (step.kind === "enter") enter(new Visitor(hosts[step.host]!, String(++names), log), 0);
            else if (step.kind === "pass") {
              clock.pass(step.ms);
              model.pass(step.ms);
            } else if (step.kind === "pause") {
              line.pause(hosts[step.host]!, clock.time + step.ms, "");
              model.pausedUntil[step.host] = Math.max(model.pausedUntil[step.host]!, clock.time + step.ms);
              line.admit();
              model.admit();
            } else if (step.kind === "resume") {
              line.resume(hosts[step.host]!);
              line.admit();
              model.pausedUntil[step.host] = 0;
              model.admit();
            } else if (step.kind === "limits") {
              line.setLimits({ ...line.limits, limit: step.limit, limitPerHost: step.limitPerHost }, hosts);
              line.admit();
              model.limits = { ...model.limits, limit: step.limit, limitPerHost: step.limitPerHost };
              model.admit();
            } else if (present.length > 0) {
              const [leaver] = present.splice(step.index % present.length, 1);
              if (step.kind === "again") enter(new Visitor(hosts[step.host]!, String(++names), log), leaver!.ticket);
              leave(line, leaver!);
              model.leave(leaver!.name);
            }
            expect(log).toEqual(model.log);
            expect(line.inside).toBe(model.inside.length);
            expect(line.waiting).toBe(model.waiting.length);
            for (const [index, host] of hosts.entries()) {
              expect(host.waiting).toBe(model.waiting.filter((place) => place.host === index).length);
            }
            if (line.waiting === 0) expect(clock.ringsAt).toBe(Infinity);
            if (clock.ringsAt !== Infinity) expect(clock.ringsAt).toBeGreaterThan(clock.time);
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

interface NaivePlace {
  readonly name: string;
  readonly host: number;
  readonly ticket: number;
}

/** A bucket that fills; in whole numbers: a token is `perMs` drops, and `requests` drops come each millisecond. */
class NaiveBucket {
  readonly #rate: Rate;
  #drops: number;
  #at = 0;

  constructor(rate: Rate) {
    this.#rate = rate;
    this.#drops = rate.burst * rate.perMs;
  }

  has(now: number): boolean {
    const { requests, perMs, burst } = this.#rate;
    this.#drops = Math.min(burst * perMs, this.#drops + (now - this.#at) * requests);
    this.#at = now;
    return this.#drops >= perMs;
  }

  take(now: number): void {
    this.has(now);
    this.#drops -= this.#rate.perMs;
  }
}

class NaiveLine {
  readonly log: string[] = [];
  readonly pausedUntil = [0, 0, 0, 0];
  limits: LineLimits;
  inside: NaivePlace[] = [];
  waiting: NaivePlace[] = [];
  readonly #bucket: NaiveBucket | null;
  readonly #buckets: readonly (NaiveBucket | null)[];
  #time = 0;

  constructor(limits: LineLimits) {
    this.limits = limits;
    this.#bucket = limits.rate === null ? null : new NaiveBucket(limits.rate);
    this.#buckets = Array.from({ length: 4 }, () =>
      limits.ratePerHost === null ? null : new NaiveBucket(limits.ratePerHost),
    );
  }

  enter(name: string, host: number, ticket: number): void {
    this.waiting.push({ name, host, ticket });
    this.admit();
  }

  leave(name: string): void {
    this.inside = this.inside.filter((place) => place.name !== name);
    this.waiting = this.waiting.filter((place) => place.name !== name);
    this.admit();
  }

  pass(ms: number): void {
    for (let i = 0; i < ms; i++) {
      this.#time++;
      this.admit();
    }
  }

  admit(): void {
    while (this.inside.length < this.limits.limit && this.#bucket?.has(this.#time) !== false) {
      const next = this.waiting.filter(({ host }) => this.#mayGo(host)).sort((a, b) => a.ticket - b.ticket)[0];
      if (next === undefined) return;
      this.waiting = this.waiting.filter((place) => place !== next);
      this.inside.push(next);
      this.log.push(next.name);
      this.#bucket?.take(this.#time);
      this.#buckets[next.host]?.take(this.#time);
    }
  }

  #mayGo(host: number): boolean {
    const inside = this.inside.filter((place) => place.host === host).length;
    const hasTime = this.pausedUntil[host]! <= this.#time && this.#buckets[host]?.has(this.#time) !== false;
    return inside < this.limits.limitPerHost && hasTime;
  }
}
