// Hosts: how loaded each is, and what runs there.
import { get, list } from "./api.js";
import { Chart, spark } from "./charts.js";
import { ago, bytes, card, h, number, readiness, redraw, table } from "./dom.js";
import { SPANS, named, samples } from "./samples.js";

export function hosts(page, content) {
  const place = h("div", {});
  const known = { hosts: [], load: new Map(), free: new Map() };
  const milliseconds = (seconds) => (seconds === null ? "–" : `${number(seconds * 1000)} ms`);
  const own = {
    trips: new Chart("Round trips to hosts", { unit: milliseconds }),
    work: new Chart("Reconciles per minute, by kind", { unit: number }),
    failed: new Chart("Failed reconciles per minute, by kind", { unit: number }),
    queue: new Chart("Keys that wait for the controller", { unit: number }),
  };
  content.append(h("h1", {}, "Hosts"), h("p", { class: "sub" }, "Where things run."), place,
    h("h2", {}, "Controller"), h("div", { class: "cards" }, Object.values(own).map((each) => each.element)));
  page.signal.addEventListener("abort", () => Object.values(own).forEach((each) => each.end()));
  const draw = () => {
    const columns = [
      { name: "Host", cell: (each) => h("a", { href: `#/hosts/${each.metadata.name}` }, each.metadata.name) },
      { name: "State", cell: readiness },
      { name: "Address", class: "mono", cell: (each) => each.spec.address },
      { name: "Load", class: "num", cell: (each) => number(known.load.get(each.metadata.name)?.at(-1)?.[1]) },
      { name: "", class: "wide", cell: (each) => spark(known.load.get(each.metadata.name) ?? []) },
      { name: "Memory free", class: "num", cell: (each) => bytes(known.free.get(each.metadata.name)?.at(-1)?.[1]) },
      { name: "Since", class: "wide", cell: (each) => ago(each.metadata.creationTimestamp) },
    ];
    redraw(place, card("All hosts", table(columns, known.hosts, "No host yet.")));
  };
  page.every(async (signal) => { known.hosts = await list("/hosts", {}, signal); draw(); });
  page.every(async (signal) => {
    const by = { by: ["host"] };
    const load = await samples("host_load1", SPANS[0], signal, by);
    const free = await samples("host_memory_bytes", SPANS[0], signal, { ...by, match: { match: "state=available" } });
    known.load = new Map(load.map((each) => [each.labels.host, each.points]));
    known.free = new Map(free.map((each) => [each.labels.host, each.points]));
    draw();
  }, 10000);
  page.every(async (signal) => {
    const ask = (measure, options) => samples(measure, SPANS[1], signal, options);
    const perMinute = (series) => named(series, "kind").map((each) => ({ ...each, points: each.points.map(([time, value]) => [time, value * 60]) }));
    const byKind = { by: ["kind"], rate: true };
    own.trips.put(named(await ask("link_round_trip_seconds", { by: ["host"] }), "host"));
    own.work.put(perMinute(await ask("controller_reconciles_total", byKind)));
    own.failed.put(perMinute(await ask("controller_errors_total", byKind)));
    own.queue.put(named(await ask("controller_queue_depth", {}), "kind"));
  }, 10000);
}

export function host(page, content, name) {
  const head = h("div", {}, h("h1", {}, name));
  const running = h("div", {});
  const charts = {
    cpu: new Chart("CPU, cores by mode", { unit: number }),
    memory: new Chart("Memory", { unit: bytes }),
    disk: new Chart("Disk", { unit: bytes }),
    network: new Chart("Network, bytes per second", { unit: bytes }),
  };
  content.append(head, h("div", { class: "cards" }, Object.values(charts).map((each) => each.element)), running);
  page.signal.addEventListener("abort", () => Object.values(charts).forEach((each) => each.end()));
  page.every(async (signal) => {
    const [object, now] = await Promise.all([get(`/hosts/${name}`, {}, signal), get("/instances", { host: name }, signal)]);
    head.replaceChildren(h("h1", {}, name, " ", readiness(object)), h("p", { class: "sub" }, object.spec.address));
    const columns = [
      { name: "App", cell: (each) => h("a", { href: `#/apps/${each.app}` }, each.app) },
      { name: "Process", cell: (each) => each.process },
      { name: "Release", class: "num", cell: (each) => `#${each.release ?? "–"}` },
      { name: "State", cell: (each) => each.state ?? "–" },
      { name: "Restarts", class: "num", cell: (each) => each.restarts ?? 0 },
    ];
    redraw(running, card("Processes", table(columns, now.instances ?? [], "Nothing of ours runs here.")));
  });
  page.every(async (signal) => {
    const match = { host: name };
    const ask = (measure, by, rate) => samples(measure, SPANS[1], signal, { match, by: [by], rate });
    charts.cpu.put(named(await ask("host_cpu_seconds_total", "mode", true), "mode").filter((each) => each.name !== "idle"));
    charts.memory.put(named(await ask("host_memory_bytes", "state"), "state"));
    charts.disk.put(named(await ask("host_disk_bytes", "state"), "state"));
    charts.network.put(named(await ask("host_network_bytes_total", "direction", true), "direction"));
  }, 10000);
}
