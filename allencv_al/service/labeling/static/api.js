// Talking to the server. Every failure is an `ApiError` with words for people.

const NAME_KEY = "allencv-al-annotator";

/** What went wrong; `status` is 0 where the server could not be reached. */
export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }

  /** Whether the same request may succeed later. */
  get isTemporary() {
    return this.status === 0 || this.status === 401 || this.status === 429 || this.status >= 500;
  }
}

/** Return the name under which this browser labels; null before it was asked. */
export function annotatorName() {
  return localStorage.getItem(NAME_KEY);
}

/** Label under a name from now on. */
export function setAnnotatorName(name) {
  localStorage.setItem(NAME_KEY, name);
}

/** Return what a GET answers. */
export function get(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== "");
  const text = new URLSearchParams(given).toString();
  return request("GET", text ? `${path}?${text}` : path);
}

/** Return what a POST answers. */
export function post(path, body) {
  return request("POST", path, body);
}

/** Return what a PATCH answers. */
export function patch(path, body) {
  return request("PATCH", path, body);
}

/** Return what a DELETE answers. */
export function remove(path) {
  return request("DELETE", path);
}

/** Return an id that no other request has. */
export function newClientId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function request(method, path, body) {
  const headers = { Accept: "application/json" };
  const name = annotatorName();
  if (name) headers["X-Annotator"] = encodeURIComponent(name);
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    const content = body === undefined ? undefined : JSON.stringify(body);
    response = await fetch(`api/${path}`, { method, headers, body: content });
  } catch {
    throw new ApiError("The server cannot be reached.", 0);
  }
  if (response.ok) return response.json();
  let message = `The server answered ${response.status}.`;
  try {
    message = (await response.json()).error.message;
  } catch {
    // an answer of a proxy in between: its number has to do
  }
  if (response.status === 401) message = "You are not logged in any more: reload the page.";
  throw new ApiError(message, response.status);
}
