// One image in full, with its classes as bars, the model's uncertainty and the time taken.

import { element, percent, picture } from "./dom.js";
import { places } from "./places.js";

const FEW_CLASSES = 8;
const SVG = "http://www.w3.org/2000/svg";

/** Fill the panel with an item. */
export function showDetail(panel, item, info, onRetry, onExplain) {
  const image = picture(item, "detail-image", `The image ${item.name}`);
  const found = places(item.result?.answer, image, info.classes);
  const figure = element("figure", "detail-figure", [
    found ? element("div", "detail-frame", [image, found.overlay]) : frame(image, item, info),
    element("figcaption", "file-name soft", item.name),
  ]);
  const parts = found ? [...found.legend, times(item.result)] : facts(item, info, onRetry, onExplain);
  panel.replaceChildren(figure, element("div", "detail-facts", parts));
  panel.setAttribute("aria-busy", String(!item.result && !item.error));
}

function facts(item, info, onRetry, onExplain) {
  if (item.error) return failure(item, onRetry);
  if (!item.result) return [element("p", "working", "Predicting ...")];
  const { result } = item;
  if (!result.probs) return [verdict(result), raw(result.answer), times(result)];
  const why = info.explains ? [explanation(item, onExplain)] : [];
  return [verdict(result), bars(result, info.classes), ...why, uncertainty(result), times(result)];
}

function failure(item, onRetry) {
  const parts = [element("h2", "verdict", "No prediction"), element("p", "error-text", item.error.message)];
  if (item.error.canRetry) {
    const button = element("button", "", "Try again", { type: "button" });
    button.addEventListener("click", () => onRetry(item));
    parts.push(button);
  }
  return parts;
}

function verdict(result) {
  const heading = element("h2", "verdict", result.name ?? "Answer");
  if (result.probability !== null) {
    heading.append(" ", element("span", "verdict-share", percent(result.probability)));
  }
  return heading;
}

function bars(result, classes) {
  const order = result.probs.map((_, place) => place).sort((a, b) => result.probs[b] - result.probs[a]);
  const list = element("ol", "bars", [], { "aria-label": "Classes by probability" });
  const fill = (places) => list.replaceChildren(...places.map((place) => bar(result, classes, place)));
  fill(order.slice(0, FEW_CLASSES));
  if (order.length <= FEW_CLASSES) return list;
  const button = element("button", "quiet", `Show all ${order.length} classes`, { type: "button" });
  button.addEventListener("click", () => {
    fill(order);
    list.tabIndex = -1;
    list.focus();
    button.remove();
  });
  return element("div", "", [list, button]);
}

function bar(result, classes, place) {
  const share = result.probs[place];
  const track = element("span", "bar-track", element("span", "bar-fill"), { "aria-hidden": "true" });
  track.style.setProperty("--share", share);
  return element("li", place === result.answer.prediction ? "bar first" : "bar", [
    element("span", "bar-name", classes[place] ?? `class ${place}`),
    element("span", "bar-share", percent(share)),
    track,
  ]);
}

/** A button that shows and hides the places that speak for the predicted class. */
function explanation(item, onExplain) {
  const { saliency = {}, result } = item;
  const name = saliency.isLoading ? "Looking for places ..." : `Show what speaks for ${result.name}`;
  const button = element("button", "", name, { type: "button", "aria-pressed": String(Boolean(saliency.isShown)) });
  button.id = "explain";
  button.disabled = Boolean(saliency.isLoading);
  button.addEventListener("click", () => onExplain(item));
  const hint = saliency.error
    ? element("p", "error-text", saliency.error)
    : element("p", "soft", "The redder a place, the more it speaks for the class.", saliency.isShown ? {} : { hidden: "" });
  return element("div", "explanation", [button, hint]);
}

function uncertainty(result) {
  const highest = Math.log(result.probs.length);
  return element("dl", "measures", [
    ...measure("Margin", result.margin.toFixed(3), "first less second class; 0 is unsure", 1 - result.margin),
    ...measure(
      "Entropy",
      result.entropy.toFixed(3),
      `from 0 (sure) to ${highest.toFixed(2)} (no idea)`,
      highest > 0 ? result.entropy / highest : 0,
    ),
  ]);
}

function measure(name, value, meaning, unsure) {
  const track = element("span", "bar-track unsure", element("span", "bar-fill"), { "aria-hidden": "true" });
  track.style.setProperty("--share", unsure);
  return [
    element("dt", "", name),
    element("dd", "", [element("span", "measure-value", value), track, element("small", "soft", meaning)]),
  ];
}

function times(result) {
  const parts = [`${Math.round(result.milliseconds)} ms`];
  if (result.decode !== undefined) parts.push(`decoding ${result.decode.toFixed(1)} ms`);
  if (result.model !== undefined) parts.push(`model ${result.model.toFixed(1)} ms`);
  return element("p", "times soft", `Took ${parts.join(" · ")}`);
}

function raw(answer) {
  return element("pre", "raw", JSON.stringify(answer, null, 2), { tabindex: "0" });
}

function frame(image, item, info) {
  if (item.saliency?.isShown) {
    image.classList.add("gray");
    const heat = element("img", "places heat", [], { src: item.saliency.url, alt: "" });
    return element("div", "detail-frame", [image, heat]);
  }
  const boxes = info.draws_boxes ? boxesOf(item.result?.answer) : [];
  if (boxes.length === 0) return image;
  const overlay = document.createElementNS(SVG, "svg");
  overlay.setAttribute("class", "boxes");
  overlay.setAttribute("preserveAspectRatio", "none");
  overlay.setAttribute("aria-hidden", "true");
  image.addEventListener("load", () => draw(overlay, boxes, info.input_size ?? [image.naturalHeight, image.naturalWidth]));
  return element("div", "detail-frame", [image, overlay]);
}

function boxesOf(answer) {
  const found = answer?.boxes ?? answer?.box_proposals;
  if (!Array.isArray(found)) return [];
  return found.filter((box) => Array.isArray(box) && box.length >= 4 && box.every(Number.isFinite));
}

function draw(overlay, boxes, [height, width]) {
  overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
  overlay.replaceChildren(
    ...boxes.map(([left, top, right, bottom]) => {
      const rectangle = document.createElementNS(SVG, "rect");
      const place = { x: left, y: top, width: Math.max(0, right - left), height: Math.max(0, bottom - top) };
      for (const [name, value] of Object.entries(place)) rectangle.setAttribute(name, value);
      return rectangle;
    }),
  );
}
