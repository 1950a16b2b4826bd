import { afterAll } from "vitest";
import { BullEngine } from "../../../src/executors/index.ts";
import { describeExecutor } from "../conformance.ts";
import { RedisServer } from "./redis-server.ts";
import { servedBy } from "./served.ts";

const redis = await RedisServer.start();
afterAll(() => redis.stop());
let queues = 0;

describeExecutor(
  "QueueExecutor on BullMQ",
  servedBy(() => new BullEngine({ url: redis.url, queue: `conformance-${++queues}` })),
  { streamsRefused: "STREAM_UNSUPPORTED", hasUniqueKeys: true },
);
