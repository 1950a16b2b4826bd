/** How numbers look to a reader. */

/** `12,345`. By hand, because the first `toLocaleString` of a process loads the data of all languages: 15 ms and 8 MB for one summary. */
export function whole(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(?:\d{3})+$)/g, ",");
}

const BYTE_UNITS = ["bytes", "kB", "MB", "GB", "TB", "PB"];

/** `812 bytes`, `1.2 MB`, `34 MB` */
export function byteSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < BYTE_UNITS.length - 1) {
    value /= 1_000;
    unit++;
  }
  return `${unit === 0 || value >= 9.95 ? whole(value) : value.toFixed(1)} ${BYTE_UNITS[unit]}`;
}

/** `85 ms`, `4.3 s`, `52 s`, `3 min 20 s`, `2 h 5 min` */
export function timeSpan(ms: number): string {
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 9_950) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return withRest(minutes, "min", seconds % 60, "s");
  return withRest(Math.floor(minutes / 60), "h", minutes % 60, "min");
}

function withRest(value: number, unit: string, rest: number, restUnit: string): string {
  return rest === 0 ? `${value} ${unit}` : `${value} ${unit} ${rest} ${restUnit}`;
}

/** `2,310/s`, `3.2/s` */
export function perSecond(count: number, ms: number): string {
  const rate = ms > 0 ? (count * 1_000) / ms : 0;
  return `${rate >= 9.95 ? whole(rate) : rate.toFixed(1)}/s`;
}
