// Pointer, wheel, keys; and the start.
function home() {
  const left = Math.min(-0.03 * place.homeRight, grid.u0 - 0.01), right = place.homeRight < 1 ? place.homeRight * 1.03 : Math.max(1.03, grid.u0 + grid.du * grid.size + 0.01);
  Object.assign(view, { u0: left, u1: right, v0: Math.min(-0.07, grid.v0 - 0.06), v1: 1.07 }); // room for the names of the regions
  moved();
}

function moved() {
  redraw(true);
  listSoon();
}

function zoom(factor, x, y) {
  const width = (view.u1 - view.u0) * factor, height = (view.v1 - view.v0) * factor;
  if (width > 4 || width < 1e-5) return;
  const area = plot();
  const px = (x - area.x) / area.w, py = (area.y + area.h - y) / area.h;
  const u = dataU(x), v = dataV(y);
  Object.assign(view, { u0: u - px * width, u1: u + (1 - px) * width, v0: v - py * height, v1: v + (1 - py) * height });
  moved();
}

function zoomMiddle(factor) {
  const area = plot();
  zoom(factor, area.x + area.w / 2, area.y + area.h / 2);
}

function shift(right, up) {
  const du = (view.u1 - view.u0) * right, dv = (view.v1 - view.v0) * up;
  Object.assign(view, { u0: view.u0 + du, u1: view.u1 + du, v0: view.v0 + dv, v1: view.v1 + dv });
  moved();
}

function centreOn(i) {
  shift((place.u[i] - (view.u0 + view.u1) / 2) / (view.u1 - view.u0), (place.v[i] - (view.v0 + view.v1) / 2) / (view.v1 - view.v0));
}

function pointAt(x, y, reach) {
  const area = plot();
  if (x < area.x || x > area.x + area.w || y < area.y || y > area.y + area.h) return { i: -1, within: 0 };
  return nearest(dataU(x), dataV(y), reach / area.w * (view.u1 - view.u0), reach / area.h * (view.v1 - view.v0));
}

let hovering = 0;
async function hover(x, y) {
  const turn = ++hovering;
  const found = pointAt(x, y, 12);
  const tip = byId("tip");
  if (found.i !== scene.pointed) {
    scene.pointed = found.i;
    queueDraw();
  }
  if (found.i < 0) { tip.hidden = true; return; }
  const record = await recordOf(found.i);
  if (turn !== hovering) return;
  fillCard(tip, record, found.within);
  tip.hidden = false;
  const right = x + 18 + tip.offsetWidth <= scene.width ? x + 18 : x - 18 - tip.offsetWidth;
  tip.style.left = `${Math.max(0, right)}px`;
  tip.style.top = `${Math.max(0, Math.min(y + 12, scene.height - tip.offsetHeight))}px`;
}

function leave() {
  hovering++;
  scene.pointed = -1;
  byId("tip").hidden = true;
  queueDraw();
}

const pointers = new Map();
let travelled = 0;
function bindPointer() {
  const at = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at(event));
    if (pointers.size === 1) travelled = 0;
    lasso.path = (lasso.drawing || event.shiftKey) && pointers.size === 1 ? [] : null;
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = at(event);
    if (!pointers.has(event.pointerId)) { hover(x, y); return; }
    const [oldX, oldY] = pointers.get(event.pointerId);
    const area = plot();
    if (lasso.path) {
      travelled += Math.abs(x - oldX) + Math.abs(y - oldY);
      lasso.path.push([dataU(x), dataV(y)]);
      queueDraw();
    } else if (pointers.size === 2) {
      const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, spot]) => spot);
      const before = Math.hypot(oldX - other[0], oldY - other[1]), after = Math.hypot(x - other[0], y - other[1]);
      if (after > 1) zoom(before / after, (x + other[0]) / 2, (y + other[1]) / 2);
    } else {
      travelled += Math.abs(x - oldX) + Math.abs(y - oldY);
      if (travelled > 4) {
        leave();
        shift((oldX - x) / area.w, (y - oldY) / area.h);
      }
    }
    pointers.set(event.pointerId, [x, y]);
  });
  const release = (event) => {
    const clicked = pointers.delete(event.pointerId) && event.type === "pointerup" && travelled <= 4 && pointers.size === 0;
    if (lasso.path && travelled > 4) {
      const path = lasso.path;
      lasso.path = null;
      setLasso(path);
      return;
    }
    lasso.path = null;
    if (!clicked) return;
    const found = pointAt(...at(event), 12);
    if (found.i >= 0) choose(found.i, { open: !event.shiftKey });
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", leave);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(Math.max(-120, Math.min(120, event.deltaY)) * 0.0022), ...at(event));
  }, { passive: false });
}

