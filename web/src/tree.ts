/**
 * The search tree beside the steps: a row for each step, a column for each depth.
 *
 * Positions are computed here: a row is as high as its step in the text beside it. From each node that was
 * gone on from, a trunk runs down; a step hangs on the trunk of its parent, and a return is a dashed arrow from the
 * abandoned step back to the trunk that the next step hangs on.
 */

import type { Step } from "./types";

export const QUESTION = -1;
const MOST_COLUMNS = 7;
const COLUMN = 22;
const MARGIN = 11;
const BEND = 8;
const SVG = "http://www.w3.org/2000/svg";

export interface Place {
  /** Index of the step that it continues, `QUESTION`, or null if that cannot be told. */
  parent: number | null;
  /** Steps from the question to here along parents, this one included. */
  depth: number;
}

/**
 * Parent and depth of each step, by the rule of the evaluation report: a step after a backtrack is a sibling
 * of the latest earlier step of the same name; without such a step its parent is unknown.
 */
export function placesOf(steps: readonly Step[]): Place[] {
  const places: Place[] = [];
  steps.forEach((step, index) => {
    let parent: number | null = index - 1;
    if (step.move === "backtrack") {
      const named = steps.slice(0, index).findLastIndex((earlier) => earlier.name === step.name);
      parent = named < 0 || !step.name ? null : (places[named]?.parent ?? null);
    }
    const above = parent === null || parent === QUESTION ? 0 : (places[parent]?.depth ?? 0);
    places.push({ parent, depth: above + 1 });
  });
  return places;
}

export interface Rows {
  /** Vertical middle of the question, of each step and of the answer (null: none yet), in pixels. */
  question: number;
  steps: number[];
  answer: number | null;
  height: number;
}


/** Draw the tree into `svg`, which it sizes. */
export function drawTree(svg: SVGSVGElement, steps: readonly Step[], rows: Rows, running: boolean): void {
  const places = placesOf(steps);
  const column = (depth: number): number => MARGIN + COLUMN * Math.min(depth, MOST_COLUMNS);
  const xOf = (index: number | null): number =>
    index === null || index === QUESTION ? MARGIN : column(places[index]?.depth ?? 0);
  const yOf = (index: number | null): number =>
    index === null || index === QUESTION ? rows.question : (rows.steps[index] ?? 0);
  const deepest = Math.max(1, ...places.map((place) => Math.min(place.depth, MOST_COLUMNS)));
  const width = MARGIN * 2 + COLUMN * deepest;
  const lines: SVGElement[] = [];
  const knots: SVGElement[] = [];

  places.forEach((place, index) => {
    const [x, y] = [xOf(index), yOf(index)];
    const trunk = xOf(place.parent);
    const unknown = place.parent === null ? " unknown" : "";
    // Where depths share the last column, parent and child stand above each other.
    const branch =
      trunk < x
        ? `M${trunk} ${yOf(place.parent)}V${y - BEND}Q${trunk} ${y} ${trunk + BEND} ${y}H${x}`
        : `M${x} ${yOf(place.parent)}V${y}`;
    lines.push(path(branch, `branch${unknown}`));
    if (steps[index]?.move === "backtrack") lines.push(...returnArrow(index - 1, trunk, y));
    const last = index === steps.length - 1;
    const abandoned = steps[index + 1]?.move === "backtrack";
    const kind = abandoned ? "abandoned" : last && running && rows.answer === null ? "live" : "on";
    knots.push(knot(x, y, kind, index));
  });

  if (rows.answer !== null && places.length) {
    const from = places.length - 1;
    const x = xOf(from);
    lines.push(path(`M${x} ${yOf(from)}V${rows.answer}`, "branch found"));
    knots.push(knot(x, rows.answer, "found", null));
  }
  knots.unshift(knot(MARGIN, rows.question, "root", null));

  svg.setAttribute("width", String(width));
  svg.setAttribute("height", String(rows.height));
  svg.setAttribute("viewBox", `0 0 ${width} ${rows.height}`);
  svg.replaceChildren(...lines, ...knots);

  /** From an abandoned step down and back to the trunk of the step below it. */
  function returnArrow(from: number, trunk: number, below: number): SVGElement[] {
    const [x, y] = [xOf(from), yOf(from)];
    const level = Math.min(y + 17, (y + below) / 2);
    if (x <= trunk) return [path(`M${x} ${y}V${below}`, "return")];
    const tip = trunk + 2;
    return [
      path(`M${x} ${y}V${level - BEND}Q${x} ${level} ${x - BEND} ${level}H${tip}`, "return"),
      path(`M${tip + 5} ${level - 4}L${tip} ${level}L${tip + 5} ${level + 4}`, "return head"),
    ];
  }
}

function knot(x: number, y: number, kind: string, index: number | null): SVGElement {
  const circle = make("circle", { cx: x, cy: y, r: kind === "found" ? 6.5 : 5, class: `knot ${kind}` });
  if (index !== null) circle.dataset.step = String(index);
  return circle;
}

function path(d: string, kind: string): SVGElement {
  return make("path", { d, class: kind });
}

function make(name: string, attributes: Record<string, string | number>): SVGElement {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  return element;
}
