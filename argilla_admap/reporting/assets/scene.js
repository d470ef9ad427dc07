// The drawing: a binned image where records are many, single records where they are few.
const canvas = byId("canvas");
const pen = canvas.getContext("2d");
const POINTS_AT_MOST = 12000;
const MARGIN = { left: 64, right: 58, top: 50, bottom: 38 };
const view = { u0: 0, v0: 0, u1: 1, v1: 1 };
const scene = { width: 0, height: 0, ratio: 1, mode: "p_wrong", shown: 0, bitmap: document.createElement("canvas"), bitmapView: null, isPoints: false, cost: 0, columns: null, rows: null, dirty: true, queued: false, moving: 0, chosen: -1, pointed: -1, palette: null };
const plot = () => ({ x: MARGIN.left, y: MARGIN.top, w: Math.max(40, scene.width - MARGIN.left - MARGIN.right), h: Math.max(40, scene.height - MARGIN.top - MARGIN.bottom) });
const screenX = (u) => { const p = plot(); return p.x + (u - view.u0) / (view.u1 - view.u0) * p.w; };
const screenY = (v) => { const p = plot(); return p.y + p.h - (v - view.v0) / (view.v1 - view.v0) * p.h; };
const dataU = (x) => { const p = plot(); return view.u0 + (x - p.x) / p.w * (view.u1 - view.u0); };
const dataV = (y) => { const p = plot(); return view.v0 + (p.y + p.h - y) / p.h * (view.v1 - view.v0); };

function rgb(text) {
  const digits = text.trim().slice(1);
  return [0, 2, 4].map((at) => parseInt(digits.slice(at, at + 2), 16));
}

function readPalette() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const stops = ["--calm", "--middle", "--hot"].map((name) => rgb(colour(name)));
  const ramp = [];
  for (let step = 0; step < 256; step++) {
    const at = step / 255 * 2, low = Math.min(1, Math.floor(at)), part = at - low;
    ramp.push(stops[low].map((value, c) => Math.round(value + (stops[low + 1][c] - value) * part)));
  }
  const regions = ["--none", "--high-var", "--high-avg", "--low-avg"];
  scene.palette = { ramp, regions: regions.map((name) => rgb(colour(name))), regionText: regions.map(colour), single: rgb(colour("--accent")), ink: colour("--ink"), quiet: colour("--quiet"), line: colour("--line"), plot: colour("--plot"), ground: colour("--ground"), accent: colour("--accent"), panel: colour("--panel") };
}

// A few doubtful records must stay visible in a bin of many: small means are lifted.
const lift = Array.from({ length: 256 }, (_, p) => Math.round((p / 255) ** 0.7 * 255));

function colourOf(meanP, region) {
  if (scene.mode === "region") return scene.palette.regions[region];
  if (scene.mode === "p_wrong") return scene.palette.ramp[meanP];
  return scene.palette.single;
}

// Counts the records of the window in bins of two pixels; draws the bins, or the records themselves.
function drawRecords() {
  const began = performance.now();
  const area = plot();
  const nx = Math.ceil(area.w / 2), ny = Math.ceil(area.h / 2);
  const counts = new Uint32Array(nx * ny), doubt = new Float32Array(nx * ny), regions = new Uint8Array(nx * ny);
  const kx = nx / (view.u1 - view.u0), ky = ny / (view.v1 - view.v0);
  let shown = 0, most = 0;
  runsIn(view.u0, view.v0, view.u1, view.v1, (a, b) => {
    const { u, v, p, region, pass } = grid;
    const left = view.u0, low = view.v0;
    for (let j = a; j < b; j++) {
      if (pass[j] === 0) continue;
      const fx = (u[j] - left) * kx, fy = (v[j] - low) * ky;
      if (fx < 0 || fy < 0 || fx >= nx || fy >= ny) continue;
      const bin = (ny - 1 - (fy | 0)) * nx + (fx | 0);
      counts[bin]++;
      doubt[bin] += p[j];
      regions[bin] = region[j];
      shown++;
    }
  });
  scene.columns = new Float64Array(nx);
  scene.rows = new Float64Array(ny);
  for (let row = 0, bin = 0; row < ny; row++) {
    for (let at = 0; at < nx; at++, bin++) {
      const count = counts[bin];
      if (!count) continue;
      scene.columns[at] += count;
      scene.rows[row] += count;
      if (count > most) most = count;
    }
  }
  scene.shown = shown;
  scene.isPoints = shown <= POINTS_AT_MOST;
  if (scene.isPoints) drawPoints(area);
  else drawBins(nx, ny, counts, doubt, regions, most);
  scene.bitmapView = { ...view };
  scene.cost = performance.now() - began;
}

function drawBins(nx, ny, counts, doubt, regions, most) {
  const image = new ImageData(nx, ny);
  const full = Math.log1p(most);
  for (let bin = 0; bin < counts.length; bin++) {
    const count = counts[bin];
    if (!count) continue;
    const colour = colourOf(lift[(doubt[bin] / count) | 0], regions[bin]);
    const at = bin * 4;
    image.data[at] = colour[0];
    image.data[at + 1] = colour[1];
    image.data[at + 2] = colour[2];
    image.data[at + 3] = 60 + 195 * Math.log1p(count) / full;
  }
  scene.bitmap.width = nx;
  scene.bitmap.height = ny;
  scene.bitmap.getContext("2d").putImageData(image, 0, 0);
}

