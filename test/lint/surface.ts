/**
 * Derives from the sources what the lint rules know of Fibril's exports (`src/lint/surface-data.ts`).
 *
 * It reads the annotations of everything that the entries of the package export: what returns `Operation` or `Coroutine`
 * is an operation, a parameter that takes one is a body. What is called `close` or the like, or says in its docstring that
 * something happens "by the call" or "with the call", has begun before anybody waits for it; a generator never has.
 *
 * Run it to write the file: `node test/lint/surface.ts`.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseSync } from "oxc-parser";
import type { BodyArgument, CallSurface, ClassSurface, ModuleSurface } from "../../src/lint/surface.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const target = join(root, "src/lint/surface-data.ts");
/** Folders that the main entry collects. They count before their line is in `src/index.ts`. */
const MAIN_FOLDERS = ["sync", "time", "combine", "channels"];
const BEGUN = /\b(?:made|begun|begins|asked|sent|starts|closes|closed|happens|done)\b[^.]*\b(?:by|with) the call\b/i;

const ASKING = /^(?:cancel|close|abort|stop|shutdown|kill)$/;

// oxlint-disable-next-line typescript/no-explicit-any -- the syntax tree of any file, read by shape
type Syntax = any;
interface Declared {
  readonly file: string;
  readonly node: Syntax;
  readonly doc: string;
}

export interface Surface {
  readonly modules: Record<string, ModuleSurface>;
  readonly classes: Record<string, ClassSurface>;
}

/** What the sources say now. */
export function deriveSurface(): Surface {
  const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    exports: Record<string, string | { "fibril-source": string }>;
  };
  const derived = new Derivation();
  const modules: Record<string, ModuleSurface> = {};
  for (const [subpath, entry] of Object.entries(exports)) {
    if (typeof entry === "string" || subpath === "./lint") continue;
    const file = join(root, entry["fibril-source"]);
    const files = subpath === "." ? [file, ...MAIN_FOLDERS.map((it) => join(root, `src/${it}/index.ts`))] : [file];
    modules[`fibril${subpath.slice(1)}`] = derived.module(files.filter((it) => existsSync(it)));
  }
  return { modules, classes: derived.prunedClasses(modules) };
}

class Derivation {
  readonly #files = new Map<string, { program: Syntax; comments: Syntax[]; text: string }>();
  readonly #classes = new Map<string, { declared: Declared; surface: ClassSurface }>();

