// The points of a panel: reading them from bytes, finding the nearest, and those in a lasso.
const UNKNOWN = 254, HIDDEN = 255;
const KINDS = { f4: Float32Array, i4: Int32Array, u1: Uint8Array };

// The length of a head, the head as JSON, arrays: as `_pack` writes them.
function unpack(bytes) {
  const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + size)));
  let at = 4 + size;
  head.arrays = head.arrays.map(([kind, length]) => {
    const wide = length * KINDS[kind].BYTES_PER_ELEMENT;
    const array = new KINDS[kind](bytes.slice(at, at + wide).buffer); // a copy, which is aligned
    at += Math.ceil(wide / 4) * 4;
    return array;
  });
  return head;
}

function bounds(x, y) {
  let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let i = 0; i < x.length; i++) {
    const [a, b] = [x[i], y[i]];
    if (!(Number.isFinite(a) && Number.isFinite(b))) continue;
    if (a < left) left = a;
    if (a > right) right = a;
    if (b < low) low = b;
    if (b > high) high = b;
  }
  if (left > right) return { left: 0, low: 0, wide: 1, high: 1 };
  return { left, low, wide: right - left || 1, high: high - low || 1 };
}

// A grid of cells with about two points each. Rows are counted into cells, then written in their
// order: two passes, and no lists.
function gridIndex(x, y, box) {
  const n = x.length;
  const ratio = Math.max(0.05, Math.min(20, box.wide / box.high));
  const columns = Math.max(1, Math.min(1024, Math.round(Math.sqrt((n / 2) * ratio))));
  const rows = Math.max(1, Math.min(1024, Math.round(Math.sqrt(n / 2 / ratio))));
  const column = (a) => Math.max(0, Math.min(columns - 1, Math.floor(((a - box.left) / box.wide) * columns)));
  const row = (b) => Math.max(0, Math.min(rows - 1, Math.floor(((b - box.low) / box.high) * rows)));
  const place = new Int32Array(n).fill(-1);
  const start = new Int32Array(columns * rows + 1);
  for (let i = 0; i < n; i++) {
    if (!(Number.isFinite(x[i]) && Number.isFinite(y[i]))) continue;
    place[i] = row(y[i]) * columns + column(x[i]);
    start[place[i] + 1]++;
  }
  for (let i = 1; i < start.length; i++) start[i] += start[i - 1];
  const order = new Int32Array(start[start.length - 1]);
  const next = start.slice();
  for (let i = 0; i < n; i++) if (place[i] >= 0) order[next[place[i]]++] = i;
  // Calls `see(row)` for every point whose cell touches the box, and for none outside of such cells.
  function within(left, right, low, high, see) {
    if (right < box.left || left > box.left + box.wide || high < box.low || low > box.low + box.high) return;
    const [c0, c1] = [column(left), column(right)];
    for (let r = row(low), last = row(high); r <= last; r++) {
      const end = start[r * columns + c1 + 1];
      for (let at = start[r * columns + c0]; at < end; at++) see(order[at]);
    }
  }
  let empty = 0;
  for (let i = 1; i < start.length; i++) if (start[i] === start[i - 1]) empty++;
  // Points over the cells that have any: how crowded they are, whatever the outline of the map.
  const crowd = order.length / Math.max(1, start.length - 1 - empty);
  return { within, drawn: order.length, cells: columns * rows, crowd };
}

function nearest(panel, a, b, reach) {
  let [best, row] = [reach * reach, -1];
  panel.grid.within(a - reach, a + reach, b - reach, b + reach, (i) => {
    const far = (panel.x[i] - a) ** 2 + (panel.y[i] - b) ** 2;
    if (far <= best && panel.codes[i] !== HIDDEN) [best, row] = [far, i];
  });
  return row;
}

// Whether a ray from the point crosses an edge; the same for both directions of the edge.
function crosses(p, q, a, b) {
  if (p[1] > b === q[1] > b) return false;
  const [low, high] = p[1] < q[1] ? [p, q] : [q, p];
  return a < low[0] + ((b - low[1]) / (high[1] - low[1])) * (high[0] - low[0]);
}

// A lasso grows by the triangle of its first, last and new corner, and a point that lies inside of
// one more triangle changes sides: the even-odd rule, at the price of the triangle's points alone,
// so that the count is exact at every moment. Gives the change of the count.
function toggle(panel, first, last, corner) {
  const [xs, ys] = [[first[0], last[0], corner[0]], [first[1], last[1], corner[1]]];
  let change = 0;
  panel.grid.within(Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys), (i) => {
    const [a, b] = [panel.x[i], panel.y[i]];
    const inside = crosses(first, last, a, b) ^ crosses(last, corner, a, b) ^ crosses(corner, first, a, b);
    if (!inside || panel.codes[i] === HIDDEN) return;
    panel.mask[i] ^= 1;
    change += panel.mask[i] ? 1 : -1;
  });
  return change;
}

function featureOf(panel, row) {
  return {
    dictionary: panel.dictionaries[panel.of ? panel.of[row] : 0],
    feature: panel.ids ? panel.ids[row] : row,
  };
}

// The row of a feature, or -1; tables are made when they are first asked for.
function rowOf(panel, dictionary, feature) {
  if (!panel.dictionaries.includes(dictionary)) return -1;
  if (!panel.ids && !panel.of) return feature < panel.x.length ? feature : -1;
  if (!panel.rows) {
    panel.rows = new Map(panel.dictionaries.map((name) => [name, new Map()]));
    for (let i = 0; i < panel.x.length; i++) {
      const one = featureOf(panel, i);
      panel.rows.get(one.dictionary).set(one.feature, i);
    }
  }
  return panel.rows.get(dictionary).get(feature) ?? -1;
}

// Row of one panel -> row of another, -1 for none; null where the two have nothing in common.
function matcher(panels, from, to) {
  const [source, target] = [panels[from], panels[to]];
  if (source.links[to]) return (row) => source.links[to][row];
  if (target.links[from]) {
    const back = target.links[from];
    const match = new Int32Array(source.x.length).fill(-1);
    for (let i = back.length - 1; i >= 0; i--) if (back[i] >= 0) match[back[i]] = i;
    return (row) => match[row];
  }
  if (!source.dictionaries.some((name) => target.dictionaries.includes(name))) return null;
  return (row) => {
    const one = featureOf(source, row);
    return rowOf(target, one.dictionary, one.feature);
  };
}

function chosenRows(panel) {
  const rows = [];
  for (let i = panel.mask.indexOf(1); i >= 0; i = panel.mask.indexOf(1, i + 1)) rows.push(i);
  return rows;
}

// Rows as Python sends them: the bytes of an array.
function rowsOf(text) {
  return new Int32Array(Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0)).buffer);
}

// A selection for Python: its rows, or a bit a row where they are many.
function packed(mask, count) {
  if (count <= 2048) return { rows: chosenRows({ mask }) };
  const bits = new Uint8Array(Math.ceil(mask.length / 8));
  for (let i = 0; i < mask.length; i++) if (mask[i]) bits[i >> 3] |= 1 << (i & 7);
  let text = "";
  for (let i = 0; i < bits.length; i += 8192) text += String.fromCharCode(...bits.subarray(i, i + 8192));
  return { bits: btoa(text) };
}
