/**
 * The form in which the rules know Fibril's own exports: which calls make operations, which take coroutines, what they give.
 */

/** A function or a method. One that is not listed is plain: it makes no operation and takes no coroutine. */
export interface CallSurface {
  /** The call makes an operation. `"begun"`: the call has an effect of its own, such as the request of `task.cancel()`. */
  readonly operation?: "lazy" | "begun";
  /** It gives a promise. */
  readonly promise?: true;
  /** The class of what it gives: of what `yield*` gives for an operation, else of what the call returns. */
  readonly value?: string;
  /** At which arguments it takes a coroutine (or another operation, or a function that makes one): a list for each overload. */
  readonly bodies?: readonly (readonly BodyArgument[])[];
}

export interface BodyArgument {
  readonly at: number;
  /** A list or a record of them. */
  readonly isList?: true;
  /** The classes of what the coroutine is given. */
  readonly gives?: readonly (string | null)[];
}

/** A class or an interface. */
export interface ClassSurface {
  readonly methods?: Readonly<Record<string, CallSurface>>;
  readonly statics?: Readonly<Record<string, CallSurface>>;
  /** Property → class. */
  readonly properties?: Readonly<Record<string, string>>;
  /** Its instances are operations. */
  readonly isOperation?: true;
  /** `await` works on its instances. */
  readonly isAwaitable?: true;
}

/** The exports of one entry of the package. */
export interface ModuleSurface {
  readonly functions: Readonly<Record<string, CallSurface>>;
  /** Exported name of a class or an interface → its name in `CLASSES`. */
  readonly classes: Readonly<Record<string, string>>;
}
