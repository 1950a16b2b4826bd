/**
 * The only file that knows undici: which parts are used, how they are set up, what its errors mean.
 *
 * Undici is an optional peer, `^7.30 || ^8`, and is loaded when the first session opens. 7 and 8 share the shape of
 * dispatch handlers that `exchange.ts` describes (7 also still takes an older one, which is not used here).
 *
 * One `Client` is one connection. The session keeps its clients itself instead of using `Agent` or `Pool`, because
 * - a Pool takes a client for busy until one turn of the host's loop after its response, and opens another connection
 *   for the next request meanwhile: with 7 requests at a time a server saw 11 connections;
 * - a request that waits for a connection to be made has no controller yet, and can be cancelled only by whoever knows
 *   which socket that is. With a client of its own it is known.
 * All timers of undici for connecting, headers and bodies are off; the loop's own replace them. What is left is the
 * one that closes an idle connection (unreferenced, ended by `destroy`).
 */
import type { Socket } from "node:net";
import { FibrilError } from "../../core/index.ts";
import { importOptional } from "../optional-package.ts";
import type { ProtocolProblem } from "../errors.ts";
import { ExchangeFailure } from "./exchange.ts";
import type { ExchangeClient } from "./exchange.ts";

export interface UndiciClient extends ExchangeClient {
  on(event: string, listener: (...args: never[]) => void): unknown;
}

export type ConnectCallback = (error: Error | null, socket: Socket | null) => void;

/** What undici asks for. */
export interface ConnectRequest {
  /** From a `host` header of the request. */
  readonly servername: string | null;
}

export type Connector = (request: ConnectRequest, callback: ConnectCallback) => void;

/** The parts of the `undici` package that are used. `import * as undici from "undici"` fits. */
export interface UndiciModule {
  // Loose on purpose: the types of 7 and of 8 have to fit both, and nothing but this file calls it.
  readonly Client: new (origin: string, options: never) => object;
}

/** There is no undici, or one that does not fit. Code: `HTTP_UNDICI_MISSING`. */
export class UndiciMissingError extends FibrilError {
  constructor(problem: string, options?: ErrorOptions) {
    super("HTTP_UNDICI_MISSING", `cannot open an HTTP session: ${problem}`, options);
  }
}

/** @param load Where it comes from, so that a test can take it away. */
export async function importUndici(load: () => Promise<unknown> = () => import("undici")): Promise<UndiciModule> {
  const missing = (problem: string, options?: ErrorOptions): Error => new UndiciMissingError(problem, options);
  const hint = ' on this version of Node; Node 20 needs "npm install undici@7"';
  const module = await importOptional("undici", "^7.30 || ^8", load, missing, hint);
  return checkUndici(module);
}

export function checkUndici(module: unknown): UndiciModule {
  const { Client } = module as Partial<UndiciModule>;
  if (typeof Client === "function") {
    // Bun answers every import of "undici" with a module of its own that has the names and not the methods.
    if (typeof (Client.prototype as { readonly dispatch?: unknown } | undefined)?.dispatch === "function") {
      return module as UndiciModule;
    }
    throw new UndiciMissingError(
      'what was found as "undici" is not undici: its Client cannot dispatch. Bun replaces the package by one of its own; fibril/http needs Node',
    );
  }
  throw new UndiciMissingError('what was given as "undici" has no Client; install undici 7.30 or later');
}

/** @param keepAliveMs `undefined`: what the server says, else 4 s. */
export function createClient(
  undici: UndiciModule,
  origin: string,
  keepAliveMs: number | undefined,
  connect: Connector,
): UndiciClient {
  const Client = undici.Client as unknown as new (origin: string, options: object) => UndiciClient;
  return new Client(origin, {
    connect,
    allowH2: false,
    pipelining: 1,
    headersTimeout: 0,
    bodyTimeout: 0,
    ...(keepAliveMs === undefined ? {} : keepAliveOptions(keepAliveMs)),
  });
}

function keepAliveOptions(keepAliveMs: number): object {
  const keepAliveTimeout = Math.min(Math.max(keepAliveMs, 1), LONGEST_TIMER_MS);
  return { keepAliveTimeout, keepAliveMaxTimeout: keepAliveTimeout };
}

const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** What an error of undici says about the exchange; `null` when it says that the request itself was wrong. */
export function classifyError(error: unknown): ProtocolProblem | null {
  if (error instanceof ExchangeFailure) return error.problem;
  const code = (error as { readonly code?: unknown } | null | undefined)?.code;
  switch (code) {
    case "UND_ERR_SOCKET":
      return "closed";
    case "UND_ERR_RES_CONTENT_LENGTH_MISMATCH":
      return "wrong-length";
    case "UND_ERR_HEADERS_OVERFLOW":
      return "headers-too-large";
    case "UND_ERR_INVALID_ARG":
    case "UND_ERR_NOT_SUPPORTED":
    case "UND_ERR_REQ_CONTENT_LENGTH_MISMATCH":
      return null;
    default:
      return isParserError(error) ? parserProblem(error) : "reset";
  }
}

function isParserError(error: unknown): error is Error {
  return error instanceof Error && error.name === "HTTPParserError";
}

// The parser calls an end in the middle of a message an invalid state; for the reader it is a closed connection.
function parserProblem(error: Error): ProtocolProblem {
  return error.message.includes("EOF") ? "closed" : "malformed";
}
