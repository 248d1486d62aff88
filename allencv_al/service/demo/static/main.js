// The page: takes images, shows predictions.

import { listenToCamera } from "./camera.js";
import { serverInfo } from "./client.js";
import { csvOf, save } from "./csv.js";
import { showDetail } from "./detail.js";
import { percent } from "./dom.js";
import { Grid, sorted } from "./grid.js";
import { Items } from "./items.js";
import { showSamples } from "./samples.js";
import { listen } from "./sources.js";
import { listenToTheme } from "../theme.js";

const byId = (id) => document.getElementById(id);

/** Show an error message. */
function complain(message) {
  byId("notice").textContent = message;
  byId("notice").hidden = false;
}

function announce(message) {
  byId("announcer").textContent = message;
}

class Page {
  #info;
  #items;
  #grid;
  #selected = null;

  constructor(info) {
    this.#info = info;
    this.#items = new Items(info.max_body_bytes);
    this.#grid = new Grid(byId("grid"), (item) => this.#select(item, true));
    this.#items.addEventListener("added", ({ detail }) => this.#onAdded(detail));
    this.#items.addEventListener("changed", ({ detail }) => this.#onChanged(detail));
    this.#items.addEventListener("explained", ({ detail }) => this.#onExplained(detail));
    this.#items.addEventListener("cleared", () => this.#onCleared());
    byId("sort").addEventListener("change", () => this.#arrange());
    byId("save").addEventListener("click", () => save(csvOf(this.#inOrder(), info.classes), "predictions.csv"));
    byId("clear").addEventListener("click", () => this.#items.clear());
  }

  /** Add files. */
  take(files) {
    byId("notice").hidden = true;
    if (files.length > 0) this.#items.add(files);
  }

  #inOrder() {
    return sorted(this.#items.all, byId("sort").value);
  }

  #onAdded(items) {
    byId("results").hidden = false;
    byId("drop").classList.add("small");
    this.#select(items[0], false);
    this.#arrange();
    byId("detail").scrollIntoView({ block: "nearest" });
  }

  #onChanged(item) {
    this.#grid.update(item);
    this.#arrange();
    if (item === this.#selected) this.#showSelected();
    announce(this.#sentence(item));
  }

  #onExplained(item) {
    if (item !== this.#selected) return;
    this.#showSelected();
    byId("explain")?.focus(); // the panel was built anew
    if (item.saliency.isShown) announce(`${item.name}: the places that speak for ${item.result.name} are shown.`);
  }

  #onCleared() {
    this.#selected = null;
    this.#grid.clear();
    byId("results").hidden = true;
    byId("drop").classList.remove("small");
    byId("choose").focus();
    announce("All images are removed.");
  }

  #select(item, isAsked) {
    this.#selected = item;
    this.#showSelected();
    this.#arrange();
    if (isAsked) byId("detail").scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  #showSelected() {
    showDetail(
      byId("detail"),
      this.#selected,
      this.#info,
      (item) => this.#items.retry(item),
      (item) => this.#items.explain(item),
    );
  }

  #arrange() {
    const all = this.#items.all;
    byId("many").hidden = all.length < 2;
    byId("count").textContent = this.#countText(all);
    this.#grid.show(this.#inOrder(), this.#selected);
  }

  #countText(all) {
    const failed = all.filter((item) => item.error).length;
    const waiting = all.filter((item) => !item.error && !item.result).length;
    const parts = [`${all.length} images`];
    if (waiting > 0) parts.push(`${waiting} waiting`);
    if (failed > 0) parts.push(`${failed} failed`);
    return parts.join(", ");
  }

  #sentence({ name, result, error }) {
    const waiting = this.#items.all.filter((item) => !item.error && !item.result).length;
    if (this.#items.all.length > 1 && waiting > 0) return ""; // not every one of hundreds
    if (this.#items.all.length > 1) return `All done. ${this.#countText(this.#items.all)}.`;
    if (error) return `${name}: ${error.message}`;
    if (!result) return "";
    return result.probability === null ? `${name}: answered` : `${name}: ${result.name}, ${percent(result.probability)}`;
  }
}

function about(classes) {
  if (classes.length === 0) return "";
  const few = classes.join(", ");
  return classes.length <= 5 && few.length <= 60 ? `Tells apart: ${few}` : `Tells ${classes.length} classes apart`;
}

async function open() {
  listenToTheme(byId("theme"));
  const info = await serverInfo();
  document.title = info.title;
  byId("title").textContent = info.title;
  byId("about").textContent = about(info.classes);
  const page = new Page(info);
  const take = (files) => page.take(files);
  listen({ choose: byId("choose"), input: byId("files"), veil: byId("drop-veil"), take, complain });
  listenToCamera({
    button: byId("photograph"),
    input: byId("camera-files"),
    dialog: byId("camera"),
    video: byId("camera-video"),
    shoot: byId("camera-take"),
    cancel: byId("camera-cancel"),
    take,
    complain,
  });
  showSamples(byId("samples"), byId("sample-list"), info.samples, take, complain);
  document.body.dataset.state = "ready";
}

open().catch((error) => complain(`The page cannot start: ${error.message}`));
