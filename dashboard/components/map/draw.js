// Drawing points: with WebGL 2, or pixel by pixel where there is none.
const VERTEX = `#version 300 es
layout(location = 0) in float x;
layout(location = 1) in float y;
layout(location = 2) in uint code;
layout(location = 3) in uint on;
uniform vec2 centre, scale;
uniform float size, opacity;
uniform int part; // 0: all points, 1: those that are not selected, 2: those that are
uniform sampler2D table;
flat out vec4 colour;
void main() {
  if (code == 255u || (part > 0 && int(on) != part - 1)) {
    gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
    return;
  }
  gl_Position = vec4((vec2(x, y) - centre) * scale, 0.0, 1.0);
  gl_PointSize = size + 1.0; // room for the soft edge
  vec3 own = texelFetch(table, ivec2(code, part == 1 ? 1 : 0), 0).rgb;
  colour = vec4(own, opacity);
}`;
// A disc with a soft edge; larger ones have a darker rim, so that pale ones stand out on white.
const FRAGMENT = `#version 300 es
precision highp float;
uniform float size;
flat in vec4 colour;
out vec4 pixel;
void main() {
  float far = length(gl_PointCoord - 0.5) * (size + 1.0);
  float cover = clamp(size * 0.5 - far + 0.5, 0.0, 1.0) * colour.a;
  float rim = smoothstep(5.0, 9.0, size) * smoothstep(size * 0.5 - 2.2, size * 0.5 - 0.8, far);
  pixel = vec4(colour.rgb * (1.0 - 0.3 * rim) * cover, cover);
}`;

function rgb(hex) { return [1, 3, 5].map((i) => Number.parseInt(hex.slice(i, i + 2), 16)); }

const light = (colour) => (0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]) / 255;

// A colour that stands out on the ground: the darkest are lifted a little on a dark one, the palest
// lowered on a light one. Their order by lightness stays.
function legible(hex, ground) {
  const own = rgb(hex);
  const shade = light(own);
  const dark = light(rgb(ground)) < 0.5;
  const part = 0.25 * Math.max(0, dark ? 1 - shade / 0.3 : (shade - 0.6) / 0.4);
  return own.map((c) => Math.round(c + ((dark ? 255 : 0) - c) * part));
}

// Two rows of 256 colours: as they are, and faded for what is not selected.
function tableOf(colours, grey, ground) {
  const pixels = new Uint8Array(2 * 256 * 4);
  const neutral = rgb(grey);
  for (let code = 0; code < 256; code++) {
    const own = code < colours.length ? legible(colours[code], ground) : neutral;
    pixels.set([...own, 255], code * 4);
    pixels.set([...own.map((c, i) => 0.25 * c + 0.75 * neutral[i]), 255], (256 + code) * 4);
  }
  return pixels;
}

// Points grow with the zoom, and let less of each other through as they draw apart.
function look(panel, wide, high) {
  const start = panel.fit(wide, high).k;
  const zoom = panel.view.k / start;
  const { box, grid } = panel;
  // The room of one point where there are any, as the side of a square on the screen.
  const room = start * Math.sqrt((box.wide * box.high) / grid.cells / Math.max(1, grid.crowd));
  const size = Math.max(1.7, Math.min(5.5, room)) * Math.min(4, Math.max(1, zoom) ** 0.38);
  const crowd = (size / (room * Math.max(1, zoom))) ** 2;
  return { size: Math.min(13, size), opacity: Math.max(0.35, Math.min(0.92, 0.9 / Math.sqrt(crowd))) };
}

