// The panel of the review: how it stands, and the judge against people.
function svg(parent, name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
}

// Across: the P(wrong) that was said; upwards: the share of these labels that people corrected, with its interval.
function reliabilityDiagram(points) {
  const size = 200, left = 34, top = 8;
  const x = (value) => left + value * size, y = (value) => top + (1 - value) * size;
  const label = points.map((p) => `P(wrong) ${p.said.toFixed(2)}: ${Math.round(p.corrected * 100)}% of ${p.records} corrected`).join("; ");
  const drawing = svg(document.createDocumentFragment(), "svg", { viewBox: `0 0 ${left + size + 12} ${top + size + 34}`, role: "img", "aria-label": `Reliability diagram. ${label}`, class: "reliability" });
  svg(drawing, "rect", { x: left, y: top, width: size, height: size, class: "frame" });
  for (const tick of [0, 0.5, 1]) {
    svg(drawing, "text", { x: x(tick), y: top + size + 14, "text-anchor": "middle" }, String(tick));
    svg(drawing, "text", { x: left - 5, y: y(tick) + 4, "text-anchor": "end" }, `${tick * 100}%`);
  }
  svg(drawing, "text", { x: x(0.5), y: top + size + 29, "text-anchor": "middle" }, "P(wrong), as computed");
  svg(drawing, "line", { x1: x(0), y1: y(0), x2: x(1), y2: y(1), class: "ideal" });
  const most = Math.max(...points.map((point) => point.records));
  for (const point of points) {
    svg(drawing, "line", { x1: x(point.said), y1: y(point.low), x2: x(point.said), y2: y(point.high), class: "span" });
    const dot = svg(drawing, "circle", { cx: x(point.said), cy: y(point.corrected), r: 3 + 4 * Math.sqrt(point.records / most), class: "dot" });
    svg(dot, "title", {}, `P(wrong) ${point.said.toFixed(2)}: people corrected ${Math.round(point.corrected * 100)}% of ${whole(point.records)} labels`);
  }
  return drawing;
}

function buildReview() {
  const review = manifest.review;
  byId("tab-review").hidden = !review;
  if (!review) return;
  const panel = byId("panel-review");
  const figures = make("dl", "figures");
  showFigures(figures, review.figures);
  panel.append(make("p", "", review.advice), figures);
  if (review.reliability.length) {
    panel.append(make("h2", "", "Does P(wrong) hold? Share of labels that people corrected"), reliabilityDiagram(review.reliability), make("p", "quiet", "On the dashed line P(wrong) is right; below it, it says too much. Bars: 95% intervals. Larger dots: more records."));
  }
  if (review.judge.length) {
    panel.append(make("h2", "", "The judge against people"));
    const table = make("table", "judge"), top = make("thead"), body = make("tbody");
    for (const [titles, columns] of [[["", "judge", "P(wrong) ≥ 0.5", "below 0.5"], [1, 1, 2, 2]], [["", "agrees", "wrong", "right", "wrong", "right"], [1, 1, 1, 1, 1, 1]]]) {
      const row = make("tr");
      titles.forEach((title, at) => { const cell = make("th", at ? "number" : "", title); cell.colSpan = columns[at]; row.append(cell); });
      top.append(row);
    }
    for (const line of review.judge) {
      const row = make("tr");
      row.append(make("th", "", line.label), make("td", "number", line.accuracy), ...line.counts.map((count) => make("td", "number", whole(count))));
      row.title = line.interval;
      body.append(row);
    }
    table.append(top, body);
    panel.append(table, make("p", "quiet", "Agrees: share of pairs that the judge orders as people do. Then the labels that people called wrong or right, by P(wrong)."));
  }
  if (review.slices.length) {
    panel.append(make("h2", "", "Worse than the rest, beyond chance"));
    const list = make("ul", "slices");
    for (const slice of review.slices) {
      const item = make("li", "", `${slice.words}. `);
      if (slice.url) {
        const anchor = make("a", "", "Open these");
        anchor.href = slice.url;
        anchor.target = "_blank";
        anchor.rel = "noopener noreferrer";
        item.append(anchor);
      } else {
        item.append(make("span", "quiet", slice.note));
      }
      list.append(item);
    }
    panel.append(list);
  }
}
