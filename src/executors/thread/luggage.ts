/**
 * What an end of a `ThreadChannel` is while it travels. A thread can see and drop it without the channels themselves, which need the loop.
 */
import { MessagePort } from "node:worker_threads";

export interface Luggage {
  readonly fibrilEnd: "sender" | "receiver";
  readonly port: MessagePort;
  readonly capacity: number;
  readonly name: string;
}

/** Nobody will use the packed ends among them: those at the other ends are told. @package */
export function dropEnds(args: readonly unknown[]): void {
  for (const each of args) if (isLuggage(each)) each.port.close();
}

/** @package */
export function isLuggage(value: unknown): value is Luggage {
  return (
    typeof value === "object" &&
    value !== null &&
    "fibrilEnd" in value &&
    (value as Luggage).port instanceof MessagePort
  );
}
