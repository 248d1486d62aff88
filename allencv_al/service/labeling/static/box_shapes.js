// Boxes as numbers: what a drag or a key makes of one, and what is at a point. Nothing is drawn here.

export const HANDLES = ["nw", "n", "ne", "e", "se", "s", "sw", "w"];

/** Return the box between two corners, in whole pixels inside an image; sides are 1 or more. */
export function between([x0, y0], [x1, y1], size) {
  const [left, right] = span(x0, x1, size[0]);
  const [top, bottom] = span(y0, y1, size[1]);
  return { x: left, y: top, width: right - left, height: bottom - top };
}

/** Return a box moved by pixels, and kept inside the image. */
export function moved(box, dx, dy, size) {
  const x = Math.min(size[0] - box.width, Math.max(0, Math.round(box.x + dx)));
  const y = Math.min(size[1] - box.height, Math.max(0, Math.round(box.y + dy)));
  return { ...box, x, y };
}

/** Return a box with one handle dragged by pixels; dragged over its other side, it turns over. */
export function resized(box, handle, dx, dy, size) {
  let [left, top, right, bottom] = [box.x, box.y, box.x + box.width, box.y + box.height];
  if (handle.includes("w")) left += dx;
  if (handle.includes("e")) right += dx;
  if (handle.includes("n")) top += dy;
  if (handle.includes("s")) bottom += dy;
  return { ...box, ...between([left, top], [right, bottom], size) };
}

/** Return the place of each handle: its name and its point. */
export function handlesOf({ x, y, width, height }) {
  const along = (name, low, high, from, length) => from + length * (name.includes(low) ? 0 : name.includes(high) ? 1 : 0.5);
  return HANDLES.map((name) => [name, [along(name, "w", "e", x, width), along(name, "n", "s", y, height)]]);
}

/** Return the index of the smallest box around a point, or -1; among equals the one drawn last. */
export function smallestAt(boxes, [x, y], slack) {
  let best = -1;
  boxes.forEach((box, place) => {
    const isInside = x >= box.x - slack && x <= box.x + box.width + slack && y >= box.y - slack && y <= box.y + box.height + slack;
    if (isInside && (best < 0 || area(box) <= area(boxes[best]))) best = place;
  });
  return best;
}

/** Return the boxes of a label's text. */
export function parsed(text) {
  return text ? JSON.parse(text) : [];
}

/** Return the text of a label with these boxes. */
export function textOf(boxes) {
  return JSON.stringify(boxes.map(({ label, x, y, width, height }) => ({ label, x, y, width, height })));
}

/** Return how many boxes of which class there are, as a person reads it: "2 cat, 1 dog". */
export function summary(boxes, nameOf) {
  const counts = new Map();
  for (const { label } of boxes) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts].map(([label, number]) => `${number} ${nameOf(label)}`).join(", ") || "no objects";
}

const area = (box) => box.width * box.height;

function span(one, other, most) {
  const inside = (value) => Math.min(most, Math.max(0, Math.round(value)));
  let [low, high] = [inside(Math.min(one, other)), inside(Math.max(one, other))];
  if (low === high) [low, high] = high < most ? [low, high + 1] : [low - 1, high];
  return [low, high];
}
