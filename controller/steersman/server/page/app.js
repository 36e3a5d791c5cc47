// One app: its rollout as it goes, charts with its releases marked, processes, errors and logs.
import { events, get, lines, list } from "./api.js";
import { Chart } from "./charts.js";
import { ago, badge, bytes, card, h, number, readiness, redraw, table } from "./dom.js";
import { errorTable } from "./errors.js";
import { SPANS, named, samples } from "./samples.js";

const KEPT = 400;

export function app(page, content, name) {
  let span = SPANS[1];
  let marks = [];
  const chart = (title, unit) => new Chart(title, { unit, marks: () => marks });
  const charts = {
    traffic: chart("Requests per second, by status", number),
    latency: chart("Latency", (seconds) => (seconds === null ? "–" : `${number(seconds * 1000)} ms`)),
    cpu: chart("CPU, cores by process", number),
    memory: chart("Memory by process", bytes),
    errors: chart("Error and warning lines per minute", number),
  };
  const head = h("div", {});
  const rollout = h("pre", { class: "logs", "aria-live": "polite", tabindex: 0 });
  const tables = h("div", {});
  const faults = h("div", {});
  const choice = h("select", { id: "span", onchange: () => { span = SPANS[choice.selectedIndex]; refresh(); } },
    SPANS.map(([label], index) => h("option", { selected: index === 1 }, label)));
  content.append(head, h("div", { class: "controls" }, h("label", { for: "span" }, "Shown"), choice),
    h("div", { class: "cards" }, Object.values(charts).map((each) => each.element)),
    card("What happens", rollout), tables, faults, logs(page, name));
  page.signal.addEventListener("abort", () => Object.values(charts).forEach((each) => each.end()));

  let refresh = () => {};
  page.every(async (signal) => {
    const object = await get(`/apps/${name}`, {}, signal);
    const [releases, running] = await Promise.all([
      list("/releases", { fieldSelector: `spec.app=${name}` }, signal),
      get("/instances", { app: name, host: object.status?.hosts ?? [] }, signal),
    ]);
    head.replaceChildren(...summary(object));
    redraw(tables, processes(running.instances), history(releases, object));
  });
  page.every(async (signal) => {
    const load = async () => {
      const made = await list("/marks", { app: name }, signal);
      marks = made.map((each) => ({ time: Date.parse(each.time) / 1000, release: each.number }));
      await drawCharts(charts, name, span, signal);
    };
    refresh = () => { load().catch(() => {}); };
    await load();
  }, 10000);
  page.every(async (signal) => {
    const found = (await list("/errors", { app: name }, signal)).slice(-10);
    redraw(faults, card("Errors", errorTable(found, "No errors.")));
  }, 5000);
  follow(page, name, rollout);
}

function summary(object) {
  const { metadata, status } = object;
  const ready = (status?.conditions ?? []).find((each) => each.type === "Ready");
  return [
    h("h1", {}, metadata.name, " ", readiness(object)),
    h("p", { class: "sub" }, `release #${status?.release ?? "–"} on ${(status?.hosts ?? []).length} hosts`, ready?.message ? ` · ${ready.message}` : ""),
  ];
}

async function drawCharts(charts, app, span, signal) {
  const match = { app };
  const [codes, latency, cpu, memory, levels] = await Promise.all([
    samples("route_requests_total", span, signal, { match, by: ["code"], rate: true }),
    samples("route_latency_seconds", span, signal, { match, by: ["quantile"] }),
    samples("process_cpu_seconds_total", span, signal, { match, by: ["process"], rate: true }),
    samples("process_resident_bytes", span, signal, { match, by: ["process"] }),
    samples("log_lines_total", span, signal, { match, by: ["level"], rate: true }),
  ]);
  const tone = (code) => ({ 2: "--s3", 3: "--s6", 4: "--s2", 5: "--s4" })[code[0]];
  charts.traffic.put(named(codes, "code").sort((a, b) => a.name.localeCompare(b.name)).map((each) => ({ ...each, colour: tone(each.name) })));
  charts.latency.put(named(latency, "quantile", "p").map((each) => ({ ...each, name: `p${Math.round(Number(each.name.slice(1)) * 1000) / 10}` })));
  charts.cpu.put(named(cpu, "process"));
  charts.memory.put(named(memory, "process"));
  const wrong = levels.filter((each) => ["warning", "error", "critical"].includes(each.labels.level));
  charts.errors.put(named(wrong, "level").map((each) => ({ ...each, points: each.points.map(([time, value]) => [time, value === null ? null : value * 60]) })));
}

