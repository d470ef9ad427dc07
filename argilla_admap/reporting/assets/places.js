// Where each record stands, which pass the filters, and the grid that finds the records of a window.
// u is the square root of the variance over its largest value; v the mean over its range; both 0 to 1.
let column = null;
const place = { u: null, v: null, xMax: 1, yMin: 0, yMax: 1, tied: false, homeRight: 1, beyond: 0 };
const grid = { size: 1, start: null, u: null, v: null, p: null, region: null, index: null, pass: null, done: null, u0: 0, v0: 0, du: 1, dv: 1 };
const filter = { regions: 15, flags: 0, sources: null, from: 0, to: 1, reviews: 31 };
let passing = null; // by record
let passCount = 0;

const xOf = (variance) => Math.sqrt(Math.max(variance, 0)) / place.xMax;
const yOf = (mean) => (mean - place.yMin) / (place.yMax - place.yMin);
const varianceAt = (u) => Math.sign(u) * (u * place.xMax) ** 2;
const meanAt = (v) => place.yMin + v * (place.yMax - place.yMin);
const pOf = (i) => (column.p_wrong[i] === 65535 ? NaN : column.p_wrong[i] / 65534);

function locate(spread) {
  const n = manifest.n;
  let high = 0, low = Infinity, top = -Infinity;
  for (let i = 0; i < n; i++) {
    if (column.variance[i] > high) high = column.variance[i];
    if (column.mean[i] < low) low = column.mean[i];
    if (column.mean[i] > top) top = column.mean[i];
  }
  place.xMax = Math.sqrt(high) || 1;
  const room = (top - low) * 0.03 || 0.5;
  place.yMin = low - room;
  place.yMax = top + room;
  place.u = new Float32Array(n);
  place.v = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    place.u[i] = xOf(column.variance[i]);
    place.v[i] = yOf(column.mean[i]);
  }
  findHome();
  spreadTies(spread);
  buildGrid();
}

// A few outliers must not squeeze the map into its left edge: then it begins without them, and says how many there are.
function findHome() {
  const n = manifest.n;
  const counts = new Uint32Array(1001);
  for (let i = 0; i < n; i++) counts[Math.floor(place.u[i] * 1000)]++;
  let left = Math.ceil(n * 0.005), step = 1000;
  while (step > 0 && (left -= counts[step]) > 0) step--;
  const wanted = Math.max((step + 1) / 1000, ...manifest.thresholds.map((line) => xOf(line.variance))) * 1.2;
  place.homeRight = wanted < 0.6 ? wanted : 1;
  place.beyond = 0;
  if (place.homeRight < 1) for (let i = 0; i < n; i++) if (place.u[i] > place.homeRight * 1.03) place.beyond++;
}

// Whole-number scores put thousands of records on one spot. Each such group is drawn as a disc round its true place (a sunflower:
// equal area for each record), the most doubtful in the middle, so that density can be seen and every record pointed at.
function spreadTies(wanted) {
  const n = manifest.n;
  const keys = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    keys[i] = (Math.round(place.u[i] * 65535) * 65536 + Math.round(place.v[i] * 65535)) * 2097152 + i;
  }
  keys.sort();
  const spot = (j) => Math.floor(keys[j] / 2097152);
  let spots = 0, largest = 0;
  for (let a = 0; a < n; ) {
    let b = a + 1;
    while (b < n && spot(b) === spot(a)) b++;
    spots++;
    largest = Math.max(largest, b - a);
    a = b;
  }
  place.tied = n > 50 && spots < 0.7 * n;
  if (!wanted || !place.tied) return;
  const widest = Math.min(0.045, 0.55 / Math.sqrt(spots));
  const step = widest / Math.sqrt(largest);
  const area = plot();
  const flat = area.h / area.w * place.homeRight; // so that the discs are round at first
  for (let a = 0; a < n; ) {
    let b = a + 1;
    while (b < n && spot(b) === spot(a)) b++;
    if (b - a > 1) {
      for (let j = a; j < b; j++) {
        const i = keys[j] % 2097152;
        const turn = (j - a) * 2.399963229728653; // the golden angle
        const radius = step * Math.sqrt(j - a + 0.5);
        place.u[i] += radius * Math.cos(turn) * flat;
        place.v[i] += radius * Math.sin(turn);
      }
    }
    a = b;
  }
}

