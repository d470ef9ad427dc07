// ---- put together -----------------------------------------------------------------------------------------------------

const map = shown && facts && facts.map && facts.map.n ? drawMap(facts.map) : null;
const words = make("div", {});
if (shown) {
  words.append(make("h2", { class: "verdict" }, ...[verdict()].flat()));
  if (facts && facts.blind) words.append(make("p", { class: "quiet" }, "The review of this record is complete, so its label and scores are shown."));
  const line = factLine();
  if (line) words.append(line);
  if (evidence.length) words.append(why());
} else {
  words.append(make("h2", { class: "verdict" }, k === 2 ? "Read both, then say which is better." : "Read all " + k + ", then rate each."));
}
fillPrompt();
words.append(prompt);
main.append(make("div", { class: "top" + (map ? "" : " alone") }, words, map));
main.append(make("div", { class: k === 2 ? "bar pair" : "bar" }, differencesButton, openButton, pick, note, judgeLine()));
if (shown && k > BESIDE) {
  const board = drawBoard();
  board.style.setProperty("--columns", k <= 6 ? k : Math.ceil(k / Math.ceil(k / 6)));
  main.append(board);
}
const grid = make("div", { class: "all" }, ...texts.map(drawCompletion));
grid.style.setProperty("--columns", k > 8 ? 1 : k === 3 || k > 4 ? 3 : 2);
main.append(grid);
fill();
fit();
