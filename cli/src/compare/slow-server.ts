/**
 * The slow server: a process of its own, so that it takes no time and no memory from the contestants.
 *
 * It answers every request after the delay, any number at once, and prints the port that it was given as its first line.
 * Run as `node slow-server.js DELAY_MS`; it ends when its standard input does.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { endWithConductor } from "./leash.ts";

/** Everybody connects in the same moment; the default of 511 would turn some away at 1,000. */
const BACKLOG = 2_048;

const delayMs = Number(process.argv[2]);

const server = createServer((request, response) => {
  request.resume();
  setTimeout(() => response.end(`answered after ${delayMs} ms\n`), delayMs);
});

server.listen(0, "127.0.0.1", BACKLOG, () => {
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`);
});

endWithConductor();
