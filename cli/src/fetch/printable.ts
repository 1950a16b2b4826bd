// oxlint-disable-next-line no-control-regex -- exactly those are meant
const UNPRINTABLE = /[\u0000-\u001F\u007F-\u009F\u2028\u2029\u202A-\u202E\u2066-\u2069]/g;

/**
 * A text from outside as one line that may be shown on a terminal: control characters, which could move the cursor or
 * rename the window, are written as `\u001b`.
 */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
