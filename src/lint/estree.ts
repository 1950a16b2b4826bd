// oxlint-disable typescript/switch-exhaustiveness-check -- nodes and meanings that a rule does not know are passed over
/**
 * The part of ESTree and of TypeScript's additions that the rules look at.
 *
 * Written down here instead of imported, so that the plugin has no dependencies, not even of types. A node of a kind that
 * is not listed never equals one of these `type`s at run time and is passed over.
 */
interface Place {
  readonly range: readonly [number, number];
  readonly parent: Node | null;
}

export interface Program extends Place {
  readonly type: "Program";
  readonly body: readonly Node[];
}

export interface Identifier extends Place {
  readonly type: "Identifier";
  readonly name: string;
  readonly typeAnnotation?: TypeAnnotation | null;
}

export interface PrivateIdentifier extends Place {
  readonly type: "PrivateIdentifier";
  readonly name: string;
}

export interface Literal extends Place {
  readonly type: "Literal";
  readonly value: unknown;
}

export interface TemplateLiteral extends Place {
  readonly type: "TemplateLiteral";
}

interface AnyFunction extends Place {
  readonly params: readonly Node[];
  readonly generator: boolean;
  readonly async: boolean;
  readonly returnType?: TypeAnnotation | null;
}

export interface FunctionDeclaration extends AnyFunction {
  readonly type: "FunctionDeclaration";
  readonly id: Identifier | null;
  readonly body: BlockStatement;
}

export interface FunctionExpression extends AnyFunction {
  readonly type: "FunctionExpression";
  readonly id: Identifier | null;
  readonly body: BlockStatement;
}

export interface ArrowFunctionExpression extends AnyFunction {
  readonly type: "ArrowFunctionExpression";
  readonly id?: null;
  readonly body: Node;
}

export type FunctionNode = FunctionDeclaration | FunctionExpression | ArrowFunctionExpression;

export interface ClassNode extends Place {
  readonly type: "ClassDeclaration" | "ClassExpression";
  readonly id: Identifier | null;
  readonly superClass: Node | null;
  readonly body: ClassBody;
}

export interface ClassBody extends Place {
  readonly type: "ClassBody";
  readonly body: readonly Node[];
}

export interface MethodDefinition extends Place {
  readonly type: "MethodDefinition";
  readonly key: Node;
  readonly kind: string;
  readonly computed: boolean;
  readonly static: boolean;
  readonly value: Node;
}

export interface PropertyDefinition extends Place {
  readonly type: "PropertyDefinition";
  readonly key: Node;
  readonly computed: boolean;
  readonly static: boolean;
  readonly value: Node | null;
  readonly typeAnnotation?: TypeAnnotation | null;
}

export interface CallExpression extends Place {
  readonly type: "CallExpression";
  readonly callee: Node;
  readonly arguments: readonly Node[];
  readonly optional?: boolean;
}

export interface NewExpression extends Place {
  readonly type: "NewExpression";
  readonly callee: Node;
  readonly arguments: readonly Node[];
}

export interface MemberExpression extends Place {
  readonly type: "MemberExpression";
  readonly object: Node;
  readonly property: Node;
  readonly computed: boolean;
}

export interface YieldExpression extends Place {
  readonly type: "YieldExpression";
  readonly delegate: boolean;
  readonly argument: Node | null;
}

export interface AwaitExpression extends Place {
  readonly type: "AwaitExpression";
  readonly argument: Node;
}

export interface ImportExpression extends Place {
  readonly type: "ImportExpression";
  readonly source: Node;
}

export interface UnaryExpression extends Place {
  readonly type: "UnaryExpression";
  readonly operator: string;
  readonly argument: Node;
}

/** `&&`, `||`, `??`, and the binary operators. */
export interface BinaryNode extends Place {
  readonly type: "LogicalExpression" | "BinaryExpression";
  readonly operator: string;
  readonly left: Node;
  readonly right: Node;
}

export interface AssignmentExpression extends Place {
  readonly type: "AssignmentExpression";
  readonly operator: string;
  readonly left: Node;
  readonly right: Node;
}

export interface ConditionalExpression extends Place {
  readonly type: "ConditionalExpression";
  readonly test: Node;
  readonly consequent: Node;
  readonly alternate: Node;
}

export interface SequenceExpression extends Place {
  readonly type: "SequenceExpression";
  readonly expressions: readonly Node[];
}

export interface ArrayExpression extends Place {
  readonly type: "ArrayExpression";
  readonly elements: readonly (Node | null)[];
}

export interface ArrayPattern extends Place {
  readonly type: "ArrayPattern";
  readonly elements: readonly (Node | null)[];
}

export interface ObjectNode extends Place {
  readonly type: "ObjectExpression" | "ObjectPattern";
  readonly properties: readonly Node[];
}

export interface Property extends Place {
  readonly type: "Property";
  readonly key: Node;
  readonly value: Node;
  readonly kind: string;
  readonly computed: boolean;
}

export interface AssignmentPattern extends Place {
  readonly type: "AssignmentPattern";
  readonly left: Node;
  readonly right: Node;
}

/** What stands around an expression without changing its value. */
export interface Wrapped extends Place {
  readonly type: "ChainExpression" | "ParenthesizedExpression" | "TSNonNullExpression" | "TSInstantiationExpression";
  readonly expression: Node;
}

export interface Asserted extends Place {
  readonly type: "TSAsExpression" | "TSSatisfiesExpression" | "TSTypeAssertion";
  readonly expression: Node;
  readonly typeAnnotation: Node;
}

export interface ExpressionStatement extends Place {
  readonly type: "ExpressionStatement";
  readonly expression: Node;
}

export interface BlockStatement extends Place {
  readonly type: "BlockStatement";
  readonly body: readonly Node[];
}

