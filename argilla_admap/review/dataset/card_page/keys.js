// ---- the keyboard belongs to the questions ----------------------------------------------------------------------------

if (!outer) return;
const writeNote = () => {
  const note = outer.document.querySelector('[aria-label="Question: note"] [contenteditable]');
  if (note) note.focus();
};
const ownKey = (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || (event.repeat && !event.key.startsWith("Page"))) return false;
  const name = { d: "differences", f: "open", s: "source" }[String(event.key).toLowerCase()];
  const other = { p: openPrompt, n: writeNote }[String(event.key).toLowerCase()];
  const pages = { PageDown: 0.85, PageUp: -0.85 }[event.key], scroller = pages && !typing(event.target) && alone() && scrollerOf();
  if (scroller) {
    scroller.scrollTop += pages * scroller.clientHeight;
    event.preventDefault();
    return true;
  }
  if (!(name || other) || typing(event.target)) return false;
  event.preventDefault();
  if (name) toggle(name);
  else other();
  return true;
};
const gone = () => {
  if (window.frameElement && window.frameElement.isConnected) return false;
  following.splice(0).forEach((stop) => stop());
  return true;
};
follow(outer.document, "keydown", (event) => gone() || void ownKey(event));
// The question that is asked points at its completion, so that the keyboard alone leads through all of them.
const questionOf = (element) => {
  const found = element && /^rating_([a-z]+)_\d+(?![^])/.exec(element.id || "");
  if (!found) return -1;
  return [...found[1]].reduce((sum, c) => sum * 26 + c.charCodeAt(0) - 96, 0) - 1;
};
const followQuestion = (element) => {
  const i = k > 2 && alone() ? questionOf(element) : -1;
  // On a new record the verdict stays in view.
  if (i < k && (i > 0 || (i === 0 && asked > 0))) goTo(i);
  ask(i);
};
follow(outer.document, "focusin", (event) => gone() || followQuestion(event.target));
followQuestion(outer.document.activeElement);

// Argilla waits 300 ms for the rest of a number that 1 could begin: on a scale to 10 a quick "1 5" is lost, and Enter comes
// before the 1. Here 1 counts as soon as another key follows; 1 with 0 right after it is ten, and so is 0 alone.
let waiting = null;
// A rating that is there already, from the label, would be taken away by a click: it stays, and the next question is asked.
const next = (element) => {
  const all = [...outer.document.querySelectorAll("input[id^=rating_]")], own = element.id.replace(/\d+(?![^])/, "");
  const after = all.slice(all.indexOf(element) + 1).filter((item) => !item.id.startsWith(own));
  const stem = after.length && after[0].id.replace(/\d+(?![^])/, "");
  const inputs = after.filter((item) => item.id.startsWith(stem));
  if (inputs.length) (inputs.find((item) => item.checked) || inputs[0]).focus({ preventScroll: true });
};
const give = (element) => { if (element) element.checked ? next(element) : element.click(); };
const settle = (value) => {
  if (!waiting) return;
  clearTimeout(waiting.timer);
  const { stem } = waiting;
  waiting = null;
  give(outer.document.getElementById(stem + value));
};
// Keys that come before the next question has the focus wait for their turn.
const queue = [];
let passing = false;
const pressed = (event) => (passing ? queue[0] : event).timeStamp; // when the finger did it
const later = (event) => {
  queue.splice(passing ? 1 : queue.length, 0, event);
  if (!passing && queue.length === 1) setTimeout(drain, 60);
};
const drain = () => {
  const { key, code } = queue[0];
  passing = true;
  (outer.document.activeElement || outer.document.body).dispatchEvent(new outer.KeyboardEvent("keydown", { key, code, bubbles: true, cancelable: true }));
  passing = false;
  queue.shift();
  if (queue.length) setTimeout(drain, 60);
};
follow(outer.document, "keydown", (event) => {
  if (gone() || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
  const stop = () => { event.preventDefault(); event.stopImmediatePropagation(); };
  if (queue.length && !passing) {
    stop();
    later(event);
  } else if (waiting) {
    stop();
    if (event.key === "0" && pressed(event) - waiting.at < 300) settle("10");
    else {
      settle("1");
      later(event);
    }
  } else {
    const stem = (/^(rating_[a-z]+_)\d+(?![^])/.exec(event.target.id || "") || [])[1];
    const has = (value) => stem && outer.document.getElementById(stem + value);
    if (event.key === "1" && has("1") && has("10")) {
      stop();
      waiting = { stem, at: pressed(event), timer: setTimeout(() => settle("1"), 300) };
    } else if (event.key === "0" && has("10") && !has("0")) {
      stop();
      give(has("10"));
    } else if (/^[0-9](?![^])/.test(event.key) && has(event.key) && has(event.key).checked) {
      stop();
      next(has(event.key));
    }
  }
}, true);

let before = null;
follow(outer.document, "focusout", (event) => {
  if (event.target !== window.frameElement) before = event.target;
});
const giveBack = () => {
  if (document.activeElement && document.activeElement !== document.body) document.activeElement.blur();
  outer.focus();
  if (before && before.isConnected && before.tagName !== "IFRAME") before.focus({ preventScroll: true });
};
document.addEventListener("click", (event) => {
  const selection = document.getSelection();
  if (event.detail > 0 && (!selection || selection.isCollapsed)) setTimeout(giveBack, 0);
});
document.addEventListener("keydown", (event) => {
  if (ownKey(event)) return;
  const control = event.target.closest && event.target.closest("a, button, pre, .scroll");
  if (control && ["Enter", " ", "Tab"].includes(event.key) || event.key === "Tab" || event.key === "Shift") return;
  if (event.key.length === 1 && (event.ctrlKey || event.metaKey) && event.key !== "s") return; // copying stays here
  giveBack();
  const target = outer.document.activeElement || outer.document.body;
  const copy = new outer.KeyboardEvent("keydown", { key: event.key, code: event.code, ctrlKey: event.ctrlKey, shiftKey: event.shiftKey,
    metaKey: event.metaKey, altKey: event.altKey, bubbles: true, cancelable: true });
  if (!target.dispatchEvent(copy)) event.preventDefault();
});
