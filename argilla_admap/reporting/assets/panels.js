// The panels beside the map: filters, the list, the chosen record, the figures in words.
const whole = (value) => value.toLocaleString("en");

function checkbox(target, title, count, checked, onChange, colour) {
  const label = make("label", "check");
  const box = make("input");
  box.type = "checkbox";
  box.checked = checked;
  box.addEventListener("change", () => onChange(box.checked));
  const name = make("span", "", title);
  name.title = title;
  label.append(box);
  if (colour) {
    const swatch = make("i", "swatch");
    swatch.style.background = `var(${colour})`;
    label.append(swatch);
  }
  label.append(name, make("small", "", whole(count)));
  target.append(label);
  return box;
}

function filtersChanged() {
  applyFilter();
  redraw();
  byId("said").textContent = `${whole(passCount)} records pass the filters`;
  listSoon();
}

const boxes = { region: [], flag: [], source: [], review: [], reviewCodes: [] };

function buildFilters() {
  const n = manifest.n;
  const reviews = new Uint32Array(REVIEWS.length);
  const regions = new Uint32Array(4), flags = new Uint32Array(32), sources = new Uint32Array(manifest.sources.length);
  for (let i = 0; i < n; i++) {
    regions[column.region[i]]++;
    reviews[column.review[i]]++;
    sources[column.source[i]]++;
    for (let bits = column.flags[i], bit = 0; bits; bits >>>= 1, bit++) if (bits & 1) flags[bit]++;
  }
  const colours = ["--none", "--high-var", "--high-avg", "--low-avg"];
  for (const region of [1, 2, 3, 0]) {
    if (region === 0 && !regions[0]) continue;
    boxes.region.push(checkbox(byId("region-boxes"), REGION_NAMES[region], regions[region], true, (on) => {
      filter.regions = on ? filter.regions | (1 << region) : filter.regions & ~(1 << region);
      filtersChanged();
    }, colours[region]));
  }
  const known = Object.keys(manifest.flagTitles);
  const order = (flag) => (known.includes(flag) ? known.indexOf(flag) : known.length);
  const shown = manifest.flags.map((flag, bit) => [flag, bit]).sort((a, b) => order(a[0]) - order(b[0]));
  shown.forEach(([flag, bit]) => {
    if (!flags[bit]) return;
    boxes.flag.push(checkbox(byId("flag-boxes"), flagTitle(flag), flags[bit], false, (on) => {
      filter.flags = (on ? filter.flags | (1 << bit) : filter.flags & ~(1 << bit)) >>> 0;
      filtersChanged();
    }));
  });
  byId("flag-field").hidden = !boxes.flag.length;
  byId("review-field").hidden = reviews[0] === n;
  REVIEWS.forEach((title, code) => {
    if (!reviews[code]) return;
    boxes.reviewCodes.push(code);
    boxes.review.push(checkbox(byId("review-boxes"), title, reviews[code], true, (on) => {
      filter.reviews = on ? filter.reviews | (1 << code) : filter.reviews & ~(1 << code);
      filtersChanged();
    }));
  });
  byId("source-field").hidden = manifest.sources.length < 2;
  byId("source-search").hidden = manifest.sources.length < 10;
  const setSource = (at, on) => {
    filter.sources ??= new Uint8Array(manifest.sources.length).fill(1);
    filter.sources[at] = on ? 1 : 0;
  };
  manifest.sources.forEach((source, at) => {
    boxes.source.push(checkbox(byId("source-boxes"), source, sources[at], true, (on) => { setSource(at, on); filtersChanged(); }));
  });
  const setAll = (on) => () => {
    boxes.source.forEach((box, at) => {
      if (box.parentElement.hidden) return;
      box.checked = on;
      setSource(at, on);
    });
    filtersChanged();
  };
  byId("sources-all").addEventListener("click", setAll(true));
  byId("sources-none").addEventListener("click", setAll(false));
  byId("source-search").addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase();
    boxes.source.forEach((box, at) => { box.parentElement.hidden = !manifest.sources[at].toLowerCase().includes(wanted); });
  });
  buildSlider();
  byId("reset-filters").addEventListener("click", clearFilters);
}