function processes(instances) {
  const columns = [
    { name: "Process", cell: (each) => each.process },
    { name: "Host", cell: (each) => h("a", { href: `#/hosts/${each.host}` }, each.host) },
    { name: "Release", class: "num", cell: (each) => `#${each.release ?? "–"}` },
    { name: "State", cell: (each) => badge(each.state, each.state === "running" || each.state === "active" ? "good" : "warn") },
    { name: "Restarts", class: "num", cell: (each) => each.restarts ?? 0 },
    { name: "Since", cell: (each) => (each.since ? ago(each.since) : "–") },
  ];
  return card("Processes", table(columns, instances ?? [], "Nothing runs."));
}

function history(releases, object) {
  const newest = [...releases].sort((a, b) => b.spec.number - a.spec.number).slice(0, 15);
  const tones = { deployed: "good", rejected: "bad", progressing: "warn", pending: "warn" };
  const columns = [
    { name: "Release", cell: (each) => `#${each.spec.number}` },
    { name: "State", cell: (each) => badge(each.status?.state ?? "–", tones[each.status?.state] ?? "dim") },
    { name: "Commit", class: "mono", cell: (each) => (each.spec.commit ?? "").slice(0, 12) || "–" },
    { name: "Made", cell: (each) => ago(each.metadata.creationTimestamp) },
    { name: "", cell: (each) => (each.spec.number === object.status?.release ? "serves now" : (each.status?.reason ?? "")) },
  ];
  return card("Releases", table(columns, newest, "No release yet."));
}

// What the daemon tells as it happens, by server-sent events; what was before comes first.
function follow(page, name, place) {
  const say = (time, text, tone) => {
    const at = new Date(time * 1000).toLocaleTimeString();
    place.append(h("div", { class: tone }, `${at}  ${text}`));
    while (place.childElementCount > KEPT) place.firstElementChild.remove();
    place.scrollTop = place.scrollHeight;
  };
  page.live(async (signal) => {
    const before = await list("/happened", { kind: "App", name, limit: 20 }, signal);
    place.replaceChildren();
    for (const each of before) say(Date.parse(each.last) / 1000, `${each.reason}: ${each.message}`, each.type === "Warning" ? "warning" : "");
    await events("/signals", { app: name, kind: "events" }, signal, (told) => {
      if (told.reason) say(told.time, `${told.reason}: ${told.message}`, told.is_warning ? "warning" : "");
    });
  });
}

function logs(page, name) {
  const place = h("pre", { class: "logs", tabindex: 0, "aria-label": `Log of ${name}` });
  page.live((signal) => {
    place.replaceChildren();
    return lines(`/apps/${name}/logs`, { tail: 200, follow: "true" }, signal, (told) => {
      if (!told.line) return;
      const [time, host, process, text] = told.line;
      const isAtEnd = place.scrollTop + place.clientHeight >= place.scrollHeight - 8;
      const tone = (text.match(/\b(CRITICAL|ERROR|WARNING)\b/) ?? [""])[0].toLowerCase();
      place.append(h("div", { class: tone }, `${new Date(time * 1000).toLocaleTimeString()} ${host} ${process}  ${text}`));
      while (place.childElementCount > KEPT) place.firstElementChild.remove();
      if (isAtEnd) place.scrollTop = place.scrollHeight;
    });
  });
  return card("Log", place);
}
