/** What the benchmark found: rows of one figure for each round, as a table in Markdown, as JSON and as a picture. */
import { spreadOf } from './figures.ts';

/** A figure of one system in one case, round by round. */
export interface Row {
  readonly scenario: string;
  readonly what: string;
  readonly system: string;
  readonly unit: string;
  readonly values: number[];
  /** Median, 99% and 99.9% of each round, ms. */
  readonly latencies: (readonly number[])[];
  /** Of each message, where its payload is what is measured. */
  readonly bytes: number | undefined;
}

const LARGE_BYTES = 1024; // messages from which on bytes a second tell more than their number

export class Report {
  readonly rows: Row[] = [];

  /** Adds what a round found. */
  add(
    scenario: string, what: string, system: string, unit: string, value: number, latency?: readonly number[],
    bytes?: number,
  ): void {
    let row = this.rows.find(
      (each) => each.scenario === scenario && each.what === what && each.system === system && each.unit === unit,
    );
    if (row === undefined) this.rows.push((row = { scenario, what, system, unit, values: [], latencies: [], bytes }));
    row.values.push(value);
    if (latency !== undefined) row.latencies.push(latency);
  }

  /** Medians over the rounds, with the least and the greatest. */
  table(): string {
    const lines = this.rows.map((row) => {
      const { median, min, max } = spreadOf(row.values);
      const latency = row.latencies.length === 0 ? '' : [0, 1, 2].map((at) => shown(latencyOf(row, at))).join(' / ');
      const volume =
        row.bytes === undefined || row.bytes < LARGE_BYTES ? '' : `, ${shown((median * row.bytes) / 1e6)} MB/s`;
      return `| ${row.scenario} | ${row.what} | ${row.system} | **${shown(median)}** ${row.unit}${volume} | ${shown(min)} to ${shown(max)} | ${latency} |`;
    });
    return [
      '| scenario | case | system | median | rounds | latency, ms: median / 99% / 99.9% |',
      '| --- | --- | --- | --- | --- | --- |',
      ...lines,
    ].join('\n');
  }

  /** A bar for each row of the scenario, one group a case. */
  svg(scenario: string, title: string): string {
    const rows = this.rows.filter((row) => row.scenario === scenario && row.unit === 'msg/s');
    const most = Math.max(1, ...rows.map((row) => spreadOf(row.values).max));
    const systems = [...new Set(rows.map((row) => row.system))];
    const parts: string[] = [];
    let y = TOP;
    for (const what of new Set(rows.map((row) => row.what))) {
      parts.push(label(LEFT - GAP, y + (BAR * rows.filter((row) => row.what === what).length) / 2 + 4, what, 'end'));
      for (const row of rows.filter((each) => each.what === what)) {
        const { median, min, max } = spreadOf(row.values);
        const [width, from, to] = [median, min, max].map((value) => (value / most) * WIDTH) as [number, number, number];
        const middle = y + BAR / 2 - 1;
        parts.push(
          `<rect x="${LEFT}" y="${y}" width="${width.toFixed(1)}" height="${BAR - 2}" fill="${colour(systems.indexOf(row.system))}"/>`,
        );
        parts.push(`<path d="M${(LEFT + from).toFixed(1)} ${middle}H${(LEFT + to).toFixed(1)}" stroke="#222"/>`);
        parts.push(label(LEFT + to + GAP, middle + 4, shown(median)));
        y += BAR;
      }
      y += BAR / 2;
    }
    const legend = systems.map(
      (system, index) =>
        `<rect x="${LEFT + index * 150}" y="34" width="10" height="10" fill="${colour(index)}"/>${label(LEFT + index * 150 + 15, 43, system)}`,
    );
    return [
      `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${LEFT + WIDTH + 90} ${y + 10}" font-family="sans-serif" font-size="12">`,
      '<rect width="100%" height="100%" fill="#fff"/>',
      label(10, 20, title),
      ...legend,
      ...parts,
      '</svg>',
      '',
    ].join('\n');
  }
}

const [LEFT, TOP, WIDTH, BAR, GAP] = [130, 60, 480, 18, 8]; // of the picture
const COLOURS = ['#2b6cb0', '#c05621', '#718096', '#2f855a'];

/** The median over the rounds of one of a row's latencies. */
function latencyOf(row: Row, at: number): number {
  return spreadOf(row.latencies.map((latency) => latency[at]!)).median;
}

function colour(index: number): string {
  return COLOURS[index % COLOURS.length]!;
}

function label(x: number, y: number, text: string, anchor = 'start'): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" fill="#222">${text}</text>`;
}

/** Three digits that count. */
export function shown(value: number): string {
  return value >= 1000 ? Math.round(value).toLocaleString('en-US') : String(Number(value.toPrecision(3)));
}
