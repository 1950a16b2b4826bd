import { forEach, moveOnAfter, run, spawn, STOP, until } from "fibril";
import type { Coroutine, Sequence } from "fibril";
import {
  BodyTooLarge,
  DecodeError,
  encodeEventComment,
  encodeServerSentEvent,
  eventSource,
  EventStreamDecoder,
  ResponseError,
} from "fibril/http";
import type { HttpResponse, ReceivedEvent, Session } from "fibril/http";
import type { ServerResponse } from "node:http";
import fc from "fast-check";
import * as undici from "undici";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { NO_ITEM } from "../../../src/http/body/items.ts";
import { LineDecoder } from "../../../src/http/body/lines.ts";
import { SchemaError } from "../../../src/http/schema.ts";
import { atRest, failureOf, NOTHING, withSession } from "../harness.ts";
import { startHttpServer } from "../servers.ts";

async function answered<T>(
  pieces: readonly (string | Uint8Array)[],
  type: string,
  body: (response: HttpResponse, session: Session) => Coroutine<T>,
): Promise<T> {
  await using server = await startHttpServer((_request, response) => {
    response.writeHead(200, { "content-type": type });
    void sendPieces(response, pieces);
  });
  return await withSession(undici, {}, function* (session) {
    return yield* body(yield* session.get(server.origin), session);
  });
}

async function sendPieces(response: ServerResponse, pieces: readonly (string | Uint8Array)[]): Promise<void> {
  for (const piece of pieces) await new Promise((resolve) => void response.write(piece, resolve));
  response.end();
}

function* allOf<T>(sequence: Sequence<T>): Coroutine<T[]> {
  const items: T[] = [];
  for (let step = yield* sequence.next(); step.done !== true; step = yield* sequence.next()) items.push(step.value);
  expect((yield* sequence.next()).done).toBe(true);
  return items;
}

describe("lines", () => {
  const euro = Buffer.from("€\n");

  test.each([
    ["LF, CRLF and an end without either", ["a\nb\r\n\nc"], ["a", "b", "", "c"]],
    ["a break between pieces", ["a\r", "\nb", "c\n"], ["a", "bc"]],
    ["a character between pieces", [euro.subarray(0, 1), euro.subarray(1)], ["€"]],
    ["a byte order mark", ["\ufeffa\n\ufeffb"], ["a", "\ufeffb"]],
    ["nothing", [], []],
    ["a lone CR is text", ["a\rb\n"], ["a\rb"]],
  ] as const)("%s", async (_, pieces, lines) => {
    const read = await answered(pieces, "text/plain", (response) => allOf(response.lines()));
    expect(read).toEqual(lines);
  });

  test("are read in the charset of the response", async () => {
    const latin = Buffer.from("gr\xfc\xdfe\nzwei", "latin1");
    expect(await answered([latin], "text/plain; charset=iso-8859-1", (r) => allOf(r.lines()))).toEqual([
      "grüße",
      "zwei",
    ]);
    const wide = await answered(["a\n"], "text/plain; charset=utf-16le", (r) => failureOf(r.lines().next()));
    expect(wide).toBeInstanceOf(DecodeError);
  });

  test("however the text is cut into pieces, the lines are the same", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom("a", "€", "\n", "\r", "\r\n") }),
        fc.array(fc.nat(20), { maxLength: 5 }),
        (text, cuts) => {
          const bytes = Buffer.from(text);
          const at = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b), bytes.length];
          const pieces = at
            .slice(1)
            .map((end, index) => bytes.subarray(at[index], end))
            .filter((piece) => piece.length > 0);
          const expected = text.split(/\r?\n/);
          if (expected.at(-1) === "") expected.pop();
          else if (expected.at(-1)!.endsWith("\r")) expected.push(expected.pop()!.slice(0, -1));
          expect(linesOf(pieces)).toEqual(expected);
        },
      ),
      { numRuns: 300 },
    );
  });

  function linesOf(pieces: Uint8Array[]): string[] {
    const decoder = new LineDecoder({ method: "GET", url: "http://h/" }, undefined, {});
    const lines: string[] = [];
    const drain = (): void => {
      for (let line = decoder.next(); line !== NO_ITEM; line = decoder.next()) lines.push(line);
    };
    for (const piece of pieces) {
      decoder.add(piece);
      drain();
    }
    decoder.end();
    drain();
    return lines;
  }

  test("one that is too long is an error, after those before it, and the response is closed", async () => {
    await answered(["ok\n", "x".repeat(11), "\nlater\n"], "text/plain", function* (response, session) {
      const lines = response.lines({ maxLineBytes: 10 });
      expect(yield* lines.next()).toEqual({ done: false, value: "ok" });
      expect(yield* failureOf(lines.next())).toBeInstanceOf(BodyTooLarge);
      expect((yield* lines.next()).done).toBe(true);
      expect(session.statistics().active).toBe(0);
    });
    expect(
      await answered(["1234567890\r\n"], "text/plain", (r) => failureOf(r.lines({ maxLineBytes: 10 }).next())),
    ).toBeInstanceOf(BodyTooLarge);
    expect(await answered(["123456789\r\n"], "text/plain", (r) => allOf(r.lines({ maxLineBytes: 10 })))).toEqual([
      "123456789",
    ]);
  });

  test("serve forEach, and for await in promise code; who stops early closes the response", async () => {
    await answered(["a\nb\nc\n", "x".repeat(1_000_000)], "text/plain", function* (response, session) {
      const seen: string[] = [];
      yield* forEach(response.lines(), function* (line) {
        seen.push(line);
        return line === "b" ? STOP : undefined;
      });
      expect(seen).toEqual(["a", "b"]);
      expect(session.statistics().active).toBe(0);
    });
    await answered(["a\nb\n", "c"], "text/plain", function* (response) {
      const seen: string[] = [];
      const read = async (): Promise<void> => {
        for await (const line of response.lines()) seen.push(line);
      };
      yield* until(read());
      expect(seen).toEqual(["a", "b", "c"]);
    });
    await answered(["a\nb\n", "x".repeat(1_000_000)], "text/plain", function* (response, session) {
      const read = async (): Promise<void> => {
        for await (const line of response.lines()) if (line === "a") break;
      };
      yield* until(read());
      expect(session.statistics().active).toBe(0);
    });
  });

  test("a cancelled next takes nothing", async () => {
    await using server = await startHttpServer();
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      const asking = spawn(() => session.get("/hold"));
      yield* until(server.until(() => server.held.length === 1));
      const { response: out } = server.held[0]!;
      out.write("beg");
      const lines = (yield* asking).lines();
      expect(yield* moveOnAfter(20, lines.next())).toBe(undefined);
      out.end("in\nend");
      expect(yield* allOf(lines)).toEqual(["begin", "end"]);
    });
  });
});

