/**
 * Signals of the process as waits. While one is waited for its default action is off, as with every handler in Node; afterwards it is
 * back. To cancel a whole program at SIGINT and SIGTERM, `run(main, { handleSignals: true })` is enough.
 */
import { constants } from "node:os";
import nodeProcess from "node:process";
import { describeValue, UsageError } from "../../core/index.ts";
import type { Operation } from "../../core/index.ts";
import { EventSequence } from "../event-sequence.ts";
import { Listening } from "../listening.ts";

const CAPACITY = 64; // signals are few; who does not react to 64 does not react to more

/**
 * The given signals from now on, by name, as a sequence. It belongs to the current scope; the handlers are removed when that
 * ends or when the sequence is closed. While 64 wait to be taken, further ones are dropped.
 *
 * @throws {UsageError} for a name that is no signal, or one that cannot be handled; outside a coroutine.
 * @example
 * const hangups = signals("SIGHUP");
 * while (!(yield* hangups.next()).done) yield* reload();
 */
export function signals(...names: readonly NodeJS.Signals[]): EventSequence<NodeJS.Signals> {
  checkNames("signals()", names);
  return new EventSequence<NodeJS.Signals>(
    listOf(names),
    (intake) => {
      const received = (signal: NodeJS.Signals): void => intake.push(signal);
      for (const name of names) nodeProcess.on(name, received);
      return () => {
        for (const name of names) nodeProcess.off(name, received);
      };
    },
    { capacity: CAPACITY, overflow: "dropNewest" },
  );
}

/**
 * Waits for the first of the given signals and gives its name. Handlers are there from the `yield*` until the wait ends,
 * however it does.
 *
 * @throws {UsageError} for a name that is no signal, or one that cannot be handled.
 * @example
 * yield* race([serve(), waitForSignal("SIGINT", "SIGTERM")]);
 */
export function waitForSignal(...names: readonly NodeJS.Signals[]): Operation<NodeJS.Signals> {
  checkNames("waitForSignal()", names);
  return new SignalWait(names);
}

class SignalWait extends Listening<NodeJS.Signals> {
  readonly #names: readonly NodeJS.Signals[];

  constructor(names: readonly NodeJS.Signals[]) {
    super();
    this.#names = names;
  }

  get reason(): string {
    return listOf(this.#names);
  }

  protected attach(): void {
    for (const name of this.#names) nodeProcess.on(name, this.#received);
  }

  protected detach(): void {
    for (const name of this.#names) nodeProcess.off(name, this.#received);
  }

  readonly #received = (signal: NodeJS.Signals): void => this.succeed(signal);
}

const UNSTOPPABLE: readonly string[] = ["SIGKILL", "SIGSTOP"];

function checkNames(what: string, names: readonly string[]): void {
  if (names.length === 0) throw new UsageError(`${what} of no signal would wait for ever; pass at least one`);
  for (const name of names) {
    if (!Object.hasOwn(constants.signals, name)) {
      throw new UsageError(`${what} takes names of signals such as "SIGINT", got ${describeValue(name)}`);
    }
    if (UNSTOPPABLE.includes(name)) throw new UsageError(`${name} ends or stops the process, nobody can wait for it`);
  }
}

function listOf(names: readonly string[]): string {
  return `signal ${names.join(" or ")}`;
}
