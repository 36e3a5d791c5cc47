// The pages, by what is behind the #; each is drawn into <main> and ends when another begins.
import { Refused, get, setToken, takeToken } from "./api.js";
import { h } from "./dom.js";
import { app } from "./app.js";
import { apps } from "./apps.js";
import { error, errors } from "./errors.js";
import { events } from "./events.js";
import { host, hosts } from "./hosts.js";

const PAGES = [
  [/^$/, apps],
  [/^apps\/([^/]+)$/, app],
  [/^hosts$/, hosts],
  [/^hosts\/([^/]+)$/, host],
  [/^errors$/, errors],
  [/^errors\/([^/]+)$/, error],
  [/^events$/, events],
];
const EVERY = 3000;
const AGAIN = 2000;

const content = document.getElementById("content");
const state = document.getElementById("state");
let leaving = new AbortController();

function show(text, isLost) {
  state.textContent = text;
  state.toggleAttribute("data-lost", isLost);
}

// What a page may do: `every` asks again and again, `live` keeps a stream open, until it is left.
class Page {
  constructor(signal) { this.signal = signal; this.ends = []; }

  async every(work, pause = EVERY) {
    while (!this.signal.aborted) {
      let rest = pause;
      try {
        await work(this.signal);
        show("live", false);
      } catch (failure) {
        if (this.signal.aborted) return;
        if (failure instanceof Refused && failure.code === 401) { askForToken(failure.message); return; }
        show(failure instanceof Refused ? failure.message : "the daemon does not answer", true);
        rest = Math.min(pause, AGAIN);
      }
      await new Promise((go) => { setTimeout(go, document.hidden ? 5 * rest : rest); });
    }
  }

  async live(open) {
    while (!this.signal.aborted) {
      await open(this.signal).catch(() => {});
      await new Promise((go) => { setTimeout(go, AGAIN); });
    }
  }
}

function askForToken(why) {
  const input = h("input", { type: "password", autocomplete: "off", id: "token", size: 40, required: true });
  const form = h("form", { class: "card", onsubmit: (event) => { event.preventDefault(); setToken(input.value.trim()); route(); } },
    h("h1", {}, "Who are you?"),
    h("p", {}, why),
    h("p", { class: "sub" }, "A token that may read is enough: ", h("code", {}, "steer token create dashboard --scope read"),
      ". It is kept in this tab only. On the daemon's machine ", h("code", {}, "steer dashboard"), " needs none."),
    h("div", { class: "controls" }, h("label", { for: "token" }, "Token"), input, h("button", {}, "Open")));
  content.replaceChildren(form);
  show("no token", true);
  input.focus();
}

function route() {
  leaving.abort();
  leaving = new AbortController();
  const path = decodeURIComponent(location.hash.replace(/^#\/?/, ""));
  for (const link of document.querySelectorAll("nav a")) {
    const isHere = link.dataset.page === path.split("/")[0] || (link.dataset.page === "" && path.startsWith("apps/"));
    if (isHere) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  const [found, draw] = PAGES.map(([pattern, draw]) => [path.match(pattern), draw]).find(([match]) => match) ?? [null, null];
  content.replaceChildren();
  document.title = path ? `${path.split("/").pop()} · steersman` : "steersman";
  if (!draw) { content.append(h("p", { class: "notice" }, "There is nothing here. ", h("a", { href: "#/" }, "All apps"))); return; }
  draw(new Page(leaving.signal), content, ...found.slice(1));
}

// g then a, h, e or v goes to a page; / puts the cursor into its filter.
let isGoing = false;
addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  const places = { a: "#/", h: "#/hosts", e: "#/errors", v: "#/events" };
  if (isGoing && places[event.key]) location.hash = places[event.key];
  if (event.key === "/") { const filter = content.querySelector("input[type=search]"); if (filter) { event.preventDefault(); filter.focus(); } }
  isGoing = event.key === "g";
});
addEventListener("hashchange", () => { takeToken(); route(); content.focus(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", route);

takeToken();
get("/whoami").then(() => route(), (failure) => (failure.code === 401 ? askForToken(failure.message) : route()));