describe("ndjson", () => {
  test("gives values, skips empty lines, and names the line that is none, after those before", async () => {
    await answered(['{"a":1}\n\n[2]\n', "nul", "l\nbad\n5\n"], "application/x-ndjson", function* (response) {
      const values = response.ndjson();
      for (const value of [{ a: 1 }, [2], null]) expect(yield* values.next()).toEqual({ done: false, value });
      const error = (yield* failureOf(values.next())) as DecodeError;
      expect(error).toBeInstanceOf(DecodeError);
      expect(error.message).toContain("line 5 of the response body is not JSON");
    });
  });

  test("with a schema, checks each value and gives what the schema makes of it", async () => {
    const schema = z.object({ id: z.string().transform(Number) });
    await answered(['{"id":"7"}\n{"id":8}\n{"id":"9"}\n'], "application/x-ndjson", function* (response, session) {
      const rows = response.ndjson({ schema });
      const first = yield* rows.next();
      const id: number | undefined = first.value?.id;
      expect(id).toBe(7);
      expect(yield* failureOf(rows.next())).toBeInstanceOf(SchemaError);
      expect((yield* rows.next()).done).toBe(true);
      expect(session.statistics().active).toBe(0);
    });
    await answered(['{"id":"7"}\n{"id":"8"}\n'], "application/x-ndjson", function* (response) {
      const ids: number[] = [];
      const read = async (): Promise<void> => {
        for await (const row of response.ndjson({ schema })) ids.push(row.id);
      };
      yield* until(read());
      expect(ids).toEqual([7, 8]);
    });
  });
});

/** The events of a text that comes byte by byte, and in one piece: they must be the same. */
function eventsOf(text: string, options = {}): ReceivedEvent[] {
  const whole = [...new EventStreamDecoder(options).push(Buffer.from(text))];
  const decoder = new EventStreamDecoder(options);
  const single = [...Buffer.from(text)].flatMap((byte) => [...decoder.push(Uint8Array.of(byte))]);
  expect(single).toEqual(whole);
  return whole;
}

const message = (data: string, rest: Partial<ReceivedEvent> = {}): ReceivedEvent => ({
  event: "message",
  data,
  id: "",
  ...rest,
});

