// ---- the small map ----------------------------------------------------------------------------------------------------

const pageUrl = (query) => {
  const path = outer.location.pathname;
  const base = path.includes("/dataset/") ? outer.location.origin + path.slice(0, path.indexOf("/dataset/")) + "/" : outer.document.baseURI;
  return new URL("dataset/" + encodeURIComponent(record.dataset_id || "") + "/annotation-mode?page=1&status=pending&" + query, base).href;
};
const bound = (value) => fixed(value, 12).replace(/0+(?![^])/, "").replace(/\.(?![^])/, "");
// The records whose cells lie between two columns and two rows of the map, ends included. A value on the line between two
// cells belongs to the upper one, also where Argilla's index rounds it down.
const placeUrl = (map, columns, rows) => {
  const sd = (i) => (i >= map.nx ? Math.max(map.xm, map.x1) + 1e-3 : (i * map.x1) / map.nx);
  const value = (j) => map.y0 + (j * (map.y1 - map.y0)) / map.ny + (j >= map.ny ? 1e-3 : j <= 0 ? -1e-3 : 0);
  const bit = (value) => Math.abs(value) * 5e-7 + 1e-11;
  const range = (name, low, high) => name + ".ge" + bound(low - bit(low)) + ".le" + bound(high - 2 * bit(high));
  return pageUrl("metadata=" + range(facts.names.mean, value(rows[0]), value(rows[1] + 1)) + "~" +
    range(facts.names.variance, sd(columns[0]) ** 2, sd(columns[1] + 1) ** 2) + "&sort=metadata." + facts.names.p_wrong + ".desc");
};
const placeCount = (map, columns, rows) => {
  let sum = 0;
  for (let j = rows[0]; j <= rows[1]; j++) for (let i = columns[0]; i <= columns[1]; i++) sum += map.cells[j * map.nx + i];
  return sum;
};
// The smallest square of cells around this record that holds a dozen others.
const nearIt = (map) => {
  const inside = (value, n) => Math.min(n - 1, Math.max(0, Math.floor(value + 1e-9)));
  const i = inside((Math.sqrt(variance) / map.x1) * map.nx, map.nx), j = inside(((mean - map.y0) / (map.y1 - map.y0)) * map.ny, map.ny);
  for (let reach = 1; ; reach++) {
    const columns = [Math.max(0, i - reach), Math.min(map.nx - 1, i + reach)], rows = [Math.max(0, j - reach), Math.min(map.ny - 1, j + reach)];
    const found = placeCount(map, columns, rows);
    if (found > 12 || reach > map.nx) return { count: found, url: placeUrl(map, columns, rows) };
  }
};
const drawMap = (map) => {
  const W = 214, left = 24, top = 6, width = W - left - 8, height = 118, bottom = top + height;
  const cw = width / map.nx, ch = height / map.ny;
  const x = (sd) => left + Math.min(1, sd / map.x1) * width;
  const y = (value) => bottom - ((value - map.y0) / (map.y1 - map.y0)) * height;
  const most = Math.max(1, ...map.cells);
  const svg = draw("svg", { viewBox: "0 0 " + W + " " + (bottom + 17), role: "group",
    "aria-label": "Map of " + count(map.n) + " records by mean score and spread." + (known(mean) && known(variance)
      ? " This record: mean " + fixed(mean, 2) + ", spread " + fixed(Math.sqrt(variance), 2) + "." : "") });
  svg.append(draw("rect", { class: "frame", x: left, y: top, width, height, rx: 2 }));
  map.cells.forEach((n, index) => {
    if (!n) return;
    const i = index % map.nx, j = Math.floor(index / map.nx);
    const step = map.x1 / map.nx, rise = (map.y1 - map.y0) / map.ny;
    const sd = [i * step, i === map.nx - 1 ? Math.max(map.xm, map.x1) : (i + 1) * step];
    const means = [map.y0 + j * rise, map.y0 + (j + 1) * rise];
    const words = count(n) + (n === 1 ? " record" : " records") + ", mean " + fixed(means[0], 1) + " to " + fixed(means[1], 1) +
      ", spread " + fixed(sd[0], 1) + " to " + fixed(sd[1], 1);
    const cell = draw("rect", { class: "cell", x: left + i * cw + 0.4, y: bottom - (j + 1) * ch + 0.4, width: cw - 0.8, height: ch - 0.8, rx: 1,
      "fill-opacity": fixed(0.18 + 0.82 * Math.sqrt(n / most), 2) });
    const title = draw("title");
    title.textContent = words;
    svg.append(outer ? draw("a", { href: placeUrl(map, [i, i], [j, j]), target: "_blank", rel: "noopener", tabindex: "-1", "aria-label": words }, title, cell) : draw("g", {}, title, cell));
  });
  const say = (words, attributes) => { const text = draw("text", attributes); text.textContent = words; svg.append(text); };
  const edge = known(map.variance) ? x(Math.sqrt(map.variance)) : null;
  let zones = [];
  if (edge != null) {
    svg.append(draw("line", { class: "edge", x1: edge, x2: edge, y1: top, y2: bottom }));
    if (known(map.mean)) svg.append(draw("line", { class: "edge", x1: left, x2: edge, y1: y(map.mean), y2: y(map.mean) }));
    zones = [["high average", "high avg", [left, edge], [top, known(map.mean) ? y(map.mean) : bottom]],
      ["low average", "low avg", [left, edge], [known(map.mean) ? y(map.mean) : top, bottom], true], ["high variance", "high var", [edge, left + width], [top, bottom]]];
  }
  say(tick(map.y1, map.y1 - map.y0), { x: left - 4, y: top + 9, "text-anchor": "end" });
  say(tick(map.y0, map.y1 - map.y0), { x: left - 4, y: bottom, "text-anchor": "end" });
  say("mean", { x: left - 6, y: (top + bottom) / 2, "text-anchor": "middle", transform: "rotate(-90 " + (left - 6) + " " + (top + bottom) / 2 + ")" });
  say("0", { x: left, y: bottom + 13 });
  say("spread of scores", { x: left + width / 2, y: bottom + 13, "text-anchor": "middle" });
  say(tick(map.x1, map.x1), { x: left + width, y: bottom + 13, "text-anchor": "end" });
  let mark = null;
  if (known(mean) && known(variance)) {
    const at = { cx: x(Math.sqrt(variance)), cy: Math.min(bottom, Math.max(top, y(mean))) };
    svg.append(draw("circle", { class: "halo", r: 6.5, ...at }), draw("circle", { class: "here", r: 6.5, ...at }), draw("circle", { class: "dot", r: 1.8, ...at }));
    mark = at;
  }
  // Each region's name in a corner of the region where neither a line nor this record is; shorter, or not at all, where it has no room.
  for (const [long, brief, [x0, x1], [y0, y1], low] of zones) {
    const wide = (rows) => Math.max(...rows.map((row) => row.length)) * 5.7 + 2;
    const spots = [[long], [brief], brief.split(" ")].flatMap((rows) => {
      const ys = [y0 + 11, y1 - 5 - 11 * (rows.length - 1)];
      return (low ? ys.reverse() : ys).flatMap((line) => [x0 + 4, x1 - 4 - wide(rows)].map((at) => ({ rows, line, at })));
    });
    const free = ({ rows, line, at }) => at >= x0 + 2 && at + wide(rows) <= x1 - 1 && y1 - y0 >= 3 + 11 * rows.length &&
      !(mark && mark.cx > at - 9 && mark.cx < at + wide(rows) + 9 && mark.cy > line - 18 && mark.cy < line + 11 * rows.length - 1);
    const spot = spots.find(free);
    if (spot) spot.rows.forEach((row, i) => say(row, { class: "zone", x: spot.at, y: spot.line + 11 * i }));
  }
  const caption = make("figcaption", {}, make("span", known(mean) && known(variance) ? { class: "hereword" } : {}, known(mean) && known(variance) ? "this record" : "This record is on no region."));
  if (outer && known(mean) && known(variance)) {
    const near = nearIt(map);
    caption.append(make("a", { href: near.url, target: "_blank", rel: "noopener", title: "Opens the records around this one on the map" },
      count(near.count) + " near it"));
  }
  return make("figure", { class: "map" }, svg, caption);
};

