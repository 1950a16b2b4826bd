/** A server that is ended by a signal. Its handler ends after that, or never, as the argument says. See shutdown.test.ts. */
import { Future, run, sleep, spawn, until } from "fibril";
import { serve } from "fibril/http/server";

await run(function* () {
  const closing = new Future<void>();
  const server = yield* serve(
    function* () {
      console.log("handling");
      yield* closing;
      yield* sleep(process.argv[2] === "never" ? 1_000_000 : 50);
      return "x";
    },
    {
      signals: true,
      drainMs: 60_000,
      onShutdown: function* () {
        console.log("closing");
        closing.resolve();
      },
    },
  );
  spawn(function* () {
    const response = yield* until(fetch(server.url));
    console.log(`answered ${response.status}`);
  });
  yield* server.closed;
});
console.log("closed");
