// oxlint-disable typescript/switch-exhaustiveness-check -- nodes and meanings that a rule does not know are passed over
/**
 * What an expression stands for, as far as one file tells: an operation, a coroutine function, a lock, a task.
 *
 * There are no types here. A name is followed to its import from Fibril, to a function or class of the same file, or to
 * the `new Channel()` it was set to; TypeScript's annotations are read where they are written. Whatever cannot be told has
 * no meaning, and no rule complains about it: a false alarm costs more than a miss.
 */
import { bare, isFunction, keyName } from "./estree.ts";
import type { CallExpression, ClassNode, FunctionNode, Identifier, MemberExpression, Node } from "./estree.ts";
import type { Definition, RuleContext, Scope, Variable } from "./rule.ts";
import { classSurface, everything, moduleSurface, own } from "./fibril-exports.ts";
import type { BodyArgument, CallSurface, ModuleSurface } from "./surface.ts";

export type Meaning =
  /** All exports of an entry: `import * as fibril`. */
  | { readonly kind: "module"; readonly surface: ModuleSurface }
  /** A function of Fibril's, or a method. */
  | { readonly kind: "function"; readonly name: string; readonly call: CallSurface }
  /** `coroutine`, which gives back the function that it was given. */
  | { readonly kind: "identity" }
  /** A class of Fibril's, and an object of one. */
  | { readonly kind: "class"; readonly name: string }
  | { readonly kind: "instance"; readonly name: string }
  /** What a call has made: it runs when somebody waits for it. `by` is the generator function of this file that made it. */
  | {
      readonly kind: "operation";
      readonly begun: boolean;
      readonly value?: string;
      readonly by?: FunctionNode;
      /** It may be what any generator makes. */
      readonly isGuess?: boolean;
    }
  /** A promise: `fetch(url)`, the call of an `async` function. */
  | { readonly kind: "promise" }
  /** A generator function of this file. */
  | { readonly kind: "generator"; readonly node: FunctionNode }
  /** An `async` function of this file. */
  | { readonly kind: "async"; readonly node: FunctionNode }
  /** A function whose calls make operations: annotated so, or (a guess) imported, and after `yield*` elsewhere in this file. */
  | { readonly kind: "maker"; readonly isGuess: boolean }
  /** A class of this file, and an object of one. */
  | { readonly kind: "local class"; readonly node: ClassNode }
  | { readonly kind: "local instance"; readonly node: ClassNode };

const OPERATION = { kind: "operation", begun: false } as const;
const PROMISE: Meaning = { kind: "promise" };
/** Functions that return an operation and whose name says that the call asks for something: they may float. */
const ASKING = /^#?(?:cancel|close|abort|stop|shutdown|end|kill|destroy|dispose|terminate)/i;

const programs = new WeakMap<object, Meanings>();

/** The meanings of the file that a rule looks at; worked out once for all rules. */
export function meaningsOf(context: RuleContext): Meanings {
  const { ast } = context.sourceCode;
  let meanings = programs.get(ast);
  if (meanings === undefined) programs.set(ast, (meanings = new Meanings(context)));
  return meanings;
}

export class Meanings {
  readonly #context: RuleContext;
  readonly #known = new Map<Node, Meaning | null>();
  readonly #passedOn: RegExp[];
  /** Whether Fibril is imported at all. */
  readonly usesFibril: boolean;

  constructor(context: RuleContext) {
    this.#context = context;
    this.#passedOn = modulesPassedOn(context.settings);
    this.usesFibril = context.sourceCode.ast.body.some(
      (it) => it.type === "ImportDeclaration" && this.#module(it.source.value) !== null,
    );
  }

  /** What the expression stands for; `null` when this file does not tell. */
  of(node: Node): Meaning | null {
    const known = this.#known.get(node);
    if (known !== undefined) return known;
    this.#known.set(node, null); // a name that leads back to itself means nothing
    const meaning = this.#find(node);
    this.#known.set(node, meaning);
    return meaning;
  }

  /** Whether `yield*` takes it: an operation, a task, a future. */
  isOperation(node: Node): boolean {
    const meaning = this.of(node);
    if (meaning?.kind === "instance") return classSurface(meaning.name).isOperation === true;
    if (meaning?.kind === "local instance") return this.#isWait(meaning.node);
    return meaning?.kind === "operation";
  }

  /** Whether `await` works on it: a task, a future. */
  isAwaitable(node: Node): boolean {
    const meaning = this.of(node);
    return meaning?.kind === "instance" && classSurface(meaning.name).isAwaitable === true;
  }

