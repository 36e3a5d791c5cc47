// What happened, newest first.
import { list } from "./api.js";
import { ago, card, h, redraw, table } from "./dom.js";

export function events(page, content) {
  const place = h("div", {});
  content.append(h("h1", {}, "Events"), h("p", { class: "sub" }, "What the controller did and saw."), place);
  page.every(async (signal) => {
    const items = (await list("/happened", { limit: 200 }, signal)).reverse();
    const columns = [
      { name: "When", cell: (each) => ago(each.last) },
      { name: "About", cell: (each) => (each.kind === "App" ? h("a", { href: `#/apps/${each.name}` }, `app/${each.name}`) : `${each.kind.toLowerCase()}/${each.name}`) },
      { name: "Reason", cell: (each) => h("span", { class: each.type === "Warning" ? "warn" : "" }, each.reason) },
      { name: "Host", class: "wide", cell: (each) => each.host || "" },
      { name: "What", cell: (each) => each.message },
    ];
    redraw(place, card("The newest", table(columns, items, "Nothing happened yet.")));
  });
}