function clearFilters() {
  Object.assign(filter, { regions: 15, flags: 0, sources: null, from: 0, to: 1, reviews: 31 });
  boxes.region.concat(boxes.source, boxes.review).forEach((box) => { box.checked = true; });
  boxes.flag.forEach((box) => { box.checked = false; });
  byId("p-from").value = 0;
  byId("p-to").value = 1;
  showSlider();
  setLasso(null);
}

let doubtful = null; // records in 50 steps of P(wrong)
function buildSlider() {
  doubtful = new Uint32Array(50);
  let known = 0;
  for (let i = 0; i < manifest.n; i++) {
    const p = column.p_wrong[i];
    if (p === 65535) break; // they stand last
    doubtful[Math.min(49, Math.floor(p / 65534 * 50))]++;
    known++;
  }
  byId("p-field").hidden = !known;
  for (const [id, key] of [["p-from", "from"], ["p-to", "to"]]) {
    byId(id).addEventListener("input", (event) => {
      filter[key] = Number(event.target.value);
      showSlider();
      filtersChanged();
    });
  }
  showSlider();
}

function showSlider() {
  byId("p-from-value").textContent = filter.from.toFixed(2);
  byId("p-to-value").textContent = filter.to.toFixed(2);
  const drawing = byId("p-histogram").getContext("2d");
  drawing.clearRect(0, 0, 220, 34);
  const full = Math.log1p(Math.max(...doubtful));
  doubtful.forEach((count, at) => {
    const middle = (at + 0.5) / 50;
    drawing.globalAlpha = middle >= filter.from && middle <= filter.to ? 1 : 0.25;
    drawing.fillStyle = `rgb(${scene.palette.ramp[Math.round(middle * 255)].join()})`;
    const height = count ? 2 + 30 * Math.log1p(count) / full : 0;
    drawing.fillRect(at * 4.4, 34 - height, 3.6, height);
  });
}

function showCounts() {
  const of = manifest.records > manifest.n ? ` (of ${whole(manifest.records)} in the file)` : "";
  const all = passCount === manifest.n ? `${whole(manifest.n)} records` : `${whole(passCount)} of ${whole(manifest.n)} records pass the filters`;
  byId("counts").textContent = `${all}${of}, ${whole(scene.shown)} in view`;
}

function showLegend() {
  const legend = byId("legend");
  const parts = [];
  if (scene.mode === "p_wrong") parts.push(make("span", "", "P(wrong) 0"), make("i", "ramp"), make("span", "", "1"));
  if (scene.mode === "region") {
    ["--high-var", "--high-avg", "--low-avg"].forEach((colour, at) => {
      const item = make("span");
      const swatch = make("i", "swatch");
      swatch.style.background = `var(${colour})`;
      item.append(swatch, REGION_NAMES[at + 1]);
      parts.push(item);
    });
  }
  if (scene.mode === "density") parts.push(make("span", "", "darker: more records"));
  if (!byId("review-field").hidden) parts.push(make("span", "", "ring: reviewed"));
  if (manifest.thresholds.length === 1) parts.push(make("span", "", `dashed: regions split at variance ${number(manifest.thresholds[0].variance, 3)}, mean ${number(manifest.thresholds[0].mean, 3)}`));
  if (place.tied && byId("spread").checked) parts.push(make("span", "", "ties drawn round their place"));
  if (place.beyond) {
    const further = make("button", "", `${whole(place.beyond)} further right: show all`);
    further.type = "button";
    further.addEventListener("click", () => { Object.assign(view, { u0: -0.03, u1: 1.03, v0: -0.02, v1: 1.02 }); moved(); });
    parts.push(further);
  }
  legend.replaceChildren(...parts);
}

const LISTED = 40;
let listTimer = 0;
function listSoon() {
  clearTimeout(listTimer);
  listTimer = setTimeout(() => { showList(); showSelection(); }, 160);
}

const inView = (i) => place.u[i] >= view.u0 && place.u[i] <= view.u1 && place.v[i] >= view.v0 && place.v[i] <= view.v1;

