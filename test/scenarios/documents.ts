/**
 * The TypeScript in our documents. A block is a module by itself; one that ends in `// prints:` says what it prints.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root: string = fileURLToPath(new URL("../../", import.meta.url));

/** All but the lint guide, whose examples are wrong on purpose; test/lint/guide.test.ts runs those. */
export const documents: readonly string[] = [
  "README.md",
  "docs/glossary.md",
  ...readdirSync(join(root, "docs/guide"))
    .filter((file) => file.endsWith(".md") && file !== "lint.md")
    .map((file) => `docs/guide/${file}`),
];

export interface Block {
  /** `sync-2.ts`: the second one of docs/guide/sync.md. */
  readonly file: string;
  /** For people: `docs/guide/sync.md:31`. */
  readonly place: string;
  readonly code: string;
  /** What it prints, line by line; `undefined` when it does not say. */
  readonly prints: readonly string[] | undefined;
}

export function blocksOf(document: string): Block[] {
  const text = readFileSync(join(root, document), "utf8");
  const name = document.replace(/^.*\/|\.md$/g, "");
  return [...text.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map((match, index) => ({
    file: `${name}-${index + 1}.ts`,
    place: `${document}:${text.slice(0, match.index).split("\n").length}`,
    code: match[1]!,
    prints: printedBy(match[1]!),
  }));
}

/** What a program says at its end that it prints. */
export function printedBy(code: string): string[] | undefined {
  return code
    .split("\n// prints:\n")[1]
    ?.trimEnd()
    .split("\n")
    .map((line) => line.replace(/^\/\/ ?/, ""));
}
