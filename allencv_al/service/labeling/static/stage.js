// The large image: zoom by wheel, pinch, buttons and keys; pan by dragging and arrow keys.

import { imageError } from "./api.js";
import { byId } from "./dom.js";

const MOST = 16;
const STEP = 1.4;
const PAN = 60;
const SIZES = [["full", 2048], ["large", 4096], ["whole", 8192]]; // as the server sends them
const SHARPEN_MS = 150; // after the last step of a zoom
const RETRY_MS = [500, 1000, 2000, 4000, 8000];

export class Stage extends EventTarget {
  constructor() {
    super();
    this.tool = null; // what a drag edits; without one it moves the image
    this.isPanning = false; // by the space bar
    this.frame = byId("frame");
    this.image = byId("image");
    this.pointers = new Map();
    this.drawing = null; // the pointer whose drag the tool has
    this.fit();
    this.#listen();
  }

  /** Show an image. */
  show(item) {
    this.item = item;
    this.rendition = 0;
    this.failures = 0;
    this.fit();
    this.image.alt = `Image to label: ${item.file_name}`;
    if (!this.image.src.endsWith(item.image_url)) this.image.removeAttribute("src");
    this.#load();
  }

  /** Why the image cannot be displayed; empty if it can. */
  get problem() {
    return byId("image-problem").hidden ? "" : byId("image-problem-text").textContent;
  }

