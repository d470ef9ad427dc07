// ---- Markdown, drawn node by node: no link that leads out, no image, no markup of the text's own ---------------------------

// Above this many characters in one piece the text is shown as it is written.
const FORMATTED = 100000;
// Each part excludes its own first mark, so that the cost stays near the length of the text. \u0024 is the dollar sign.
const INLINE = new RegExp([
  /\\([\\`*_{}#+\-.!|~\u003e])(?![A-Za-z])/, // 1 an escaped mark
  /(?<!`)`(?!`)([^`\n]+)`(?!`)/, // 2 code
  /(?<!`)``(?!`)((?:[^`\n]|`(?!`))+)``(?!`)/, // 3 code that holds a backtick
  /\u0024\u0024([^\u0024]{1,2000})\u0024\u0024/, // 4 mathematics in a line of its own
  /\\\[((?:[^\\]|\\(?![[\]])){1,2000})\\\]/, // 5
  /\\\(((?:[^\\\n]|\\(?![()])){1,2000})\\\)/, // 6 mathematics in the line
  /(?<![\u0024\\\w])\u0024(?![\s\u0024])([^\u0024\n]{1,500})(?<![\s\\])\u0024(?![\u0024\w])/, // 7
  /(?<!\\)(!?)\[([^[\]\n]{0,1000})\]\(([^()\s]{0,2000}(?:\([^()\s]{0,500}\)[^()\s]{0,500})?)(?: "[^"\n]{0,500}")?\)/, // 8 9 10 an image, a link
  /\*\*(?![\s*])((?:[^*\n]|\*(?!\*)){1,2000})(?<!\s)\*\*/, // 11 bold
  /(?<!\w)__(?![\s_])((?:[^_\n]|_(?!_)){1,2000})(?<!\s)__(?!\w)/, // 12
  /(?<![*\w])\*(?![\s*])([^*\n]{1,2000})(?<!\s)\*(?![*\w])/, // 13 italic
  /(?<!\w)_(?![\s_])([^_\n]{1,2000})(?<!\s)_(?!\w)/, // 14
  /~~(?![\s~])([^~\n]{1,2000})(?<!\s)~~/, // 15 struck out
].map((part) => part.source).join("|"), "gu");
const MATHLIKE = /[\\^_=+\u003c\u003e]|^[-−]?(?:\d+(?:\.\d+)?)?[A-Za-z]'*(?:\([A-Za-z0-9, ]+\))?(?![^])/;
const inline = (into, text, depth = 0) => {
  let at = 0;
  for (const found of depth > 4 ? [] : text.matchAll(INLINE)) {
    const node = inlineNode(found, depth);
    if (!node) continue;
    if (found.index > at) into.append(text.slice(at, found.index));
    into.append(node);
    at = found.index + found[0].length;
  }
  if (at < text.length) into.append(text.slice(at));
  return into;
};
const inlineNode = (found, depth) => {
  const [, escaped, code, codes, block, bracket, round, dollar, image, words, address, bold, bolder, italic, italics, struck] = found;
  if (escaped) return document.createTextNode(escaped);
  if (code || codes) return make("code", {}, (code || codes).replace(/^ (.+) (?![^])/, (all, inside) => inside));
  if (dollar && !MATHLIKE.test(dollar)) return null;
  if (block || bracket) return formula(block || bracket, true);
  if (round || dollar) return formula(round || dollar, false);
  if (address !== undefined) {
    if (image) return make("span", { class: "image" }, "1 image, not shown" + (words ? ": " : ""), words ? make("bdi", {}, words) : null);
    return make("span", { class: "link" }, inline(make("bdi", {}), words, depth + 1), " (", make("bdi", { class: "address", dir: "ltr" }, address), ")");
  }
  const strong = bold || bolder, soft = italic || italics;
  return inline(make(strong ? "strong" : soft ? "em" : "del", {}), strong || soft || struck, depth + 1);
};

const HEADING = /^ {0,3}(#{1,6})[ \t]+(.+)/;
const ITEM = /^([ \t]*)([-*+•]|\d{1,9}[.)])[ \t]+(.*)/;
const QUOTE = /^ {0,3}((?:\u003e ?){1,40})(.*)/;
const LINE_ACROSS = /^ {0,3}(?:(?:\* *){3,}|(?:- *){3,}|(?:_ *){3,})(?![^])/;
// Draws a piece of text without code blocks and tables. Levels are margins and not nested boxes, so that no text is too deep.
const markdown = (into, text) => {
  let paragraph = [];
  const flush = () => {
    const words = paragraph.join("\n").trimEnd();
    if (words.trim()) into.append(inline(make("p", { dir: "auto" }), words));
    paragraph = [];
  };
  const put = (element, level) => {
    flush();
    if (level) element.style.marginInlineStart = Math.min(8, level) * 1.3 + "em";
    into.append(element);
  };
  const lines = text.split("\n");
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i];
    let found;
    const opens = /^\s*(\u0024\u0024|\\\[)/.exec(line);
    if (opens) {
      // Mathematics over several lines stays in one piece.
      const closing = opens[1] === "\\[" ? "\\]" : opens[1], rest = line.slice(opens[0].length);
      let j = i;
      if (!rest.includes(closing)) for (j = i + 1; j < lines.length && j < i + 40 && !lines[j].includes(closing); j++);
      const closed = j < lines.length && (j === i || lines[j].includes(closing));
      paragraph.push(...lines.slice(i, closed ? j + 1 : i + 1));
      if (closed) i = j;
    } else if (!line.trim()) flush();
    else if (line.length > 5000) paragraph.push(line);
    else if ((found = HEADING.exec(line))) put(inline(make("p", { class: "h h" + found[1].length, role: "heading", "aria-level": Math.min(6, found[1].length + 3), dir: "auto" }), found[2].replace(/[ \t]#+[ \t]*(?![^])/, "")));
    else if (LINE_ACROSS.test(line)) put(make("hr"));
    else if ((found = ITEM.exec(line))) {
      const level = Math.floor(found[1].replace(/\t/g, "    ").length / 2);
      put(make("div", { class: "item", dir: "auto" }, make("span", { class: "bullet" }, /\d/.test(found[2]) ? found[2] : "•"), inline(make("span"), found[3])), level);
    } else if ((found = QUOTE.exec(line))) put(inline(make("p", { class: "quote", dir: "auto" }), found[2]), found[1].replace(/ /g, "").length - 1);
    else paragraph.push(line);
  }
  flush();
  return into;
};
