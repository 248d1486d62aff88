// Assembles the page: views, the annotator, and polling of the server.

import { listenToTheme } from "../theme.js";
import { annotatorName, get, setAnnotatorName, setLabeling } from "./api.js";
import { button, byId, count, element, showHint, showNotice } from "./dom.js";
import { showEnd, standingOf, whereLabelsAre } from "./end.js";
import { meanings, nameOf } from "./keys.js";
import { Bulk } from "./bulk.js";
import { Labeler, paceText, whoLabels } from "./labeler.js";
import { PoolMap } from "./map.js";
import { Outbox } from "./outbox.js";
import { Review } from "./review.js";
import { Stage } from "./stage.js";
import { Tabs } from "./tabs.js";
import { Team } from "./team.js";

const POLL_MS = 3000;
const SLOWEST_MS = 60000;
const MOST_FAILURES = 14; // about ten minutes; after that the annotator retries by a button
const LAST_POLLS = 5; // after the end of a loop, while it writes its files
const REPEATED = ["+", "=", "-", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"]; // by a key that is held
const VIEWS = { l: "label", b: "bulk", a: "map", r: "review", c: "team" };
const KEYS = [
  ["1 … 9", "Choose a class"], ["/", "Find a class, if there are many"], ["s", "Skip: another annotator, or later"],
  ["u", "Not sure"], ["x", "Unreadable"], ["z", "Undo the last answer, then the one before …"],
  ["g", "Show the model's guess"], ["+  −  0", "Zoom in, zoom out, fit"], ["arrows", "Move the enlarged image"],
  ["space", "In a page of many images: take one out, or put it back"], ["n", "Another page of images"],
  ["m", "A page of images like the marked one"], ["v", "The marked image in full"],
  ["g", "On the map: choose the images around the marked one, then more; Shift: fewer"],
  ["l  b  a  r  c", "Label, many at once, map of all images, review, classes and people"], ["?", "These keys"],
];

const tabs = new Tabs();
const outbox = new Outbox(tabs);
const stage = new Stage();
const labeler = new Labeler(stage, outbox, tabs);
const bulk = new Bulk(labeler, outbox, tabs);
const review = new Review(showProgress);
const map = new PoolMap({
  openPages: (ids) => {
    bulk.setAmong(ids);
    open("bulk");
  },
  openOnes: async (leased) => {
    await open("label");
    await labeler.restartQueue();
    showHint(`${count(leased, "image")} of the map ${leased === 1 ? "comes" : "come"} next.`);
  },
  held: () => [...labeler.queue.map((item) => item.id), ...bulk.leased],
});
const team = new Team(refresh);
let session = null;
let view = Object.values(VIEWS).includes(location.hash.slice(1)) ? location.hash.slice(1) : "label";
let isStarted = false; // whether the annotator is known
let failures = 0; // consecutive failures to reach the server
let lastPolls = LAST_POLLS;
let polling = null;

async function refresh() {
  try {
    session = await get("session");
  } catch (error) {
    failures += 1;
    showOutbox();
    if (session === null) showNotice(error.message);
    else if (isStarted) showView();
    return session;
  }
  failures = 0;
  setLabeling(session.labeling);
  const isOther = outbox.open(session.labeling, session.annotator);
  const batch = JSON.stringify([session.labeling, session.annotator, session.batch.id]);
  const isNewBatch = refresh.batch !== undefined && refresh.batch !== batch;
  if (isStarted && isOther) showNotice(`This address now serves the labeling "${session.title}", for ${session.annotator}.`);
  refresh.batch = batch;
  document.title = session.title;
  byId("title").textContent = session.title;
  byId("who").textContent = whoLabels(session);
  byId("who").disabled = !session.needs_name && !annotatorName();
  labeler.setSession(session);
  bulk.setSession(session);
  map.setSession(session);
  document.querySelector("[data-view=bulk]").hidden = session.widget !== "choices"; // a page gives one class
  review.setSession(session);
  showOutbox();
  showProgress(session.progress);
  if (!isStarted) return session;
  if (isNewBatch) await labeler.restart();
  else {
    await outbox.adopt();
    if (!labeler.current) await tabs.ask(); // a closed window holds no images
    if (!labeler.current && session.batch.state === "open") await labeler.fill();
  }
  showView();
  return session;
}

function showProgress(progress) {
  const shown = session === null ? progress : { ...session.progress, ...progress };
  if (session !== null) session.progress = shown;
  byId("bar").value = shown.total ? shown.done / shown.total : 0;
  const round = session?.batch.round ?? null;
  byId("counts").textContent = `${round === null ? "" : `Round ${round}: `}${shown.done} of ${shown.total}`;
  byId("pace").textContent = paceText(shown);
  byId("bulk-counts").textContent = `${shown.done} of ${shown.total} labeled`;
  const standing = standingOf(session?.loop);
  if (byId("standing").textContent !== standing) byId("standing").textContent = standing;
  byId("standing").hidden = standing === "";
}

function showOutbox() {
  const isLost = failures > 0 && session !== null && !isOver();
  const isStuck = outbox.isStuck || isLost;
  byId("outbox").hidden = !isStuck && !outbox.isVolatile;
  const parts = isStuck ? ["The server cannot be reached."] : [];
  if (isStuck && outbox.count) {
    parts.push(`${count(outbox.count, "label")} ${outbox.count === 1 ? "waits" : "wait"} for the connection, kept in this ${outbox.isVolatile ? "window: do not close it" : "browser; you can continue"}.`);
  } else if (outbox.isVolatile) {
    parts.push("This browser stores nothing: unsent labels are lost if you close the window.");
  }
  if (failures > 2 && isLost) parts.push(`It may have been stopped. ${whereLabelsAre(session)}`);
  if (byId("outbox-text").textContent !== parts.join(" ")) byId("outbox-text").textContent = parts.join(" ");
  byId("outbox-again").hidden = !(failures > 2 && isLost);
  showElsewhere();
}

/** List the unsent labels that this browser keeps for other labelings and other annotators. */
function showElsewhere() {
  const groups = session === null ? [] : outbox.elsewhere();
  const key = JSON.stringify(groups);
  if (byId("elsewhere").dataset.key === key) return;
  byId("elsewhere").dataset.key = key;
  byId("elsewhere").hidden = groups.length === 0;
  byId("elsewhere").replaceChildren(...groups.map(({ title, annotator, isHere, ids, count: labels }) => {
    const number = `${count(labels, "label")} of ${annotator}`;
    const isOne = labels === 1;
    const sent = isHere ? `when ${annotator} labels here again` : `when this address serves it again and ${annotator} labels`;
    const text = `${number} in the labeling "${title}" ${isOne ? "has" : "have"} not been sent. ${isOne ? "It is" : "They are"} kept in this browser, and sent ${sent}.`;
    const remove = button("Delete", () => {
      if (remove.dataset.sure) outbox.forget(ids);
      remove.dataset.sure = "yes";
      remove.textContent = `Really delete ${count(labels, "label")}`;
    }, "quiet");
    return element("li", "", [element("span", "", text), remove]);
  }));
}

/** Return whether the loop is done and every answer is sent. */
function isOver() {
  return session?.loop?.state === "finished" && outbox.waiting.length === 0;
}

function showView() {
  const isEnd = view === "label" && !labeler.current && isStarted;
  byId("view-label").hidden = view !== "label" || isEnd;
  byId("view-end").hidden = !isEnd;
  byId("view-bulk").hidden = view !== "bulk";
  byId("view-map").hidden = view !== "map";
  byId("view-review").hidden = view !== "review";
  byId("view-team").hidden = view !== "team";
  for (const tab of byId("tabs").children) {
    if (tab.dataset.view === view) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  if (isEnd) {
    showEnd(session, outbox, failures > 2 && !isOver(), {
      lookAtSkipped: () => labeler.lookAtSkipped(),
      undo: () => labeler.undo(),
      review: () => open("review"),
      conflicts: () => { review.showConflicts(); open("review"); },
      refresh,
    });
  }
}

async function open(name, isBack = false) {
  if (!isBack && name !== view) history.pushState(null, "", name === "label" ? location.pathname + location.search : `#${name}`);
  view = name;
  byId("notice").hidden = true;
  showView();
  if (name === "review") {
    await outbox.flushed(); // what was answered just now is there, too
    await review.load();
  }
  if (name === "team" && session) await team.load(await refresh());
  if (name === "bulk") await bulk.open();
  else bulk.leave();
  if (name === "map" && session) await map.open();
  else map.leave();
  if (name === "label") await labeler.fill();
}

function askForName() {
  byId("name").value = annotatorName() ?? "";
  byId("name-cancel").hidden = annotatorName() === null;
  byId("name-dialog").showModal();
  return new Promise((resolve) => byId("name-dialog").addEventListener("close", resolve, { once: true }));
}

function listen() {
  listenToTheme(byId("theme"));
  byId("help-list").append(...KEYS.flatMap(([key, text]) => [element("dt", "", element("kbd", "", key)), element("dd", "", text)]));
  byId("help").addEventListener("click", () => byId("help-dialog").showModal());
  byId("notice-close").addEventListener("click", () => { byId("notice").hidden = true; });
  byId("add-first").addEventListener("click", () => open("team"));
  byId("tabs").addEventListener("click", (event) => {
    const name = event.target.closest("button")?.dataset.view;
    if (name) open(name);
  });
  byId("name-form").addEventListener("submit", () => setAnnotatorName(byId("name").value.trim() || "annotator"));
  byId("name-dialog").addEventListener("cancel", () => setAnnotatorName(annotatorName() ?? "annotator"));
  byId("name-cancel").addEventListener("click", () => byId("name-dialog").close());
  byId("who").addEventListener("click", async () => {
    const before = annotatorName();
    await askForName();
    if (annotatorName() === before) return;
    try {
      await get("session");
      location.reload();
    } catch (error) { // after a reload no page would appear
      setAnnotatorName(before ?? session.annotator);
      showNotice(`${error.message} The name stays ${annotatorName()} for now.`);
    }
  });
  outbox.addEventListener("change", () => {
    showOutbox();
    if (isStarted) showView();
  });
  byId("outbox-again").addEventListener("click", () => pollNow());
  labeler.addEventListener("progress", ({ detail }) => {
    if (detail) showProgress(detail);
    if (!labeler.current && outbox.waiting.length === 0) refresh(); // what is next?
  });
  labeler.addEventListener("shown", () => { if (isStarted) showView(); });
  labeler.addEventListener("stale", () => refresh());
  addEventListener("keydown", onKey);
  addEventListener("popstate", () => {
    for (const dialog of document.querySelectorAll("dialog.look[open], dialog.help[open]")) dialog.close();
    const name = location.hash.slice(1);
    open(Object.values(VIEWS).includes(name) ? name : "label", true);
  });
  document.addEventListener("visibilitychange", () => { if (document.visibilityState === "visible") pollNow(); });
  addEventListener("online", () => pollNow());
}

function onKey(event) {
  const isUndo = (event.ctrlKey || event.metaKey) && !event.altKey && meanings(event).includes("z");
  if (isUndo && view === "label" && !document.querySelector("dialog[open]") && !isTypedInto(event.target)) {
    if (labeler.edit(event.shiftKey)) event.preventDefault();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (document.querySelector("dialog[open]") || isTypedInto(event.target)) return;
  const keys = meanings(event);
  if (event.repeat && !keys.some((key) => REPEATED.includes(key))) {
    if (!["Tab", "PageUp", "PageDown"].includes(event.key)) event.preventDefault(); // one gesture, one answer
    return;
  }
  if (keys.some((key) => act(key, event))) {
    event.preventDefault();
    return;
  }
  if (event.key.length > 1 && /^Numpad[0-9]$/.test(event.code)) showHint("Num Lock is off, so the number pad chooses no class.");
  else if (event.key.length === 1 && event.key !== " " || event.key === "Dead") showHint(reasonOf(keys, event));
}

function act(key, event) {
  if (key === "?") byId("help-dialog").showModal();
  else if (VIEWS[key] && !document.querySelector(`[data-view=${VIEWS[key]}]`).hidden) open(VIEWS[key]);
  else if (view === "label") return labeler.key(key, event);
  else if (view === "bulk") return bulk.key(key);
  else if (view === "map") return map.key(key);
  else if (view === "review") return review.key1(key);
  else return false;
  return true;
}

/** Return why a key had no effect. */
function reasonOf(keys, event) {
  const shown = { label: labeler, bulk, map, review }[view];
  const found = keys.map((key) => shown?.reason(key) ?? "").find(Boolean);
  return found ?? `${nameOf(event)} does nothing here. ? shows the keys.`;
}

function isTypedInto(target) {
  return Boolean(target.closest?.("textarea, select, input:not([type=checkbox])"));
}

/** Poll the current state; retry at growing intervals while the server fails, then stop. */
async function poll() {
  polling = null;
  if (!isStarted) await begin();
  else if (document.visibilityState === "visible") await refresh();
  if (session?.loop?.state === "finished" && outbox.waiting.length === 0) lastPolls -= 1;
  else lastPolls = LAST_POLLS;
  if (lastPolls <= 0 || (isOver() && failures > 0) || failures >= MOST_FAILURES) return;
  schedule(Math.min(SLOWEST_MS, POLL_MS * 2 ** Math.max(0, failures - 1)));
}

function schedule(milliseconds) {
  clearTimeout(polling);
  polling = setTimeout(poll, milliseconds);
}

function pollNow() {
  if (isOver() && lastPolls <= 0) return;
  if (failures > 0) schedule(0);
}

async function begin() {
  await refresh();
  if (session?.needs_name && !annotatorName()) {
    await askForName();
    await refresh();
  }
  if (session === null) return;
  try {
    await tabs.ask();
    await labeler.start();
  } catch (error) {
    showNotice(error.message);
  }
  isStarted = true;
  await open(view, true);
}

async function start() {
  listen();
  await begin();
  schedule(POLL_MS);
}

start();
