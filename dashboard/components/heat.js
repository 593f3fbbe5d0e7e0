const VEIL = [16, 18, 24]; // over patches at 0, so that the active ones stand out

function colour(stops, t) {
  const at = Math.max(0, Math.min(1, t)) * (stops.length - 1);
  const low = Math.min(Math.floor(at), stops.length - 2);
  const part = (hex, i) => Number.parseInt(hex.slice(1 + 2 * i, 3 + 2 * i), 16);
  return [0, 1, 2].map((i) => {
    const a = part(stops[low], i);
    return Math.round(a + (part(stops[low + 1], i) - a) * (at - low));
  });
}

// One canvas pixel a patch; the browser scales it up.
function paint(canvas, [rows, columns], { stops, top, patches, acts }) {
  canvas.width = columns;
  canvas.height = rows;
  const pen = canvas.getContext("2d");
  const pixels = pen.createImageData(columns, rows);
  for (let i = 0; i < rows * columns; i++) pixels.data.set([...VEIL, 165], i * 4);
  patches.forEach((patch, i) => {
    const t = acts[i] / top;
    pixels.data.set([...colour(stops, t), 120 + Math.round(110 * t)], patch * 4);
  });
  pen.putImageData(pixels, 0, 0);
  canvas.setAttribute("aria-hidden", "true");
}
