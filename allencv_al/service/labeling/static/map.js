// The map: all images as points. A lasso, the legend or keys choose some, to label, list or look at.

import { isDark } from "../theme.js";
import { bytes, get, post } from "./api.js";
import { announce, byId, button, count, element, options, showHint, showNotice } from "./dom.js";
import { meanings } from "./keys.js";
import { MapCanvas } from "./map_canvas.js";
import { MODES, colored } from "./map_colors.js";
import { Points, Window, addCorner } from "./map_points.js";
import { MapTip } from "./map_tip.js";
import { look } from "./tiles.js";

const MOST_CHOSEN = 10000; // images that a request names at most
const NEAR = 12; // pixels around the pointer in which a point is meant
const HOVER_MS = 60;
const REFRESH_MS = 10000; // between two readings of the values while others label
const RETRY_MS = 2000;
const FIRST_GROWTH = 12;
const ZOOM_STEP = 1.5;
const STEPS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
const LAYOUTS = { pca: "Principal plane", tsne: "t-SNE", umap: "UMAP" };
const SVG = "http://www.w3.org/2000/svg";
const OUTLINES = {
  circle: "M2 8a6 6 0 1 0 12 0a6 6 0 1 0-12 0", square: "M3 3h10v10h-10z",
  diamond: "M8 1l7 7l-7 7l-7-7z", cross: "M6 1h4v5h5v4h-5v5h-4v-5h-5v-4h5z",
};

export class PoolMap {
  /** `openPages` shows chosen images in pages, `openOnes` one by one if they are leased; `held` are the images of this window. */
  constructor({ openPages, openOnes, held }) {
    Object.assign(this, { openPages, openOnes, held });
    this.frame = byId("map-frame");
    this.canvas = new MapCanvas(byId("map-points"), byId("map-overlay"));
    this.view = new Window();
    this.tip = new MapTip(this.view);
    this.points = null;
    this.version = "";
    this.cursor = -1;
    this.grown = 0;
    this.lasso = [];
    this.pointers = new Map();
    this.hidden = new Set(); // names of groups that the legend hides
    this.isOpen = false;
    this.loads = 0;
    this.loadedAt = 0;
    this.#listen();
  }

  /** Use a session: the values of its images may have changed. */
  setSession(session) {
    const key = JSON.stringify([session.labeling, session.progress.done, session.progress.conflicts, session.classes]);
    const isOther = this.session && this.session.labeling !== session.labeling;
    this.session = session;
    byId("map-pages").hidden = session.widget !== "choices"; // a page gives one class
    if (isOther) this.points = null;
    if (key === this.key1) return;
    this.key1 = key;
    this.tip.forget();
    clearTimeout(this.refreshing);
    if (this.isOpen) this.refreshing = setTimeout(() => { if (this.isOpen) this.load(); }, Math.max(0, REFRESH_MS - (performance.now() - this.loadedAt)));
  }

  /** Show the map. */
  async open() {
    this.isOpen = true;
    this.#resize();
    await this.load();
  }

  /** Stop reading values. */
  leave() {
    this.isOpen = false;
    this.tip.hide();
  }

  /** Load what has changed. */
  async load() {
    const load = this.loads += 1;
    this.loadedAt = performance.now();
    this.frame.setAttribute("aria-busy", "true");
    try {
      const about = await get("map");
      if (load !== this.loads) return;
      this.about = about;
      this.#offer();
      if (about.version && !(await this.#loadArrays(load))) return;
      this.tip.forget();
      this.#color();
    } catch (error) {
      if (load !== this.loads || !this.isOpen) return;
      if (error.code !== "other_version" && !error.isTemporary) showNotice(error.message);
      else setTimeout(() => { if (load === this.loads && this.isOpen) this.load(); }, RETRY_MS);
    } finally {
      if (load === this.loads) this.frame.setAttribute("aria-busy", "false");
    }
  }

  async #loadArrays(load) {
    const { version } = this.about;
    const layout = byId("map-layout").value;
    const key = `${version} ${layout}`;
    if (this.points === null || this.version !== key) {
      const points = new Points(await bytes("map/places", { version, layout }));
      if (load !== this.loads) return false;
      const isSame = this.version.split(" ")[0] === version;
      if (isSame && this.points) points.isChosen.set(this.points.isChosen);
      else this.cursor = -1;
      this.points = points;
      this.version = key;
      this.view.extent = points.extent;
      this.view.reset();
    }
    const values = await bytes("map/values", { version });
    return load === this.loads && this.points.setValues(values);
  }

  /** Offer the layouts and the colors that this labeling has. */
  #offer() {
    const { version, points, images, layouts, rounds } = this.about;
    byId("map-empty").hidden = version !== "";
    for (const id of ["map-body", "map-tools", "map-actions"]) byId(id).hidden = version === "";
    options("map-layout", layouts.map((name) => [name, LAYOUTS[name]]));
    byId("map-layout-label").hidden = layouts.length < 2;
    const isClass = this.session.widget === "choices"; // the other labels are no colors
    const has = { label: isClass, predicted: isClass, uncertainty: isClass, disagreement: isClass, round: Object.keys(rounds).length > 1 };
    options("map-color", Object.entries(MODES).filter(([name]) => has[name] ?? true).map(([name, mode]) => [name, mode.name]));
    byId("map-count").textContent = points === images ? count(points, "image") : `${points.toLocaleString("en")} of ${count(images, "image")}`;
    if (version !== "") this.#resize();
  }

