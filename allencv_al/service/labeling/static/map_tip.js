// The image of a point of the map, with what is known of it, beside the point.

import { get } from "./api.js";
import { byId } from "./dom.js";

const GAP = 16; // pixels between the point and its image
const EDGE = 4;

export class MapTip {
  constructor(view) {
    this.view = view;
    this.seen = new Map(); // data of images, by number
    this.item = null; // the image that is shown or on its way
  }

  /** Forget the data of images: their labels may have changed. */
  forget() {
    this.seen.clear();
  }

  /** Return the data of an image; null if the server cannot be asked. */
  async data(item) {
    if (!this.seen.has(item)) this.seen.set(item, get("map/image", { item: `i${item}` }));
    try {
      return await this.seen.get(item);
    } catch {
      this.seen.delete(item); // asked for again at the next move
      return null;
    }
  }

  /** Show the image of a place; return what is known of it as a text, or null if another one is shown by now. */
  async show(item, place, hasPrediction) {
    Object.assign(this, { item, place });
    const found = await this.data(item);
    if (!found || this.item !== item) return null;
    const parts = [labelOf(found)];
    if (hasPrediction && found.predicted !== null) parts.push(`model: ${found.predicted} ${Math.round(100 * found.probability)} %`);
    byId("map-tip-image").src = found.item.thumb_url;
    byId("map-tip-name").textContent = found.item.file_name;
    byId("map-tip-said").textContent = parts.join(", ");
    byId("map-tip").hidden = false;
    this.put();
    return `${found.item.file_name}, ${parts.join(", ")}`;
  }

  /** Put the image beside its point, within the frame. */
  put() {
    const tip = byId("map-tip");
    if (tip.hidden) return;
    const { width, height } = this.view;
    const [x, y] = this.view.pixel(this.place);
    const isLeft = x + GAP + tip.offsetWidth > width;
    tip.style.left = `${within(isLeft ? x - GAP - tip.offsetWidth : x + GAP, width - tip.offsetWidth)}px`;
    tip.style.top = `${within(y - tip.offsetHeight / 2, height - tip.offsetHeight)}px`;
  }

  /** Show no image. */
  hide() {
    this.item = null;
    byId("map-tip").hidden = true;
  }
}

function labelOf({ conflict, label, kind }) {
  if (conflict) return "in conflict";
  return label ?? (kind && kind !== "label" ? kind : "no label");
}

function within(value, most) {
  return Math.max(EDGE, Math.min(most - EDGE, value));
}
