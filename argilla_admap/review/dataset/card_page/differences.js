// ---- differences ------------------------------------------------------------------------------------------------------

const TOKEN = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]|[\p{L}\p{M}\p{N}_'\u2019]+|\s+|[^]/gu;
const tokens = (text) => text.match(TOKEN) || [];

// Which tokens of a and of b belong to the longest part that both share. Both ends are trimmed, words that occur once in each
// split what remains, and only small pieces are compared word by word: the cost stays near the length of the texts.
const shared = (a, b) => {
  const keepA = new Uint8Array(a.length), keepB = new Uint8Array(b.length);
  const jobs = [[0, a.length, 0, b.length]];
  while (jobs.length) {
    let [a0, a1, b0, b1] = jobs.pop();
    while (a0 < a1 && b0 < b1 && a[a0] === b[b0]) keepA[a0++] = keepB[b0++] = 1;
    while (a0 < a1 && b0 < b1 && a[a1 - 1] === b[b1 - 1]) keepA[--a1] = keepB[--b1] = 1;
    const n = a1 - a0, m = b1 - b0;
    if (!n || !m) continue;
    if (n * m <= 250000) {
      small(a, a0, n, b, b0, m, keepA, keepB);
      continue;
    }
    const anchors = landmarks(a, a0, a1, b, b0, b1);
    if (!anchors.length) continue;
    let lastA = a0, lastB = b0;
    for (const [i, j] of anchors) {
      keepA[i] = keepB[j] = 1;
      jobs.push([lastA, i, lastB, j]);
      lastA = i + 1;
      lastB = j + 1;
    }
    jobs.push([lastA, a1, lastB, b1]);
  }
  return [keepA, keepB];
};
const small = (a, a0, n, b, b0, m, keepA, keepB) => {
  const width = m + 1, length = new Uint16Array((n + 1) * width);
  for (let i = n - 1; i >= 0; i--) {
    for (let j = m - 1; j >= 0; j--) {
      length[i * width + j] = a[a0 + i] === b[b0 + j] ? length[(i + 1) * width + j + 1] + 1
        : Math.max(length[(i + 1) * width + j], length[i * width + j + 1]);
    }
  }
  for (let i = 0, j = 0; i < n && j < m;) {
    if (a[a0 + i] === b[b0 + j]) keepA[a0 + i++] = keepB[b0 + j++] = 1;
    else if (length[(i + 1) * width + j] >= length[i * width + j + 1]) i++;
    else j++;
  }
};
// Words that occur once in each; where they are too few, as in Chinese, whose words are single characters here, runs of them.
const landmarks = (a, a0, a1, b, b0, b1) => {
  let found = [];
  for (const run of [1, 4, 8]) {
    const more = unique(a, a0, a1, b, b0, b1, run);
    if (more.length > found.length) found = more;
    if (found.length * 300 > Math.max(a1 - a0, b1 - b0)) break;
  }
  return found;
};
const unique = (a, a0, a1, b, b0, b1, run) => {
  const once = (list, from, to) => {
    const seen = new Map();
    for (let i = from; i + run <= to; i++) {
      const key = run === 1 ? list[i] : list.slice(i, i + run).join("\u0000");
      seen.set(key, seen.has(key) ? -1 : i);
    }
    return seen;
  };
  const inA = once(a, a0, a1), inB = once(b, b0, b1);
  const pairs = [];
  for (const [token, i] of inA) if (i >= 0 && inB.get(token) >= 0) pairs.push([i, inB.get(token)]);
  // The longest run of pairs that rises in both.
  const tails = [], before = new Array(pairs.length);
  pairs.forEach(([, j], index) => {
    let low = 0, high = tails.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (pairs[tails[middle]][1] < j) low = middle + 1;
      else high = middle;
    }
    before[index] = low ? tails[low - 1] : -1;
    tails[low] = index;
  });
  const rising = [];
  for (let index = tails.length ? tails[tails.length - 1] : -1; index >= 0; index = before[index]) rising.push(pairs[index]);
  return rising.reverse();
};
// Ranges of characters that only this text has. What little stands between two of them, a comma or a lone short word that
// both texts happen to hold, belongs to them: a reader sees phrases, not confetti.
const ranges = (list, keep) => {
  const found = [];
  let at = 0;
  for (let i = 0; i < list.length; at += list[i].length, i++) {
    if (keep[i]) continue;
    const last = found[found.length - 1], end = at + list[i].length;
    if (last && last[1] === at) last[1] = end;
    else found.push([at, end]);
  }
  const whole = list.join("");
  const joined = [];
  for (const [from, to] of found) {
    const last = joined[joined.length - 1];
    const between = last ? whole.slice(last[1], from) : "";
    const letters = between.replace(/[^\p{L}\p{N}]+/gu, "").length;
    if (last && between.length < 40 && !between.includes("\n\n") && (letters === 0 || (letters < 9 && letters * 2 < last[1] - last[0] && letters * 2 < to - from))) last[1] = to;
    else joined.push([from, to]);
  }
  for (const range of joined) {
    const text = whole.slice(range[0], range[1]);
    if (!text.trim()) continue;
    range[0] += text.length - text.trimStart().length;
    range[1] -= text.length - text.trimEnd().length;
  }
  return joined;
};
const compare = (one, other) => {
  const a = tokens(one), b = tokens(other);
  const [keepA, keepB] = shared(a, b);
  const words = (list, keep) => list.reduce((sum, token, i) => sum + (keep[i] && token.trim() ? token.length : 0), 0);
  const length = (list) => list.reduce((sum, token) => sum + token.trim().length, 0);
  const all = length(a) + length(b);
  return { a: ranges(a, keepA), b: ranges(b, keepB), alike: all ? (words(a, keepA) + words(b, keepB)) / all : 1 };
};