let listing = 0;
async function showList() {
  const turn = ++listing;
  const found = [];
  for (let i = 0; i < manifest.n && found.length < LISTED; i++) if (passing[i] && inView(i)) found.push(i);
  const records = await Promise.all(found.map(recordOf));
  if (turn !== listing) return; // the window moved on meanwhile
  const hasP = found.length && !Number.isNaN(pOf(found[0]));
  byId("list-title").textContent = found.length ? (hasP ? "Most doubtful in view" : "In view") : "No record in view passes the filters";
  byId("list").replaceChildren(...records.map((record) => {
    const item = make("li");
    const button = make("button");
    button.type = "button";
    const p = pOf(record.i);
    button.append(make("span", "p", Number.isNaN(p) ? "–" : p.toFixed(2)), make("span", "what", record.prompt || record.texts[0] || record.id), make("span"), make("small", "what", [column.review[record.i] ? REVIEWS[column.review[record.i]] : "", REGION_NAMES[column.region[record.i]], record.prompt || record.texts[0] ? record.id : ""].filter(Boolean).join(" · ")));
    button.setAttribute("aria-pressed", String(record.i === scene.chosen));
    button.dataset.record = record.i;
    button.addEventListener("click", () => choose(record.i));
    item.append(button);
    return item;
  }));
}

let choosing = 0;
async function choose(i, { open = false, centre = false } = {}) {
  const turn = ++choosing;
  scene.chosen = i;
  for (const button of document.querySelectorAll("#list button")) button.setAttribute("aria-pressed", String(Number(button.dataset.record) === i));
  byId("record").hidden = i < 0;
  queueDraw();
  if (i < 0) return;
  if (centre && !inView(i)) centreOn(i);
  selectTab("records");
  const record = await recordOf(i);
  if (turn !== choosing) return;
  const card = byId("record");
  fillCard(card, record, 0);
  const row = make("div", "row");
  for (const [status, title] of manifest.link ? [["pending", `Open in Argilla (${manifest.link.dataset})`], ["submitted", "among my answers"]] : []) {
    const anchor = make("a", "", title);
    anchor.href = linkOf(record, status);
    anchor.target = "_blank";
    anchor.rel = "noopener noreferrer";
    row.append(anchor);
  }
  const copy = make("button", "", "Copy id");
  copy.type = "button";
  copy.addEventListener("click", () => copyText(record.id, copy));
  const close = make("button", "", "Close");
  close.type = "button";
  close.addEventListener("click", () => { choose(-1); canvas.focus(); });
  row.append(copy, close);
  card.children[1].after(row); // above the texts, which may be long
  byId("side").scrollTop = 0;
  byId("said").textContent = `Record ${record.id}, ${REGION_NAMES[column.region[i]]}, mean ${number(column.mean[i])}, variance ${number(column.variance[i])}, P(wrong) ${number(pOf(i))}. ${record.prompt ?? ""}`;
  if (open) openRecord(record);
}

async function copyText(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Pages opened from a disk may have no clipboard: the older way.
    const field = make("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
    button.focus();
  }
  button.textContent = "Copied";
}

const tabs = () => ["records", "figures", "review"].filter((name) => !byId(`tab-${name}`).hidden);

function selectTab(name) {
  for (const other of tabs()) {
    const chosen = other === name;
    byId(`tab-${other}`).setAttribute("aria-selected", String(chosen));
    byId(`tab-${other}`).tabIndex = chosen ? 0 : -1;
    byId(`panel-${other}`).hidden = !chosen;
  }
}

function buildTabs() {
  const names = tabs();
  names.forEach((name, at) => {
    byId(`tab-${name}`).addEventListener("click", () => selectTab(name));
    byId(`tab-${name}`).addEventListener("keydown", (event) => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      const other = names[(at + (event.key === "ArrowLeft" ? names.length - 1 : 1)) % names.length];
      selectTab(other);
      byId(`tab-${other}`).focus();
    });
  });
  showFigures(byId("figures"), manifest.figures);
}

function showFigures(list, figures) {
  for (const figure of figures) {
    const row = make("div");
    const value = make("dd", "", figure.value);
    row.append(make("dt", "", figure.label), value);
    if (figure.note) row.append(make("dd", "note", figure.note));
    list.append(row);
  }
}
