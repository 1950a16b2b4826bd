/**
 * Loading an optional peer when it is first needed, and what to say when it is not there or does not load.
 */

/** Makes the error of the feature that needs the package. */
type MissingError = (problem: string, options?: ErrorOptions) => Error;

/**
 * @param range What `npm install` should get: `"^8"`.
 * @param hint Completes "… is installed does not load": why that may be.
 * @throws what `missing` makes.
 */
export async function importOptional(
  name: string,
  range: string,
  load: () => Promise<unknown>,
  missing: MissingError,
  hint = "",
): Promise<unknown> {
  try {
    return await load();
  } catch (cause) {
    const { code } = cause as { readonly code?: unknown };
    const isMissing = code === "ERR_MODULE_NOT_FOUND" || code === "MODULE_NOT_FOUND";
    const problem = isMissing
      ? `the package "${name}" (${range}) is not installed; run "npm install ${name}"`
      : `the package "${name}" that is installed does not load${hint}`;
    throw missing(problem, { cause });
  }
}
