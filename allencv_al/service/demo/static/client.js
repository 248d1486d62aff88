// Requests to the server: one image in, one answer or one readable error out.

const MAX_TRIES = 6;
const DEFAULT_RETRY_SECONDS = 2;

/** A readable error. `canRetry` is true if the same image may succeed later. */
export class PredictionError extends Error {
  constructor(message, canRetry) {
    super(message);
    this.canRetry = canRetry;
  }
}

/** Return the facts about the server and its model that the page needs. */
export async function serverInfo() {
  const response = await fetch("api/info");
  if (!response.ok) throw await errorOf(response);
  return response.json();
}

/** Return `{answer, milliseconds, decode, model}` for the bytes of an image. */
export async function predict(blob) {
  for (let tries = 1; ; tries += 1) {
    const began = performance.now();
    const response = await post(blob);
    if (response.ok) {
      return { answer: await response.json(), milliseconds: performance.now() - began, ...timing(response) };
    }
    if (response.status !== 503 || tries === MAX_TRIES) throw await errorOf(response);
    await response.body?.cancel();
    await pause(Number(response.headers.get("Retry-After")) || DEFAULT_RETRY_SECONDS);
  }
}

/** Return the picture of the places that speak for a class, as a blob. */
export async function saliency(blob, name) {
  const response = await post(blob, `saliency?class=${encodeURIComponent(name)}`, "image/png");
  if (!response.ok) throw await errorOf(response);
  return response.blob();
}

async function post(blob, address = "predict", accepted = "application/json") {
  const headers = { "Content-Type": blob.type || "application/octet-stream", Accept: accepted };
  try {
    return await fetch(address, { method: "POST", body: blob, headers });
  } catch {
    throw new PredictionError("The server cannot be reached.", true);
  }
}

async function errorOf(response) {
  let message = `The server answered ${response.status}.`;
  try {
    message = (await response.json()).error.message;
  } catch {
    // an answer of a proxy in between has only a status
  }
  if (response.status === 401) message = "Your login has expired: reload the page.";
  return new PredictionError(message, response.status >= 500 || response.status === 401);
}

function timing(response) {
  const found = {};
  for (const part of (response.headers.get("Server-Timing") ?? "").split(",")) {
    const match = /^\s*(\w+);dur=([\d.]+)\s*$/.exec(part);
    if (match) found[match[1]] = Number(match[2]);
  }
  return { decode: found.decode, model: found.model };
}

function pause(seconds) {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}
