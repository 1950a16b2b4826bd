// oxlint-disable typescript/switch-exhaustiveness-check -- nodes and meanings that a rule does not know are passed over
/**
 * What becomes of a `Cancelled` that a catch clause has caught: walks the clause as if the error were one.
 *
 * Conditions on the error are decided where that is certain: `Cancelled` is `instanceof` nothing but itself, and it has
 * none of the properties that errors have. A test that cannot be decided, such as `isAbort(error)`, gets the benefit of
 * the doubt: one branch that lets the error through is enough. A condition that has nothing to do with the error does not.
 */
import { bare, isFunction, keyName } from "./estree.ts";
import type { CatchClause, Node } from "./estree.ts";
import type { Meanings } from "./meaning.ts";

/** `passes`: it goes on. `swallowed`: the clause may end without it. `replaced`: another error may be thrown in its place. */
export type Fate = "passes" | "swallowed" | "replaced";

/** What `Cancelled` has; everything else of it is `undefined`. */
const OWN_PROPERTIES: ReadonlySet<string> = new Set([
  "reason",
  "source",
  "by",
  "at",
  "scope",
  "toString",
  "constructor",
]);
/** Names of functions that may throw the error again. */
const PASSING_ON = /cancel|throw/i;

export function fateOfCancelled(clause: CatchClause, meanings: Meanings): Fate {
  return new Walk(clause, meanings).run();
}

type Decision = "yes" | "no" | "error decides" | "something else decides";

class Walk {
  readonly #clause: CatchClause;
  readonly #meanings: Meanings;
  readonly #error: string | null;

  constructor(clause: CatchClause, meanings: Meanings) {
    this.#clause = clause;
    this.#meanings = meanings;
    this.#error = clause.param?.type === "Identifier" ? clause.param.name : null;
  }

  run(): Fate {
    return this.#list(this.#clause.body.body, () => "swallowed");
  }

