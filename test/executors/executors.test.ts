import { InlineExecutor, ThreadPool } from "../../src/executors/index.ts";
import { describeExecutor } from "./conformance.ts";

describeExecutor("InlineExecutor", (concurrency, options) => new InlineExecutor({ ...options, concurrency }));
describeExecutor("ThreadPool", (maxWorkers, options) => new ThreadPool({ ...options, maxWorkers }));
