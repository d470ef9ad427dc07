// ---- the page ---------------------------------------------------------------------------------------------------------

// The view that was chosen stays for the records that follow in this window.
const state = { differences: false, open: false, source: false, against: 0 };
try {
  Object.assign(state, JSON.parse((outer || window).sessionStorage.getItem("admap-view") || "{}"));
} catch {
  state.open = false; // a browser that keeps nothing
}
const firstDifference = (() => {
  let at = 0;
  const length = Math.min(...texts.map((text) => text.length));
  while (at < length && texts.every((text) => text.charCodeAt(at) === texts[0].charCodeAt(at))) at++;
  return at;
})();
const identical = texts.every((text) => text === texts[0]);
// Lines of so many characters that a completion may take before it is folded.
const room = { lines: 13, width: 60 };
const budget = () => room.lines * room.width;
const parsed = texts.map(blocks);
const bodies = texts.map((text, i) => make("div", { class: "text body", id: "text-" + i }));

// A cut leaves no fence without its code, nor the last lines of a block alone: then it is made before the block or after it.
const wholeBlock = (all, from, end, text) => {
  const block = all.find((item) => item.kind !== "p" && item.from < end && end < item.to);
  if (!block) return end;
  const lines = (low, high) => text.slice(low, high).split("\n").length - 1;
  if (lines(end, block.to) < 4) return block.to;
  if (lines(block.from, end) > 3) return end;
  if (block.from > from + 80) return block.from;
  let at = block.from;
  for (let n = 0; n < 8 && at < block.to; n++) at = (text.indexOf("\n", at) + 1) || block.to;
  return Math.min(at, block.to);
};
const fillFolded = (into, text, all, room, difference) => {
  into.replaceChildren();
  const whole = () => { into.replaceChildren(); render(into, text, 0, text.length, all); };
  const total = reach(text, 0, room * 1.2);
  if (!text.trim()) return into.append(make("p", { class: "quiet" }, "(empty)"));
  if (state.open || total >= text.length) return whole();
  const hidden = difference > room * 0.6 ? [reach(text, 0, 130), cutBefore(text, difference - 130)] : [0, 0];
  let from = 0;
  if (hidden[1] - hidden[0] > 200) {
    render(into, text, 0, hidden[0], all);
    into.append(gap("\u22ef " + characters(hidden[1] - hidden[0]) + " alike", whole));
    from = hidden[1];
  }
  const end = wholeBlock(all, from, reach(text, from, room), text);
  render(into, text, from, end, all);
  if (end < text.length) into.append(gap("\u22ef " + characters(text.length - end) + " more", whole));
};
const fillDifferent = (into, text, all, marked) => {
  into.replaceChildren();
  const open = () => { into.replaceChildren(); render(into, text, 0, text.length, all, marked); };
  if (!text.trim()) return fillFolded(into, text, all, budget(), 0);
  if (state.open || text.length < 1200 || !marked.length) return state.open || text.length < 4000 ? open() : fillFolded(into, text, all, budget(), 0);
  const pieces = [];
  for (const [low, high] of marked) {
    const from = cutBefore(text, low - 160), to = Math.max(high, cutBefore(text, Math.min(text.length, high + 160)));
    const last = pieces[pieces.length - 1];
    if (last && from - last[1] < 240) last[1] = Math.max(last[1], to);
    else pieces.push([from, to]);
  }
  if (pieces[0][0] < 240) pieces[0][0] = 0;
  if (text.length - pieces[pieces.length - 1][1] < 240) pieces[pieces.length - 1][1] = text.length;
  let at = 0, room = budget() * 2;
  for (const [from, to] of pieces) {
    if (from > at) into.append(gap("\u22ef " + characters(from - at) + " alike", open));
    const end = to - from > room ? reach(text, from, room) : to;
    render(into, text, from, end, all, marked);
    room -= end < to ? room : end - from;
    at = end;
    if (room <= 0) break;
  }
  if (at < text.length) into.append(gap("\u22ef " + characters(text.length - at) + (room <= 0 ? " more" : " alike"), open));
  return undefined;
};
const note = make("span", { class: "note", role: "status" });
const fill = () => {
  const against = state.against;
  let words = "";
  const results = state.differences ? texts.map((text, i) => (i === against ? null : compare(texts[against], text))) : [];
  texts.forEach((text, i) => {
    // Where nearly everything differs, strong marks would only be noise.
    const result = results[i] || (k === 2 && results[1 - i]);
    bodies[i].classList.toggle("faint", Boolean(result) && result.alike < 0.3);
    if (!state.differences) return fillFolded(bodies[i], text, parsed[i], budget(), identical ? 0 : firstDifference);
    if (i !== against) return fillDifferent(bodies[i], text, parsed[i], results[i].b);
    return k === 2 ? fillDifferent(bodies[i], text, parsed[i], results[1 - i].a) : fillFolded(bodies[i], text, parsed[i], budget(), 0);
  });
  if (state.differences) {
    if (k === 2) {
      const share = 100 * results[1 - against].alike, alike = share < 1 ? Math.ceil(share) : Math.floor(share);
      words = identical ? "The two texts are the same." : alike + "% of the words are alike; marked: only in one.";
    } else words = "Marked: not in " + letter(against) + ".";
  } else if (identical) words = "The completions are the same, letter for letter.";
  note.textContent = words;
};

