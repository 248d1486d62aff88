// Puts the page together: what is shown, who labels, and what is asked of the server meanwhile.

import { listenToTheme } from "../theme.js";
import { annotatorName, get, setAnnotatorName } from "./api.js";
import { byId, count, element, showNotice } from "./dom.js";
import { showEnd } from "./end.js";
import { Labeler, paceText, whoLabels } from "./labeler.js";
import { Outbox } from "./outbox.js";
import { Review } from "./review.js";
import { Stage } from "./stage.js";
import { Team } from "./team.js";

const POLL_MS = 3000;
const KEYS = [
  ["1 … 9", "Choose a class"], ["/", "Find a class, where there are many"], ["s", "Skip: somebody else, or later"],
  ["u", "Not sure"], ["x", "Unreadable"], ["z", "Take back the last answer, and the one before …"],
  ["g", "Show the model's guess"], ["+  −  0", "Larger, smaller, all of it"], ["arrows", "Move the enlarged image"],
  ["v", "In the review, the image in full"], ["l  r  c", "Label, review, classes and people"], ["?", "These keys"],
];

const outbox = new Outbox();
const stage = new Stage();
const labeler = new Labeler(stage, outbox);
const review = new Review(showProgress);
const team = new Team(refresh);
let session = null;
let view = "label";
let isStarted = false; // whether it is known who labels
let isAlone = false; // whether the server could not be reached the last time

async function refresh() {
  try {
    session = await get("session");
  } catch (error) {
    isAlone = true;
    showOutbox();
    if (session === null) showNotice(error.message);
    return session;
  }
  const batch = JSON.stringify([session.batch.id]);
  const isNewBatch = refresh.batch !== undefined && refresh.batch !== batch;
  refresh.batch = batch;
  if (isAlone) {
    isAlone = false;
    showOutbox();
  }
  document.title = session.title;
  byId("title").textContent = session.title;
  byId("who").textContent = whoLabels(session);
  byId("who").disabled = !session.needs_name && !annotatorName();
  labeler.setClasses(session.classes);
  review.setSession(session);
  showProgress(session.progress);
  if (!isStarted) return session;
  if (isNewBatch) await labeler.restart();
  else if (!labeler.current && session.batch.state === "open") await labeler.fill();
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
}

function showOutbox() {
  const number = outbox.waiting.length;
  const isStuck = outbox.isStuck || (isAlone && session !== null);
  byId("outbox").hidden = !isStuck;
  const kept = number ? ` ${count(number, "label")} ${number === 1 ? "waits" : "wait"} for the connection, kept in this browser; go on.` : "";
  byId("outbox").textContent = isStuck ? `The server cannot be reached.${kept}` : "";
}

function showView() {
  const isEnd = view === "label" && !labeler.current && isStarted;
  byId("view-label").hidden = view !== "label" || isEnd;
  byId("view-end").hidden = !isEnd;
  byId("view-review").hidden = view !== "review";
  byId("view-team").hidden = view !== "team";
  for (const tab of byId("tabs").children) {
    if (tab.dataset.view === view) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  if (isEnd) {
    showEnd(session, outbox, {
      lookAtSkipped: () => labeler.lookAtSkipped(),
      undo: () => labeler.undo(),
      review: () => open("review"),
      conflicts: () => { review.showConflicts(); open("review"); },
      refresh,
    });
  }
}

async function open(name) {
  view = name;
  byId("notice").hidden = true;
  showView();
  if (name === "review") await review.load();
  if (name === "team" && session) await team.load(await refresh());
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
    if (annotatorName() !== before) location.reload();
  });
  outbox.addEventListener("change", () => { showOutbox(); showView(); });
  labeler.addEventListener("progress", ({ detail }) => {
    showProgress(detail);
    if (!labeler.current && outbox.waiting.length === 0) refresh(); // what is next?
  });
  labeler.addEventListener("shown", showView);
  addEventListener("keydown", onKey);
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (document.querySelector("dialog[open]") || event.target.closest?.("input, select, textarea")) return;
  const views = { l: "label", r: "review", c: "team" };
  let isDone = true;
  if (event.key === "?") byId("help-dialog").showModal();
  else if (views[event.key]) open(views[event.key]);
  else if (view === "label") isDone = labeler.key(event.key);
  else if (view === "review") isDone = review.key1(event.key);
  else isDone = false;
  if (isDone) event.preventDefault();
}

async function poll() {
  if (!isStarted) await begin();
  else if (document.visibilityState === "visible") await refresh();
  setTimeout(poll, POLL_MS);
}

async function begin() {
  await refresh();
  if (session?.needs_name && !annotatorName()) {
    await askForName();
    await refresh();
  }
  isStarted = session !== null;
  outbox.start();
  try {
    if (session !== null) await labeler.start();
  } catch (error) {
    showNotice(error.message);
  }
  showView();
}

async function start() {
  listen();
  await begin();
  setTimeout(poll, POLL_MS);
}

start();
