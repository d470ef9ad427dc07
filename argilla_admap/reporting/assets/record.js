// One record in words. Whatever comes from the data set is set as text, never as markup.
function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) {
    element.textContent = text;
    element.dir = "auto";
  }
  return element;
}

const flagTitle = (name) => manifest.flagTitles[name] || name.replaceAll("_", " ");
const number = (value, digits = 2) => (Number.isFinite(value) ? value.toFixed(digits).replace(/\.?0+$/, "") : "none");

// Argilla's page finds a record by what it holds of the map: a range round each of its numbers (single precision there), and,
// where the card shows the id, by the id's words. Neither of its statuses shows all records, so there is a link for each.
function linkOf(record, status = "pending") {
  const link = manifest.link;
  if (!link) return null;
  const i = record.i;
  const range = (name, value, slack) => `${name}.ge${(value - slack).toFixed(6)}.le${(value + slack).toFixed(6)}`;
  const near = (value) => 2e-6 + Math.abs(value) * 2e-6;
  const parts = [range("admap_mean", column.mean[i], near(column.mean[i])), range("admap_variance", column.variance[i], near(column.variance[i]))];
  if (!Number.isNaN(pOf(i))) parts.push(range("admap_p_wrong", pOf(i), 2e-5));
  // Argilla's page reads "_" as a space and parts a search at "~" and "."; an id with such characters would find nothing.
  const search = link.search && /^[A-Za-z0-9-]+$/.test(record.id) ? `&search=${record.id}~${link.search}` : "";
  return `${link.page}?page=1&status=${status}&metadata=${parts.join("~")}${search}`;
}

// `within`: how many records the pointer reaches, for the short card beside it; 0 for the whole card.
function fillCard(target, record, within) {
  const i = record.i;
  const p = pOf(i);
  const head = make("div");
  head.append(make("strong", "", Number.isNaN(p) ? "P(wrong) unknown" : `P(wrong) ${p.toFixed(2)}`), " ", make("span", "card-id", record.id));
  const chips = make("div", "chips");
  const chip = (text, kind) => chips.append(make("span", "chip" + (kind ? " " + kind : ""), text));
  chip(REGION_NAMES[column.region[i]]);
  chip(`mean ${number(column.mean[i])}`);
  chip(`variance ${number(column.variance[i])}`);
  if (column.agreement[i] !== 255) chip(`agreement ${number(column.agreement[i] / 127 - 1)}`);
  if (column.contested[i] !== 255 && column.contested[i] > 1) chip(`contested ${number(column.contested[i] / 254)}`);
  if (column.confidence[i] !== 255) chip(`region sure ${number(column.confidence[i] / 254)}`);
  if (manifest.sources.length > 1) chip(manifest.sources[column.source[i]]);
  if (column.review[i]) chip(REVIEWS[column.review[i]], "done");
  manifest.flags.forEach((flag, bit) => {
    // The region says so already.
    if (((column.flags[i] >>> bit) & 1) && flagTitle(flag) !== REGION_NAMES[column.region[i]]) chip(flagTitle(flag), "flag");
  });
  const parts = [head, chips];
  if (record.reasons.length && !within) {
    const why = make("ul", "reasons");
    why.setAttribute("aria-label", "Why");
    why.append(...record.reasons.map((reason) => make("li", "", reason)));
    parts.push(why);
  }
  if (record.prompt !== null) parts.push(make("span", "card-prompt", record.prompt || "(empty prompt)"));
  if (record.scores.length) parts.push(completionTable(record, within > 0));
  if (record.prompt === null) parts.push(make("p", "quiet", manifest.texts ? `This file holds the texts of the ${manifest.texts.toLocaleString("en")} records most in doubt; read this one in Argilla or in the map's file.` : "This file holds no texts."));
  if (within > 1) parts.push(make("p", "quiet", `${within.toLocaleString("en")} records lie within reach of the pointer.`));
  target.replaceChildren(...parts);
}

function completionTable(record, brief) {
  const table = make("table", brief ? "completions brief" : "completions");
  const head = make("tr");
  const texts = record.texts.length > 0;
  ["", "score", "label", texts ? "completion" : ""].forEach((name) => {
    const cell = make("th", "", name);
    cell.scope = "col";
    head.append(cell);
  });
  table.append(head);
  record.scores.slice(0, 12).forEach((score, at) => {
    const row = make("tr");
    const letter = String.fromCharCode(65 + at);
    row.append(make("td", "", letter), make("td", "number", number(score)), make("td", "number", number(record.ratings[at])));
    const cell = make("td", "text");
    if (record.models[at] && !brief) cell.append(make("small", "card-text", record.models[at]));
    if (texts) cell.append(make("span", "card-text", record.texts[at]?.trim() ?? ""));
    row.append(cell);
    table.append(row);
  });
  if (record.scores.length > 12) table.append(make("caption", "", `and ${record.scores.length - 12} more completions`));
  return table;
}

function openRecord(record) {
  const address = linkOf(record);
  if (address) window.open(address, "_blank", "noopener,noreferrer");
}