const viewButton = (name, key, words) => make("button", { type: "button", "aria-pressed": "false", "aria-keyshortcuts": key, onclick: () => toggle(name) }, words, make("kbd", { "aria-hidden": "true" }, key.toUpperCase()));
const views = { differences: viewButton("differences", "d", "Differences"), open: viewButton("open", "f", "Full texts"), source: viewButton("source", "s", "Source") };
const viewButtons = Object.values(views);
const picks = k > 2 ? texts.map((text, i) => make("button", {
  type: "button", "aria-pressed": i === 0 ? "true" : "false", "aria-label": "Compare with " + letter(i),
  onclick: () => {
    state.against = i;
    picks.forEach((button, j) => button.setAttribute("aria-pressed", String(j === i)));
    fill();
  },
}, letter(i))) : [];
const pick = make("span", { class: "pick", role: "group", "aria-label": "Compare with" }, "compared with", ...picks);
const showView = () => {
  for (const [name, button] of Object.entries(views)) button.setAttribute("aria-pressed", String(state[name]));
  pick.style.display = k > 2 && state.differences ? "" : "none";
  pick.hidden = !(k > 2 && state.differences);
};
showView();
const toggle = (name) => {
  state[name] = !state[name];
  showView();
  fill();
  if (name === "source") fillPrompt();
  try {
    const { differences, open, source } = state;
    (outer || window).sessionStorage.setItem("admap-view", JSON.stringify({ differences, open, source }));
  } catch {
    note.textContent += ""; // a browser that keeps nothing
  }
};

const prompt = make("section", { class: "prompt", "aria-label": "Prompt" });
const ROLES = { user: "User", assistant: "Assistant", system: "System", tool: "Tool" };
const several = turns.length > 1 || turns[0].role !== "user";
const SYSTEM = ["system", "developer"];
let promptOpen = false;
const openPrompt = () => {
  promptOpen = !promptOpen;
  fillPrompt();
};
// What the system says and the last turns are always there.
const fillPrompt = () => {
  prompt.replaceChildren(make("h3", { class: "unseen" }, several ? "Conversation" : "Prompt"));
  const kept = turns.filter((turn, i) => promptOpen || i >= turns.length - 2 || SYSTEM.includes(turn.role));
  const earlier = turns.length - kept.length;
  for (const turn of kept) {
    if (earlier && turn === turns[turns.length - 2]) prompt.append(gap("\u22ef " + earlier + (earlier === 1 ? " earlier turn" : " earlier turns"), openPrompt));
    const last = turn === turns[turns.length - 1];
    const lines = !low ? (several ? 4 : 7) : !several ? (k > 2 ? 2 : 3) : last ? 2 : 1;
    prompt.append(drawTurn(turn, lines));
  }
};
const drawTurn = ({ role, content }, lines) => {
  const text = make("div", { class: "text" });
  const all = blocks(content), width = Math.max(30, Math.floor((main.getBoundingClientRect().width - 70) / 6.9));
  const whole = () => { text.replaceChildren(); render(text, content, 0, content.length, all); };
  if (!content.trim()) text.append(make("p", { class: "quiet" }, "(empty)"));
  else if (promptOpen || reach(content, 0, lines * width, width) >= content.trimEnd().length) whole();
  else {
    // A long prompt often asks at its end.
    const end = content.trimEnd().length;
    const tail = lines < 2 ? content.length : Math.max(content.lastIndexOf("\n", end - 1) + 1, cutBefore(content, Math.floor(end - 0.85 * width)));
    const cut = reach(content, 0, Math.max(width - 26, (lines - 1) * width - 26), width);
    const head = Math.min(tail, lines > 3 ? wholeBlock(all, 0, cut, content) : cut);
    const more = gap("\u22ef " + characters(tail - head) + " more", whole);
    render(text, content, 0, head, all);
    text.append(more);
    render(text, content, tail, content.length, all);
    // Between two paragraphs the gap stands in the line: it saves two lines of a small screen.
    const [before, rest] = [more.previousSibling, more.nextSibling];
    if (before && before.tagName === "P" && (!rest || rest.tagName === "P")) {
      more.classList.add("inline");
      before.append(" ", more, ...(rest ? [" ", ...rest.childNodes] : []));
      if (rest) rest.remove();
    }
  }
  return make("div", { class: "turn" }, make("div", { class: "role", dir: "auto" }, several ? ROLES[role] || role : "Prompt"), text);
};

