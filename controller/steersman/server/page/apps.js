// The first page: every app, how it is, and what it does.
import { list } from "./api.js";
import { ago, bytes, card, h, number, readiness, redraw, table } from "./dom.js";
import { spark } from "./charts.js";
import { SPANS, samples } from "./samples.js";

export function apps(page, content) {
  const filter = h("input", { type: "search", placeholder: "Filter ( / )", "aria-label": "Filter apps" });
  const place = h("div", {});
  const known = { apps: [], traffic: new Map(), cpu: new Map(), memory: new Map() };
  filter.addEventListener("input", () => draw(known, filter.value, place));
  content.append(h("h1", {}, "Apps"), h("p", { class: "sub" }, "What is wanted, and what is."),
    h("div", { class: "controls" }, filter), place);
  page.every(async (signal) => {
    known.apps = await list("/apps", {}, signal);
    draw(known, filter.value, place);
  });
  page.every(async (signal) => {
    const by = { by: ["app"] };
    const [traffic, cpu, memory] = await Promise.all([
      samples("route_requests_total", SPANS[0], signal, { ...by, rate: true }),
      samples("process_cpu_seconds_total", SPANS[0], signal, { ...by, rate: true }),
      samples("process_resident_bytes", SPANS[0], signal, by),
    ]);
    for (const [name, series] of Object.entries({ traffic, cpu, memory })) {
      known[name] = new Map(series.map((each) => [each.labels.app, each.points]));
    }
    draw(known, filter.value, place);
  }, 10000);
}

function last(points) { return points?.findLast(([, value]) => value !== null)?.[1]; }

function draw(known, text, place) {
  const rows = known.apps.filter((app) => app.metadata.name.includes(text.trim()));
  const name = (app) => app.metadata.name;
  const columns = [
    { name: "App", cell: (app) => h("a", { href: `#/apps/${name(app)}` }, name(app)) },
    { name: "State", cell: readiness },
    { name: "Release", class: "num", cell: (app) => (app.status?.release ? `#${app.status.release}` : "–") },
    { name: "Hosts", class: "num", cell: (app) => (app.status?.hosts ?? []).length },
    { name: "Requests/s", class: "num", cell: (app) => number(last(known.traffic.get(name(app)))) },
    { name: "", class: "wide", cell: (app) => spark(known.traffic.get(name(app)) ?? []) },
    { name: "Cores", class: "num", cell: (app) => number(last(known.cpu.get(name(app)))) },
    { name: "", class: "wide", cell: (app) => spark(known.cpu.get(name(app)) ?? []) },
    { name: "Memory", class: "num", cell: (app) => bytes(last(known.memory.get(name(app)))) },
    { name: "Created", class: "wide", cell: (app) => ago(app.metadata.creationTimestamp) },
  ];
  const empty = text ? "No app has that in its name." : "No app yet: `steer apply -f app.yaml` makes one.";
  redraw(place, card("All apps", table(columns, rows, empty)));
}