describe("the format of server-sent events", () => {
  test.each([
    ["the three examples of the standard, 1", "data: YHOO\ndata: +2\ndata: 10\n\n", [message("YHOO\n+2\n10")]],
    [
      "2: comments, ids that stay and are taken back",
      ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
      [message("first event", { id: "1" }), message("second event"), message(" third event")],
    ],
    [
      "3: empty data, data without colon, an event cut short",
      "data\n\ndata\ndata\n\ndata:",
      [message(""), message("\n")],
    ],
    ["4: the space after the colon", "data:test\n\ndata: test\n\n", [message("test"), message("test")]],
    ["a byte order mark at the start only", "\ufeffdata: a\n\n\ufeffdata: b\n\n", [message("a")]],
    ["CR", "data: a\rdata: b\r\rdata: c\r\r", [message("a\nb"), message("c")]],
    ["CRLF", "data: a\r\ndata: b\r\n\r\n", [message("a\nb")]],
    ["mixed", "data: a\r\n\rdata: b\n\r\n", [message("a"), message("b")]],
    [
      "an event with a name, which does not stay",
      "event: add\ndata: 1\n\ndata: 2\n\n",
      [message("1", { event: "add" }), message("2")],
    ],
    ["a name without data is nothing", "event: add\n\ndata: 2\n\n", [message("2")]],
    ["an id stays", "id: 7\ndata: 1\n\ndata: 2\n\n", [message("1", { id: "7" }), message("2", { id: "7" })]],
    [
      "an id with a null character is ignored",
      "id: 7\ndata: 1\n\nid: a\0b\ndata: 2\n\n",
      [message("1", { id: "7" }), message("2", { id: "7" })],
    ],
    [
      "retry: digits only",
      "retry: 50\ndata: 1\n\nretry: 5x\ndata: 2\n\n",
      [message("1", { retryMs: 50 }), message("2")],
    ],
    ["unknown fields and fields in capitals are ignored", "foo: 1\nData: 1\ndata: 2\n\n", [message("2")]],
    ["a colon in the value", "data: a: b\n\n", [message("a: b")]],
    ["characters of several bytes", "data: €𝄞\n\n", [message("€𝄞")]],
    ["an end without an empty line is no event", "data: 1\n", []],
  ])("%s", (_, text, events) => {
    expect(eventsOf(text)).toEqual(events);
  });

  test("what is encoded is what is decoded", () => {
    const line = fc.string({ unit: fc.constantFrom("a", ":", " ", "€", "data", "\ufeff") });
    const text = fc.string({ unit: fc.constantFrom("a", "\n", "\r", "\r\n", ":", " ", "€") });
    fc.assert(
      fc.property(text, line, line, fc.option(fc.nat()), (data, event, id, retryMs) => {
        const sent = { data, event, id, ...(retryMs === null ? {} : { retryMs }) };
        const [received, ...rest] = eventsOf(`${encodeEventComment("hello\nworld")}${encodeServerSentEvent(sent)}`);
        expect(rest).toEqual([]);
        const expected = { data: data.replace(/\r\n|\r/g, "\n"), event: event === "" ? "message" : event, id };
        expect(received).toEqual(retryMs === null ? expected : { ...expected, retryMs });
      }),
    );
  });

  test("fields that would become others are refused", () => {
    expect(() => encodeServerSentEvent({ data: "", id: "a\ndata: b" })).toThrow("must be one line");
    expect(() => encodeServerSentEvent({ data: "", event: "a\rb" })).toThrow("must be one line");
    expect(() => encodeServerSentEvent({ data: "", id: "a\0" })).toThrow("null character");
    expect(() => encodeServerSentEvent({ data: "", retryMs: 1.5 })).toThrow("retryMs");
  });

  test("an event that is too large is an error, after the events before it", async () => {
    const text = "data: ok\n\ndata: 12345678\ndata: 12345678\n\n";
    await answered([text], "text/event-stream", function* (response) {
      const events = response.events({ maxEventBytes: 20 });
      expect((yield* events.next()).value).toEqual(message("ok"));
      expect(yield* failureOf(events.next())).toBeInstanceOf(BodyTooLarge);
    });
  });

  test("another content type is refused, unless it is said to be right", async () => {
    const error = await answered(["data: 1\n\n"], "text/html", (response) => failureOf(response.events().next()));
    expect(error).toBeInstanceOf(DecodeError);
    const events = await answered(["data: 1\n\n"], "text/html", (r) => allOf(r.events({ checkType: false })));
    expect(events).toEqual([message("1")]);
  });
});

