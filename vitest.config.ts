import { spawnSync } from "node:child_process";
import { configDefaults, defineConfig, type ViteUserConfig } from "vitest/config";

const condition = "fibril-source";

// The tests against nginx need what npm cannot install. `.ci/run` installs it and sets CI, so there they always run.
const withoutNginx = process.env["CI"] === undefined && spawnSync("nginx", ["-v"]).error !== undefined;
if (withoutNginx)
  console.log("nginx is not installed, so the tests against it are left out; .ci/run installs and runs them");

const config: ViteUserConfig = defineConfig({
  // `fibril` in a test means the sources, for what Vite loads and for what Node loads.
  resolve: { conditions: [condition] },
  ssr: { resolve: { conditions: [condition], externalConditions: [condition] } },
  test: {
    include: ["test/**/*.test.ts", "cli/test/**/*.test.ts"],
    exclude: [...configDefaults.exclude, ...(withoutNginx ? ["**/nginx.test.ts"] : [])],
    // Processes, not threads: tests send signals, start servers and measure memory.
    pool: "forks",
    maxWorkers: 2,
    // One process for many files: starting one for each took as long as the tests. So a test leaves the process as it was.
    isolate: false,
    execArgv: [`--conditions=${condition}`, "--disable-warning=ExperimentalWarning"],
    testTimeout: 20_000,
  },
});

export default config;
