/**
 * How large a module and all that it imports are for a browser or a function in the cloud: bundled, minified, gzipped.
 *
 * What is not used is shaken off, as a bundler does it for a user. `npm run size` and the row `size` share this.
 */
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

export interface BundleSize {
  readonly minifiedBytes: number;
  readonly gzippedBytes: number;
}

/** @throws when something that the module imports does not exist. */
export async function measureBundle(module: string): Promise<BundleSize> {
  const { outputFiles } = await build({
    stdin: { contents: module, resolveDir: fileURLToPath(new URL(".", import.meta.url)), loader: "ts" },
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    platform: "node",
    target: "node20",
    conditions: ["fibril-source"],
    external: ["undici"],
    logLevel: "silent",
  });
  const code = outputFiles[0]!.contents;
  return { minifiedBytes: code.length, gzippedBytes: gzipSync(code, { level: 9 }).length };
}
