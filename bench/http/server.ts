/**
 * The server of our own, in a process of its own: `/512` answers at once, `/slow` after 100 ms, `/hold` after 8 s, all with
 * 512 bytes; `/big` with 100 MB. Prints its port.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

const DELAYS_MS: Readonly<Record<string, number>> = { "/512": 0, "/slow": 100, "/hold": 8_000 };
const BIG_BYTES = 100_000_000;
const CHUNK = Buffer.alloc(64 * 1024, "x");

const small = Buffer.alloc(512, "x");
const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
  const delay = DELAYS_MS[request.url ?? ""];
  const answer = (): void => {
    response.writeHead(200, { "content-type": "text/plain", "content-length": small.length }).end(small);
  };
  if (delay === 0) answer();
  else if (delay !== undefined) setTimeout(answer, delay);
  else if (request.url === "/big") {
    response.writeHead(200, { "content-length": BIG_BYTES });
    let left = BIG_BYTES;
    const write = (): void => {
      while (left > 0) {
        const part = left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK;
        left -= part.length;
        if (!response.write(part)) return void response.once("drain", write);
      }
      response.end();
    };
    write();
  } else response.writeHead(404).end();
});
server.listen({ port: 0, host: "127.0.0.1", backlog: 16_384 }, () =>
  console.log((server.address() as AddressInfo).port),
);
