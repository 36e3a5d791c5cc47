// The daemon's API, read only: every request is a GET with the bearer token of this tab.

const ROOT = "/apis/steersman/v1";
const KEY = "steersman-token";

// `steer dashboard` hands the token over behind the #, which no server and no log ever sees.
export function takeToken() {
  const found = location.hash.match(/^#token=([\w.-]+)/);
  if (!found) return;
  sessionStorage.setItem(KEY, found[1]);
  history.replaceState(null, "", location.pathname + "#/");
}

export function setToken(text) { sessionStorage.setItem(KEY, text); }

export class Refused extends Error {
  constructor(code, message) { super(message); this.code = code; }
}

async function ask(path, params, options = {}) {
  const url = new URL(ROOT + path, location.origin);
  for (const [key, value] of Object.entries(params ?? {})) {
    for (const each of Array.isArray(value) ? value : [value ?? ""]) {
      if (each !== "") url.searchParams.append(key, each);
    }
  }
  const token = sessionStorage.getItem(KEY);
  const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  const response = await fetch(url, { ...options, headers, cache: "no-store", credentials: "omit" });
  if (response.ok) return response;
  const status = await response.json().catch(() => ({}));
  throw new Refused(response.status, status.message ?? `the daemon answers ${response.status}`);
}

export async function get(path, params, signal) {
  return (await ask(path, params, { signal })).json();
}

export async function list(path, params, signal) {
  return (await get(path, params, signal)).items ?? [];
}

// Calls `take` with each line of an answer that goes on, until it ends or `signal` aborts it.
export async function lines(path, params, signal, take) {
  const response = await ask(path, params, { signal, headers: { Accept: "application/x-ndjson" } });
  await pieces(response, "\n", (line) => line.trim() && take(JSON.parse(line)));
}

// Calls `take(data)` with each message of a stream of server-sent events.
export async function events(path, params, signal, take) {
  const response = await ask(path, params, { signal, headers: { Accept: "text/event-stream" } });
  await pieces(response, "\n\n", (block) => {
    const data = block.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim());
    if (data.length) take(JSON.parse(data.join("\n")));
  });
}

async function pieces(response, mark, take) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split(mark);
    rest = parts.pop();
    parts.forEach(take);
  }
}
