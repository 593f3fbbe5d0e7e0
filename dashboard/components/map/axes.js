// Axes of panels whose places are numbers: lines behind the points, and a margin with the numbers.
const LEFT = 58, BELOW = 40; // the margins, in pixels
const APART = { x: 54, y: 30 }; // what the text of a tick needs

const margins = (panel) => (panel.axes ? [LEFT, BELOW] : [0, 0]);

function boxOf({ x, y }) {
  return { left: x.span[0], low: y.span[0], wide: x.span[1] - x.span[0], high: y.span[1] - y.span[0] };
}

// The ticks that have room: of the finest kind that does not crowd, and those that stand for more.
function ticksOf(panel, name) {
  const { ticks } = panel.axes[name];
  for (const finest of [2, 1]) {
    const shown = ticks.filter((tick) => tick[2] <= finest);
    const gaps = shown.slice(1).map((tick, i) => tick[0] - shown[i][0]);
    if (Math.min(...gaps) * panel.view.k >= APART[name]) return shown;
  }
  return ticks.filter((tick) => tick[2] === 0);
}

function axisStyle(node) {
  const style = getComputedStyle(node);
  return {
    font: `11px ${style.fontFamily}`, ink: style.color, ground: style.getPropertyValue("--st-background-color"),
    muted: style.getPropertyValue("--muted"), line: style.getPropertyValue("--line"), quiet: style.getPropertyValue("--quiet"),
  };
}

// Behind the points: the lanes of 0, a line at each tick, and where both axes are the same.
function drawLines(map, ratio) {
  const pen = map.under.getContext("2d");
  const style = axisStyle(map.stage);
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, map.under.width, map.under.height);
  for (const panel of map.panels) {
    if (!panel.axes) continue;
    const [, , wide, high] = panel.place;
    pen.save();
    pen.beginPath();
    pen.rect(...panel.place);
    pen.clip();
    pen.translate(panel.place[0], panel.place[1]);
    pen.fillStyle = style.quiet;
    const [left, right] = panel.axes.x.lane.map((at) => toScreen(panel, at, 0)[0]);
    const [low, top] = panel.axes.y.lane.map((at) => toScreen(panel, 0, at)[1]);
    pen.fillRect(left, 0, right - left, high);
    pen.fillRect(0, top, wide, low - top);
    pen.strokeStyle = style.line;
    pen.beginPath();
    const scaled = (name) => ticksOf(panel, name).filter(([at]) => at > panel.axes[name].lane[1]);
    for (const [at] of scaled("x")) across(pen, toScreen(panel, at, 0)[0], 0, 0, high);
    for (const [at] of scaled("y")) across(pen, 0, toScreen(panel, 0, at)[1], wide, 0);
    pen.stroke();
    pen.setLineDash([3, 4]);
    pen.beginPath();
    const from = Math.max(panel.axes.x.lane[1], panel.axes.y.lane[1]);
    const to = Math.min(panel.axes.x.span[1], panel.axes.y.span[1]);
    pen.moveTo(...toScreen(panel, from, from));
    pen.lineTo(...toScreen(panel, to, to));
    pen.strokeStyle = style.muted;
    pen.stroke();
    pen.restore();
  }
}

// A line of one pixel, from a corner so far to the right and down.
function across(pen, x, y, right, down) {
  const [a, b] = [Math.round(x) + (right ? 0 : 0.5), Math.round(y) + (down ? 0 : 0.5)];
  pen.moveTo(a, b);
  pen.lineTo(a + right, b + down);
}

// Over the points: the margins with their numbers. The pen stands at the panel's corner.
function drawMargins(pen, panel, style) {
  const [, , wide, high] = panel.place;
  const floor = high - BELOW;
  pen.fillStyle = style.ground;
  pen.fillRect(0, 0, LEFT, high);
  pen.fillRect(0, floor, wide, BELOW);
  pen.strokeStyle = style.line;
  pen.lineWidth = 1;
  pen.beginPath();
  across(pen, LEFT, 0, 0, floor);
  across(pen, LEFT, floor, wide - LEFT, 0);
  pen.stroke();
  pen.font = style.font;
  pen.fillStyle = style.muted;
  pen.textAlign = "center";
  pen.textBaseline = "top";
  for (const [at, text] of ticksOf(panel, "x")) {
    const [px] = toScreen(panel, at, 0);
    if (px > LEFT + 4 && px < wide) pen.fillText(text, Math.min(px, wide - 20), floor + 6);
  }
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  for (const [at, text] of ticksOf(panel, "y")) {
    const [, py] = toScreen(panel, 0, at);
    if (py > 8 && py < floor - 4) pen.fillText(text, LEFT - 6, py);
  }
  pen.fillStyle = style.ink;
  pen.textAlign = "center";
  pen.textBaseline = "bottom";
  pen.fillText(panel.axes.x.title, LEFT + (wide - LEFT) / 2, high - 4);
  pen.translate(4, floor / 2);
  pen.rotate(-Math.PI / 2);
  pen.textBaseline = "top";
  pen.fillText(panel.axes.y.title, 0, 0);
}
