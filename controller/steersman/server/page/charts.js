// Charts over a time axis that all of a page share, with releases marked on it.
import { h, number } from "./dom.js";

const COLOURS = ["--s1", "--s2", "--s3", "--s4", "--s5", "--s6"];

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// Draws a line at each release; `marks` is read at every drawing, as it may change meanwhile.
function releases(marks) {
  const draw = (plot) => {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = colour("--mark");
    ctx.font = `${11 * devicePixelRatio}px system-ui`;
    ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
    for (const mark of marks()) {
      const x = plot.valToPos(mark.time, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.fillText(`#${mark.release}`, x + 4, bbox.top + 12 * devicePixelRatio);
    }
    ctx.restore();
  };
  return { hooks: { draw: [draw] } };
}

function aligned(series) {
  const times = [...new Set(series.flatMap((each) => each.points.map(([time]) => time)))].sort((a, b) => a - b);
  const places = new Map(times.map((time, index) => [time, index]));
  return [times, ...series.map((each) => {
    const values = new Array(times.length).fill(null);
    for (const [time, value] of each.points) values[places.get(time)] = value;
    return values;
  })];
}

// From the first sample on, and two minutes at the least: a young app is not a dot in an empty hour.
function shown(first) {
  const now = Date.now() / 1000;
  return [Math.min(first ?? now, now - 120), now];
}

const sync = window.uPlot.sync("page");

// A card with a chart; `put(series)` draws [{name, points: [[time, value]]}] anew.
export class Chart {
  constructor(title, { unit = number, marks = () => [] } = {}) {
    this.unit = unit;
    this.marks = marks;
    this.place = h("div", { class: "chart" });
    this.note = h("p", { class: "dim" }, "No samples yet.");
    this.element = h("section", { class: "card", "aria-label": title }, h("h2", {}, title), this.note, this.place);
    this.title = title;
    this.names = "";
    this.plot = null;
    this.watcher = new ResizeObserver(() => this.plot?.setSize(this.size()));
    this.watcher.observe(this.place);
  }

  size() { return { width: Math.max(240, this.place.clientWidth), height: 190 }; }

  put(series) {
    const names = series.map((each) => each.name).join("\n");
    const data = aligned(series);
    this.note.hidden = data[0].length > 0;
    this.place.hidden = !data[0].length;
    if (!data[0].length) return;
    this.describe(series);
    if (this.plot && names === this.names) { this.plot.setData(data); return; }
    this.plot?.destroy();
    this.names = names;
    this.plot = new window.uPlot(this.options(series), data, this.place);
  }

  options(series) {
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    return {
      ...this.size(),
      plugins: [releases(this.marks)],
      cursor: { sync: { key: sync.key }, y: false },
      scales: { x: { range: (_, first) => shown(first) }, y: { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.08 : 1] } },
      axes: [axis, { ...axis, size: 62, values: (_, splits) => splits.map((value) => this.unit(value)) }],
      series: [{}, ...series.map((each, index) => ({
        label: each.name,
        stroke: colour(each.colour ?? COLOURS[index % COLOURS.length]),
        width: 1.6,
        spanGaps: false,
        value: (_, value) => (value === null ? "–" : this.unit(value)),
      }))],
    };
  }

  describe(series) {
    const last = series.map((each) => `${each.name} ${this.unit(each.points.at(-1)?.[1] ?? null)}`);
    this.place.setAttribute("role", "img");
    this.place.setAttribute("aria-label", `${this.title}: ${last.join(", ")} now`);
  }

  end() { this.watcher.disconnect(); this.plot?.destroy(); }
}

// A small line without axes, for tables.
export function spark(points, width = 96, height = 20) {
  const values = points.map(([, value]) => value).filter((value) => value !== null);
  if (values.length < 2) return h("span", { class: "dim" }, "–");
  const [low, high] = [Math.min(0, ...values), Math.max(...values)];
  const x = (index) => ((index / (values.length - 1)) * (width - 2) + 1).toFixed(1);
  const y = (value) => (height - 2 - ((value - low) / (high - low || 1)) * (height - 4)).toFixed(1);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  svg.setAttribute("class", "spark");
  svg.setAttribute("width", width);
  svg.setAttribute("height", height);
  svg.setAttribute("aria-hidden", "true");
  line.setAttribute("points", values.map((value, index) => `${x(index)},${y(value)}`).join(" "));
  line.setAttribute("fill", "none");
  line.setAttribute("stroke", "currentColor");
  line.setAttribute("stroke-width", "1.4");
  svg.append(line);
  return svg;
}