  /** Whether it may be what any generator makes. */
  isGuess(node: Node): boolean {
    const meaning = this.of(node);
    return meaning?.kind === "operation" && meaning.isGuess === true;
  }

  /** Whether dropping it drops all that was to happen. */
  isLazyOperation(node: Node): boolean {
    const meaning = this.of(node);
    if (meaning?.kind === "local instance") return bare(node).type === "NewExpression" && this.#isWait(meaning.node);
    return meaning?.kind === "operation" && !meaning.begun;
  }

  /** What a call makes of its arguments: those that are to be run as coroutines, those in lists and records included. */
  bodies(call: CallExpression): readonly Node[] {
    return this.#bodyArguments(call).flatMap(({ at, isList }) => {
      const argument = call.arguments[at];
      if (argument === undefined || argument.type === ("SpreadElement" as string)) return [];
      const list = bare(argument);
      if (isList !== true) return list.type === "ArrayExpression" ? [] : [argument];
      if (list.type === "ArrayExpression") return list.elements.filter((it) => it !== null);
      if (list.type !== "ObjectExpression") return [];
      return list.properties.flatMap((it) => (it.type === "Property" ? [it.value] : []));
    });
  }

  /** Whether the call is one of the named functions of Fibril's. */
  isCallOf(node: Node, names: readonly string[]): boolean {
    const call = bare(node);
    if (call.type !== "CallExpression") return false;
    const callee = this.of(call.callee);
    return callee?.kind === "function" && names.includes(callee.name);
  }

  /** Under which name this file has an export of Fibril's; `null` when it is not imported by name. */
  localName(exported: string): string | null {
    for (const it of this.#context.sourceCode.ast.body) {
      if (it.type !== "ImportDeclaration" || this.#module(it.source.value) === null) continue;
      if ((it as { importKind?: string }).importKind === "type") continue;
      for (const specifier of it.specifiers) {
        if (specifier.type !== "ImportSpecifier" || (specifier as { importKind?: string }).importKind === "type")
          continue;
        if (importedName(specifier.imported) === exported) return specifier.local.name;
      }
    }
    return null;
  }

  /** Whether the identifier is Fibril's export of this name, by whatever local name. */
  isExport(node: Node, exported: string): boolean {
    if (node.type === "Identifier") {
      const definition = this.variable(node)?.defs[0];
      const specifier = definition?.type === "ImportBinding" ? definition.node : null;
      return (
        specifier?.type === "ImportSpecifier" &&
        importedName(specifier.imported) === exported &&
        this.#importedFrom(definition!) !== null
      );
    }
    if (node.type === "MemberExpression") {
      return this.of(node.object)?.kind === "module" && keyName(node.property, node.computed) === exported;
    }
    if (node.type !== "TSQualifiedName" || node.right.name !== exported) return false;
    return this.of(node.left)?.kind === "module";
  }

  variable(identifier: Identifier): Variable | null {
    for (let scope: Scope | null = this.#context.sourceCode.getScope(identifier); scope !== null; scope = scope.upper) {
      const variable = scope.set.get(identifier.name);
      if (variable !== undefined) return variable;
    }
    return null;
  }

  /** Whether the function is annotated to return an operation: `Coroutine<…>`, `Operation<…>`. */
  returnsOperation(fn: { readonly returnType?: { readonly typeAnnotation: Node } | null }): "yes" | "no" | "unknown" {
    const type = fn.returnType?.typeAnnotation;
    if (type === undefined) return "unknown";
    if (type.type !== "TSTypeReference") return "no";
    return this.isExport(type.typeName, "Coroutine") || this.isExport(type.typeName, "Operation") ? "yes" : "no";
  }

  /** The children of a node, in the order of the text. */
  children(node: Node): readonly Node[] {
    const keys = this.#context.sourceCode.visitorKeys[node.type] ?? [];
    return keys.flatMap((key) => {
      const child = (node as unknown as Record<string, Node | null | undefined | readonly (Node | null)[]>)[key];
      if (child === null || child === undefined) return [];
      return "type" in child ? [child] : child.filter((it) => it !== null);
    });
  }

  #find(expression: Node): Meaning | null {
    const node = bare(expression);
    if (node !== expression) return this.#asserted(expression) ?? this.of(node);
    switch (node.type) {
      case "Identifier":
        return this.#identifier(node);
      case "FunctionExpression":
      case "FunctionDeclaration":
      case "ArrowFunctionExpression":
        return this.#function(node, node.id?.name ?? "");
      case "ClassDeclaration":
      case "ClassExpression":
        return { kind: "local class", node };
      case "CallExpression":
        return this.#call(node);
      case "NewExpression":
        return this.#new(node.callee);
      case "MemberExpression":
        return this.#member(node);
      case "ThisExpression": {
        const home = classAround(node);
        return home === null ? null : { kind: home.isStatic ? "local class" : "local instance", node: home.node };
      }
      case "YieldExpression":
        return node.delegate && node.argument !== null ? this.#yielded(node.argument) : null;
      case "AwaitExpression": {
        const { argument } = node;
        if (argument.type !== "ImportExpression" || argument.source.type !== "Literal") return null;
        return moduleMeaning(this.#module(argument.source.value));
      }
      case "ImportExpression":
        return PROMISE;
      case "AssignmentExpression":
        return node.operator === "=" ? this.of(node.right) : null;
      default:
        return null;
    }
  }

  #identifier(node: Identifier): Meaning | null {
    const variable = this.variable(node);
    const definition = variable?.defs.find((it) => it.node.type !== ("TSDeclareFunction" as string));
    if (variable === null || definition === undefined) return null;
    switch (definition.type) {
      case "ImportBinding": {
        const surface = this.#importedFrom(definition);
        if (surface === null) return isDelegatedTo(variable) ? { kind: "maker", isGuess: true } : null;
        if (definition.node.type !== "ImportSpecifier") return moduleMeaning(surface);
        return exportMeaning(surface, importedName(definition.node.imported));
      }
      case "FunctionName":
      case "ClassName":
        return this.of(definition.node);
      case "Variable": {
        if (variable.references.some((it) => it.isWrite() && it.init !== true)) return null;
        if (definition.node.type !== "VariableDeclarator") return null;
        const { id, init } = definition.node;
        if (id.type === "Identifier") return this.#annotated(id) ?? (init === null ? null : this.of(init));
        return init === null ? null : this.#destructured(id, init, node.name);
      }
      case "Parameter":
        return variable.references.some((it) => it.isWrite() && it.init !== true)
          ? null
          : this.#parameter(definition, node.name);
      default:
        return null;
    }
  }

  #destructured(pattern: Node, init: Node, name: string): Meaning | null {
    if (pattern.type !== "ObjectPattern") return null;
    const source = this.of(init);
    for (const property of pattern.properties) {
      if (property.type !== "Property") continue;
      const target = property.value.type === "AssignmentPattern" ? property.value.left : property.value;
      if (target.type !== "Identifier" || target.name !== name) continue;
      const key = keyName(property.key, property.computed);
      return key === null ? null : this.#property(source, key);
    }
    return null;
  }

  #parameter({ node: fn }: Definition, name: string): Meaning | null {
    if (!isFunction(fn)) return null;
    for (const [at, param] of fn.params.entries()) {
      const target = param.type === "AssignmentPattern" ? param.left : param;
      if (target.type !== "Identifier" || target.name !== name) continue;
      return this.#annotated(target) ?? this.#given(fn, at);
    }
    return null;
  }

  /** What a function that is passed to Fibril is called with: the scope of `scope(function* (scope) {…})`. */
  #given(fn: FunctionNode, at: number): Meaning | null {
    const call = fn.parent;
    if (call?.type !== "CallExpression") return null;
    const body = this.#bodyArguments(call).find((it) => call.arguments[it.at] === fn);
    const name = body?.gives?.[at];
    return name === null || name === undefined ? null : { kind: "instance", name };
  }

  #annotated(target: Identifier): Meaning | null {
    const type = target.typeAnnotation?.typeAnnotation;
    return type === undefined ? null : this.#type(type);
  }

  #asserted(node: Node): Meaning | null {
    return "typeAnnotation" in node && node.type !== "TSTypeAnnotation"
      ? this.#type(node.typeAnnotation as Node)
      : null;
  }

  #type(type: Node): Meaning | null {
    if (type.type === "TSFunctionType")
      return this.returnsOperation(type) === "yes" ? { kind: "maker", isGuess: false } : null;
    if (type.type !== "TSTypeReference") return null;
    const named =
      type.typeName.type === "Identifier" ? this.#identifier(type.typeName) : this.#qualified(type.typeName);
    if (named?.kind === "class") return { kind: "instance", name: named.name };
    return named?.kind === "local class" ? { kind: "local instance", node: named.node } : null;
  }

  #qualified(name: Node): Meaning | null {
    if (name.type !== "TSQualifiedName") return null;
    const home = this.of(name.left);
    return this.#property(home, name.right.name);
  }

  #function(node: FunctionNode, name: string): Meaning | null {
    if (node.async) return { kind: "async", node };
    if (node.generator) return { kind: "generator", node };
    const annotated = this.returnsOperation(node);
    const makes = annotated === "unknown" ? this.#makesOperation(node) : annotated === "yes" && !ASKING.test(name);
    return makes ? { kind: "maker", isGuess: false } : null;
  }

  /** Whether all that the function does is to make an operation: `() => sleep(5)`. */
  #makesOperation({ body }: FunctionNode): boolean {
    if (body.type !== "BlockStatement") return this.#isMade(body);
    const [only, ...rest] = body.body;
    return (
      only?.type === "ReturnStatement" && rest.length === 0 && only.argument !== null && this.#isMade(only.argument)
    );
  }

  #isMade(node: Node): boolean {
    return this.isLazyOperation(node) && !this.isGuess(node);
  }

  #call(node: CallExpression): Meaning | null {
    const callee = this.of(node.callee);
    switch (callee?.kind) {
      case "function": {
        const { operation, promise, value } = callee.call;
        if (callee.name === "use") return { ...OPERATION, ...this.#used(node.arguments[0]) };
        if (operation !== undefined) {
          return { kind: "operation", begun: operation === "begun", ...(value === undefined ? {} : { value }) };
        }
        if (promise === true) return PROMISE;
        return value === undefined ? null : { kind: "instance", name: value };
      }
      case "identity": {
        const last = node.arguments.at(-1);
        return last === undefined ? null : this.of(last);
      }
      case "generator":
        return { ...OPERATION, by: callee.node };
      case "maker":
        return { ...OPERATION, isGuess: callee.isGuess };
      case "async":
        return callee.node.generator ? null : PROMISE;
      default:
        return this.#isPromiseOfHost(node) ? PROMISE : null;
    }
  }

  /** `use(lock)` gives the lock, `use(connect())` what the operation gives. */
  #used(argument: Node | undefined): { readonly value?: string } {
    const meaning = argument === undefined ? null : this.of(argument);
    if (meaning?.kind === "instance") return { value: meaning.name };
    return meaning?.kind === "operation" && meaning.value !== undefined ? { value: meaning.value } : {};
  }

  #isPromiseOfHost({ callee }: CallExpression): boolean {
    if (callee.type === "Identifier") return callee.name === "fetch" && isGlobal(this.variable(callee));
    if (callee.type !== "MemberExpression" || callee.object.type !== "Identifier") return false;
    return callee.object.name === "Promise" && isGlobal(this.variable(callee.object));
  }

  #new(callee: Node): Meaning | null {
    const meaning = this.of(callee);
    if (meaning?.kind === "class") return { kind: "instance", name: meaning.name };
    if (meaning?.kind === "local class") return { kind: "local instance", node: meaning.node };
    return callee.type === "Identifier" && callee.name === "Promise" && isGlobal(this.variable(callee))
      ? PROMISE
      : null;
  }

  #yielded(argument: Node): Meaning | null {
    const meaning = this.of(argument);
    if (meaning?.kind !== "operation" || meaning.value === undefined) return null;
    return { kind: "instance", name: meaning.value };
  }

  #member(node: MemberExpression): Meaning | null {
    const home = this.of(node.object);
    const key = keyName(node.property, node.computed);
    return key === null ? null : this.#property(home, key);
  }

  #property(home: Meaning | null, key: string): Meaning | null {
    switch (home?.kind) {
      case "module":
        return exportMeaning(home.surface, key);
      case "class":
        return callMeaning(key, own(classSurface(home.name).statics, key));
      case "instance": {
        const { methods, properties } = classSurface(home.name);
        const name = own(properties, key);
        return name === undefined ? callMeaning(key, own(methods, key)) : { kind: "instance", name };
      }
      case "local class":
        return this.#ownMember(home.node, key, true);
      case "local instance":
        return this.#ownMember(home.node, key, false) ?? this.#property(this.#parentOf(home.node), key);
      default:
        return null;
    }
  }

  #ownMember({ body }: ClassNode, key: string, isStatic: boolean): Meaning | null {
    for (const member of body.body) {
      if (member.type !== "MethodDefinition" && member.type !== "PropertyDefinition") continue;
      if (member.static !== isStatic || keyName(member.key, member.computed) !== key) continue;
      if (member.type === "PropertyDefinition") {
        const type = member.typeAnnotation?.typeAnnotation;
        const annotated = type === undefined ? null : this.#type(type);
        return annotated ?? (member.value === null ? null : this.of(member.value));
      }
      if (member.kind !== "method" || !isFunction(member.value)) return null;
      return this.#function(member.value, key);
    }
    return null;
  }

  /** What an object of the class is by its parent. */
  #parentOf({ superClass, range }: ClassNode): Meaning | null {
    const parent = superClass === null ? null : this.of(superClass);
    if (parent?.kind === "class") return { kind: "instance", name: parent.name };
    // One that comes later in the text cannot be extended yet; without this check, wrong programs would never end.
    const isEarlier = parent?.kind === "local class" && parent.node.range[0] < range[0];
    return isEarlier ? { kind: "local instance", node: parent.node } : null;
  }

  /** Whether the class extends `Wait`, so that its objects are operations. */
  #isWait(node: ClassNode): boolean {
    const parent = this.#parentOf(node);
    if (parent?.kind === "local instance") return this.#isWait(parent.node);
    return parent?.kind === "instance" && classSurface(parent.name).isOperation === true;
  }

  #bodyArguments(call: CallExpression): readonly BodyArgument[] {
    const callee = this.of(call.callee);
    if (callee?.kind === "identity") return [{ at: call.arguments.length - 1 }];
    const overloads = callee?.kind === "function" ? (callee.call.bodies ?? []) : [];
    // spawn(fn, …) or spawn(options, fn, …): what is passed first decides.
    const first = call.arguments[0] === undefined ? null : bare(call.arguments[0]);
    const isOptions =
      first?.type === "ObjectExpression" || first?.type === "Literal" || first?.type === "TemplateLiteral";
    const isFirst = (body: BodyArgument): boolean => body.at === 0 && body.isList !== true;
    const isChosen = (bodies: readonly BodyArgument[]): boolean => bodies.some(isFirst) !== isOptions;
    return overloads.length < 2 || overloads.flat().every((it) => it.at === 0)
      ? overloads.flat()
      : (overloads.find(isChosen) ?? []);
  }

  #importedFrom(definition: Definition): ModuleSurface | null {
    const declaration = definition.parent ?? definition.node.parent;
    return declaration?.type === "ImportDeclaration" ? this.#module(declaration.source.value) : null;
  }

  #module(specifier: unknown): ModuleSurface | null {
    if (typeof specifier !== "string") return null;
    return moduleSurface(specifier) ?? (this.#passedOn.some((it) => it.test(specifier)) ? everything() : null);
  }
}