  /** `next` is what happens after the statements. */
  #list(statements: readonly Node[], next: () => Fate): Fate {
    const [first, ...rest] = statements;
    return first === undefined ? next() : this.#statement(first, () => this.#list(rest, next));
  }

  #statement(node: Node, after: () => Fate): Fate {
    let known: Fate | undefined; // both branches of an `if` go on to it
    const next = (): Fate => (known ??= after());
    switch (node.type) {
      case "ThrowStatement":
        return node.argument !== null && this.#isNewError(node.argument) ? "replaced" : "passes";
      case "ReturnStatement":
        return node.argument !== null && this.#handsOver(node.argument) ? "passes" : "swallowed";
      case "BreakStatement":
      case "ContinueStatement":
        return "swallowed";
      case "BlockStatement":
        return this.#list(node.body, next);
      case "LabeledStatement":
        return this.#statement(node.body, next);
      case "IfStatement":
        return this.#branch(
          node.test,
          () => this.#statement(node.consequent, next),
          () => (node.alternate === null ? next() : this.#statement(node.alternate, next)),
        );
      case "SwitchStatement":
        return this.#switch(node.discriminant, node.cases, next);
      case "TryStatement": {
        if (node.finalizer !== null && this.#list(node.finalizer.body, () => "swallowed") === "passes") return "passes";
        return this.#list(node.block.body, next);
      }
      case "ForStatement":
      case "ForOfStatement":
      case "ForInStatement":
      case "WhileStatement":
        return next();
      default:
        return this.#handsOver(node) ? "passes" : next();
    }
  }

  #branch(test: Node, then: () => Fate, otherwise: () => Fate): Fate {
    const decision = this.#decide(test);
    if (decision === "yes") return then();
    if (decision === "no") return otherwise();
    const fates = [then(), otherwise()] as const;
    if (decision === "error decides" && fates.includes("passes")) return "passes";
    return fates.find((it) => it !== "passes") ?? "passes";
  }

  /** By its cases; a `switch` on something of the error falls to `default`, since none of them is about `Cancelled`. */
  #switch(
    discriminant: Node,
    cases: readonly { readonly test: Node | null; readonly consequent: readonly Node[] }[],
    next: () => Fate,
  ): Fate {
    const start = this.#mentionsError(discriminant) ? cases.findIndex((it) => it.test === null) : 0;
    if (start === -1) return next();
    const statements = cases.slice(start).flatMap((it) => it.consequent);
    const end = statements.findIndex((it) => it.type === "BreakStatement");
    return this.#list(end === -1 ? statements : statements.slice(0, end), next);
  }

  #decide(expression: Node): Decision {
    const node = bare(expression);
    switch (node.type) {
      case "UnaryExpression": {
        const inner = this.#decide(node.argument);
        if (node.operator !== "!" || inner === "error decides" || inner === "something else decides") return inner;
        return inner === "yes" ? "no" : "yes";
      }
      case "LogicalExpression": {
        const both = [this.#decide(node.left), this.#decide(node.right)] as const;
        if (node.operator === "&&") return both.includes("no") ? "no" : weaker(both);
        if (node.operator === "||") return both.includes("yes") ? "yes" : weaker(both);
        return "error decides";
      }
      case "BinaryExpression":
        return this.#compare(node.operator, node.left, node.right);
      case "Identifier":
        return this.#isError(node) ? "yes" : "something else decides";
      case "MemberExpression":
        return this.#isAbsent(node) ? "no" : this.#doubt(node);
      case "Literal":
        return node.value === true ? "yes" : node.value === false ? "no" : "something else decides";
      default:
        return this.#doubt(node);
    }
  }

  #compare(operator: string, left: Node, right: Node): Decision {
    if (operator === "instanceof" && this.#isError(bare(left))) {
      if (this.#meanings.isExport(bare(right), "Cancelled") || isNamed(right, "Cancelled")) return "yes";
      return isNamed(right, "Object") ? "yes" : "no";
    }
    const isEquality = operator === "===" || operator === "==";
    if (isEquality || operator === "!==" || operator === "!=") {
      // What errors have, and Cancelled has not, equals no constant.
      const [absent, other] = this.#isAbsent(bare(left)) ? [left, right] : [right, left];
      const isConstant = bare(other).type === "Literal" || bare(other).type === "TemplateLiteral";
      if (this.#isAbsent(bare(absent)) && isConstant) return isEquality ? "no" : "yes";
    }
    return this.#mentionsError(left) || this.#mentionsError(right) ? "error decides" : "something else decides";
  }

  #doubt(node: Node): Decision {
    return this.#mentionsError(node) ? "error decides" : "something else decides";
  }

  /** A property of the error that `Cancelled` does not have. */
  #isAbsent(node: Node): boolean {
    if (node.type !== "MemberExpression" || !this.#isError(bare(node.object))) return false;
    const key = keyName(node.property, node.computed);
    return key !== null && !OWN_PROPERTIES.has(key);
  }

  #isError(node: Node): boolean {
    return node.type === "Identifier" && node.name === this.#error;
  }

  #mentionsError(node: Node): boolean {
    return this.#isError(node) || this.#meanings.children(node).some((it) => this.#mentionsError(it));
  }

  #isNewError(argument: Node): boolean {
    return bare(argument).type === "NewExpression";
  }

  /** Whether the error is given to a function that by its name throws it again. */
  #handsOver(node: Node): boolean {
    if (isFunction(node)) return false;
    if (node.type === "CallExpression" && PASSING_ON.test(lastName(node.callee))) {
      if (node.arguments.some((it) => this.#mentionsError(it))) return true;
    }
    return this.#meanings.children(node).some((it) => this.#handsOver(it));
  }
}

function weaker(both: readonly Decision[]): Decision {
  if (both.includes("error decides")) return "error decides";
  return both.includes("something else decides") ? "something else decides" : both[0]!;
}

function isNamed(node: Node, name: string): boolean {
  return bare(node).type === "Identifier" && (bare(node) as { name: string }).name === name;
}

function lastName(callee: Node): string {
  const node = bare(callee);
  if (node.type === "Identifier") return node.name;
  return node.type === "MemberExpression" ? (keyName(node.property, node.computed) ?? "") : "";
}