// The next or the previous record of those that pass and are in view, in the order of doubt.
function step(way) {
  for (let i = scene.chosen < 0 && way < 0 ? manifest.n - 1 : scene.chosen + way; i >= 0 && i < manifest.n; i += way) {
    if (passing[i] && inView(i)) { choose(i); return; }
  }
  byId("said").textContent = "No further record in view.";
}

const KEYS = {
  ArrowLeft: () => shift(-0.1, 0), ArrowRight: () => shift(0.1, 0), ArrowUp: () => shift(0, 0.1), ArrowDown: () => shift(0, -0.1),
  "+": () => zoomMiddle(0.75), "=": () => zoomMiddle(0.75), "-": () => zoomMiddle(1 / 0.75), 0: home, Home: home,
  n: () => step(1), p: () => step(-1), Escape: () => { leave(); choose(-1); if (lasso.spots) setLasso(null); },
  Enter: () => { if (scene.chosen >= 0) choose(scene.chosen, { open: true }); },
};

function bindKeys() {
  canvas.addEventListener("keydown", (event) => {
    const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || ["INPUT", "SELECT", "TEXTAREA"].includes(document.activeElement.tagName)) return;
    event.preventDefault();
    byId("find-id").focus();
  });
  byId("find").addEventListener("submit", async (event) => {
    event.preventDefault();
    const wanted = byId("find-id").value.trim();
    if (!wanted) return;
    byId("counts").textContent = "Searching…";
    const i = await findRecord(wanted);
    showCounts();
    if (i >= 0) choose(i, { centre: true });
    else byId("counts").textContent = `No record has the id ${JSON.stringify(wanted)}`;
  });
}

function bindTools() {
  byId("zoom-in").addEventListener("click", () => zoomMiddle(0.6));
  byId("zoom-out").addEventListener("click", () => zoomMiddle(1 / 0.6));
  byId("zoom-home").addEventListener("click", home);
  byId("spread-label").hidden = !place.tied;
  byId("spread").addEventListener("change", (event) => { locate(event.target.checked); showLegend(); redraw(); listSoon(); });
  const modes = [["p_wrong", "by P(wrong)"], ["region", "by region"], ["density", "by number"]].filter(([mode]) => mode !== "p_wrong" || !byId("p-field").hidden);
  scene.mode = modes[0][0];
  byId("colour").replaceChildren(...modes.map(([mode, title]) => { const option = make("option", "", title); option.value = mode; return option; }));
  byId("colour").addEventListener("change", (event) => { scene.mode = event.target.value; showLegend(); redraw(); });
  const repaint = () => { readPalette(); showSlider(); redraw(); };
  byId("theme").addEventListener("change", (event) => {
    if (event.target.value) document.documentElement.dataset.theme = event.target.value;
    else delete document.documentElement.dataset.theme;
    repaint();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  bindLasso();
  // On paper the map is as large as the sheet allows, in light colours.
  addEventListener("beforeprint", () => { measure(); draw(); });
  new ResizeObserver(resize).observe(byId("stage"));
}

async function start() {
  document.title = manifest.title;
  byId("title").textContent = byId("title").title = manifest.title;
  byId("headline").textContent = manifest.headline;
  showNext();
  if (typeof DecompressionStream === "undefined") {
    byId("wait").textContent = "This page needs a browser of 2023 or later (it unpacks its data with DecompressionStream).";
    return;
  }
  column = await unpackColumns();
  readPalette();
  measure();
  locate(true);
  buildFilters();
  buildReview();
  buildTabs();
  bindTools();
  bindPointer();
  bindKeys();
  showCounts();
  showLegend();
  byId("wait").hidden = true;
  resize();
  home();
  scene.moving = 0;
  requestAnimationFrame(() => { performance.mark("admap-drawn"); document.documentElement.dataset.ready = "yes"; });
}

start().catch((error) => {
  byId("wait").hidden = false;
  byId("wait").textContent = `The map could not be unpacked: ${error.message}`;
  throw error;
});
