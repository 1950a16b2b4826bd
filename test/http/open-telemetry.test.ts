import { race, UsageError } from "fibril";
import { openTelemetry } from "fibril/http";
import type { TelemetrySpan, TelemetryTracer } from "fibril/http";
import * as undici from "undici";
import { describe, expect, test } from "vitest";
import { failureOf, withSession } from "./harness.ts";
import { closedOrigin, startHttpServer } from "./servers.ts";

class Span implements TelemetrySpan {
  readonly name: string;
  readonly kind: number;
  readonly attributes: Record<string, unknown>;
  readonly events: string[] = [];
  status: { code: number; message?: string } | undefined;
  ended = 0;

  constructor(name: string, options: { kind: number; attributes: Record<string, unknown> }) {
    this.name = name;
    this.kind = options.kind;
    this.attributes = { ...options.attributes };
  }

  setAttribute(name: string, value: unknown): void {
    this.attributes[name] = value;
  }

  setStatus(status: { code: number; message?: string }): void {
    this.status = status;
  }

  addEvent(name: string): void {
    this.events.push(name);
  }

  end(): void {
    this.ended++;
  }
}

class Tracer implements TelemetryTracer<Span> {
  readonly spans: Span[] = [];

  startSpan(name: string, options: { kind: number; attributes: Record<string, unknown> }): Span {
    const span = new Span(name, options);
    this.spans.push(span);
    return span;
  }
}

describe("spans of OpenTelemetry", () => {
  test("a request is a client span with the conventional attributes", async () => {
    await using server = await startHttpServer();
    const tracer = new Tracer();
    const observer = openTelemetry(tracer, { attributes: { "peer.service": "shop" } });
    await withSession(undici, { observer }, function* (session) {
      yield* (yield* session.get(`${server.origin.replace("//", "//user:pass@")}/a?token=abc&x=#frag`)).text();
      yield* (yield* session.request("PURGE", `${server.origin}/`)).text();
    });
    const [first, second] = tracer.spans;
    expect(first).toMatchObject({ name: "GET", kind: 2, status: undefined, ended: 1, events: ["http.request.sent"] });
    expect(first!.attributes).toEqual({
      "peer.service": "shop",
      "http.request.method": "GET",
      "url.full": `${server.origin}/a?token=REDACTED&x=REDACTED`,
      "server.address": "127.0.0.1",
      "server.port": server.port,
      "network.protocol.version": "1.1",
      "network.peer.address": "127.0.0.1",
      "network.peer.port": server.port,
      "http.response.status_code": 200,
    });
    expect(second).toMatchObject({ name: "HTTP", ended: 1 });
    expect(second!.attributes).toMatchObject({
      "http.request.method": "_OTHER",
      "http.request.method_original": "PURGE",
    });
  });

  test("each redirect and each retry is a span of its own, and is counted", async () => {
    let count = 0;
    await using server = await startHttpServer((request, response) => {
      if (request.url === "/from") response.writeHead(302, { location: "/to" }).end();
      else response.writeHead(++count === 1 ? 503 : 200).end();
    });
    const tracer = new Tracer();
    await withSession(undici, { observer: openTelemetry(tracer), retry: { baseMs: 1 } }, function* (session) {
      yield* (yield* session.get(`${server.origin}/from`)).text();
    });
    const seen = tracer.spans.map(({ attributes, status, ended }) => [
      attributes["http.response.status_code"],
      attributes["http.request.resend_count"],
      attributes["error.type"],
      status?.code,
      ended,
    ]);
    expect(seen).toEqual([
      [302, undefined, undefined, undefined, 1],
      [503, 1, "503", 2, 1],
      [200, 2, undefined, undefined, 1],
    ]);
  });

  test("what fails is an error with its code, what is cancelled says so, and every span ends", async () => {
    await using server = await startHttpServer();
    const nobody = closedOrigin();
    const tracer = new Tracer();
    await withSession(undici, { observer: openTelemetry(tracer) }, function* (session) {
      yield* failureOf(session.get(nobody));
      yield* race([session.get(`${server.origin}/hold`), session.get(`${server.origin}/quick`)]);
    });
    const byUrl = new Map(tracer.spans.map((span) => [String(span.attributes["url.full"]).replace(/^.*\//, ""), span]));
    expect(byUrl.get("")).toMatchObject({ status: { code: 2 }, attributes: { "error.type": "HTTP_CONNECT" } });
    expect(byUrl.get("hold")).toMatchObject({ status: { code: 2 }, attributes: { "error.type": "cancelled" } });
    expect(byUrl.get("quick")).toMatchObject({ status: undefined });
    expect(tracer.spans.map(({ ended }) => ended)).toEqual([1, 1, 1]);
  });

  test("the propagator writes headers for the span of the very exchange", async () => {
    const seen: unknown[] = [];
    await using server = await startHttpServer((request, response) => {
      seen.push(request.headers["traceparent"]);
      if (request.url?.startsWith("/from") === true) response.writeHead(302, { location: "/to" }).end();
      else response.end();
    });
    const tracer = new Tracer();
    const propagate = (span: Span, headers: Record<string, string>): void => {
      headers["traceparent"] = `00-trace-span${tracer.spans.indexOf(span)}-01`;
    };
    await withSession(undici, { observer: openTelemetry(tracer, { propagate, showQuery: true }) }, function* (session) {
      yield* session.get(`${server.origin}/from?a=b`);
      yield* session.get(`${server.origin}/from`, { headers: { traceparent: "mine" } });
    });
    expect(seen).toEqual(["00-trace-span0-01", "00-trace-span1-01", "mine", "mine"]);
    expect(tracer.spans[0]!.attributes["url.full"]).toBe(`${server.origin}/from?a=b`);
  });

  test("keeps nothing of an exchange that has ended", () => {
    const tracer = new Tracer();
    const observer = openTelemetry(tracer);
    const facts = { requestId: 1, exchange: 1, attempt: 1, at: 0, method: "GET", url: "http://h/" };
    observer.event({ kind: "queued", ...facts, waits: false });
    for (let i = 0; i < 2; i++)
      observer.event({ kind: "error", ...facts, phase: "queued", isCancelled: true, error: undefined });
    expect(tracer.spans.map(({ ended }) => ended)).toEqual([1]);
  });

  test("takes nothing but a tracer", () => {
    for (const tracer of [undefined, {}, null]) expect(() => openTelemetry(tracer as never)).toThrow(UsageError);
  });
});
