// ---- one digit answers a pair, and the next record is there ----------------------------------------------------------------

// A digit goes on by itself, a moment later, so that another digit can still correct it; Enter goes on at once. The page alone
// would move on to the next question after the first digit, where a second one does not belong.
const GRACE = 600;
const answer = { timer: null, touched: false, since: performance.now() };
const alone = () => outer.document.querySelectorAll("iframe").length === 1;
const typing = (target) => target && (/^(INPUT|TEXTAREA|SELECT)/.test(target.tagName) && !/^(radio|checkbox|range)/.test(target.type || "") || target.isContentEditable);
const pairOptions = () => [...outer.document.querySelectorAll("input[id^=better_][data-keyboard]")];
// Only answers that mean something here are offered: a tie has nothing to flip, a record without a label nothing to keep, and
// where a label puts one side first, it is kept or flipped.
const pointless = (() => {
  if (!shown || k !== 2) return [];
  if (!labelled) return ["keep", "flip"];
  return labels[0] === labels[1] ? ["flip"] : ["a", "b"];
})();
const optionName = (input) => input.id.replace(/^better_/, "");
const offer = () => {
  const options = pairOptions(), names = options.map(optionName);
  if (!names.includes("keep")) return;
  for (const input of options) {
    // Only a click takes back an answer that was given: it stays in view.
    const off = alone() && !input.checked && pointless.includes(optionName(input)) && (labelled || names.includes("a"));
    const box = outer.document.querySelector('label[for="' + input.id + '"]');
    if (box) box.style.display = off ? "none" : "";
    input.disabled = off;
  }
};
if (outer && k === 2) for (const ms of [0, 150, 500, 1500]) setTimeout(() => (window.frameElement && window.frameElement.isConnected ? offer() : null), ms);
const waitForMore = (words) => {
  clearTimeout(answer.timer);
  answer.timer = null;
  note.textContent = words || "";
};
const goOn = () => {
  waitForMore();
  outer.admapSentItself = true;
  if (!window.frameElement || !window.frameElement.isConnected) return;
  const enter = new outer.KeyboardEvent("keydown", { key: "Enter", code: "Enter", bubbles: true, cancelable: true });
  (outer.document.activeElement || outer.document.body).dispatchEvent(enter);
};
const answerKey = (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || !alone()) return;
  const stop = () => { event.preventDefault(); event.stopImmediatePropagation(); };
  const digit = /^[0-9](?![^])/.test(event.key), enter = event.key === "Enter";
  const option = digit && k === 2 && pairOptions().find((item) => item.dataset.keyboard === event.key);
  if (option && (answer.timer || !typing(event.target))) {
    stop();
    if (event.repeat) return;
    // A late correction, held back while the answer was sent: it is not one to this record, which nobody had seen.
    if (event.admap && outer.admapSentItself) return waitForMore("A digit came before this record was shown and was not taken.");
    offer();
    if (option.disabled) {
      const has = pairOptions().some((item) => optionName(item) === "a");
      return waitForMore(!labelled ? "This record has no label to keep or flip." : labels[0] === labels[1]
        ? "The label is a tie, which has no other side" + (has ? ": say which is better." : ".") : "Say whether to keep or to flip the label.");
    }
    if (!option.checked) option.click();
    // The page hands the keyboard to the next question; it stays here.
    for (const ms of [0, 60]) setTimeout(() => answer.timer && option.focus({ preventScroll: true }), ms);
    waitForMore(option.name + ": saved in a moment, another digit changes it.");
    answer.timer = setTimeout(goOn, GRACE);
    return;
  }
  if (enter && answer.timer) outer.admapSentItself = false;
  if (digit && !typing(event.target)) answer.touched = true;
  // Ratings start from the label's, so that Enter alone accepts them: not one that was typed for the record before.
  if (enter && k > 2 && !answer.touched && (event.repeat || event.admap || performance.now() - answer.since < 250)) stop();
  else if (answer.timer && !/^(Shift|Control|Alt|Meta|[dfsDFS])(?![^])/.test(event.key)) waitForMore();
};
if (outer) follow(outer.document, "keydown", (event) => (window.frameElement && window.frameElement.isConnected ? answerKey(event) : null), true);
