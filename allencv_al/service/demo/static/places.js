// What a model sees at places of an image: a class for each pixel, or boxes around objects.

import { color, css, paint } from "../mask.js";
import { element, percent } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const OPACITY = 0.55;
const LEAST_SCORE = 0.3;

/** Return an overlay for the image and its legend; null where an answer has no places. */
export function places(answer, image, classes) {
  if (typeof answer?.mask?.png === "string") return mask(answer, classes);
  if (Array.isArray(answer?.objects)) return objects(answer.objects, image, classes);
  return null;
}

function mask({ mask, shares = {} }, classes) {
  const canvas = element("canvas", "places", [], { "aria-hidden": "true" });
  canvas.style.opacity = OPACITY;
  paint(canvas, mask.png);
  const slider = range("Opacity of the mask", OPACITY, (value) => {
    canvas.style.opacity = value;
  });
  const rows = Object.entries(shares).sort((a, b) => b[1] - a[1]);
  const legend = rows.map(([name, share]) => entry(color(classes.indexOf(name)), name, percent(share)));
  return { overlay: canvas, legend: [slider, list("Classes by their share of the pixels", legend)] };
}

function objects(found, image, classes) {
  const overlay = document.createElementNS(SVG, "svg");
  overlay.setAttribute("class", "places");
  overlay.setAttribute("preserveAspectRatio", "none");
  overlay.setAttribute("aria-hidden", "true");
  const fit = () => overlay.setAttribute("viewBox", `0 0 ${image.naturalWidth} ${image.naturalHeight}`);
  image.addEventListener("load", fit);
  const legend = list("Objects, the surest first", []);
  const show = (least) => {
    const shown = found.filter(({ score }) => score >= least);
    // The surest last, over the others
    overlay.replaceChildren(...shown.map((one) => box(one, classes)).reverse());
    const rows = shown.map((one) => entry(color(classes.indexOf(one.label) + 1), one.label, percent(one.score)));
    legend.replaceChildren(...(rows.length ? rows : [element("li", "soft", "no object of such a score")]));
  };
  show(LEAST_SCORE);
  return { overlay, legend: [range("Least score", LEAST_SCORE, show), legend] };
}

function box({ label, x, y, width, height }, classes) {
  const rectangle = document.createElementNS(SVG, "rect");
  for (const [name, value] of Object.entries({ x, y, width, height })) rectangle.setAttribute(name, value);
  rectangle.style.stroke = css(color(classes.indexOf(label) + 1));
  return rectangle;
}

function range(name, value, onInput) {
  const input = element("input", "", [], { type: "range", min: 0, max: 1, step: 0.05, value });
  input.addEventListener("input", () => onInput(input.valueAsNumber));
  return element("label", "slider", [name, input]);
}

function list(name, rows) {
  return element("ul", "legend", rows, { "aria-label": name });
}

function entry(of, name, figure) {
  const swatch = element("span", "swatch", [], { "aria-hidden": "true" });
  swatch.style.background = css(of);
  return element("li", "", [swatch, element("span", "legend-name", name), element("span", "legend-figure", figure)]);
}