// Records ordered by grid cell (a counting sort), with their own copies of what drawing needs: a window is a few runs of memory.
function buildGrid() {
  const n = manifest.n;
  const size = n > 20000 ? 256 : 48;
  let u1 = -Infinity, v1 = -Infinity, u0 = Infinity, v0 = Infinity;
  for (let i = 0; i < n; i++) {
    if (place.u[i] < u0) u0 = place.u[i];
    if (place.u[i] > u1) u1 = place.u[i];
    if (place.v[i] < v0) v0 = place.v[i];
    if (place.v[i] > v1) v1 = place.v[i];
  }
  const du = (u1 - u0) / size * 1.000001 || 1;
  const dv = (v1 - v0) / size * 1.000001 || 1;
  const cells = new Uint32Array(n);
  const start = new Uint32Array(size * size + 1);
  for (let i = 0; i < n; i++) {
    const cell = Math.min(size - 1, ((place.v[i] - v0) / dv) | 0) * size + Math.min(size - 1, ((place.u[i] - u0) / du) | 0);
    cells[i] = cell;
    start[cell + 1]++;
  }
  for (let c = 0; c < size * size; c++) start[c + 1] += start[c];
  const next = start.slice();
  Object.assign(grid, { size, start, u0, v0, du, dv, u: new Float32Array(n), v: new Float32Array(n), p: new Uint8Array(n), region: new Uint8Array(n), index: new Uint32Array(n), pass: new Uint8Array(n), done: new Uint8Array(n) });
  for (let i = 0; i < n; i++) {
    const j = next[cells[i]]++;
    grid.u[j] = place.u[i];
    grid.v[j] = place.v[i];
    grid.p[j] = column.p_wrong[i] === 65535 ? 0 : column.p_wrong[i] / 257;
    grid.region[j] = column.region[i];
    grid.done[j] = column.review[i];
    grid.index[j] = i;
  }
  applyFilter();
}

function applyFilter() {
  const n = manifest.n;
  passing ??= new Uint8Array(n);
  passCount = 0;
  const from = Math.round(filter.from * 65534), to = Math.round(filter.to * 65534);
  const everyP = filter.from <= 0 && filter.to >= 1;
  for (let i = 0; i < n; i++) {
    const p = column.p_wrong[i];
    const ok = (filter.regions >> column.region[i]) & 1
      && (everyP || (p !== 65535 && p >= from && p <= to))
      && (!filter.flags || (column.flags[i] & filter.flags) !== 0)
      && (!filter.sources || filter.sources[column.source[i]])
      && (filter.reviews >> column.review[i]) & 1
      && (!lasso.spots || insideLasso(place.u[i], place.v[i]));
    passing[i] = ok ? 1 : 0;
    passCount += passing[i];
  }
  for (let j = 0; j < n; j++) grid.pass[j] = passing[grid.index[j]];
}

// Calls visit(a, b) for the runs of grid positions that may lie in the window.
function runsIn(u0, v0, u1, v1, visit) {
  const last = grid.size - 1;
  const at = (value, origin, step) => Math.max(0, Math.min(last, Math.floor((value - origin) / step)));
  if (u1 < grid.u0 || v1 < grid.v0 || u0 > grid.u0 + grid.du * grid.size || v0 > grid.v0 + grid.dv * grid.size) return;
  const c0 = at(u0, grid.u0, grid.du), c1 = at(u1, grid.u0, grid.du);
  const r0 = at(v0, grid.v0, grid.dv), r1 = at(v1, grid.v0, grid.dv);
  for (let row = r0; row <= r1; row++) visit(grid.start[row * grid.size + c0], grid.start[row * grid.size + c1 + 1]);
}

// The nearest passing record within the radii, and how many are within.
function nearest(u, v, ru, rv) {
  let best = -1, bestDistance = 1, within = 0;
  runsIn(u - ru, v - rv, u + ru, v + rv, (a, b) => {
    for (let j = a; j < b; j++) {
      if (!grid.pass[j]) continue;
      const distance = ((grid.u[j] - u) / ru) ** 2 + ((grid.v[j] - v) / rv) ** 2;
      if (distance > 1) continue;
      within++;
      if (distance < bestDistance) { bestDistance = distance; best = grid.index[j]; }
    }
  });
  return { i: best, within };
}
