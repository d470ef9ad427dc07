// What is selected, by filters, window and an area drawn round records; and the link that opens just that in Argilla.
const REVIEWS = manifest.reviewNames;
const SEARCHED = 100; // so many ids at most go into a link
const lasso = { drawing: false, spots: null };

function insideLasso(u, v) {
  const spots = lasso.spots;
  let inside = false;
  for (let a = 0, b = spots.length - 1; a < spots.length; b = a++) {
    const [ua, va] = spots[a], [ub, vb] = spots[b];
    if (va > v !== vb > v && u < (ub - ua) * (v - va) / (vb - va) + ua) inside = !inside;
  }
  return inside;
}

function setLasso(spots) {
  lasso.spots = spots && spots.length > 2 ? spots : null;
  lasso.drawing = false;
  byId("lasso").setAttribute("aria-pressed", "false");
  byId("lasso-clear").hidden = !lasso.spots;
  canvas.style.cursor = "";
  filtersChanged();
}

function drawLasso() {
  const spots = lasso.spots ?? lasso.path;
  if (!spots || spots.length < 2) return;
  pen.beginPath();
  spots.forEach(([u, v], at) => pen[at ? "lineTo" : "moveTo"](screenX(u), screenY(v)));
  if (lasso.spots) pen.closePath();
  pen.strokeStyle = scene.palette.accent;
  pen.lineWidth = 1.5;
  pen.setLineDash([5, 4]);
  pen.stroke();
  pen.setLineDash([]);
}

function bindLasso() {
  byId("lasso").addEventListener("click", () => {
    lasso.drawing = !lasso.drawing;
    byId("lasso").setAttribute("aria-pressed", String(lasso.drawing));
    canvas.style.cursor = lasso.drawing ? "cell" : "";
  });
  byId("lasso-clear").addEventListener("click", () => setLasso(null));
}

function selection() {
  const found = [];
  for (let i = 0; i < manifest.n; i++) if (passing[i] && inView(i)) found.push(i);
  return found;
}

// The tightest conditions on what Argilla holds that keep all of these records, as its link says them and as a test here.
function conditionsOf(records) {
  const links = [], tests = [];
  const plain = (value) => value.toFixed(6);
  const range = (name, values, slack) => {
    let low = Infinity, high = -Infinity;
    for (const i of records) { const value = values(i); low = Math.min(low, value); high = Math.max(high, value); }
    if (!(low <= high)) return; // some have no value
    const from = low - slack(low), to = high + slack(high);
    links.push(`${name}.ge${plain(from)}.le${plain(to)}`);
    tests.push((i) => values(i) >= from && values(i) <= to);
  };
  const near = (value) => 2e-6 + Math.abs(value) * 2e-6;
  const whole = records.length === manifest.n;
  const regions = new Set(records.map((i) => column.region[i]));
  if (!regions.has(0) && regions.size < 3) {
    links.push(["admap_region", ...[...regions].map((region) => manifest.regionTerms[region])].join("."));
    tests.push((i) => regions.has(column.region[i]));
  }
  if (filter.flags) {
    links.push(["admap_flags", ...manifest.flags.filter((_, bit) => (filter.flags >>> bit) & 1)].join("."));
    tests.push((i) => (column.flags[i] & filter.flags) !== 0);
  }
  if (!whole) {
    if (!records.some((i) => Number.isNaN(pOf(i)))) range("admap_p_wrong", pOf, () => 1e-5);
    range("admap_mean", (i) => column.mean[i], near);
    range("admap_variance", (i) => column.variance[i], near);
  }
  return { link: links.join("~"), holds: (i) => tests.every((test) => test(i)) };
}

// {query, others}: others are records beside the selection that the link opens too. Where numbers alone do not tell the selected
// records apart from others, their ids do, as long as they are few and the card shows them.
async function linkOfSelection(records) {
  const link = manifest.link;
  if (!link || !records.length) return null;
  const { link: metadata, holds } = conditionsOf(records);
  let opened = 0;
  // The list of those still to be answered leaves out by itself what is reviewed.
  for (let i = 0; i < manifest.n; i++) if (holds(i) && (filter.reviews !== 1 || !column.review[i])) opened++;
  const tail = `${metadata ? `&metadata=${metadata}` : ""}&sort=metadata.admap_p_wrong.desc`;
  if (opened > records.length && link.search && records.length <= SEARCHED) {
    const ids = (await Promise.all(records.map(recordOf))).map((record) => record.id);
    if (ids.every((id) => /^[A-Za-z0-9-]+$/.test(id))) return { query: `${tail}&search=${encodeURIComponent(ids.map((id) => `"${id}"`).join(" | "))}~${link.search}`, others: 0 };
  }
  return { query: tail, others: opened - records.length };
}

let linking = 0;
async function showSelection() {
  const turn = ++linking;
  const records = selection();
  const found = await linkOfSelection(records);
  if (turn !== linking) return;
  const these = records.length === 1 ? "this record" : `these ${whole(records.length)}`;
  const parts = [];
  if (found) {
    const reviewed = records.filter((i) => column.review[i]).length;
    for (const [status, title] of [["pending", `Open ${these} in Argilla`], ["submitted", "those among my answers"]]) {
      if (status === "submitted" && !reviewed) continue;
      const anchor = make("a", status === "pending" ? "act" : "", title);
      anchor.href = `${manifest.link.page}?page=1&status=${status}${found.query}`;
      anchor.target = "_blank";
      anchor.rel = "noopener noreferrer";
      parts.push(anchor);
    }
    if (found.others) parts.push(make("p", "quiet", `A link cannot say just ${these}: it opens ${whole(found.others)} more with the same numbers.`));
  }
  if (records.length && records.length <= 10000) {
    const copy = make("button", "", records.length === 1 ? "Copy its id" : `Copy ${whole(records.length)} ids`);
    copy.type = "button";
    copy.addEventListener("click", async () => copyText((await Promise.all(records.map(recordOf))).map((record) => record.id).join("\n"), copy));
    parts.push(copy);
  }
  byId("open-these").replaceChildren(...parts);
}

function showNext() {
  byId("next").replaceChildren(manifest.next.text);
  if (!manifest.next.show) return;
  const button = make("button", "", "Show them");
  button.type = "button";
  button.addEventListener("click", () => {
    clearFilters();
    Object.assign(filter, manifest.next.show);
    byId("p-from").value = filter.from;
    boxes.review.forEach((box, at) => { box.checked = Boolean(filter.reviews >> boxes.reviewCodes[at] & 1); });
    showSlider();
    home();
    filtersChanged();
  });
  byId("next").append(" ", button);
}