const why = () => {
  const most = low ? 2 : 3, first = evidence.length > most + 1 ? most : evidence.length;
  const into = make("ul", { class: "why", "aria-label": "Why" }, ...evidence.slice(0, first).map((sentence) => make("li", {}, sentence)));
  if (first < evidence.length) {
    const more = make("li", {}, gap("\u22ef " + (evidence.length - first) + " more reasons", () => {
      more.remove();
      into.append(...evidence.slice(first).map((sentence) => make("li", {}, sentence)));
    }));
    into.append(more);
  }
  return into;
};
// The completion into view, at its start where it is longer than the view. Only Argilla's column of records moves.
const scrollerOf = () => {
  let box = window.frameElement && window.frameElement.parentElement;
  while (box && !(/auto|scroll/.test(outer.getComputedStyle(box).overflowY) && box.scrollHeight > box.clientHeight)) box = box.parentElement;
  return box;
};
const goTo = (i) => {
  const one = main.querySelectorAll(".one")[i], scroller = outer && scrollerOf();
  if (!one || !scroller) return;
  const frame = window.frameElement.getBoundingClientRect(), box = one.getBoundingClientRect(), view = scroller.getBoundingClientRect();
  const start = frame.top + box.top - view.top - 8, end = frame.top + box.bottom - view.top + 8;
  if (start < 0 || end - start > view.height) scroller.scrollTop += start;
  else if (end > view.height) scroller.scrollTop += end - view.height;
};
let asked = -1;
const ask = (i) => {
  asked = i;
  for (const list of [main.querySelectorAll(".one"), main.querySelectorAll(".board button")]) {
    list.forEach((item, j) => item.classList.toggle("asked", i === j));
  }
};
