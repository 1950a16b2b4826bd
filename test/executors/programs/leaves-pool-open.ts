import { run } from "fibril";
import { ThreadPool } from "../../../src/executors/index.ts";
import { add } from "../jobs.ts";

const pool = new ThreadPool({ maxWorkers: 1 });
console.log(await run(() => pool.call(add, 1, 2)));