function webgl(canvas) {
  const gl = canvas.getContext("webgl2", { antialias: false, depth: false, alpha: true });
  if (!gl) return null;
  const program = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) return null;
  const at = (name) => gl.getUniformLocation(program, name);
  const [centre, scale, size, opacity, part] = ["centre", "scale", "size", "opacity", "part"].map(at);
  gl.useProgram(program);
  gl.enable(gl.BLEND);
  gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  gl.enable(gl.SCISSOR_TEST);
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  for (const edge of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, edge, gl.NEAREST);
  const held = new Map(); // array -> its buffer on the device

  function buffer(array, again) {
    let own = held.get(array);
    if (!own || again) {
      if (!own) held.set(array, own = gl.createBuffer());
      gl.bindBuffer(gl.ARRAY_BUFFER, own);
      gl.bufferData(gl.ARRAY_BUFFER, array, gl.STATIC_DRAW);
    } else gl.bindBuffer(gl.ARRAY_BUFFER, own);
  }
  return {
    kind: "webgl",
    // Every `step`-th point: a stride through the same buffers.
    panel(panel, place, ratio, step, selection) {
      const [left, top, wide, high] = place.map((side) => Math.round(side * ratio));
      gl.viewport(left, canvas.height - top - high, wide, high);
      gl.scissor(left, canvas.height - top - high, wide, high);
      const count = Math.floor(panel.x.length / step);
      [[panel.x, false], [panel.y, false], [panel.codes, panel.recoloured], [panel.mask, panel.marked]]
        .forEach(([array, again], i) => {
          buffer(array, again);
          gl.enableVertexAttribArray(i);
          if (i < 2) gl.vertexAttribPointer(i, 1, gl.FLOAT, false, 4 * step, 0);
          else gl.vertexAttribIPointer(i, 1, gl.UNSIGNED_BYTE, step, 0);
        });
      panel.recoloured = panel.marked = false;
      const { view } = panel;
      const { size: wanted, opacity: veil } = look(panel, place[2], place[3]);
      gl.uniform2f(centre, view.x, view.y);
      gl.uniform2f(scale, (2 * view.k * ratio) / wide, (2 * view.k * ratio) / high);
      for (const one of selection ? [1, 2] : [0]) {
        gl.uniform1i(part, one);
        gl.uniform1f(size, (wanted + (one === 2 ? 0.8 : 0)) * ratio);
        gl.uniform1f(opacity, one === 1 ? veil * 0.22 : one === 2 ? Math.max(0.8, veil) : veil);
        gl.drawArrays(gl.POINTS, 0, count);
      }
    },
    start() {
      gl.scissor(0, 0, canvas.width, canvas.height);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT);
    },
    end() {},
    colours(pixels) {
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 256, 2, 0, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
    },
    forget() {
      for (const own of held.values()) gl.deleteBuffer(own);
      held.clear();
    },
    lost: () => gl.isContextLost(),
    leave() { gl.getExtension("WEBGL_lose_context")?.loseContext(); },
  };
}

// Squares without their corners, written into the pixels of a picture: no blending, and quick.
function plain(canvas) {
  const pen = canvas.getContext("2d");
  let [picture, out, table] = [null, null, new Uint32Array(512)];
  return {
    kind: "plain",
    start() {
      if (picture?.width !== canvas.width || picture?.height !== canvas.height) {
        picture = pen.createImageData(Math.max(1, canvas.width), Math.max(1, canvas.height));
        out = new Uint32Array(picture.data.buffer);
      } else out.fill(0);
    },
    panel(panel, place, ratio, step, selection) {
      const [left, top, wide, high] = place.map((side) => Math.round(side * ratio));
      const { size } = look(panel, place[2], place[3]);
      const [k, { x: cx, y: cy }] = [panel.view.k * ratio, panel.view];
      const [right, bottom] = [Math.min(canvas.width, left + wide), Math.min(canvas.height, top + high)];
      for (const one of selection ? [0, 1] : [-1]) {
        const side = Math.max(1, Math.round((size + (one === 1 ? 0.8 : 0)) * ratio));
        const [half, corner] = [side >> 1, side > 3 ? Math.round(side * 0.22) : 0];
        const shade = one === 0 ? 256 : 0;
        for (let i = 0; i < panel.x.length; i += step) {
          const code = panel.codes[i];
          if (code === HIDDEN || (one >= 0 && panel.mask[i] !== one)) continue;
          const px = Math.round(left + wide / 2 + (panel.x[i] - cx) * k) - half;
          const py = Math.round(top + high / 2 - (panel.y[i] - cy) * k) - half;
          if (px + side <= left || px >= right || py + side <= top || py >= bottom) continue;
          for (let v = Math.max(0, top - py); v < side && py + v < bottom; v++) {
            const cut = v < corner ? corner - v : v >= side - corner ? v - side + corner + 1 : 0;
            const from = Math.max(left, px + cut), to = Math.min(right, px + side - cut);
            if (from < to) out.fill(table[shade + code], (py + v) * canvas.width + from, (py + v) * canvas.width + to);
          }
        }
      }
      panel.recoloured = panel.marked = false;
    },
    end() { pen.putImageData(picture, 0, 0); },
    colours(pixels) {
      table = new Uint32Array(pixels.slice().buffer);
      for (let i = 256; i < 512; i++) table[i] = (table[i] & 0xffffff) | (70 << 24);
    },
    forget() {},
    lost: () => false,
    leave() {},
  };
}
