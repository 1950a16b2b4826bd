/** A line that is no job, in one sentence without its number. */
export class BadLine {
  readonly problem: string;

  constructor(problem: string) {
    this.problem = problem;
  }
}
