// Elements are made of text, never of markup: whatever an app or a host says stays a text.

export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "class") element.className = value;
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((each) => each !== null && each !== undefined && each !== false));
  return element;
}

export function table(columns, rows, empty) {
  if (!rows.length) return h("p", { class: "dim" }, empty);
  const head = columns.map((column) => h("th", { scope: "col", class: column.class }, column.name));
  const body = rows.map((row) =>
    h("tr", {}, columns.map((column) => h("td", { class: column.class }, column.cell(row)))));
  return h("div", { class: "scroll" },
    h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, body)));
}

// Draw a place anew; whoever works by keys stays on the link that they had come to.
export function redraw(place, ...children) {
  const held = place.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  const alike = () => [...place.querySelectorAll("a")].filter((each) => each.getAttribute("href") === held);
  const which = held === null ? -1 : alike().indexOf(document.activeElement);
  place.replaceChildren(...children);
  if (which >= 0) alike()[which]?.focus({ preventScroll: true });
}

export function card(title, ...children) {
  return h("section", { class: "card", "aria-label": title }, h("h2", {}, title), children);
}

export function badge(text, tone) {
  return h("span", { class: `badge ${tone}` }, text);
}

// The state of an object, by its condition Ready.
export function readiness(object) {
  const found = (object.status?.conditions ?? []).find((each) => each.type === "Ready");
  if (!found) return badge("Pending", "dim");
  const tone = found.status === "True" ? "good" : found.status === "False" ? "bad" : "warn";
  const element = badge(found.reason || found.status, tone);
  if (found.message) element.title = found.message;
  return element;
}

export function number(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(1);
  return new Intl.NumberFormat("en", { maximumSignificantDigits: digits, notation: Math.abs(value) >= 1e5 ? "compact" : "standard" }).format(value);
}

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let index = 0;
  while (Math.abs(value) >= 1024 && index < units.length - 1) { value /= 1024; index += 1; }
  return `${number(value)} ${units[index]}`;
}

export function ago(time) {
  const at = typeof time === "number" ? time * 1000 : Date.parse(time);
  if (!at) return "–";
  const seconds = Math.max(0, (Date.now() - at) / 1000);
  const [size, unit] = seconds < 120 ? [1, "s"] : seconds < 7200 ? [60, "m"] : seconds < 172800 ? [3600, "h"] : [86400, "d"];
  return h("time", { datetime: new Date(at).toISOString(), title: new Date(at).toLocaleString() }, `${Math.floor(seconds / size)}${unit} ago`);
}
