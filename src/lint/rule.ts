/**
 * What a rule is and what it is given, as ESLint 9, ESLint 10 and oxlint agree on it.
 *
 * Only what the rules use is written down. That the plugin fits ESLint's own types is checked in test/types.
 */
import type { Identifier, Node, Program } from "./estree.ts";

export interface Definition {
  readonly type: string;
  readonly node: Node;
  readonly parent?: Node | null;
}

export interface Reference {
  readonly identifier: Identifier;
  /** Whether it is the write of a declaration: `const x = …`. */
  readonly init?: boolean;
  isWrite(): boolean;
}

export interface Variable {
  readonly name: string;
  readonly defs: readonly Definition[];
  readonly references: readonly Reference[];
}

export interface Scope {
  readonly set: ReadonlyMap<string, Variable>;
  readonly upper: Scope | null;
}

export interface SourceCode {
  readonly ast: Program;
  readonly visitorKeys: Readonly<Record<string, readonly string[]>>;
  getScope(node: Node): Scope;
  getText(node: Node): string;
}

export interface Fixer {
  insertTextBefore(node: Node, text: string): unknown;
  insertTextBeforeRange(range: readonly [number, number], text: string): unknown;
  replaceTextRange(range: readonly [number, number], text: string): unknown;
  removeRange(range: readonly [number, number]): unknown;
}

export interface Suggestion {
  readonly messageId: string;
  readonly data?: Readonly<Record<string, string>>;
  readonly fix: (fixer: Fixer) => unknown;
}

export interface Finding {
  readonly node: Node;
  readonly messageId: string;
  readonly data?: Readonly<Record<string, string>>;
  readonly fix?: (fixer: Fixer) => unknown;
  readonly suggest?: readonly Suggestion[];
}

export interface RuleContext {
  readonly sourceCode: SourceCode;
  readonly settings: Readonly<Record<string, unknown>>;
  report(finding: Finding): void;
}

export interface RuleMeta {
  readonly type: "problem" | "suggestion";
  readonly docs: { readonly description: string; readonly recommended: boolean };
  readonly messages: Readonly<Record<string, string>>;
  readonly schema: readonly [];
  readonly hasSuggestions?: boolean;
  readonly fixable?: "code";
}

/** A visitor: node type → what to do at such a node. */
// oxlint-disable-next-line typescript/no-explicit-any -- each entry takes another kind of node, as in ESLint's own type
export type Visitor = Record<string, (node: any) => void>;

export interface Rule {
  readonly meta: RuleMeta;
  create(context: RuleContext): Visitor;
}
