// ---- texts: code, tables, folding, differences ----------------------------------------------------------------------

const FENCE = /^ {0,3}(`{3,}|~{3,})[^\n]*/;
const RULE = /^ *\|?( *:?-+:? *\|)+ *:?-* *:? *\|? *(?:\n|(?![^]))/;
const PARAGRAPH = 10000; // characters
const cells = (line) => line.trim().replace(/^\|/, "").replace(/\|(?![^])/, "").split("|").map((cell) => cell.trim());

// The blocks of a text, each with its place in it: code between fences, tables with a rule below their head, and the rest.
const blocks = (text) => {
  const found = [];
  const lines = [];
  for (let at = 0; at < text.length;) {
    const end = text.indexOf("\n", at);
    const next = end < 0 ? text.length : end + 1;
    lines.push([at, next]);
    at = next;
  }
  const line = (i) => text.slice(lines[i][0], lines[i][1]);
  let plain = 0;
  const push = (kind, from, to) => {
    if (lines[from][0] > plain) found.push({ kind: "p", from: plain, to: lines[from][0] });
    found.push({ kind, from: lines[from][0], to: lines[to - 1][1] });
    plain = lines[to - 1][1];
  };
  for (let i = 0; i < lines.length; i++) {
    if (lines[i][1] - lines[i][0] > 2000) continue;
    const fence = line(i).match(FENCE);
    if (fence) {
      let j = i + 1;
      while (j < lines.length && !line(j).trim().startsWith(fence[1])) j++;
      const to = Math.min(lines.length, j + 1);
      push("code", i, to);
      i = to - 1;
    } else if (i + 1 < lines.length && line(i).includes("|") && RULE.test(line(i + 1)) &&
               cells(line(i)).length === cells(line(i + 1)).length) {
      let j = i + 2;
      while (j < lines.length && line(j).includes("|")) j++;
      push("table", i, j);
      i = j - 1;
    }
  }
  if (plain < text.length) found.push({ kind: "p", from: plain, to: text.length });
  return found;
};

// Draws text[from..to) in its blocks, as Markdown but where the source is asked for; `marked` are ranges to underline, in order,
// and then the text is shown as it is written.
const render = (into, text, from, to, all, marked) => {
  let next = 0;
  const asked = !marked && !state.source, formatted = asked && to - from <= FORMATTED;
  if (asked && !formatted) into.append(make("p", { class: "quiet" }, "Over " + characters(FORMATTED) + ": shown as it is written, without Markdown and mathematics."));
  const runs = (element, start, end) => {
    if (!marked) {
      element.append(text.slice(start, end));
      return element;
    }
    while (next > 0 && marked[next - 1][1] > start) next--;
    let at = start;
    for (; next < marked.length && marked[next][0] < end; next++) {
      const low = Math.max(start, marked[next][0]), high = Math.min(end, marked[next][1]);
      if (high <= low) continue;
      if (low > at) element.append(text.slice(at, low));
      // Line by line, so that neither indentation nor an empty line is marked.
      for (const piece of text.slice(low, high).split(/(\s*\n\s*)/)) element.append(piece.trim() ? make("mark", {}, piece) : piece);
      at = high;
      if (marked[next][1] > end) break;
    }
    if (at < end) element.append(text.slice(at, end));
    return element;
  };
  for (const block of all) {
    let start = Math.max(from, block.from), end = Math.min(to, block.to);
    if (end <= start) continue;
    if (block.kind === "code") {
      if (text[end - 1] === "\n") end--;
      const pre = make("pre", { tabindex: "0", "aria-label": "Code" });
      const first = start === block.from ? text.indexOf("\n", start) : -1;
      const last = end >= block.to - 1 ? text.lastIndexOf("\n", end - 1) : -1;
      if (first >= 0 && first < end) {
        pre.append(make("span", { class: "fence" }, text.slice(start, first)));
        start = first + 1;
      }
      const closes = last >= start && /^ *(`{3,}|~{3,}) *(?![^])/.test(text.slice(last + 1, end));
      runs(pre, start, closes ? last : end);
      if (closes) pre.append(make("span", { class: "fence" }, text.slice(last + 1, end)));
      into.append(pre);
    } else if (block.kind === "table" && start === block.from && formatted) {
      const rows = text.slice(start, end).replace(/\n+(?![^])/, "").split("\n");
      const width = cells(rows[0]).length;
      const sides = cells(rows[1]).map((rule) => (/:(?![^])/.test(rule) ? (rule.startsWith(":") ? "center" : "end") : null));
      const row = (line, name) => {
        const values = cells(line);
        const last = values.slice(width - 1).join(" | ");
        return make("tr", {}, ...[...values.slice(0, width - 1), last].map((cell, i) => inline(make(name, { dir: "auto", class: sides[i] }), cell)));
      };
      const table = make("table", {}, make("thead", {}, row(rows[0], "th")), make("tbody", {}, ...rows.slice(2).map((line) => row(line, "td"))));
      into.append(make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Table" }, table));
    } else if (block.kind === "table") {
      into.append(runs(make("pre", { tabindex: "0", "aria-label": "Table" }), start, text[end - 1] === "\n" ? end - 1 : end));
    } else {
      // The line's end beside a code block or a gap is drawn by the block itself.
      while (end > start && text[end - 1] === "\n") end--;
      while (start < end && text[start] === "\n") start++;
      if (end > start && formatted) markdown(into, text.slice(start, end));
      // A browser takes seconds for a single paragraph of a megabyte.
      for (let at = start; at < end && !formatted;) {
        const to = end - at > 2 * PARAGRAPH ? cutBefore(text, at + PARAGRAPH) : end;
        into.append(runs(make("p", { dir: "auto" }), at, to));
        at = to;
      }
    }
  }
};

// Cuts to whole lines where one ends near, else to a whole word.
const cutBefore = (text, at) => {
  if (at <= 0) return 0;
  if (at >= text.length) return text.length;
  const line = text.lastIndexOf("\n", at);
  if (line > 0 && at - line < 120) return line + 1;
  const word = text.lastIndexOf(" ", at);
  if (word > 0 && at - word < 40) return word + 1;
  const unit = text.charCodeAt(at);
  return unit >= 0xdc00 && unit <= 0xdfff ? at - 1 : at;
};
// How far a text reaches in a budget of characters, where a line counts for its width at least.
const reach = (text, from, budget, width = room.width) => {
  let at = from, left = budget;
  while (at < text.length && left > 0) {
    const end = text.indexOf("\n", at);
    const length = (end < 0 ? text.length : end + 1) - at;
    if (length > left) return cutBefore(text, at + left) > from ? cutBefore(text, at + left) : at + left;
    left -= Math.max(1, Math.ceil((length - 1) / width)) * width;
    at += length;
  }
  return at;
};
const gap = (words, open) => make("button", { class: "gap", type: "button", onclick: open }, words);
const characters = (n) => count(n) + (n === 1 ? " character" : " characters");