  module(files: readonly string[]): ModuleSurface {
    const functions: Record<string, CallSurface> = {};
    const classes: Record<string, string> = {};
    for (const name of [...new Set(files.flatMap((file) => this.#exportedNames(file)))].sort()) {
      const found = files.flatMap((file) => this.#exported(file, name));
      const kinds = found.filter(({ node }) => isCallable(node));
      if (kinds.length > 0) {
        const call = this.#call(kinds);
        if (call !== null) functions[name] = call;
      } else if (found[0] !== undefined && isClassLike(found[0].node)) {
        classes[name] = this.#class(found[0]);
      }
    }
    return { functions, classes };
  }

  /** The classes that say something, or lead to one that does. */
  prunedClasses(modules: Record<string, ModuleSurface>): Record<string, ClassSurface> {
    const telling = new Set<string>();
    const isTelling = (it: ClassSurface): boolean =>
      it.isOperation === true ||
      Object.values({ ...it.statics, ...it.methods }).some(
        ({ operation, promise, bodies, value }) =>
          operation ?? promise ?? bodies ?? (value !== undefined && telling.has(value)),
      ) ||
      Object.values(it.properties ?? {}).some((name) => telling.has(name));
    for (let before = -1; before < telling.size;) {
      before = telling.size;
      for (const [name, { surface }] of this.#classes) if (isTelling(surface)) telling.add(name);
    }
    for (const { classes } of Object.values(modules)) {
      for (const [name, target] of Object.entries(classes)) {
        if (!telling.has(target)) delete (classes as Record<string, string>)[name];
      }
    }
    const dropped = (name: string | undefined): boolean => name !== undefined && !telling.has(name);
    const entries = [...this.#classes].filter(([name]) => telling.has(name)).sort(([a], [b]) => (a < b ? -1 : 1));
    const text = JSON.stringify(Object.fromEntries(entries.map(([name, { surface }]) => [name, surface])));
    const cleaned = JSON.parse(text, (key, value: unknown) =>
      key === "value" && dropped(value as string) ? undefined : value,
    ) as Record<string, { properties?: Record<string, string> }>;
    for (const { properties } of Object.values(cleaned)) {
      for (const [name, value] of Object.entries(properties ?? {})) if (dropped(value)) delete properties![name];
    }
    for (const { functions } of Object.values(modules)) {
      for (const [name, call] of Object.entries(functions)) {
        if (!dropped(call.value)) continue;
        const { value: _, ...rest } = call;
        if (Object.keys(rest).length > 0) (functions as Record<string, CallSurface>)[name] = rest;
        else delete (functions as Record<string, CallSurface>)[name];
      }
    }
    const isEmpty = (value: unknown): boolean =>
      typeof value === "object" && value !== null && !Array.isArray(value) && Object.keys(value).length === 0;
    const withoutEmpty = JSON.stringify(cleaned, (_, value: unknown) =>
      typeof value === "object" && value !== null && !Array.isArray(value)
        ? Object.fromEntries(Object.entries(value).filter(([, it]) => !isEmpty(it)))
        : value,
    );
    return JSON.parse(withoutEmpty) as Record<string, ClassSurface>;
  }

  /** One surface for all overloads. */
  #call(overloads: readonly Declared[]): CallSurface | null {
    const signatures =
      overloads.length > 1 ? overloads.filter(({ node }) => isAbsent(functionOf(node).body)) : overloads;
    const shown = signatures.length > 0 ? signatures : overloads;
    const surface: { -readonly [Key in keyof CallSurface]: CallSurface[Key] } = {};
    const bodies: BodyArgument[][] = [];
    for (const { file, node } of shown) {
      const fn = functionOf(node);
      const params = typeParams(fn);
      const returned = this.#type(file, fn.returnType?.typeAnnotation, params);
      if (returned.operation) surface.operation = "lazy";
      else if (returned.promise) surface.promise = true;
      if (returned.value !== undefined) surface.value = returned.value;
      const own = (fn.params as Syntax[]).flatMap((param, at) => {
        const { typeAnnotation, isRest } = annotationOf(param);
        const body = isRest ? null : this.#body(file, typeAnnotation, params);
        return body === null ? [] : [{ at, ...body }];
      });
      if (own.length > 0) bodies.push(own);
    }
    if (surface.operation !== undefined && overloads.some(isBegun)) surface.operation = "begun";
    if (bodies.length > 0) surface.bodies = dedupe(bodies);
    return Object.keys(surface).length === 0 ? null : surface;
  }

  /** What a type says of a value that is returned. */
  #type(
    file: string,
    type: Syntax,
    params: ReadonlyMap<string, Syntax>,
    depth = 0,
  ): { operation: boolean; promise: boolean; value?: string } {
    const nothing = { operation: false, promise: false };
    if (isAbsent(type) || depth > 6) return nothing;
    if (type.type === "TSUnionType") {
      const parts = (type.types as Syntax[]).map((it) => this.#type(file, it, params, depth + 1));
      const value = parts.find((it) => it.value !== undefined)?.value;
      return {
        operation: parts.some((it) => it.operation),
        promise: parts.some((it) => it.promise),
        ...(value === undefined ? {} : { value }),
      };
    }
    if (type.type !== "TSTypeReference") return nothing;
    const name = nameOf(type.typeName);
    const [argument] = (type.typeArguments?.params ?? []) as Syntax[];
    if (name === "Operation" || name === "Coroutine") {
      const { value } = this.#type(file, argument, params, depth + 1);
      return { operation: true, promise: false, ...(value === undefined ? {} : { value }) };
    }
    if (name === "Promise" || name === "PromiseLike") return { operation: false, promise: true };
    if (params.has(name)) return nothing;
    const declared = this.#resolve(file, name);
    if (declared === null) return nothing;
    if (isClassLike(declared.node)) return { ...nothing, value: this.#class(declared) };
    if (declared.node.type !== "TSTypeAliasDeclaration") return nothing;
    return this.#type(declared.file, declared.node.typeAnnotation, typeParams(declared.node), depth + 1);
  }

  /** Whether a parameter of this type takes a coroutine. */
  #body(
    file: string,
    type: Syntax,
    params: ReadonlyMap<string, Syntax>,
    depth = 0,
  ): { isList?: true; gives?: (string | null)[] } | null {
    if (isAbsent(type) || depth > 8) return null;
    const inner = (it: Syntax): { isList?: true; gives?: (string | null)[] } | null =>
      this.#body(file, it, params, depth + 1);
    switch (type.type) {
      case "TSUnionType": {
        if ((type.types as Syntax[]).some((it) => this.#mentionsPromise(file, it, params))) return null;
        const found = (type.types as Syntax[]).map(inner).filter((it) => it !== null);
        return found.find((it) => it.gives !== undefined) ?? found[0] ?? null;
      }
      case "TSParenthesizedType":
        return inner(type.typeAnnotation);
      case "TSTypeOperator":
        return inner(type.typeAnnotation);
      case "TSArrayType":
        return inner(type.elementType) === null ? null : { isList: true };
      case "TSFunctionType": {
        const returned = this.#type(file, type.returnType?.typeAnnotation, params);
        if (!returned.operation || this.#mentionsPromise(file, type.returnType?.typeAnnotation, params)) return null;
        const gives = (type.params as Syntax[]).map(
          (param) => this.#type(file, annotationOf(param).typeAnnotation, params).value ?? null,
        );
        return gives.some((it) => it !== null) ? { gives } : {};
      }
      case "TSTypeReference": {
        const name = nameOf(type.typeName);
        const args = (type.typeArguments?.params ?? []) as Syntax[];
        if (name === "Operation" || name === "Coroutine") return {};
        if (name === "Readonly" || name === "NoInfer") return inner(args[0]);
        if (name === "Record") return inner(args[1]) === null ? null : { isList: true };
        if (name === "Iterable" || name === "ReadonlyArray" || name === "Array") {
          return inner(args[0]) === null ? null : { isList: true };
        }
        if (params.has(name)) return isAbsent(params.get(name)) ? null : inner(params.get(name));
        const declared = this.#resolve(file, name);
        if (declared?.node.type !== "TSTypeAliasDeclaration") return null;
        return this.#body(declared.file, declared.node.typeAnnotation, typeParams(declared.node), depth + 1);
      }
      default:
        return null;
    }
  }

  #mentionsPromise(file: string, type: Syntax, params: ReadonlyMap<string, Syntax>): boolean {
    if (isAbsent(type)) return false;
    if (type.type === "TSUnionType") {
      return (type.types as Syntax[]).some((it) => this.#mentionsPromise(file, it, params));
    }
    if (type.type === "TSParenthesizedType") return this.#mentionsPromise(file, type.typeAnnotation, params);
    if (type.type === "TSFunctionType") return this.#mentionsPromise(file, type.returnType?.typeAnnotation, params);
    return this.#type(file, type, params).promise;
  }

  #class(declared: Declared): string {
    const bare = declared.node.id.name as string;
    const taken = this.#classes.get(bare);
    // A second one of the same name is told apart by its file.
    const isSecond = taken !== undefined && taken.declared.file !== declared.file;
    const name = isSecond ? `${bare} of ${declared.file.slice(root.length)}` : bare;
    if (this.#classes.has(name)) return name;
    const surface: { -readonly [Key in keyof ClassSurface]: ClassSurface[Key] } = {};
    this.#classes.set(name, { declared, surface });
    const parents = [declared.node.superClass, ...(declared.node.extends ?? []).map((it: Syntax) => it.expression)];
    for (const parent of parents) {
      const base = parent?.type === "Identifier" ? this.#resolve(declared.file, parent.name) : null;
      if (base !== null && isClassLike(base.node)) merge(surface, this.#classes.get(this.#class(base))!.surface);
    }
    const methods = new Map<string, Declared[]>();
    for (const member of declared.node.body.body as Syntax[]) this.#member(declared, member, surface, methods);
    for (const [key, overloads] of methods) {
      const call = this.#call(overloads);
      const isStatic = key.startsWith("static ");
      const plain = key.replace("static ", "");
      const place = isStatic ? "statics" : "methods";
      if (call !== null) surface[place] = { ...surface[place], [plain]: call };
    }
    return name;
  }

  #member(
    { file }: Declared,
    member: Syntax,
    surface: { -readonly [Key in keyof ClassSurface]: ClassSurface[Key] },
    methods: Map<string, Declared[]>,
  ): void {
    const doc = this.#doc(file, member);
    const text = this.#parse(file).text.slice(member.start, member.end);
    if (member.computed === true) {
      if (text.startsWith("[Symbol.iterator]") && /\bSuspend\b|\): this\b/.test(text.split("{")[0]!)) {
        surface.isOperation = true;
      }
      return;
    }
    if (member.key === undefined || member.key.type === "PrivateIdentifier" || /@internal/.test(doc)) return;
    if (member.accessibility === "private" || member.accessibility === "protected") return;
    const key = member.key.name as string;
    if (key === "then") surface.isAwaitable = true;
    const isMethod = member.type === "TSMethodSignature" || member.kind === "method";
    if (isMethod && key !== "then") {
      const at = member.static === true ? `static ${key}` : key;
      methods.set(at, [...(methods.get(at) ?? []), { file, node: member, doc }]);
      return;
    }
    const type = (member.typeAnnotation ?? member.value?.returnType)?.typeAnnotation;
    if (member.kind === "constructor" || member.kind === "set" || member.static === true || isAbsent(type)) return;
    const { value, operation } = this.#type(file, type, new Map());
    if (value !== undefined && !operation) surface.properties = { ...surface.properties, [key]: value };
  }

  #parse(file: string): { program: Syntax; comments: Syntax[]; text: string } {
    let parsed = this.#files.get(file);
    if (parsed === undefined) {
      const text = readFileSync(file, "utf8");
      const { program, comments } = parseSync(file, text);
      this.#files.set(file, (parsed = { program, comments, text }));
    }
    return parsed;
  }

  #doc(file: string, node: Syntax): string {
    const { comments, text } = this.#parse(file);
    const before = comments.filter((it) => it.end <= node.start).at(-1);
    return before !== undefined && text.slice(before.end, node.start).trim() === "" ? String(before.value) : "";
  }

  #exportedNames(file: string): string[] {
    return (this.#parse(file).program.body as Syntax[]).flatMap((it) =>
      it.type !== "ExportNamedDeclaration"
        ? []
        : isAbsent(it.declaration)
          ? (it.specifiers as Syntax[]).map((specifier) => nameOf(specifier.exported))
          : declaredNames(it.declaration),
    );
  }

  /** The declarations (several for overloads) behind an export. */
  #exported(file: string, name: string): Declared[] {
    for (const it of this.#parse(file).program.body as Syntax[]) {
      if (it.type !== "ExportNamedDeclaration" || !isAbsent(it.declaration)) continue;
      const specifier = (it.specifiers as Syntax[]).find((one) => nameOf(one.exported) === name);
      if (specifier === undefined) continue;
      const local = nameOf(specifier.local);
      if (isAbsent(it.source)) return this.#declared(file, local);
      return this.#exported(join(dirname(file), it.source.value), local);
    }
    return this.#declared(file, name);
  }

  #declared(file: string, name: string): Declared[] {
    return (this.#parse(file).program.body as Syntax[]).flatMap((it) => {
      const node = it.type === "ExportNamedDeclaration" ? it.declaration : it;
      if (isAbsent(node) || !declaredNames(node).includes(name)) return [];
      return [{ file, node, doc: this.#doc(file, it) }];
    });
  }

  /** What a name in a file means: its own declaration, or that of what it imports. */
  #resolve(file: string, name: string): Declared | null {
    const [own] = this.#declared(file, name);
    if (own !== undefined) return own;
    for (const it of this.#parse(file).program.body as Syntax[]) {
      if (it.type !== "ImportDeclaration" || !String(it.source.value).startsWith(".")) continue;
      const specifier = (it.specifiers as Syntax[]).find((one) => one.local.name === name);
      if (specifier?.type !== "ImportSpecifier") continue;
      return this.#exported(join(dirname(file), it.source.value), nameOf(specifier.imported))[0] ?? null;
    }
    return null;
  }
}

function declaredNames(node: Syntax): string[] {
  if (node.type === "VariableDeclaration") return (node.declarations as Syntax[]).map((it) => nameOf(it.id));
  return node.id?.name === undefined ? [] : [node.id.name];
}

function isClassLike(node: Syntax): boolean {
  return node.type === "ClassDeclaration" || node.type === "TSInterfaceDeclaration";
}

function isCallable(node: Syntax): boolean {
  return functionOf(node) !== null;
}

function functionOf(node: Syntax): Syntax {
  switch (node.type) {
    case "FunctionDeclaration":
    case "TSDeclareFunction":
    case "TSMethodSignature":
      return node;
    case "MethodDefinition":
    case "TSAbstractMethodDefinition":
      return node.value;
    case "VariableDeclaration": {
      const init = node.declarations[0]?.init;
      return init?.type === "ArrowFunctionExpression" || init?.type === "FunctionExpression" ? init : null;
    }
    default:
      return null;
  }
}

function typeParams(node: Syntax): Map<string, Syntax> {
  const params = (node.typeParameters?.params ?? []) as Syntax[];
  return new Map(params.map((it) => [nameOf(it.name), it.constraint]));
}

function annotationOf(param: Syntax): { typeAnnotation: Syntax; isRest: boolean } {
  if (param.type === "RestElement") return { typeAnnotation: param.typeAnnotation?.typeAnnotation, isRest: true };
  const target = param.type === "AssignmentPattern" ? param.left : param;
  return { typeAnnotation: target.typeAnnotation?.typeAnnotation, isRest: false };
}

function nameOf(node: Syntax): string {
  return typeof node === "string" ? node : (node?.name ?? node?.value ?? node?.right?.name ?? "");
}

function merge(into: { -readonly [Key in keyof ClassSurface]: ClassSurface[Key] }, from: ClassSurface): void {
  into.methods = { ...from.methods };
  into.properties = { ...from.properties };
  if (from.isOperation) into.isOperation = true;
  if (from.isAwaitable) into.isAwaitable = true;
}

/** The docstring says so; or it is called `close` or the like and is no generator, whose body waits to be run. */
function isBegun({ node, doc }: Declared): boolean {
  if (functionOf(node).generator === true) return false;
  return BEGUN.test(doc) || ASKING.test(nameOf(node.key ?? node.id));
}

/** ESTree has `null` in some places where others have nothing. */
function isAbsent(node: Syntax): boolean {
  return node === null || node === undefined;
}

function dedupe<T>(list: readonly T[]): T[] {
  const seen = new Set<string>();
  return list.filter((it) => !seen.has(JSON.stringify(it)) && seen.add(JSON.stringify(it)));
}

function write({ modules, classes }: Surface): void {
  const text = `/** Written by test/lint/surface.ts from the sources; do not edit. */
import type { ClassSurface, ModuleSurface } from "./surface.ts";

export const MODULES: Readonly<Record<string, ModuleSurface>> = ${JSON.stringify(modules)};

export const CLASSES: Readonly<Record<string, ClassSurface>> = ${JSON.stringify(classes)};
`;
  writeFileSync(target, text);
  spawnSync(process.execPath, [join(root, "node_modules/oxfmt/bin/oxfmt"), target], { cwd: root, stdio: "inherit" });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) write(deriveSurface());
