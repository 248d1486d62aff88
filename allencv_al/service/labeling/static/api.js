// Requests to the server. Every failure is an `ApiError` with a readable message.

const NAME_KEY = "allencv-al-annotator";

// Of this window: a name entered in another window is used here after a reload.
let name = stored();
let labeling = null;

/** A failed request; `status` is 0 if the server could not be reached. */
export class ApiError extends Error {
  constructor(message, status, code = "") {
    super(message);
    this.status = status;
    this.code = code;
  }

  /** Whether the same request may succeed later. */
  get isTemporary() {
    return this.status === 0 || this.status === 401 || this.status === 429 || this.status >= 500;
  }
}

/** Return the annotator's name; null before it was entered. */
export function annotatorName() {
  return name;
}

/** Use a name for the annotator from now on. */
export function setAnnotatorName(given) {
  name = given;
  try {
    localStorage.setItem(NAME_KEY, given);
  } catch {
    // the browser stores nothing: the name is asked for again after a reload
  }
}

/** Name the labeling in all requests from now on; other labelings refuse them. */
export function setLabeling(id) {
  labeling = id;
}

/** Return the response of a GET request. */
export function get(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== "");
  const text = new URLSearchParams(given).toString();
  return request("GET", text ? `${path}?${text}` : path);
}

/** Return the response of a POST request. */
export function post(path, body) {
  return request("POST", path, body);
}

/** Return the response of a PATCH request. */
export function patch(path, body) {
  return request("PATCH", path, body);
}

/** Return the response of a DELETE request. */
export function remove(path) {
  return request("DELETE", path);
}

/** Return a unique id for a request. */
export function newClientId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Return the bytes of a response: of a GET request, or of a POST request where there is a body. */
export async function bytes(path, query = {}, body = undefined) {
  const text = new URLSearchParams(query).toString();
  const response = await answered(body === undefined ? "GET" : "POST", text ? `${path}?${text}` : path, body);
  return response.arrayBuffer();
}

async function request(method, path, body) {
  return (await answered(method, path, body)).json();
}

async function answered(method, path, body) {
  const headers = { Accept: "application/json" };
  if (name) headers["X-Annotator"] = encodeURIComponent(name);
  if (labeling) headers["X-Labeling"] = labeling;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    const content = body === undefined ? undefined : JSON.stringify(body);
    response = await fetch(`api/${path}`, { method, headers, body: content });
  } catch {
    throw new ApiError("The server cannot be reached.", 0);
  }
  if (response.ok) return response;
  throw await errorOf(response);
}

/** Return why an image cannot be loaded, as an `ApiError`; null if it loads now. */
export async function imageError(url) {
  try {
    const response = await fetch(url, { headers: { Accept: "application/json" } });
    return response.ok ? null : await errorOf(response);
  } catch {
    return new ApiError("The server cannot be reached.", 0);
  }
}

async function errorOf(response) {
  let [message, code] = [`The server answered ${response.status}.`, ""];
  try {
    ({ message, code } = (await response.json()).error);
  } catch {
    // an answer of a proxy in between has only a status
  }
  if (response.status === 401) message = "Your login has expired: reload the page.";
  return new ApiError(message, response.status, code);
}

function stored() {
  try {
    return localStorage.getItem(NAME_KEY);
  } catch {
    return null;
  }
}