// Discs stamped into an image: thousands of arcs of the canvas would take many times as long.
function drawPoints(area) {
  const width = Math.round(area.w * scene.ratio), height = Math.round(area.h * scene.ratio);
  const image = new ImageData(width, height);
  const data = image.data;
  const size = Math.max(1.6, Math.min(5, 90 / Math.sqrt(scene.shown + 1))) * scene.ratio;
  const reach = Math.ceil(size), side = 2 * reach + 1;
  const disc = new Float32Array(side * side), ring = new Float32Array(side * side); // a ring is a record that was reviewed
  for (let y = -reach; y <= reach; y++) {
    for (let x = -reach; x <= reach; x++) disc[(y + reach) * side + x + reach] = Math.max(0, Math.min(1, size + 0.5 - Math.hypot(x, y))) * 0.8;
  }
  const hole = size * 0.55;
  for (let y = -reach; y <= reach; y++) {
    for (let x = -reach; x <= reach; x++) ring[(y + reach) * side + x + reach] = disc[(y + reach) * side + x + reach] * Math.max(0, Math.min(1, Math.hypot(x, y) - hole + 0.5));
  }
  const kx = width / (view.u1 - view.u0), ky = height / (view.v1 - view.v0);
  const later = [];
  const stamp = (j) => {
    const cx = Math.round((grid.u[j] - view.u0) * kx), cy = Math.round(height - (grid.v[j] - view.v0) * ky);
    const colour = colourOf(grid.p[j], grid.region[j]), shape = grid.done[j] ? ring : disc;
    for (let y = Math.max(0, cy - reach); y <= Math.min(height - 1, cy + reach); y++) {
      for (let x = Math.max(0, cx - reach); x <= Math.min(width - 1, cx + reach); x++) {
        const cover = shape[(y - cy + reach) * side + x - cx + reach];
        if (!cover) continue;
        const at = (y * width + x) * 4;
        const below = data[at + 3] / 255 * (1 - cover);
        const alpha = cover + below;
        data[at] = (colour[0] * cover + data[at] * below) / alpha;
        data[at + 1] = (colour[1] * cover + data[at + 1] * below) / alpha;
        data[at + 2] = (colour[2] * cover + data[at + 2] * below) / alpha;
        data[at + 3] = alpha * 255;
      }
    }
  };
  runsIn(view.u0 - 0.01, view.v0 - 0.01, view.u1 + 0.01, view.v1 + 0.01, (a, b) => {
    for (let j = a; j < b; j++) {
      if (!grid.pass[j]) continue;
      if (grid.p[j] > 127) later.push(j); // the doubtful lie on top
      else stamp(j);
    }
  });
  for (const j of later) stamp(j);
  scene.bitmap.width = width;
  scene.bitmap.height = height;
  scene.bitmap.getContext("2d").putImageData(image, 0, 0);
}

function draw() {
  scene.queued = false;
  if (!column || !scene.width) return;
  const moving = performance.now() - scene.moving < 140;
  // While the map is being moved, a slow picture is shifted rather than drawn anew.
  if (scene.dirty && !(moving && scene.cost > 14 && scene.bitmapView)) {
    drawRecords();
    scene.dirty = false;
    showCounts();
  }
  const area = plot();
  pen.setTransform(scene.ratio, 0, 0, scene.ratio, 0, 0);
  pen.clearRect(0, 0, scene.width, scene.height);
  pen.fillStyle = scene.palette.plot;
  pen.fillRect(area.x, area.y, area.w, area.h);
  pen.save();
  pen.beginPath();
  pen.rect(area.x, area.y, area.w, area.h);
  pen.clip();
  const was = scene.bitmapView;
  const x = screenX(was.u0), y = screenY(was.v1);
  pen.imageSmoothingEnabled = scene.isPoints;
  pen.drawImage(scene.bitmap, x, y, screenX(was.u1) - x, screenY(was.v0) - y);
  drawRegions(area);
  drawRings();
  drawLasso();
  pen.restore();
  drawAxes(area);
  drawMargins(area);
  if (scene.dirty) queueDraw();
}

function queueDraw() {
  if (scene.queued) return;
  scene.queued = true;
  requestAnimationFrame(draw);
}

// Marks the picture as old: the window, the filters, the colours or the size have changed.
function redraw(moving = false) {
  scene.dirty = true;
  if (moving) scene.moving = performance.now();
  queueDraw();
}

function measure() {
  const box = byId("stage").getBoundingClientRect();
  scene.ratio = Math.min(window.devicePixelRatio || 1, 2);
  scene.width = Math.floor(box.width);
  scene.height = Math.floor(box.height);
  canvas.width = scene.width * scene.ratio;
  canvas.height = scene.height * scene.ratio;
}

function resize() {
  measure();
  redraw();
}
