// Draws the points of the map: pixels of an image, written by hand, so that 100,000 points take milliseconds.

const MARGIN = 24; // pixels around the image, so that no point has to be clipped
const MOST_RATIO = 2; // pixels of the screen per pixel of the page: more are not told apart
const FADED = 0.18; // share of the color of a point that the legend hides
const DIMMED = 0.5; // and of one that is not chosen, while others are

const [OUTSIDE, HIDDEN, NONE, COLORED, CHOSEN] = [0, 1, 2, 3, 4]; // layers, from the lowest to the highest

export class MapCanvas {
  constructor(canvas, overlay) {
    this.canvas = canvas;
    this.overlay = overlay;
    this.context = canvas.getContext("2d");
    this.drawn = overlay.getContext("2d");
    this.sprites = new Map();
  }

  /** Take the size of the frame. */
  resize(width, height) {
    this.ratio = Math.min(MOST_RATIO, devicePixelRatio);
    for (const canvas of [this.canvas, this.overlay]) {
      canvas.width = Math.max(1, Math.round(width * this.ratio));
      canvas.height = Math.max(1, Math.round(height * this.ratio));
    }
    this.stride = this.canvas.width + 2 * MARGIN;
    this.image = new ImageData(this.stride, this.canvas.height + 2 * MARGIN);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.sprites.clear();
  }

  /** Draw points in the colors of their groups; the chosen ones last, and the others dimmed if there are any. */
  draw(points, view, { of, groups }, { paper, ink }) {
    this.pixels.fill(0);
    const hasChosen = points.isChosen.includes(1);
    const radius = this.#radius(points.length, view.zoom);
    const colors = (share) => Uint32Array.from(groups, ({ color }) => number(share === 1 ? color : mixed(color, paper, share)));
    const sprites = groups.map(({ shape, isNone }) => this.#sprite(shape, isNone ? radius * 0.75 : radius));
    const all = (sprite) => groups.map(() => sprite);
    this.#place(points, view, of);
    this.#put(HIDDEN, of, all(this.#sprite("circle", radius * 0.6)), colors(FADED));
    for (const layer of [NONE, COLORED]) this.#put(layer, of, sprites, colors(hasChosen ? DIMMED : 1));
    if (hasChosen) {
      this.#put(CHOSEN, of, all(this.#sprite("circle", radius + 1.5 * this.ratio)), new Uint32Array(groups.length).fill(number(ink)));
      this.#put(CHOSEN, of, sprites, colors(1));
    }
    this.context.putImageData(this.image, -MARGIN, -MARGIN);
  }

  /** Draw the lasso, [[x, y] ...] in pixels of the page, and a ring around the point of the cursor. */
  drawOver(lasso, cursor, color) {
    const { drawn, ratio, overlay } = this;
    drawn.setTransform(ratio, 0, 0, ratio, 0, 0);
    drawn.clearRect(0, 0, overlay.width, overlay.height);
    drawn.strokeStyle = color;
    drawn.lineWidth = 2;
    if (lasso.length > 1) {
      drawn.beginPath();
      for (const [x, y] of lasso) drawn.lineTo(x, y);
      drawn.closePath();
      drawn.globalAlpha = 0.12;
      drawn.fillStyle = color;
      drawn.fill();
      drawn.globalAlpha = 1;
      drawn.stroke();
    }
    if (cursor) {
      drawn.lineWidth = 3;
      drawn.beginPath();
      drawn.arc(cursor[0], cursor[1], 9, 0, 2 * Math.PI);
      drawn.stroke();
    }
  }

  #radius(count, zoom) {
    const free = Math.sqrt((this.canvas.width * this.canvas.height) / Math.max(1, count));
    return Math.min(7 * this.ratio, Math.max(1.1 * this.ratio, 0.2 * free * Math.sqrt(zoom)));
  }

  /** Find the pixel and the layer of each point. */
  #place(points, view, of) {
    const { ratio, stride, canvas: { width, height } } = this;
    const { length, x: xs, y: ys, isShown, isChosen } = points;
    if (this.where?.length !== length) [this.where, this.layers] = [new Int32Array(length), new Uint8Array(length)];
    const scale = view.scale * ratio;
    const left = (view.width / 2) * ratio - view.x * scale;
    const top = (view.height / 2) * ratio - view.y * scale;
    for (let point = 0; point < length; point += 1) {
      const x = Math.round(xs[point] * scale + left);
      const y = Math.round(ys[point] * scale + top);
      this.where[point] = (y + MARGIN) * stride + x + MARGIN;
      if (x < 0 || y < 0 || x >= width || y >= height) this.layers[point] = OUTSIDE;
      else if (isChosen[point]) this.layers[point] = CHOSEN;
      else if (!isShown[point]) this.layers[point] = HIDDEN;
      else this.layers[point] = of[point] === 0 ? NONE : COLORED;
    }
  }

  /** Draw the points of a layer; the pictures and the colors are those of the groups. */
  #put(layer, of, sprites, colors) {
    const { where, layers, pixels } = this;
    for (let point = 0; point < layers.length; point += 1) {
      if (layers[point] !== layer) continue;
      const sprite = sprites[of[point]];
      const color = colors[of[point]];
      const middle = where[point];
      for (let place = 0; place < sprite.length; place += 1) pixels[middle + sprite[place]] = color;
    }
  }

  /** Return the places of a shape's pixels, relative to its middle. */
  #sprite(shape, radius) {
    const key = `${shape} ${radius.toFixed(2)}`;
    if (this.sprites.has(key)) return this.sprites.get(key);
    const most = Math.ceil(radius) + 1;
    const found = [];
    for (let y = -most; y <= most; y += 1) {
      for (let x = -most; x <= most; x += 1) if (isIn(shape, x, y, radius)) found.push(y * this.stride + x);
    }
    const sprite = Int32Array.from(found.length ? found : [0]);
    this.sprites.set(key, sprite);
    return sprite;
  }
}

/** Return whether a pixel belongs to a shape; below three pixels all shapes are circles. */
function isIn(shape, x, y, radius) {
  const [across, down] = [Math.abs(x), Math.abs(y)];
  if (shape === "square" && radius >= 3) return Math.max(across, down) <= 0.85 * radius;
  if (shape === "diamond" && radius >= 3) return across + down <= 1.25 * radius;
  if (shape === "cross" && radius >= 3) return Math.min(across, down) <= 0.35 * radius && Math.max(across, down) <= 1.1 * radius;
  return x * x + y * y <= radius * radius;
}

function mixed(color, paper, share) {
  const [one, other] = [parts(color), parts(paper)];
  return `#${one.map((value, place) => Math.round(share * value + (1 - share) * other[place]).toString(16).padStart(2, "0")).join("")}`;
}

function parts(color) {
  return [1, 3, 5].map((place) => Number.parseInt(color.slice(place, place + 2), 16));
}

/** Return a color as the bytes of a pixel in memory, which all browsers keep lowest byte first. */
function number(color) {
  const [red, green, blue] = parts(color);
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}
