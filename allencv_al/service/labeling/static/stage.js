// The large image: zoom by wheel, pinch, buttons and keys; pan by dragging and arrow keys.

import { byId } from "./dom.js";

const MOST = 16;
const STEP = 1.4;
const PAN = 60;

export class Stage {
  constructor() {
    this.frame = byId("frame");
    this.image = byId("image");
    this.pointers = new Map();
    this.fit();
    this.#listen();
  }

  /** Show an image. */
  show(item) {
    this.fit();
    byId("image-problem").hidden = true;
    this.image.hidden = false;
    this.image.alt = `Image to label: ${item.file_name}`;
    if (!this.image.src.endsWith(item.image_url)) this.image.removeAttribute("src");
    this.image.src = item.image_url;
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

  /** Do what a key means here; return whether it means something. */
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
    this.image.addEventListener("error", () => {
      if (!this.image.getAttribute("src")) return;
      this.image.hidden = true;
      byId("image-problem").hidden = false;
    });
    this.frame.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 300), [event.offsetX, event.offsetY]);
    }, { passive: false });
    this.frame.addEventListener("dblclick", (event) => {
      if (this.scale > 1) this.fit();
      else this.zoom(3, this.#at(event));
    });
    this.frame.addEventListener("pointerdown", (event) => {
      this.frame.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, this.#at(event));
    });
    this.frame.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) {
      this.frame.addEventListener(name, (event) => this.pointers.delete(event.pointerId));
    }
  }

  #move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = this.#at(event);
    this.pointers.set(event.pointerId, now);
    if (this.pointers.size === 1) {
      this.#pan(now[0] - before[0], now[1] - before[1]);
      return;
    }
    const [other] = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
    const gap = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
    if (gap(before) > 0) this.zoom(gap(now) / gap(before), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
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
  }
}
