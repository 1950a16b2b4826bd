// A server and its client: a handler that ends when its client leaves, a retry that can be seen, a stream of events. All on loopback.
import { forEach, moveOnAfter, run, sleep, STOP } from "fibril";
import type { Coroutine } from "fibril";
import { Session } from "fibril/http";
import { eventStream, HttpFailure, routes, serve } from "fibril/http/server";

let failures = 1;

async function* ticks(): AsyncGenerator<string> {
  for (let tick = 1; ; tick++) yield `tick ${tick}`;
}

const app = routes({
  "GET /report": function* () {
    try {
      yield* sleep(60_000); // a long query
      return "never";
    } finally {
      console.log("server: the client left, the query is cancelled");
    }
  },
  "GET /stock/:item": function* (request) {
    if (failures-- > 0) throw new HttpFailure(503, { detail: "the database restarts" });
    return { item: request.params["item"], left: 3 };
  },
  *"GET /ticks"() {
    return eventStream(ticks());
  },
});

function* main(): Coroutine<void> {
  const server = yield* serve(app, { port: 0 });
  const session = yield* Session.open({
    baseUrl: `${server.url}/`,
    retry: { attempts: 3, baseMs: 1 },
    observer: {
      event(event) {
        if (event.kind === "retry") console.log(`client: attempt ${event.attempt} failed, once more`);
      },
    },
  });

  const report = yield* moveOnAfter(50, session.get("report"));
  console.log("client:", report === undefined ? "no report within 50 ms" : report.status);

  const stock = yield* session.get("stock/tea");
  console.log("client:", yield* stock.json());

  const stream = yield* session.get("ticks");
  yield* forEach(stream.events(), function* (event) {
    console.log("client:", event.data);
    return event.data === "tick 3" ? STOP : undefined;
  });
} // the scope ends: the session closes its connections, the server waits for its handlers

await run(main);

// prints:
// client: no report within 50 ms
// server: the client left, the query is cancelled
// client: attempt 1 failed, once more
// client: { item: 'tea', left: 3 }
// client: tick 1
// client: tick 2
// client: tick 3
