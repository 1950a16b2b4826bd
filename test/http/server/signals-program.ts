/** A server that is ended by a signal. See shutdown.test.ts. */
import { run, sleep, spawn, until } from "fibril";
import { serve } from "fibril/http/server";

await run(function* () {
  const server = yield* serve(
    function* () {
      console.log("handling");
      yield* sleep(400);
      return "x";
    },
    { signals: true },
  );
  spawn(function* () {
    const response = yield* until(fetch(server.url));
    console.log(`answered ${response.status}`);
  });
  yield* server.closed;
});
console.log("closed");
