// ---- the verdict, in words ------------------------------------------------------------------------------------------

const best = (values) => {
  const top = Math.max(...values.filter(known));
  return values.map((value, i) => (known(value) && top - value < 1e-9 ? i : -1)).filter((i) => i >= 0);
};
const labelled = labels.filter(known).length >= 2;
const scored = scores.filter(known).length >= 2;
// Two decimals for scores such as a similarity, and where one would show different scores as the same.
const close = scores.some((a, i) => scores.slice(0, i).some((b) => known(a) && known(b) && Math.abs(a - b) > 1e-9 && fixed(a, 1) === fixed(b, 1)));
const fine = scale[1] - scale[0] <= 2;
const decimals = fine || close ? 2 : 1;
const points = (gap) => {
  if (fine) return fixed(gap, 2);
  const words = gap < 0.095 ? fixed(gap, 2) : fixed(gap, 1).replace(/\.0\b/, "");
  return words + (words === "1" ? " point" : " points");
};

const judged = () => {
  if (!scored) return ["Not scored: ", make("bdi", {}, errors.find(Boolean) || "the judge has not seen this record"), "."];
  const first = best(scores), chosen = labelled ? best(labels) : [];
  const allEqual = (tops, values = scores) => tops.length === values.filter(known).length;
  let words;
  if (k === 2) {
    const gap = Math.abs(scores[0] - scores[1]);
    const taken = letter(first[0]);
    if (!labelled) {
      words = allEqual(first) ? "The judge scores both alike" : "The judge prefers " + taken + " by " + points(gap);
      return words + "; the data set has no label here.";
    }
    if (allEqual(chosen, labels)) {
      words = allEqual(first) ? "Judge and label agree on a tie" : "The label calls it a tie; the judge prefers " + taken + " by " + points(gap);
    } else if (allEqual(first)) {
      words = "The judge scores both alike; the label prefers " + letter(chosen[0]);
    } else if (first[0] === chosen[0]) {
      words = "The judge agrees with the label: the chosen completion, " + taken + ", is better by " + points(gap);
    } else {
      words = "The judge prefers the rejected completion, " + taken + ", by " + points(gap);
    }
  } else {
    const seen = scores.filter(known).length, every = "all " + (seen < k ? seen + " that are scored" : k);
    const level = allEqual(first, scores), flat = labelled && allEqual(chosen, labels);
    const top = (who, places, plural) => who + (places.length > 1 ? (plural ? " tie " : " ties ") + list(places.map(letter)) + " at the top"
      : (plural ? " put " : " puts ") + letter(places[0]) + " first");
    if (!labelled) {
      const last = best(scores.map((value) => (known(value) ? -value : value)));
      words = level ? "The judge scores " + every + " alike"
        : top("The judge", first) + (last.length > 1 ? "" : (first.length > 1 ? " and puts " : " and ") + letter(last[0]) + " last");
      return words + "; the data set has no label here.";
    }
    if (level) words = "The judge scores " + every + " alike; " + (flat ? "so does the label" : top("the label", chosen));
    else if (flat) words = "The label calls all alike; " + top("the judge", first);
    else if (first.length === chosen.length && first.every((i) => chosen.includes(i))) words = top("Judge and label both", first, true);
    else words = top("The judge", first) + ", " + top("the label", chosen);
    const order = ordered();
    if (order && !level) words += "; they order " + order[0] + " of " + order[1] + " pairs alike";
  }
  return (known(wrong) ? words + "; the label is wrong with probability " + chance(wrong) + "." : words + ".");
};
// The reader's own answer, and what it means for the label.
const ownAnswer = () => {
  const mine = shown && labelled && (record.responses || []).find((one) => one.status === "submitted");
  if (!mine) return "";
  const said = (name) => mine.values && mine.values[name] ? mine.values[name].value : null;
  const better = said("better"), about = { keep: "You kept the label. ", flip: "You flipped the label. " }[better];
  if (about) return about;
  const own = k === 2 ? { a: [1, 0], b: [0, 1], tie: [1, 1], both_bad: [1, 1] }[better] : texts.map((_, i) => said("rating_" + letter(i).toLowerCase()));
  if (!own || !own.every(known)) return "";
  const words = k > 2 ? "Your ratings " + own.join(", ") : better === "both_bad" ? "Your answer, both bad," : better === "tie" ? "Your answer, a tie," : "Your answer, " + letter(best(own)[0]) + ",";
  const apart = !sameOrder(own, labels), side = (better === "a" || better === "b") && best(labels).length === 1;
  const verb = k > 2 ? [" agree with", " order them otherwise than"] : [" agrees with", " contradicts"];
  return words + verb[apart ? 1 : 0] + " the label" + (side ? (apart ? ": you flipped it. " : ": you kept it. ") : ". ");
};
const sameOrder = (own, other) => own.every((one, i) => own.slice(0, i).every((two, j) => Math.sign(one - two) === Math.sign(other[i] - other[j])));
const labelInWords = (values) => {
  const there = values.filter(known);
  if (there.length < 2) return "no label";
  const tops = best(values);
  if (k > 2) return values.map((value, i) => letter(i) + " " + (known(value) ? rating(value) : "none")).join(", ");
  return tops.length > 1 ? "a tie" : letter(tops[0]) + " chosen";
};
const relabelled = () => labelNow ? "The label changed after this record was answered: the answer was about \"" + labelInWords(labels) +
  "\", which is shown here; the data set now says \"" + labelInWords(labelNow) + "\"." : "";
const chance = (p) => (p > 0.994 ? "above 0.99" : p < 0.006 ? "below 0.01" : fixed(p, 2));
const ordered = () => {
  let alike = 0, pairs = 0;
  for (let i = 0; i < k; i++) {
    for (let j = 0; j < i; j++) {
      if (![labels[i], labels[j], scores[i], scores[j]].every(known) || labels[i] === labels[j]) continue;
      pairs++;
      if ((labels[i] - labels[j]) * (scores[i] - scores[j]) > 0) alike++;
    }
  }
  return pairs ? [alike, pairs] : null;
};
const verdict = () => [ownAnswer() || null, ...[judged()].flat()];

const factLine = () => {
  const line = make("div", { class: "facts" });
  const add = (name, value, title) => line.append(make("span", { title }, name, value ? make("b", {}, value) : null));
  if (known(mean)) add("mean ", fixed(mean, 2), "The mean of the judge's scores");
  if (known(variance)) add("spread ", fixed(Math.sqrt(variance), 2), "The standard deviation between the completions' scores");
  const region = facts && facts.regions[decode(given._g)];
  if (region) add("region ", region);
  for (const flag of flags) {
    const title = facts && facts.flags[flag];
    if (title && title !== region) add("", title);
  }
  const samples = Math.max(0, ...counts.filter(known));
  const who = judge && (judge === "existing" ? "scores from the data set" : "scored by " + judge) + (samples > 1 ? ", " + samples + " samples" : "");
  if (who) line.append(make("span", { class: "judge", title: who, dir: "auto" }, who));
  if (given._i) line.append(make("span", { class: "name", dir: "auto", title: "The record's id" }, decode(given._i)));
  return line.childElementCount ? line : null;
};
