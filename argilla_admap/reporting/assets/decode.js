// The blocks of this file: base64 of zlib streams. Nothing is loaded from anywhere else.
const manifest = JSON.parse(document.getElementById("manifest").textContent);
const byId = (id) => document.getElementById(id);

function bytesOf(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

async function unpack(id) {
  const element = byId(id);
  if (!element) return null;
  const packed = bytesOf(element.textContent);
  element.remove(); // its text is not needed twice
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const KINDS = { float32: Float32Array, uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array };

// The bytes stand ordered by significance: all first bytes, then all second ones, and so on.
function fromPlanes(bytes, Kind) {
  const size = Kind.BYTES_PER_ELEMENT;
  if (size === 1) return bytes;
  const n = bytes.length / size;
  const plain = new Uint8Array(bytes.length);
  for (let plane = 0; plane < size; plane++) {
    for (let i = 0, from = plane * n, to = plane; i < n; i++, from++, to += size) plain[to] = bytes[from];
  }
  return new Kind(plain.buffer);
}

async function unpackArray(id, kind) {
  const bytes = await unpack(id);
  return bytes && fromPlanes(bytes, KINDS[kind]);
}

async function unpackColumns() {
  const names = Object.keys(manifest.columns);
  const arrays = await Promise.all(names.map((name) => unpackArray("c-" + name, manifest.columns[name])));
  const columns = Object.fromEntries(names.map((name, i) => [name, arrays[i]]));
  for (let i = 1, p = columns.p_wrong; i < p.length; i++) p[i] += p[i - 1]; // differences, modulo 2^16
  return columns;
}

// Ids and texts stay packed until a record of their block is looked at.
const blocks = new Map();
function blockOf(kind, number) {
  const id = `${kind}-${number}`;
  if (!blocks.has(id)) blocks.set(id, unpack(id).then((bytes) => bytes && JSON.parse(new TextDecoder().decode(bytes))));
  return blocks.get(id);
}

let values = null;
function unpackValues(k) {
  values ??= Promise.all([unpackArray("c-scores", "float32"), unpackArray("c-ratings", "float32")]).then(([scores, ratings]) => {
    const starts = new Uint32Array(manifest.valued + 1);
    for (let i = 0; i < manifest.valued; i++) starts[i + 1] = starts[i] + k[i];
    return { scores, ratings, starts };
  });
  return values;
}

async function recordOf(i) {
  const number = Math.floor(i / manifest.block);
  const place = i % manifest.block;
  const [ids, texts, numbers] = await Promise.all([blockOf("i", number), i < manifest.texts ? blockOf("t", Math.floor(i / manifest.textBlock)) : null, unpackValues(column.k)]);
  const text = texts && texts[i % manifest.textBlock];
  const record = { i, id: ids[place], prompt: text ? text[0] : null, texts: text ? text[1] : [], models: text ? text[2] : [], reasons: text ? text[3] : [], scores: [], ratings: [] };
  if (i < manifest.valued && numbers.scores) {
    record.scores = numbers.scores.subarray(numbers.starts[i], numbers.starts[i + 1]);
    record.ratings = numbers.ratings.subarray(numbers.starts[i], numbers.starts[i + 1]);
  }
  return record;
}

async function findRecord(wanted) {
  let near = -1;
  for (let number = 0; number * manifest.block < manifest.n; number++) {
    const ids = await blockOf("i", number);
    const exact = ids.indexOf(wanted);
    if (exact >= 0) return number * manifest.block + exact;
    if (near < 0) {
      const place = ids.findIndex((id) => id.startsWith(wanted));
      if (place >= 0) near = number * manifest.block + place;
    }
  }
  return near;
}
