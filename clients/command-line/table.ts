/**
 * Tables for people: columns aligned, numbers to the right. On a terminal the headings are bold and thousands apart;
 * elsewhere the text is plain, and numbers are digits.
 */
import { styleText } from 'node:util';
import { printable } from './message-line.ts';
import { grouped } from './progress.ts';

/** null and an empty text are shown as `-`. */
export type Cell = string | number | null;

const GAP = '  ';

/** Lines without newlines, the headings first. */
export function tableLines(
  headings: readonly string[], rows: readonly (readonly Cell[])[], isTerminal: boolean,
): string[] {
  const texts = rows.map((row) => row.map((cell) => shown(cell, isTerminal)));
  const widths = headings.map((heading, column) =>
    texts.reduce((width, row) => Math.max(width, row[column]!.length), heading.length),
  );
  const isNumber = headings.map(
    (_, column) => rows.length > 0 && rows.every((row) => row[column] === null || typeof row[column] === 'number'),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => (isNumber[column] ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)))
      .join(GAP)
      .trimEnd();
  const head = line(headings);
  return [isTerminal ? styleText('bold', head) : head, ...texts.map(line)];
}

function shown(cell: Cell, isTerminal: boolean): string {
  if (cell === null || cell === '') return '-';
  if (typeof cell === 'string') return printable(cell);
  return isTerminal ? grouped(cell) : String(cell);
}
