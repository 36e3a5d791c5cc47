// Samples as the charts want them.
import { get } from "./api.js";

export const SPANS = [["15 min", 900, 10], ["1 h", 3600, 15], ["6 h", 21600, 60], ["24 h", 86400, 300]];

// Return [{labels, points}] of a measure; a daemon that keeps none of it has none to give.
export async function samples(name, span, signal, { match = {}, by = [], rate = false } = {}) {
  const end = Math.floor(Date.now() / 1000);
  const answer = await get("/samples", {
    name: `steersman_${name}`, ...match, by: by.join(","), rate: rate ? "1" : "", start: end - span[1], end, step: span[2],
  }, signal);
  return answer.series ?? [];
}

export function named(series, label, prefix = "") {
  return series.map((each) => ({ name: prefix + (each.labels?.[label] ?? "all"), points: each.points }));
}
