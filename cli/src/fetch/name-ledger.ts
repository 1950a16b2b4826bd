/**
 * Gives each body of a run a file name of its own: the first comer gets the name, the next ones `name~2`, `name~3`.
 *
 * Asked in the order of the input, so the same input gives the same names, however the requests end. A name is taken as
 * well when it differs in case only (many file systems cannot tell), when it is a folder of another one, or when the
 * `.part` file of one would be the other.
 *
 * It keeps a hash of each name, not the name: about 50 bytes for a URL. Two names with the same hash would only mean
 * an `~2` that was not necessary.
 */
import { insertMark } from "./file-name.ts";
import { hash53 } from "./text-hash.ts";

const PART = ".part";

export class NameLedger {
  /** Hash of a path → the number that was given last for this name; not above zero when the name is a folder's. */
  readonly #taken = new Map<number, number>();
  /** Whether any name ends like a `.part` file: only then can one meet another. */
  #hasPartNames = false;
  /** The folder that was asked for last, and what it got: a list has many files of one folder in a row. */
  #lastWanted = "";
  #lastFolder = "";

  /** @param path The parts of the wanted path. @returns The path that it gets, with "/". */
  assign(path: readonly string[]): string {
    const folders = path.slice(0, -1);
    const wanted = folders.join("/");
    if (wanted !== this.#lastWanted) {
      let folder = "";
      for (const part of folders) folder += `${this.#folderFor(folder, part)}/`;
      this.#lastWanted = wanted;
      this.#lastFolder = folder;
    }
    return this.#fileFor(this.#lastFolder, path.at(-1)!);
  }

  #folderFor(above: string, wanted: string): string {
    let name = wanted;
    for (let number = 2; !this.#mayBeFolder(above + name); number++) name = `${wanted}~${number}`;
    const key = keyOf(above + name);
    if (!this.#taken.has(key)) this.#take(key, above + name, 0);
    return name;
  }

  #mayBeFolder(path: string): boolean {
    const last = this.#taken.get(keyOf(path));
    return last === undefined ? !this.#meetsPartFile(path) : last <= 0;
  }

  #fileFor(folder: string, wanted: string): string {
    const key = keyOf(folder + wanted);
    const last = this.#taken.get(key);
    if (last === undefined && !this.#meetsPartFile(folder + wanted)) {
      this.#take(key, folder + wanted, 1);
      return folder + wanted;
    }
    let number = Math.max(Math.abs(last ?? 1), 1);
    let path: string;
    do path = folder + insertMark(wanted, `~${++number}`);
    while (this.#taken.has(keyOf(path)) || this.#meetsPartFile(path));
    // The next one of this name need not try all the numbers again.
    this.#taken.set(key, last !== undefined && last <= 0 ? -number : number);
    this.#take(keyOf(path), path, 1);
    return path;
  }

  #take(key: number, path: string, number: number): void {
    this.#taken.set(key, number);
    this.#hasPartNames ||= isPartName(path);
  }

  #meetsPartFile(path: string): boolean {
    if (this.#hasPartNames && this.#taken.has(keyOf(path + PART))) return true;
    return isPartName(path) && this.#taken.has(keyOf(path.slice(0, -PART.length)));
  }
}

function isPartName(path: string): boolean {
  return path.slice(-PART.length).toLowerCase() === PART;
}

const ASCII = /^\p{ASCII}*$/u;

function keyOf(path: string): number {
  return hash53((ASCII.test(path) ? path : path.normalize("NFC")).toLowerCase());
}
