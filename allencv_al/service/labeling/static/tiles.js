// Tiles of the grids: thumbnails, the image in full, and the focus among them.

import { imageError } from "./api.js";
import { byId, button, element } from "./dom.js";

const MOST_ATTEMPTS = 5;

/** Return a thumbnail that reports errors, and retries while the server is busy. */
export function thumbnail(url) {
  const picture = element("img", "", [], { src: url, alt: "", loading: "lazy" });
  let attempt = 0;
  picture.addEventListener("error", async () => {
    const error = await imageError(url);
    attempt += 1;
    if (error !== null && !error.isTemporary) picture.replaceWith(element("span", "tile-problem soft", `Cannot be shown: ${error.message}`));
    else if (attempt <= MOST_ATTEMPTS) setTimeout(() => { picture.src = `${url}-${attempt}`; }, 1000 * attempt);
  });
  return picture;
}

byId("look-image").addEventListener("error", async () => {
  const url = byId("look-image").getAttribute("src");
  const error = url ? await imageError(url) : null;
  if (error && byId("look-image").getAttribute("src") === url) byId("look-problem").textContent = `This image cannot be shown: ${error.message}.`;
});

/** Show an image in full. */
export function look(item) {
  byId("look-name").textContent = item.file_name;
  byId("look-image").alt = `Image: ${item.file_name}`;
  if (!byId("look-image").src.endsWith(item.image_url)) byId("look-image").removeAttribute("src");
  byId("look-image").src = item.image_url;
  byId("look-problem").textContent = "";
  byId("look-dialog").showModal();
}

/** Return a button that shows images like one. */
export function likeButton(item, act) {
  return button("≈", act, "tile-like", { "aria-label": `More like ${item.file_name}`, title: "More like this (m)" });
}

/** Return a button that shows an image in full. */
export function lookButton(item) {
  return button("+", () => look(item), "tile-look", { "aria-label": `Enlarge ${item.file_name}`, title: "In full (v)" });
}

/** Move the focus from a tile by an arrow key; return whether the key is one. */
export function moveFocus(tiles, place, key) {
  const top = tiles[0].offsetTop;
  const columns = tiles.filter((tile) => tile.offsetTop === top).length;
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[key];
  if (step === undefined) return false;
  tiles[Math.min(tiles.length - 1, Math.max(0, place + step))].focus();
  return true;
}
