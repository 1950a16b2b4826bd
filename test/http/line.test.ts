import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Line } from "../../src/http/queue/line.ts";
import type { LineHost, Place } from "../../src/http/queue/line.ts";

class Host implements LineHost {
  inside = 0;
  first: Place | null = null;
  last: Place | null = null;
  heapIndex = -1;
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
    const line = new Line(2, Infinity);
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
    const line = new Line(2, 1);
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
    const line = new Line(1, 1);
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
    const line = new Line(1, Infinity);
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
    const line = new Line(1, 1);
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
    const line = new Line(1, 1);
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

  test("law: the same as searching a list for the lowest ticket whose host has room", () => {
    const command = fc.oneof(
      fc.record({ kind: fc.constant("enter" as const), host: fc.nat(3) }),
      fc.record({ kind: fc.constant("leave" as const), index: fc.nat(30) }),
      fc.record({ kind: fc.constant("again" as const), index: fc.nat(30), host: fc.nat(3) }),
    );
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 3 }),
        fc.array(command),
        (limit, perHost, commands) => {
          const line = new Line(limit, perHost);
          const hosts = Array.from({ length: 4 }, () => new Host());
          const log: string[] = [];
          const present: Visitor[] = [];
          const model = new NaiveLine(limit, perHost);
          let names = 0;
          const enter = (visitor: Visitor, ticket: number): void => {
            present.push(visitor);
            visitor.ticket = ticket;
            if (line.enter(visitor)) log.push(visitor.name);
            model.enter(visitor.name, hosts.indexOf(visitor.host as Host), visitor.ticket);
          };
          for (const step of commands) {
            if (step.kind === "enter") enter(new Visitor(hosts[step.host]!, String(++names), log), 0);
            else if (present.length > 0) {
              const [leaver] = present.splice(step.index % present.length, 1);
              if (step.kind === "again") enter(new Visitor(hosts[step.host]!, String(++names), log), leaver!.ticket);
              leave(line, leaver!);
              model.leave(leaver!.name);
            }
            expect(log).toEqual(model.log);
            expect(line.inside).toBe(model.inside.length);
            expect(line.waiting).toBe(model.waiting.length);
          }
        },
      ),
    );
  });
});

interface NaivePlace {
  readonly name: string;
  readonly host: number;
  readonly ticket: number;
}

class NaiveLine {
  readonly log: string[] = [];
  inside: NaivePlace[] = [];
  waiting: NaivePlace[] = [];
  readonly #limit: number;
  readonly #perHost: number;

  constructor(limit: number, perHost: number) {
    this.#limit = limit;
    this.#perHost = perHost;
  }

  enter(name: string, host: number, ticket: number): void {
    this.waiting.push({ name, host, ticket });
    this.#admit();
  }

  leave(name: string): void {
    this.inside = this.inside.filter((place) => place.name !== name);
    this.waiting = this.waiting.filter((place) => place.name !== name);
    this.#admit();
  }

  #admit(): void {
    for (;;) {
      if (this.inside.length >= this.#limit) return;
      const next = this.waiting
        .filter(({ host }) => this.inside.filter((place) => place.host === host).length < this.#perHost)
        .sort((a, b) => a.ticket - b.ticket)[0];
      if (next === undefined) return;
      this.waiting = this.waiting.filter((place) => place !== next);
      this.inside.push(next);
      this.log.push(next.name);
    }
  }
}
