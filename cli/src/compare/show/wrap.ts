/** Where a line may end: at a space, unless a unit comes after it. `1,504` and `ms` stay together. */
const BREAK = / +(?!(?:ms|s|MB|×)(?:\W|$))/;

/** Breaks a sentence at its spaces. A word longer than the line stands on a line of its own. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(BREAK).filter((part) => part !== "")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return line === "" ? lines : [...lines, line];
}