// ---- one completion ---------------------------------------------------------------------------------------------------

const place = (value) => Math.min(100, Math.max(0, (100 * (value - scale[0])) / (scale[1] - scale[0])));
const pairLabel = k === 2 && labelled && labels[0] !== labels[1];
const binary = labels.every((value) => !known(value) || value === 0 || value === 1);
const labelWords = (i) => {
  if (!known(labels[i])) return null;
  if (pairLabel) {
    const chosen = labels[i] === Math.max(...labels);
    return "label: " + (chosen ? "chosen" : "rejected") + (binary ? "" : " (" + rating(labels[i]) + ")");
  }
  if (k === 2 && labelled) return "label: tie" + (binary || labels[i] === 0.5 ? "" : " (" + rating(labels[i]) + ")");
  return "label: " + rating(labels[i]);
};
const BESIDE = 3; // so many stand in one row
const written = (value) => (decimals > 1 ? fixed(value, 2) : short(value));
// The judge's score on its scale, whose two ends are named.
const drawMeter = (i, spread) => {
  const meter = make("div", { class: "meter", role: "meter", "aria-valuemin": scale[0], "aria-valuemax": scale[1], "aria-valuenow": fixed(scores[i], 2),
    "aria-label": "The judge's score of " + letter(i) + (spread ? ", give or take " + fixed(spread, fine ? 2 : 1) : "") });
  const bar = make("i");
  bar.style.width = place(scores[i]) + "%";
  meter.append(bar);
  if (spread) {
    const whisker = make("u");
    whisker.style.left = place(scores[i] - spread) + "%";
    whisker.style.right = 100 - place(scores[i] + spread) + "%";
    meter.append(whisker);
  }
  const end = (value) => make("span", { "aria-hidden": "true" }, rating(value));
  return make("div", { class: "scale" }, end(scale[0]), meter, end(scale[1]));
};
// Of more than stand in one row, all at a glance: letter, score, label and bar. A click goes there.
const drawBoard = () => make("div", { class: "board", role: "group", "aria-label": "All scores" }, ...texts.map((text, i) => {
  const spread = known(variances[i]) && variances[i] > 0 ? Math.sqrt(variances[i]) : 0;
  const score = known(scores[i]) ? make("b", {}, written(scores[i])) : make("span", { class: "quiet" }, "not scored");
  const said = known(labels[i]) ? make("span", { class: "said" + (isTop(i) ? " top-label" : ""), title: "The data set's label" }, "label " + rating(labels[i])) : null;
  return make("button", { type: "button", title: models[i] || null, onclick: () => goTo(i) },
    make("span", { class: "line" }, make("span", { class: "letter" }, letter(i)), score, said), known(scores[i]) ? drawMeter(i, spread) : null);
}));
const isTop = (i) => labelled && known(labels[i]) && labels[i] === Math.max(...labels.filter(known)) && best(labels).length < labels.filter(known).length;
const drawCompletion = (text, i) => {
  const header = make("div", { class: "head" }, make("h3", { class: "letter" }, make("span", { class: "unseen" }, "Completion "), letter(i)));
  const box = make("article", { class: "one", "aria-label": "Completion " + letter(i) }, header);
  if (shown) {
    const words = labelWords(i);
    if (words) header.append(make("span", { class: "tag" + (isTop(i) ? " top-label" : "") }, words));
    if (models[i]) header.append(make("span", { class: "model", title: models[i] }, models[i]));
    const spread = known(variances[i]) && variances[i] > 0 ? Math.sqrt(variances[i]) : 0;
    if (known(scores[i])) {
      header.append(make("span", { class: "score", title: spread ? "The judge's score, and the spread of its single judgements" : "The judge's score" },
        make("b", {}, written(scores[i])), spread ? " \u00b1 " + fixed(spread, fine || spread < 0.1 ? 2 : 1) : null));
      if (k <= BESIDE) header.lastChild.before(drawMeter(i, spread));
    } else header.append(make("span", { class: "score" }, "not scored"));
  }
  box.append(bodies[i]);
  const reason = shown && (reasons[i] || (!known(scores[i]) && errors[i]));
  if (reason) {
    const into = make("div", { class: "text" });
    const all = [{ kind: "p", from: 0, to: reason.length }];
    const whole = () => { into.replaceChildren(); render(into, reason, 0, reason.length, all, []); };
    const end = reach(reason, 0, 320);
    if (reach(reason, 0, 420) >= reason.length) whole();
    else {
      render(into, reason, 0, end, all, []);
      into.append(gap("\u22ef " + characters(reason.length - end) + " more", whole));
    }
    box.append(make("div", { class: "reason" }, make("span", { class: "eyebrow" }, reasons[i] ? "The judge's reason" : "Why it is not scored"), into));
  }
  return box;
};
