// What stands round and over the records: axes, region lines and names, the chosen record, the side histograms.
const FONT = '12px system-ui, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif';
const REGION_NAMES = manifest.regionNames;

function niceTicks(low, high, wanted) {
  const rough = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
  const ticks = [];
  for (let t = Math.ceil(low / step); t * step <= high; t++) ticks.push(+(t * step).toPrecision(12));
  return ticks;
}

// On the square-root axis even steps of the standard deviation; the labels say the variance there.
function varianceTicks(wanted) {
  const low = Math.max(0, view.u0) * place.xMax, high = Math.max(0, view.u1) * place.xMax;
  const chosen = [];
  let last = -Infinity;
  const gap = (high - low) / wanted * 0.75;
  for (const tick of [...niceTicks(low ** 2, high ** 2, wanted * 4)]) {
    const at = Math.sqrt(tick);
    if (at - last >= gap) { chosen.push(tick); last = at; }
  }
  return chosen;
}

const short = (value) => (Math.abs(value) >= 10000 || (value && Math.abs(value) < 0.001) ? value.toExponential(1) : String(+value.toPrecision(4)));

function drawAxes(area) {
  pen.font = FONT;
  pen.fillStyle = scene.palette.quiet;
  pen.strokeStyle = scene.palette.line;
  pen.lineWidth = 1;
  pen.strokeRect(area.x + 0.5, area.y + 0.5, area.w - 1, area.h - 1);
  pen.textAlign = "center";
  pen.textBaseline = "top";
  for (const tick of varianceTicks(Math.max(2, area.w / 90))) {
    const x = screenX(xOf(tick));
    if (x < area.x - 1 || x > area.x + area.w + 1) continue;
    pen.fillRect(x, area.y + area.h, 1, 4);
    pen.fillText(short(tick), x, area.y + area.h + 6);
  }
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  for (const tick of niceTicks(meanAt(view.v0), meanAt(view.v1), Math.max(2, area.h / 60))) {
    const y = screenY(yOf(tick));
    pen.fillRect(area.x - 4, y, 4, 1);
    pen.fillText(short(tick), area.x - 7, y);
  }
  pen.textAlign = "center";
  pen.textBaseline = "bottom";
  pen.fillText("variability: variance of the record's scores (square-root axis)", area.x + area.w / 2, area.y + area.h + 36);
  pen.save();
  pen.translate(12, area.y + area.h / 2);
  pen.rotate(-Math.PI / 2);
  pen.textBaseline = "middle";
  pen.fillText("quality: mean score", 0, 0);
  pen.restore();
}

function drawRegions(area) {
  const lines = manifest.thresholds;
  pen.strokeStyle = scene.palette.ink;
  pen.lineWidth = 1;
  pen.setLineDash([5, 4]);
  pen.globalAlpha = lines.length > 1 ? Math.max(0.15, 0.7 / lines.length) : 0.75;
  for (const line of lines.slice(0, 60)) {
    const x = Math.round(screenX(xOf(line.variance))) + 0.5, y = Math.round(screenY(yOf(line.mean))) + 0.5;
    pen.beginPath();
    pen.moveTo(x, area.y);
    pen.lineTo(x, area.y + area.h);
    pen.moveTo(area.x, y);
    pen.lineTo(Math.min(x, area.x + area.w), y);
    pen.stroke();
  }
  pen.setLineDash([]);
  pen.globalAlpha = 1;
  if (lines.length !== 1) return;
  const x = screenX(xOf(lines[0].variance)), y = screenY(yOf(lines[0].mean));
  pen.font = "600 " + FONT;
  nameRegion(1, area.x + area.w - 8, area.y + 8, "right", "top", x < area.x + area.w - 100);
  nameRegion(2, area.x + 8, area.y + 8, "left", "top", x > area.x + 100 && y > area.y + 30);
  nameRegion(3, area.x + 8, area.y + area.h - 8, "left", "bottom", x > area.x + 100 && y < area.y + area.h - 30);
}

function nameRegion(region, x, y, align, baseline, shown) {
  if (!shown) return;
  pen.textAlign = align;
  pen.textBaseline = baseline;
  pen.lineWidth = 4;
  pen.strokeStyle = scene.palette.plot;
  pen.strokeText(REGION_NAMES[region], x, y);
  pen.fillStyle = scene.palette.regionText[region];
  pen.fillText(REGION_NAMES[region], x, y);
}

function ring(i, radius, width) {
  pen.beginPath();
  pen.arc(screenX(place.u[i]), screenY(place.v[i]), radius, 0, 2 * Math.PI);
  pen.lineWidth = width + 2;
  pen.strokeStyle = scene.palette.plot;
  pen.stroke();
  pen.lineWidth = width;
  pen.strokeStyle = scene.palette.ink;
  pen.stroke();
}

function drawRings() {
  if (scene.pointed >= 0) ring(scene.pointed, 7, 1.5);
  if (scene.chosen >= 0) { ring(scene.chosen, 9, 2.5); }
}

// How many of the shown records stand where along each axis.
function drawMargins(area) {
  pen.fillStyle = scene.palette.accent;
  pen.globalAlpha = 0.55;
  const across = group(scene.columns, 4), up = group(scene.rows, 4);
  const widest = Math.max(1, ...across), tallest = Math.max(1, ...up);
  across.forEach((count, at) => {
    const h = count / widest * (MARGIN.top - 14);
    pen.fillRect(area.x + at * 8, area.y - 4 - h, 7, h);
  });
  up.forEach((count, at) => pen.fillRect(area.x + area.w + 4, area.y + at * 8, count / tallest * (MARGIN.right - 14), 7));
  pen.globalAlpha = 1;
}

function group(counts, size) {
  const out = new Array(Math.ceil(counts.length / size)).fill(0);
  counts.forEach((count, at) => { out[Math.floor(at / size)] += count; });
  return out;
}
