import { spawnSync } from "node:child_process";
import { configDefaults, defineConfig, type ViteUserConfig } from "vitest/config";

const condition = "fibril-source";

// The tests against nginx need what npm cannot install. `.ci/run` installs it and sets CI, so there they always run.
const withoutNginx = process.env["CI"] === undefined && spawnSync("nginx", ["-v"]).error !== undefined;
if (withoutNginx)
  console.log("nginx is not installed, so the tests against it are left out; .ci/run installs and runs them");

const include = ["test/**/*.test.ts", "cli/test/**/*.test.ts"];

// Starting a process for each file takes as long as its tests, so most files share one. These do not: they start threads and processes, or
// measure memory; and no loop is deadlocked while another one in its process waits for something, even if nobody can ever end that.
const alone = [
  "cli/test/compare/*.test.ts",
  "cli/test/fetch/{coroutines,nginx,resume}.test.ts",
  "test/core/{deadlock,event-loop,from-outside,misuse-and-reentrancy,neighbour-loops}.test.ts",
  "test/executors/**/*.test.ts",
  "test/inspector/*.test.ts",
  "test/**/garbage.test.ts",
  "test/channels/{external,select}.test.ts",
  "test/http/limits.test.ts",
  "test/interop/{promise,event-target}.test.ts",
  "test/time/sleep-until.test.ts",
];

const left = [...configDefaults.exclude, ...(withoutNginx ? ["**/nginx.test.ts"] : [])];

const config: ViteUserConfig = defineConfig({
  // `fibril` in a test means the sources, for what Vite loads and for what Node loads.
  resolve: { conditions: [condition] },
  ssr: { resolve: { conditions: [condition], externalConditions: [condition] } },
  test: {
    // Processes, not threads: tests send signals, start servers and measure memory.
    pool: "forks",
    // Twice the two cores of a small machine: many tests wait for a peer, a process or a lease.
    maxWorkers: 4,
    execArgv: [`--conditions=${condition}`, "--disable-warning=ExperimentalWarning"],
    // Long, because they only end what hangs: a machine that does ten other things is no fault of the code.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: {
          name: "alone",
          include: alone,
          exclude: left,
          isolate: true,
        },
      },
      { extends: true, test: { name: "shared", include, exclude: [...left, ...alone], isolate: false } },
    ],
  },
});

export default config;
