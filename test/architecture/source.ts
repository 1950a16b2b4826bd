/**
 * What the rules need to know of a source file: what it imports, which names it uses.
 *
 * Read from a syntax tree, so that a comment, a text or a property of the same name is never taken for
 * a use. Scopes are not followed: a local variable named `process` counts as the global, which is just
 * as well for the reader.
 */
import { parseSync } from "oxc-parser";

export interface Source {
  /** Path from the root of the repository, with slashes: `src/core/task.ts`. */
  readonly path: string;
  /** The specifiers of all imports and re-exports, `import type`, `import()` and `import("…")` types included. */
  readonly imports: readonly string[];
  /** Every name that is used and not merely a key: `setTimeout`, and for members also `Date.now`. */
  readonly names: ReadonlySet<string>;
}

export function readSource(path: string, text: string): Source {
  const { program, errors } = parseSync(path, text);
  if (errors.length > 0) throw new Error(`${path} cannot be parsed: ${errors[0]!.message}`);
  const imports: string[] = [];
  const names = new Set<string>();
  visit(program as unknown as Node, (node) => {
    const source = IMPORTS.has(node.type) ? node["source"] : undefined;
    if (isNode(source)) imports.push(typeof source["value"] === "string" ? source["value"] : "(computed)");
    if (node.type === "Identifier") names.add(String(node["name"]));
    if (node.type === "MemberExpression") names.add(memberName(node));
    if (node.type === "NewExpression" && length(node["arguments"]) === 0)
      names.add(`new ${identifier(node["callee"])}()`);
  });
  return { path, imports, names };
}

interface Node {
  readonly type: string;
  readonly [field: string]: unknown;
}

const IMPORTS: ReadonlySet<string> = new Set([
  "ImportDeclaration",
  "ExportNamedDeclaration",
  "ExportAllDeclaration",
  "ImportExpression",
  "TSImportType",
]);

function visit(node: Node, seen: (node: Node) => void): void {
  seen(node);
  for (const [field, value] of Object.entries(node)) {
    if (isMereKey(node, field)) continue;
    for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) visit(child, seen);
  }
}

/** `x` in `a.x`, `{ x: 1 }`, `x() {}` of a class, `import { x as y }`: names something else than the global. */
function isMereKey(node: Node, field: string): boolean {
  if (node["computed"] === true || node["shorthand"] === true) return false;
  return field === "property" || field === "key" || field === "imported" || field === "exported";
}

function memberName(node: Node): string {
  return `${identifier(node["object"])}.${node["computed"] === true ? "" : identifier(node["property"])}`;
}

function identifier(node: unknown): string {
  return isNode(node) && node.type === "Identifier" ? String(node["name"]) : "";
}

function length(value: unknown): number {
  return Array.isArray(value) ? value.length : 0;
}

function isNode(value: unknown): value is Node {
  return typeof value === "object" && value !== null && typeof (value as { type?: unknown }).type === "string";
}
