// The points of the map: arrays as the server sends them, and what is near what.

const SIDE = 65535; // of the square that the places are in
const LEAST_STEP = 1.5; // pixels of the screen between two corners of a lasso
const CONE = 1; // an arrow key goes to points at up to 45 degrees from its direction

export class Points {
  /** Places as `GET /api/map/places` gives them. */
  constructor(buffer) {
    this.length = buffer.byteLength / 8;
    this.items = new Uint32Array(buffer, 0, this.length);
    this.x = new Uint16Array(buffer, 4 * this.length, this.length);
    this.y = new Uint16Array(buffer, 6 * this.length, this.length);
    /** The part of the square that is not empty: [width, height]. */
    this.extent = [this.x, this.y].map((values) => extent(values));
    this.isShown = new Uint8Array(this.length).fill(1); // those that the legend leaves
    this.isChosen = new Uint8Array(this.length);
  }

  /** Use values as `GET /api/map/values` gives them; return whether they are those of the points. */
  setValues(buffer) {
    const { length } = this;
    if (buffer.byteLength !== 8 * length) return false;
    [this.labels, this.predicted, this.batches] = [0, 1, 2].map((place) => new Uint16Array(buffer, 2 * place * length, length));
    [this.uncertainty, this.states] = [6, 7].map((place) => new Uint8Array(buffer, place * length, length));
    return true;
  }

  /** Return the number of the chosen points. */
  get chosen() {
    let found = 0;
    for (let point = 0; point < this.length; point += 1) found += this.isChosen[point];
    return found;
  }

  /** Return the ids of up to `most` chosen images. */
  chosenIds(most) {
    const found = [];
    for (let point = 0; point < this.length && found.length < most; point += 1) {
      if (this.isChosen[point]) found.push(`i${this.items[point]}`);
    }
    return found;
  }

  /** Choose points in addition to the others, or instead of them. */
  choose(points, isMore) {
    if (!isMore) this.isChosen.fill(0);
    for (const point of points) this.isChosen[point] = 1;
  }

  /** Return all points that are shown. */
  all() {
    const found = [];
    for (let point = 0; point < this.length; point += 1) if (this.isShown[point]) found.push(point);
    return found;
  }

  /** Return the points within a polygon of the map, [[x, y] ...]. */
  within(corners) {
    const xs = corners.map(([x]) => x);
    const ys = corners.map(([, y]) => y);
    const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const found = [];
    for (let point = 0; point < this.length; point += 1) {
      const [x, y] = [this.x[point], this.y[point]];
      if (!this.isShown[point] || x < left || x > right || y < top || y > bottom) continue;
      let isInside = false; // an even number of crossings to the right is outside
      for (let one = 0, before = corners.length - 1; one < corners.length; before = one, one += 1) {
        if (ys[one] > y !== ys[before] > y && x < xs[one] + ((xs[before] - xs[one]) * (y - ys[one])) / (ys[before] - ys[one])) isInside = !isInside;
      }
      if (isInside) found.push(point);
    }
    return found;
  }

  /** Return the point that is nearest to a place of the map, or -1 if none is within a distance. */
  nearest(x, y, most = Infinity) {
    let [found, least] = [-1, most * most];
    for (let point = 0; point < this.length; point += 1) {
      if (!this.isShown[point]) continue;
      const distance = (this.x[point] - x) ** 2 + (this.y[point] - y) ** 2;
      if (distance < least) [found, least] = [point, distance];
    }
    return found;
  }

  /** Return the nearest point in a direction, such as [1, 0] for the right, or -1. */
  next(from, [toRight, down]) {
    let [found, least] = [-1, Infinity];
    for (let point = 0; point < this.length; point += 1) {
      if (!this.isShown[point] || point === from) continue;
      const [x, y] = [this.x[point] - this.x[from], this.y[point] - this.y[from]];
      const along = x * toRight + y * down;
      const aside = Math.abs(x * down) + Math.abs(y * toRight);
      // Far aside counts more than far along, so that one goes straight; points of one place are neighbors
      const isThere = along > 0 ? aside <= CONE * along : x === 0 && y === 0 && (toRight + down > 0 ? point > from : point < from);
      const distance = along * along + 4 * aside * aside;
      if (isThere && distance < least) [found, least] = [point, distance];
    }
    return found;
  }

  /** Return the points that are nearest to one, itself included. */
  around(from, size) {
    const shown = this.all();
    const distances = new Float64Array(this.length);
    for (const point of shown) distances[point] = (this.x[point] - this.x[from]) ** 2 + (this.y[point] - this.y[from]) ** 2;
    return shown.sort((one, other) => distances[one] - distances[other] || one - other).slice(0, size);
  }
}

/** The part of the map that is seen: a scale and a middle, in units of the places. */
export class Window {
  constructor() {
    this.width = this.height = 1;
    this.extent = [SIDE, SIDE];
    this.reset();
  }

  /** Show all. */
  reset() {
    this.zoom = 1;
    this.x = this.y = SIDE / 2;
  }

  /** Pixels of the screen per unit of the map. */
  get scale() {
    const [across, down] = this.extent;
    return 0.92 * this.zoom * Math.min(this.width / across, this.height / down);
  }

  /** Return the place of the map at a pixel. */
  place([x, y]) {
    return [this.x + (x - this.width / 2) / this.scale, this.y + (y - this.height / 2) / this.scale];
  }

  /** Return the pixel of a place of the map. */
  pixel([x, y]) {
    return [(x - this.x) * this.scale + this.width / 2, (y - this.y) * this.scale + this.height / 2];
  }

  /** Magnify by a factor around a pixel. */
  zoomAt(factor, pixel) {
    const [x, y] = this.place(pixel);
    const before = this.scale;
    this.zoom = Math.min(60, Math.max(0.5, this.zoom * factor));
    const share = 1 - before / this.scale;
    this.x += (x - this.x) * share;
    this.y += (y - this.y) * share;
  }

  /** Move by pixels. */
  moveBy(x, y) {
    this.x = Math.min(SIDE, Math.max(0, this.x - x / this.scale));
    this.y = Math.min(SIDE, Math.max(0, this.y - y / this.scale));
  }

  /** Move so that a place is seen; return whether it was not. */
  show(place) {
    const [x, y] = this.pixel(place);
    if (x > 8 && y > 8 && x < this.width - 8 && y < this.height - 8) return false;
    [this.x, this.y] = place;
    return true;
  }
}

function extent(values) {
  let [least, most] = [SIDE, 0];
  for (const value of values) [least, most] = [Math.min(least, value), Math.max(most, value)];
  return Math.max(1, most - least); // the middle of the points is that of the square
}

/** Add a corner to a lasso unless it is too near to the last one. */
export function addCorner(corners, corner) {
  const last = corners.at(-1);
  if (!last || Math.hypot(corner[0] - last[0], corner[1] - last[1]) >= LEAST_STEP) corners.push(corner);
}