  #load() {
    byId("image-problem").hidden = true;
    this.image.hidden = false;
    // A document requests a failed address only once, so each attempt has another one
    this.image.src = this.failures === 0 ? this.item.image_url : `${this.item.image_url}-${this.failures}`;
  }

  async #onError() {
    if (!this.image.getAttribute("src")) return;
    const { item } = this;
    const error = await imageError(item.image_url);
    if (this.item !== item) return;
    this.image.hidden = true;
    this.image.removeAttribute("src");
    this.failures += 1;
    byId("image-problem").hidden = false;
    byId("image-again").hidden = error === null || error.isTemporary;
    byId("image-problem-text").textContent = error === null || error.isTemporary ? "The image appears as soon as the server can send it." : problemText(error);
    if (error === null || error.isTemporary) {
      setTimeout(() => { if (this.item === item) this.#load(); }, RETRY_MS[Math.min(this.failures, RETRY_MS.length) - 1]);
    }
  }

  /** Load a larger rendition of an image that is enlarged beyond its loaded pixels. */
  async #sharpen() {
    const { item, image } = this;
    const longest = Math.max(image.naturalWidth, image.naturalHeight);
    if (!item || !longest || longest < SIZES[this.rendition][1]) return; // all pixels are loaded
    const box = this.frame.getBoundingClientRect();
    const shown = Math.min(box.width / image.naturalWidth, box.height / image.naturalHeight) * this.scale * devicePixelRatio;
    if (shown <= 1.1) return;
    let next = SIZES.findIndex(([, side]) => side >= longest * shown);
    if (next < 0) next = SIZES.length - 1;
    if (next <= this.rendition) return;
    const larger = new Image();
    larger.src = item.image_url.replace("size=full", `size=${SIZES[next][0]}`);
    try {
      await larger.decode();
    } catch {
      return; // keep the loaded rendition
    }
    if (this.item !== item || next <= this.rendition) return;
    this.rendition = next;
    image.src = larger.src;
  }

  /** Show the whole image. */
  fit() {
    this.scale = 1;
    this.x = this.y = 0;
    this.#apply();
  }

  /** Zoom around a point of the frame; by default its middle. */
  zoom(factor, at = null) {
    const box = this.frame.getBoundingClientRect();
    const [x, y] = at ?? [box.width / 2, box.height / 2];
    const scale = Math.min(MOST, Math.max(1, this.scale * factor));
    const ratio = scale / this.scale;
    this.x = x - box.width / 2 - (x - box.width / 2 - this.x) * ratio;
    this.y = y - box.height / 2 - (y - box.height / 2 - this.y) * ratio;
    this.scale = scale;
    this.#apply();
  }

  /** Pixels of the screen in one of an image of this size. */
  pixelsOf(size) {
    const box = this.frame.getBoundingClientRect();
    return Math.min(box.width / size[0], box.height / size[1]) * this.scale;
  }

  /** Return the point of the frame where a pixel of the image is. */
  toFrame(point, size) {
    const [box, pixels] = [this.frame.getBoundingClientRect(), this.pixelsOf(size)];
    return [
      box.width / 2 + this.x + (point[0] - size[0] / 2) * pixels,
      box.height / 2 + this.y + (point[1] - size[1] / 2) * pixels,
    ];
  }

  /** Return the pixel of the image at a point of the frame. */
  toImage(at, size) {
    const [box, pixels] = [this.frame.getBoundingClientRect(), this.pixelsOf(size)];
    return [
      (at[0] - box.width / 2 - this.x) / pixels + size[0] / 2,
      (at[1] - box.height / 2 - this.y) / pixels + size[1] / 2,
    ];
  }

  /** Return the upper left and the lower right corner of the part of the image that is seen. */
  visible(size) {
    const box = this.frame.getBoundingClientRect();
    const inside = (point) => point.map((value, axis) => Math.min(size[axis], Math.max(0, value)));
    return [inside(this.toImage([0, 0], size)), inside(this.toImage([box.width, box.height], size))];
  }

  /** Execute the command of a key; return whether it has one. */
  key(key) {
    const moves = { ArrowLeft: [PAN, 0], ArrowRight: [-PAN, 0], ArrowUp: [0, PAN], ArrowDown: [0, -PAN] };
    if (key === "+" || key === "=") this.zoom(STEP);
    else if (key === "-") this.zoom(1 / STEP);
    else if (key === "0") this.fit();
    else if (moves[key] && this.scale > 1) this.#pan(...moves[key]);
    else return false;
    return true;
  }

  #listen() {
    byId("zoom-in").addEventListener("click", () => this.zoom(STEP));
    byId("zoom-out").addEventListener("click", () => this.zoom(1 / STEP));
    byId("zoom-fit").addEventListener("click", () => this.fit());
    this.image.addEventListener("error", () => this.#onError());
    byId("image-again").addEventListener("click", () => this.#load());
    this.frame.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 300), [event.offsetX, event.offsetY]);
    }, { passive: false });
    this.frame.addEventListener("dblclick", (event) => {
      if (this.tool) return; // two clicks select
      if (this.scale > 1) this.fit();
      else this.zoom(3, this.#at(event));
    });
    this.frame.addEventListener("pointerdown", (event) => {
      if (event.target.closest("button")) return; // it would lose its click
      this.frame.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, this.#at(event));
      if (this.pointers.size > 1) this.#release();
      else if (this.tool && !this.isPanning && this.tool.down(this.#at(event), event)) this.drawing = event.pointerId;
    });
    this.frame.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) {
      this.frame.addEventListener(name, (event) => {
        this.pointers.delete(event.pointerId);
        if (this.drawing !== event.pointerId) return;
        this.drawing = null;
        if (name === "pointerup") this.tool.up();
        else this.tool.cancel();
      });
    }
    for (const name of ["keydown", "keyup"]) {
      addEventListener(name, (event) => {
        if (event.key !== " " || !this.tool || event.target.closest?.("button, input, select, summary, dialog")) return;
        event.preventDefault(); // the page would scroll
        this.isPanning = name === "keydown";
        this.frame.classList.toggle("panning", this.isPanning);
      });
    }
    new ResizeObserver(() => this.#apply()).observe(this.frame);
  }

  #move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = this.#at(event);
    this.pointers.set(event.pointerId, now);
    if (this.drawing === event.pointerId) {
      this.tool.move(now);
      return;
    }
    if (this.pointers.size === 1) {
      this.#pan(now[0] - before[0], now[1] - before[1]);
      return;
    }
    const [other] = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
    const gap = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
    if (gap(before) > 0) this.zoom(gap(now) / gap(before), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
    this.#pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2); // as far as the middle of both
  }

  /** Give up what a single finger draws: a second one has come. */
  #release() {
    if (this.drawing !== null) this.tool?.cancel();
    this.drawing = null;
  }

  #at(event) {
    const box = this.frame.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #pan(x, y) {
    if (this.scale === 1) return;
    this.x += x;
    this.y += y;
    this.#apply();
  }

  #apply() {
    const box = this.frame.getBoundingClientRect();
    const most = [(box.width * (this.scale - 1)) / 2, (box.height * (this.scale - 1)) / 2];
    this.x = Math.min(most[0], Math.max(-most[0], this.x));
    this.y = Math.min(most[1], Math.max(-most[1], this.y));
    this.image.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    this.frame.classList.toggle("zoomed", this.scale > 1);
    this.dispatchEvent(new CustomEvent("change"));
    clearTimeout(this.sharpening);
    if (this.scale > 1) this.sharpening = setTimeout(() => this.#sharpen(), SHARPEN_MS);
  }
}

function problemText(error) {
  if (error.status === 404) return "The file of this image is gone. Skip it (s), or put the file back.";
  if (error.code === "too_many_pixels") return `This image is too large to be shown: ${error.message}. Skip it (s).`;
  if (error.code === "other_labeling") return "This address serves another labeling now.";
  return `This image cannot be shown: ${error.message}. Press x to mark it unreadable.`;
}
