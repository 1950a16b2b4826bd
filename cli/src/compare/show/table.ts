/** Columns of text, each as wide as its widest cell. Knows nothing of what is in them. */

export interface Column {
  readonly title: string;
  readonly align: "left" | "right";
}

const GAP = "  ";

/** The heading and one line for each row, without styling. A row with fewer cells than columns ends early. */
export function drawTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const widths = columns.map(({ title }, index) => {
    // The last cell of a short row (an error) may run on over the columns it has no cell for.
    const cells = rows.map((row) =>
      index === row.length - 1 && row.length < columns.length ? "" : (row[index] ?? ""),
    );
    return Math.max(title.length, ...cells.map((cell) => cell.length));
  });
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, index) => {
        const short = index === cells.length - 1 && cells.length < columns.length;
        const width = widths[index] ?? 0;
        return columns[index]?.align === "right" && !short ? cell.padStart(width) : cell.padEnd(width);
      })
      .join(GAP)
      .trimEnd();
  return [line(columns.map(({ title }) => title)), ...rows.map(line)];
}