export interface IfStatement extends Place {
  readonly type: "IfStatement";
  readonly test: Node;
  readonly consequent: Node;
  readonly alternate: Node | null;
}

export interface Loop extends Place {
  readonly type: "WhileStatement" | "DoWhileStatement" | "ForInStatement" | "ForOfStatement";
  readonly test?: Node;
  readonly body: Node;
}

export interface ForStatement extends Place {
  readonly type: "ForStatement";
  readonly init: Node | null;
  readonly test: Node | null;
  readonly update: Node | null;
  readonly body: Node;
}

export interface LabeledStatement extends Place {
  readonly type: "LabeledStatement";
  readonly body: Node;
}

export interface SwitchStatement extends Place {
  readonly type: "SwitchStatement";
  readonly discriminant: Node;
  readonly cases: readonly SwitchCase[];
}

export interface SwitchCase extends Place {
  readonly type: "SwitchCase";
  readonly test: Node | null;
  readonly consequent: readonly Node[];
}

export interface TryStatement extends Place {
  readonly type: "TryStatement";
  readonly block: BlockStatement;
  readonly handler: CatchClause | null;
  readonly finalizer: BlockStatement | null;
}

export interface CatchClause extends Place {
  readonly type: "CatchClause";
  readonly param: Node | null;
  readonly body: BlockStatement;
}

/** Statements that leave the list they stand in. */
export interface Leaving extends Place {
  readonly type: "ReturnStatement" | "ThrowStatement";
  readonly argument: Node | null;
}

export interface Jump extends Place {
  readonly type: "BreakStatement" | "ContinueStatement";
}

export interface VariableDeclaration extends Place {
  readonly type: "VariableDeclaration";
  readonly kind: string;
  readonly declarations: readonly VariableDeclarator[];
}

export interface VariableDeclarator extends Place {
  readonly type: "VariableDeclarator";
  readonly id: Node;
  readonly init: Node | null;
}

export interface ImportDeclaration extends Place {
  readonly type: "ImportDeclaration";
  readonly source: Literal;
  readonly specifiers: readonly Node[];
}

export interface ImportSpecifier extends Place {
  readonly type: "ImportSpecifier" | "ImportNamespaceSpecifier" | "ImportDefaultSpecifier";
  readonly local: Identifier;
  readonly imported?: Identifier | Literal;
}

export interface TypeAnnotation extends Place {
  readonly type: "TSTypeAnnotation";
  readonly typeAnnotation: Node;
}

export interface TypeReference extends Place {
  readonly type: "TSTypeReference";
  readonly typeName: Node;
}

export interface QualifiedName extends Place {
  readonly type: "TSQualifiedName";
  readonly left: Node;
  readonly right: Identifier;
}

export interface FunctionType extends Place {
  readonly type: "TSFunctionType";
  readonly returnType?: TypeAnnotation | null;
}

export interface ThisOrSuper extends Place {
  readonly type: "ThisExpression" | "Super" | "StaticBlock";
}

export type Node =
  | Program
  | Identifier
  | PrivateIdentifier
  | Literal
  | TemplateLiteral
  | FunctionNode
  | ClassNode
  | ClassBody
  | MethodDefinition
  | PropertyDefinition
  | CallExpression
  | NewExpression
  | MemberExpression
  | YieldExpression
  | AwaitExpression
  | ImportExpression
  | UnaryExpression
  | BinaryNode
  | AssignmentExpression
  | ConditionalExpression
  | SequenceExpression
  | ArrayExpression
  | ArrayPattern
  | ObjectNode
  | Property
  | AssignmentPattern
  | Wrapped
  | Asserted
  | ExpressionStatement
  | BlockStatement
  | IfStatement
  | Loop
  | ForStatement
  | LabeledStatement
  | SwitchStatement
  | SwitchCase
  | TryStatement
  | CatchClause
  | Leaving
  | Jump
  | VariableDeclaration
  | VariableDeclarator
  | ImportDeclaration
  | ImportSpecifier
  | TypeAnnotation
  | TypeReference
  | QualifiedName
  | FunctionType
  | ThisOrSuper;

export function isFunction(node: Node | null | undefined): node is FunctionNode {
  return (
    node?.type === "FunctionDeclaration" ||
    node?.type === "FunctionExpression" ||
    node?.type === "ArrowFunctionExpression"
  );
}

/** The function that `node` runs in; `null` at the top level, in a field of a class and in a static block. */
export function functionAround(node: Node): FunctionNode | null {
  for (let at = node.parent; at !== null; at = at.parent) {
    if (isFunction(at)) return at;
    if (at.type === "PropertyDefinition" || at.type === "StaticBlock") return null;
  }
  return null;
}

/** The expression without parentheses, `!`, `as T` and optional chains around it. */
export function bare(node: Node): Node {
  switch (node.type) {
    case "ChainExpression":
    case "ParenthesizedExpression":
    case "TSNonNullExpression":
    case "TSInstantiationExpression":
    case "TSAsExpression":
    case "TSSatisfiesExpression":
    case "TSTypeAssertion":
      return bare(node.expression);
    default:
      return node;
  }
}

/** The outermost expression that has the value of `node`: the other way of `bare`. */
export function withWrapping(node: Node): Node {
  let outer = node;
  while (outer.parent !== null && bare(outer.parent) !== outer.parent && "expression" in outer.parent) {
    outer = outer.parent;
  }
  return outer;
}

/** The name of a property, a method or a field; private ones with `#`. `null` when it is computed. */
export function keyName(key: Node, computed: boolean): string | null {
  if (key.type === "PrivateIdentifier") return `#${key.name}`;
  if (key.type === "Literal" && typeof key.value === "string") return key.value;
  return key.type === "Identifier" && !computed ? key.name : null;
}
