/** Runs oxlint with the plugin, and nothing but the plugin. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import plugin from "../../src/lint/index.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

export interface Found {
  /** Relative to the folder that was checked. */
  readonly file: string;
  readonly line: number;
  /** Without the prefix. */
  readonly rule: string;
}

/**
 * What the rules find under `paths`, which are relative to `folder`.
 * @param modules See `settings.fibril.modules`.
 */
export function oxlint(
  folder: string,
  paths: readonly string[],
  config: "recommended" | "all" = "recommended",
  modules: readonly string[] = [],
): Found[] {
  const home = mkdtempSync(join(tmpdir(), "fibril-lint-"));
  try {
    const settings = {
      jsPlugins: [join(root, "src/lint/index.ts")],
      categories: { correctness: "off" },
      settings: { fibril: { modules } },
      rules: plugin.configs[config].rules,
    };
    writeFileSync(join(home, "oxlintrc.json"), JSON.stringify(settings));
    const { stdout, stderr } = spawnSync(
      process.execPath,
      [
        "--disable-warning=ExperimentalWarning",
        join(root, "node_modules/oxlint/bin/oxlint"),
        ...["-c", join(home, "oxlintrc.json"), "--disable-nested-config", "--no-ignore", "-f", "json"],
        ...paths,
      ],
      { cwd: folder, encoding: "utf8" },
    );
    if (!stdout.startsWith("{")) throw new Error(`oxlint did not run: ${stdout}${stderr}`);
    const { diagnostics } = JSON.parse(stdout) as { diagnostics: Diagnostic[] };
    return diagnostics.map((it) => {
      const rule = /^fibril\((.+)\)$/.exec(it.code ?? "")?.[1];
      if (rule === undefined) throw new Error(`${it.filename ?? "oxlint"}: ${it.message}`);
      return { file: relative(folder, join(folder, it.filename!)), line: it.labels[0]!.span.line, rule };
    });
  } finally {
    rmSync(home, { recursive: true });
  }
}

interface Diagnostic {
  readonly message: string;
  readonly code?: string;
  readonly filename?: string;
  readonly labels: readonly { readonly span: { readonly line: number } }[];
}
