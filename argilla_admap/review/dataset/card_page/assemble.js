// ---- put together: the texts first, what speaks for and against the label below them --------------------------------------

const map = shown && facts && facts.map && facts.map.n ? drawMap(facts.map) : null;
const headline = make("div", { class: "top" });
if (shown) headline.append(make("h2", { class: "verdict" }, ...[verdict()].flat()));
else headline.append(make("h2", { class: "verdict" }, k === 2 ? "Read both, then say which is better." : "Read all " + k + ", then rate each."));
headline.append(make("div", { class: "views", role: "group", "aria-label": "View" }, ...viewButtons));
main.append(headline);
if (shown && labelNow) main.append(make("p", { class: "changed", role: "note" }, relabelled()));
if (shown && facts && facts.blind) main.append(make("p", { class: "quiet" }, "The review of this record is complete, so its label and scores are shown."));
main.append(prompt, make("div", { class: "bar" }, pick, note));
if (shown && k > BESIDE) {
  const board = drawBoard();
  board.style.setProperty("--columns", k <= 6 ? k : Math.ceil(k / Math.ceil(k / 6)));
  main.append(board);
}
const columns = k > 8 ? 1 : k === 3 || k > 4 ? 3 : 2;
const grid = make("div", { class: "all" }, ...texts.map(drawCompletion));
grid.style.setProperty("--columns", columns);
main.append(grid);
const told = make("div", {}, evidence.length ? why() : null, shown ? factLine() : null);
if (shown) main.append(make("div", { class: "more" + (map ? "" : " alone") }, told, map));

// The room that is left for the texts when the card opens: down to the lower edge of the view, and a dozen lines at least.
const LINE = 20;
fillPrompt();
const measure = () => {
  const frame = window.frameElement, wide = grid.getBoundingClientRect();
  room.width = Math.max(24, Math.floor((wide.width / getComputedStyle(grid).gridTemplateColumns.split(" ").length - 36) / 6.9));
  const box = frame && frame.closest(".record__content, .record");
  const bottom = Math.min(outer ? outer.innerHeight : 900, box ? box.getBoundingClientRect().bottom : Infinity);
  const top = (frame ? frame.getBoundingClientRect().top : 0) + wide.top + 44;
  const one = outer && outer.document.querySelectorAll("iframe").length < 2;
  room.lines = one ? Math.min(60, Math.max(k > 4 && !low ? 9 : 13, Math.floor((bottom - top) / LINE) - 1)) : 9;
};
measure();
fill();
fit();

// Letter and label stay in view: the frame is as tall as its card, so that what scrolls is Argilla's page around it.
const stick = () => {
  const frame = window.frameElement, scroller = scrollerOf();
  if (!frame || !scroller) return;
  const edge = scroller.getBoundingClientRect().top - frame.getBoundingClientRect().top;
  for (const one of main.querySelectorAll(".one")) {
    const box = one.getBoundingClientRect(), head = one.querySelector(".head");
    const by = Math.max(0, Math.min(edge - box.top, box.height - head.offsetHeight - 30));
    head.style.transform = by ? "translateY(" + by + "px)" : "";
    head.classList.toggle("stuck", by > 0);
  }
};
// At twice the size hardly more than the prompt would be in view: there the card opens at its texts, and stays at them while the
// page is laid out and scrolls to its first question, until the reader moves.
let untouched = true;
const openAtTexts = () => {
  const scroller = untouched && scrollerOf();
  if (!scroller || outer.innerHeight > 560 || outer.document.querySelectorAll("iframe").length > 1) return;
  const by = window.frameElement.getBoundingClientRect().top + grid.getBoundingClientRect().top - scroller.getBoundingClientRect().top - 4;
  if (Math.abs(by) > 1) scroller.scrollTop += by;
};
if (outer) {
  for (const name of ["wheel", "touchmove", "pointerdown", "keydown"]) {
    for (const target of [outer, window]) follow(target, name, () => { untouched = false; }, { capture: true, passive: true });
  }
  new ResizeObserver(openAtTexts).observe(main);
  follow(outer.document, "scroll", () => {
    if (!window.frameElement || !window.frameElement.isConnected) return;
    openAtTexts();
    stick();
  }, { capture: true, passive: true });
}
