// Errors: each once, however often it came, with the code around the line that raised it.
import { Refused, list } from "./api.js";
import { ago, badge, card, h, redraw, table } from "./dom.js";

export function errorTable(items, empty) {
  const columns = [
    { name: "Error", cell: (each) => h("a", { href: `#/errors/${each.metadata.name}` }, each.spec.title) },
    { name: "Kind", class: "wide", cell: ({ spec }) => badge(spec.kind, spec.kind === "exception" ? "warn" : "bad") },
    { name: "App", cell: ({ spec }) => (spec.app ? h("a", { href: `#/apps/${spec.app}` }, spec.app) : "–") },
    { name: "Times", class: "num", cell: ({ spec }) => spec.count },
    { name: "Last", cell: ({ spec }) => ago(spec.last) },
    { name: "First", class: "wide", cell: ({ spec }) => ago(spec.first) },
  ];
  return table(columns, [...items].reverse(), empty);
}

export function errors(page, content) {
  const place = h("div", {});
  content.append(h("h1", {}, "Errors"), h("p", { class: "sub" }, "What went wrong, newest first; apps need no change for it."), place);
  page.every(async (signal) => {
    redraw(place, card("All errors", errorTable(await list("/errors", {}, signal), "Nothing went wrong lately.")));
  });
}

export function error(page, content, id) {
  page.every(async (signal) => {
    const [kept] = await list("/errors", { name: id }, signal);
    if (!kept) throw new Refused(404, "this error is not kept any more");
    const found = kept.spec;
    const where = [found.app, found.process, found.host && `on ${found.host}`, found.release && `release #${found.release}`, found.commit && found.commit.slice(0, 12)];
    content.replaceChildren(
      h("h1", {}, found.title),
      h("p", { class: "sub" }, where.filter(Boolean).join(" · "), ` · ${found.count} times, last `, ago(found.last)),
      found.message ? h("p", { class: "mono" }, found.message) : "",
      ...(found.exceptions ?? []).map(raised),
      (found.breadcrumbs ?? []).length ? card("Lines before it", h("pre", { class: "logs", tabindex: 0 }, found.breadcrumbs.map((each) => h("div", { class: each.level }, each.text)))) : "");
  }, 15000);
}

const RELATIONS = { cause: "was caused by", context: "came while handling", member: "has in it" };

function raised(each) {
  const title = `${each.relation ? `${RELATIONS[each.relation]} ` : ""}${each.type}: ${each.message}`;
  return card(title, [...(each.frames ?? [])].reverse().map((frame) =>
    h("div", { class: frame.inApp ? "frame own" : "frame" },
      h("div", { class: "dim" }, h("span", { class: "mono" }, `${frame.file}:${frame.line}`), ` in ${frame.function || "?"}`),
      h("pre", { tabindex: 0 }, source(frame)))));
}

function source(frame) {
  const before = frame.before ?? [];
  const all = [...before, frame.code, ...(frame.after ?? [])];
  return all.map((text, index) =>
    h("div", { class: index === before.length ? "hit" : "dim" }, `${String(frame.line - before.length + index).padStart(5)}  ${text}`));
}