/** `settings.fibril.modules`: patterns of modules that pass Fibril's exports on under the same names. */
function modulesPassedOn(settings: Readonly<Record<string, unknown>>): RegExp[] {
  const { modules } = (settings["fibril"] ?? {}) as { modules?: unknown };
  return Array.isArray(modules) ? modules.map((pattern) => new RegExp(String(pattern))) : [];
}

function moduleMeaning(surface: ModuleSurface | null): Meaning | null {
  return surface === null ? null : { kind: "module", surface };
}

function exportMeaning(surface: ModuleSurface, name: string): Meaning | null {
  if (name === "coroutine") return { kind: "identity" };
  const named = own(surface.classes, name);
  return named === undefined ? callMeaning(name, own(surface.functions, name)) : { kind: "class", name: named };
}

function callMeaning(name: string, call: CallSurface | undefined): Meaning | null {
  return call === undefined ? null : { kind: "function", name, call };
}

function importedName(imported: Node | undefined): string {
  if (imported?.type === "Identifier") return imported.name;
  return imported?.type === "Literal" ? String(imported.value) : "default";
}

/** Whether somewhere in the file stands `yield* name(…)`. */
function isDelegatedTo(variable: Variable): boolean {
  return variable.references.some(({ identifier }) => {
    const call = identifier.parent;
    if (call?.type !== "CallExpression" || call.callee !== identifier) return false;
    return call.parent?.type === "YieldExpression" && call.parent.delegate;
  });
}

function isGlobal(variable: Variable | null): boolean {
  return variable === null || variable.defs.length === 0;
}

/** The class whose object `this` is; `null` in a function of its own. */
function classAround(node: Node): { readonly node: ClassNode; readonly isStatic: boolean } | null {
  for (let at = node.parent; at !== null; at = at.parent) {
    const isBody = at.type === "FunctionExpression" && at.parent?.type === "MethodDefinition";
    if (at.type === "MethodDefinition" || at.type === "PropertyDefinition") {
      const home = at.parent?.parent;
      const isClass = home?.type === "ClassDeclaration" || home?.type === "ClassExpression";
      return isClass ? { node: home, isStatic: at.static } : null;
    }
    if (
      at.type === "StaticBlock" ||
      ((at.type === "FunctionExpression" || at.type === "FunctionDeclaration") && !isBody)
    ) {
      return null;
    }
  }
  return null;
}