  /** Color the points anew, and list the groups. */
  #color() {
    if (!this.points?.states) return;
    this.colors = colored(byId("map-color").value, this.points, this.about.classes, this.about.rounds, isDark());
    this.#filter();
    this.#drawLegend();
  }

  #filter() {
    const isHidden = this.colors.groups.map(({ name }) => this.hidden.has(name));
    for (let point = 0; point < this.points.length; point += 1) this.points.isShown[point] = isHidden[this.colors.of[point]] ? 0 : 1;
    if (this.cursor >= 0 && !this.points.isShown[this.cursor]) this.#moveTo(-1);
    this.#draw();
  }

  #drawLegend() {
    byId("map-legend").replaceChildren(...this.colors.groups.filter((group) => group.count).map((group) => {
      const swatch = document.createElementNS(SVG, "svg");
      swatch.setAttribute("viewBox", "0 0 16 16");
      swatch.setAttribute("aria-hidden", "true");
      const outline = document.createElementNS(SVG, "path");
      outline.setAttribute("d", OUTLINES[group.shape]);
      outline.setAttribute("fill", group.color);
      swatch.append(outline);
      const parts = [swatch, element("span", "map-group", group.name), element("span", "soft", group.count.toLocaleString("en"))];
      const one = button(parts, () => {
        if (!this.hidden.delete(group.name)) this.hidden.add(group.name);
        one.setAttribute("aria-pressed", String(!this.hidden.has(group.name)));
        this.#filter();
      }, "quiet", { "aria-pressed": String(!this.hidden.has(group.name)) });
      return element("li", "", [one]);
    }));
  }

  // -- Choosing ----------------------------------------------------------------------------------

  /** Execute the command of a key; return whether it has one. */
  key(key) {
    if (!this.points?.states || !this.colors) return false;
    if (STEPS[key]) this.frame.focus();
    return this.#act(key, { shiftKey: false });
  }

  /** Return why a key has no effect here. */
  reason(key) {
    return key === "v" ? "Go to an image first, by an arrow key." : "";
  }

  #act(key, { shiftKey }) {
    if (STEPS[key]) this.#step(STEPS[key], shiftKey);
    else if (key === " ") this.#toggle();
    else if (key === "g") this.#grow(shiftKey ? 0.5 : 2);
    else if (key === "+" || key === "=") this.#zoom(ZOOM_STEP);
    else if (key === "-") this.#zoom(1 / ZOOM_STEP);
    else if (key === "0") this.#zoom(null);
    else if (key === "Escape") this.#choose([], false);
    else if (key === "Enter") this.#openChosen();
    else if (key === "v" && this.cursor >= 0) this.#look();
    else return false;
    return true;
  }

  #choose(points, isMore) {
    this.grown = 0;
    this.points.choose(points, isMore);
    this.#draw();
    if (!this.points.chosen) announce("No image is chosen");
  }

  #step(direction, isMore) {
    const to = this.cursor < 0 ? this.points.nearest(this.view.x, this.view.y) : this.points.next(this.cursor, direction);
    if (to < 0) {
      showHint("There is no image in this direction.");
      return;
    }
    if (isMore) this.points.choose([...(this.cursor < 0 ? [] : [this.cursor]), to], true);
    this.#moveTo(to);
  }

  #toggle() {
    if (this.cursor < 0) return;
    this.points.isChosen[this.cursor] = 1 - this.points.isChosen[this.cursor];
    this.#moveTo(this.cursor);
  }

  /** Choose the images around the cursor, twice or half as many as before. */
  #grow(factor) {
    if (this.cursor < 0) this.#moveTo(this.points.nearest(this.view.x, this.view.y));
    if (this.cursor < 0) return;
    const size = this.grown ? Math.max(1, Math.round(this.grown * factor)) : FIRST_GROWTH;
    this.#choose(this.points.around(this.cursor, size), false);
    this.grown = Math.min(size, this.points.length);
    announce(`${count(this.points.chosen, "image")} chosen`);
  }

  #zoom(factor) {
    if (factor === null) this.view.reset();
    else this.view.zoomAt(factor, this.cursor < 0 ? [this.view.width / 2, this.view.height / 2] : this.view.pixel(this.#place(this.cursor)));
    this.#draw();
  }

  #place(point) {
    return [this.points.x[point], this.points.y[point]];
  }

  /** Move the cursor to a point, and show its image. */
  async #moveTo(point) {
    this.cursor = point;
    if (point < 0) {
      this.tip.hide();
      this.#draw();
      return;
    }
    this.view.show(this.#place(point));
    this.#draw();
    const found = await this.#showTip(point);
    if (found && this.cursor === point) announce(`${this.points.isChosen[point] ? "chosen: " : ""}${found}`);
  }

  // -- What is done with the chosen images ---------------------------------------------------------

  #openChosen() {
    if (byId("map-pages").hidden) this.#askFirst();
    else this.#openPages();
  }

  #ids() {
    const ids = this.points?.chosenIds(MOST_CHOSEN) ?? [];
    if (ids.length === 0) showHint("Choose images first: draw around them, or press g at one.");
    else if (this.points.chosen > ids.length) showNotice(`The first ${MOST_CHOSEN.toLocaleString("en")} of the chosen images are taken.`);
    return ids;
  }

  #openPages() {
    const ids = this.#ids();
    if (ids.length) this.openPages(ids);
  }

  async #askFirst() {
    const ids = this.#ids();
    if (ids.length === 0) return;
    try {
      const { leased } = await post("map/first", { items: ids, give_back: this.held().slice(-1000) });
      if (leased === 0) showHint("None of these images waits for a label of yours.");
      else await this.openOnes(leased);
    } catch (error) {
      showNotice(error.message);
    }
  }

  async #list() {
    const ids = this.#ids();
    if (ids.length === 0) return;
    try {
      const content = await bytes("map/list", {}, { items: ids });
      const url = URL.createObjectURL(new Blob([content], { type: "text/csv" }));
      element("a", "", [], { href: url, download: "chosen.csv" }).click();
      setTimeout(() => URL.revokeObjectURL(url), 1000);
      announce(`${count(ids.length, "image")} listed`);
    } catch (error) {
      showNotice(error.message);
    }
  }

  #showTip(point) {
    return this.tip.show(this.points.items[point], this.#place(point), byId("map-color").value !== "label");
  }

  async #look() {
    const found = await this.tip.data(this.points.items[this.cursor]);
    if (found) look(found.item);
  }

  // -- Drawing -------------------------------------------------------------------------------------

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.frame;
    if (width === 0 || (width === this.view.width && height === this.view.height)) return;
    Object.assign(this.view, { width, height });
    this.canvas.resize(width, height);
    this.#draw();
  }

  #draw() {
    this.drawing ??= requestAnimationFrame(() => {
      this.drawing = null;
      if (!this.points?.states || !this.colors || this.view.width <= 1) return;
      const style = getComputedStyle(this.frame);
      const [paper, ink, accent] = ["--card", "--ink", "--accent"].map((name) => style.getPropertyValue(name).trim());
      this.canvas.draw(this.points, this.view, this.colors, { paper: long(paper), ink: long(ink) });
      this.canvas.drawOver(this.lasso, this.cursor < 0 ? null : this.view.pixel(this.#place(this.cursor)), accent);
      this.tip.put();
      this.#drawState();
    });
  }

  #drawState() {
    const { chosen } = this.points;
    const text = chosen ? `${count(chosen, "image")} chosen` : "No image is chosen";
    if (byId("map-title").textContent !== text) byId("map-title").textContent = text;
    for (const id of ["map-pages", "map-ones", "map-list", "map-clear"]) byId(id).disabled = chosen === 0;
  }

  // -- Pointers and keys -----------------------------------------------------------------------------

  #listen() {
    const { frame } = this;
    new ResizeObserver(() => { if (this.isOpen) this.#resize(); }).observe(frame);
    for (const [id, act] of [["map-pages", () => this.#openPages()], ["map-ones", () => this.#askFirst()], ["map-list", () => this.#list()], ["map-clear", () => this.#choose([], false)], ["map-in", () => this.#zoom(ZOOM_STEP)], ["map-out", () => this.#zoom(1 / ZOOM_STEP)], ["map-fit", () => this.#zoom(null)]]) {
      byId(id).addEventListener("click", () => { if (this.points) act(); });
    }
    byId("map-color").addEventListener("change", () => {
      this.hidden.clear();
      this.tip.hide();
      this.#color();
    });
    byId("map-layout").addEventListener("change", () => this.load());
    new MutationObserver(() => this.#color()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#color());
    frame.addEventListener("keydown", (event) => this.#onKey(event));
    frame.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.view.zoomAt(Math.exp(-event.deltaY / (event.deltaMode === 1 ? 12 : 300)), this.#pixel(event));
      this.#draw();
    }, { passive: false });
    frame.addEventListener("contextmenu", (event) => event.preventDefault());
    frame.addEventListener("pointerdown", (event) => this.#onDown(event));
    frame.addEventListener("pointermove", (event) => this.#onMove(event));
    for (const kind of ["pointerup", "pointercancel"]) frame.addEventListener(kind, (event) => this.#onUp(event));
    frame.addEventListener("pointerleave", () => { if (this.pointers.size === 0 && this.cursor < 0) this.tip.hide(); });
    frame.addEventListener("dblclick", () => { if (this.cursor >= 0) this.#look(); });
  }

  #onKey(event) {
    if (event.altKey || !this.colors) return;
    if (event.ctrlKey || event.metaKey) {
      if (event.key.toLowerCase() !== "a") return;
      this.#choose(this.points.all(), false);
    } else {
      const keys = event.key === " " ? [" "] : meanings(event);
      if (event.repeat && !STEPS[event.key] && !keys.some((key) => "+=-".includes(key))) return;
      if (!keys.some((key) => this.#act(key, event))) return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  #pixel(event) {
    const { left, top } = this.frame.getBoundingClientRect();
    return [event.clientX - left - this.frame.clientLeft, event.clientY - top - this.frame.clientTop];
  }

  #onDown(event) {
    if (!this.colors) return;
    const pixel = this.#pixel(event);
    this.frame.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, pixel);
    this.isPinch = this.pointers.size > 1;
    this.isMove = this.isPinch || event.button > 0 || byId("map-drag").value === "move";
    this.downAt = pixel;
    this.lasso = this.isMove ? [] : [pixel];
  }

  #onMove(event) {
    if (!this.colors) return;
    const pixel = this.#pixel(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      if (event.pointerType === "mouse") this.#hover(pixel);
      return;
    }
    if (this.isPinch) this.#pinch(event.pointerId, before, pixel);
    else if (this.isMove) this.view.moveBy(pixel[0] - before[0], pixel[1] - before[1]);
    else for (const one of event.getCoalescedEvents?.() ?? []) addCorner(this.lasso, this.#pixel(one)); // all moves since the last frame
    if (!this.isMove) addCorner(this.lasso, pixel);
    this.pointers.set(event.pointerId, pixel);
    this.#draw();
  }

  #pinch(id, before, pixel) {
    const [other] = [...this.pointers].filter(([one]) => one !== id).map(([, at]) => at);
    if (!other) return;
    const middle = [(pixel[0] + other[0]) / 2, (pixel[1] + other[1]) / 2];
    const apart = (at) => Math.max(8, Math.hypot(at[0] - other[0], at[1] - other[1]));
    this.view.zoomAt(apart(pixel) / apart(before), middle);
    this.view.moveBy((pixel[0] - before[0]) / 2, (pixel[1] - before[1]) / 2);
  }

  #onUp(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    const { lasso } = this;
    this.lasso = [];
    if (event.type === "pointerup" && !this.isPinch) {
      const pixel = this.#pixel(event);
      const isClick = Math.hypot(pixel[0] - this.downAt[0], pixel[1] - this.downAt[1]) < 4 && lasso.length < 8;
      if (isClick && event.button === 0) this.#click(pixel, event.shiftKey);
      else if (lasso.length > 2) {
        this.#choose(this.points.within(lasso.map((corner) => this.view.place(corner))), event.shiftKey);
        announce(`${count(this.points.chosen, "image")} chosen`);
      }
    }
    if (this.pointers.size === 0) this.isPinch = false;
    this.#draw();
  }

  #at(pixel) {
    return this.points.nearest(...this.view.place(pixel), NEAR / this.view.scale);
  }

  #click(pixel, isMore) {
    const point = this.#at(pixel);
    if (point < 0) {
      if (!isMore) this.#moveTo(-1);
      return;
    }
    if (isMore) this.points.isChosen[point] = 1 - this.points.isChosen[point];
    this.#moveTo(point);
  }

  #hover(pixel) {
    clearTimeout(this.hovering);
    this.hovering = setTimeout(() => {
      if (!this.isOpen || this.pointers.size) return;
      const point = this.#at(pixel);
      if (point >= 0) this.#showTip(point);
      else if (this.cursor >= 0) this.#showTip(this.cursor);
      else this.tip.hide();
    }, HOVER_MS);
  }
}

/** Return a color with two digits a part. */
function long(color) {
  return color.length === 4 ? `#${[...color.slice(1)].map((digit) => digit + digit).join("")}` : color;
}
