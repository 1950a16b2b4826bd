import { MemoryEngine } from "../../../src/executors/index.ts";
import { describeExecutor } from "../conformance.ts";
import { servedBy } from "./served.ts";

describeExecutor(
  "QueueExecutor on MemoryEngine",
  servedBy(() => new MemoryEngine()),
  { streamsRefused: "STREAM_UNSUPPORTED", hasUniqueKeys: true },
);
if (process.env["FIBRIL_LONG"] === "1")
  describeExecutor(
    "QueueExecutor on MemoryEngine whose outcomes are told of by the sweep alone",
    servedBy(() => new MemoryEngine({ faults: { dropOutcome: 1 } })),
    { streamsRefused: "STREAM_UNSUPPORTED", hasUniqueKeys: true },
  );
