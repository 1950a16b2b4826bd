import { defineConfig, type ViteUserConfig } from "vitest/config";

const condition = "fibril-source";

const config: ViteUserConfig = defineConfig({
  // `fibril` in a test means the sources, for what Vite loads and for what Node loads.
  resolve: { conditions: [condition] },
  ssr: { resolve: { conditions: [condition], externalConditions: [condition] } },
  test: {
    include: ["test/**/*.test.ts", "cli/test/**/*.test.ts"],
    // Processes, not threads: tests send signals, start servers and measure memory.
    pool: "forks",
    maxWorkers: 2,
    execArgv: [`--conditions=${condition}`, "--disable-warning=ExperimentalWarning"],
    testTimeout: 20_000,
  },
});

export default config;
