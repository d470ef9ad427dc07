// ---- what came ------------------------------------------------------------------------------------------------------

const given = typeof record === "object" && record && record.fields ? record.fields.admap : null;
if (!given || !Array.isArray(given._c)) {
  main.append(make("p", { class: "quiet" }, "This record has no review card yet. Push it again with admap push."));
  return;
}
const shown = Array.isArray(given._s);
const k = given._c.length;
const texts = given._c.map(decode);
const turns = given._p.map(([role, content]) => ({ role: decode(role), content: decode(content) }));
const column = (key) => (Array.isArray(given[key]) ? given[key] : texts.map(() => null));
const labels = column("_r"), scores = column("_s"), variances = column("_w"), counts = column("_n");
const models = column("_m").map(decode), reasons = column("_t").map(decode), errors = column("_x").map(decode);
// The label of now, where it is another one than the label that stood here when somebody answered.
const labelNow = Array.isArray(given._l) ? given._l : null;
const numbers = given._d || {};
const mean = numbers._a, variance = numbers._b, wrong = numbers._c;
const flags = (given._f || []).map(decode), evidence = (given._e || []).map(decode), judge = decode(given._j);

const scale = (() => {
  const map = facts && facts.map;
  if (facts && facts.scale) return facts.scale;
  const all = scores.filter(known).concat(map ? [map.y0, map.y1] : []);
  const low = Math.min(...all), high = Math.max(...all);
  if (low >= 0 && high <= 1) return [0, 1];
  if (low >= 1 && high <= 5) return [1, 5];
  if (low >= 0 && high <= 10) return [low < 1 ? 0 : 1, 10];
  return [Math.floor(low), Math.ceil(high)];
})();