describe("eventSource", () => {
  test("connects again, names the last event, waits as the server says, and ends at 204", async () => {
    const seen: unknown[] = [];
    let count = 0;
    await using server = await startHttpServer((request, response) => {
      seen.push([request.headers["last-event-id"], request.headers.accept]);
      count++;
      if (count === 4) return void response.writeHead(204).end();
      response.writeHead(200, { "content-type": "text/event-stream" });
      if (count === 1) response.end("retry: 1\ndata: one\nid: 1\n\nid: 1b\n\n");
      else if (count === 2) response.write("data: two\nid: 2\n\ndata: cut off", () => response.destroy());
      else response.end("data: three\n\n");
    });
    await withSession(undici, {}, function* (session) {
      const events = yield* allOf(eventSource(session, server.origin, { retryMs: 5 }));
      expect(events.map(({ data, id }) => [data, id])).toEqual([
        ["one", "1"],
        ["two", "2"],
        ["three", "2"],
      ]);
      expect(atRest(session)).toMatchObject({ active: 0, queued: 0 });
    });
    expect(seen.map((entry) => (entry as unknown[])[0])).toEqual([undefined, "1b", "2", "2"]);
    expect((seen[0] as unknown[])[1]).toBe("text/event-stream");
  });

  test("tries again when the server is in trouble, but not for ever, and not for another status or type", async () => {
    let count = 0;
    await using server = await startHttpServer((request, response) => {
      count++;
      if (request.url === "/gone") response.writeHead(404).end("gone");
      else if (request.url === "/html") response.writeHead(200, { "content-type": "text/html" }).end("<p>");
      else response.writeHead(503).end();
    });
    await withSession(undici, { baseUrl: server.origin }, function* (session) {
      const failure = (path: string): Coroutine<unknown> =>
        failureOf(eventSource(session, path, { retryMs: 1, attempts: 2 }).next());
      expect(yield* failure("/")).toMatchObject({ status: 503 });
      expect(count).toBe(3);
      expect(yield* failure("/gone")).toBeInstanceOf(ResponseError);
      expect(yield* failure("/html")).toBeInstanceOf(DecodeError);
      expect(count).toBe(5);
    });
  });

  test("closing it, or cancelling its reader, closes the connection", async () => {
    await using server = await startHttpServer((_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: 1\n\n");
    });
    await withSession(undici, {}, function* (session) {
      const reader = spawn(function* () {
        const source = eventSource(session, server.origin);
        expect((yield* source.next()).value).toMatchObject({ data: "1" });
        yield* source.next();
      });
      yield* until(server.untilOpen(1));
      yield* moveOnAfter(30, reader);
      yield* reader.cancel();
      expect(atRest(session)).toEqual(NOTHING);
      const source = eventSource(session, server.origin);
      yield* source.next();
      source.close();
      expect(atRest(session)).toEqual(NOTHING);
      expect((yield* source.next()).done).toBe(true);
      const read = async (): Promise<string> => {
        for await (const event of eventSourceOf!) return event.data;
        return "none";
      };
      const eventSourceOf = eventSource(session, server.origin);
      expect(yield* until(read())).toBe("1");
      expect(atRest(session)).toEqual(NOTHING);
    });
  });

  test("wrong options are told at once", async () => {
    await run(function* () {
      expect(() => eventSource(null as never, "http://h/", { retryMs: Number.NaN })).toThrow("retryMs");
      expect(() => eventSource(null as never, "http://h/", { attempts: -1 })).toThrow("attempts");
    });
  });
});

test("progress is told for each piece, and an error of the callback ends the body with it", async () => {
  await using server = await startHttpServer((request, response) => {
    if (request.url === "/known") response.setHeader("content-length", 300_000);
    response.write(Buffer.alloc(200_000));
    response.end(Buffer.alloc(100_000));
  });
  await withSession(undici, { baseUrl: server.origin }, function* (session) {
    for (const [path, totalBytes] of [
      ["/known", 300_000],
      ["/chunked", undefined],
    ] as const) {
      const seen: unknown[] = [];
      let last = 0;
      const response = yield* session.get(path, {
        onProgress: (progress) => {
          seen.push(progress.totalBytes);
          expect(progress.receivedBytes).toBeGreaterThan(last);
          last = progress.receivedBytes;
        },
      });
      yield* response.bytes();
      expect(last).toBe(300_000);
      expect(new Set(seen)).toEqual(new Set([totalBytes]));
    }
    const bad = new Error("bad callback");
    const failing = yield* session.get("/known", {
      onProgress: () => {
        throw bad;
      },
    });
    expect(yield* failureOf(failing.bytes())).toBe(bad);
    expect(session.statistics().active).toBe(0);
  });
});
