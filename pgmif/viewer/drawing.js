// Drawing of the slice viewer: pure functions of pixels, window and zoom. widget.js comes after this file.

const FULL = 65535; // pixels arrive as 16-bit integers over the range of their panel

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const rgb = (r, g, b) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
const span = (panel) => panel.high - panel.low;
const real = (panel, pixel) => panel.low + (pixel / FULL) * span(panel);

// values of two panels may be subtracted; where one range is many times the other, only their fractions
const comparable = (a, b) => Math.max(a.typical, b.typical) <= 4 * Math.min(a.typical, b.typical);
const difference = (own, other, p) => (comparable(own.panel, other.panel)
  ? real(own.panel, own.pixels[p]) - real(other.panel, other.pixels[p])
  : (own.pixels[p] - other.pixels[p]) / FULL);

// grey of each pixel value; window and level are fractions of the panel's range
function greyTable(window, level) {
  const table = new Uint32Array(FULL + 1);
  const low = level - window / 2;
  for (let u = 0; u <= FULL; u++) {
    const grey = clamp(Math.round((255 * (u / FULL - low)) / window), 0, 255);
    table[u] = rgb(grey, grey, grey);
  }
  return table;
}

// blue: darker than the other image, white: equal, red: brighter
function signedColour(fraction) {
  const t = clamp(fraction, -1, 1);
  const fade = Math.round(255 * (1 - Math.abs(t))), full = Math.round(255 - 75 * Math.abs(t));
  return t > 0 ? rgb(full, fade, fade) : rgb(fade, fade, full);
}

function oddTile(p, width) {
  const tile = Math.max(4, Math.round(width / 8));
  return (Math.floor(p / width / tile) + Math.floor((p % width) / tile)) % 2 === 1;
}

// colours of one slice; `own` and `other` are { panel, pixels }, pixels of that slice alone
function sliceColours(own, other, view, table, window, width) {
  const out = new Uint32Array(own.pixels.length);
  if (view === "difference" && own.panel.name !== other.panel.name) {
    const range = window * (comparable(own.panel, other.panel) ? Math.max(span(own.panel), span(other.panel)) : 1);
    for (let p = 0; p < out.length; p++) out[p] = signedColour((2 * difference(own, other, p)) / range);
    return out;
  }
  for (let p = 0; p < out.length; p++) {
    const odd = view === "checkerboard" && oddTile(p, width);
    out[p] = table[(odd ? other : own).pixels[p]];
  }
  return out;
}

// the value under the cursor: in a difference the difference, in a checkerboard that of the tile's image
function readOut(own, other, view, p, width) {
  const same = own.panel.name === other?.panel.name;
  const shown = view === "checkerboard" && oddTile(p, width) ? other : own;
  const value = view === "difference" && !same ? difference(own, other, p) : real(shown.panel, shown.pixels[p]);
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

// the border of a mask along pixel edges, in image coordinates
function outlinePath(mask, height, width) {
  const path = new Path2D();
  const inside = (i, j) => i >= 0 && j >= 0 && i < height && j < width && mask[i * width + j] > 0;
  const edge = (here, there, x0, y0, x1, y1) => {
    if (here === there) return;
    path.moveTo(x0, y0);
    path.lineTo(x1, y1);
  };
  for (let i = 0; i <= height; i++) {
    for (let j = 0; j <= width; j++) {
      edge(inside(i, j), inside(i - 1, j), j, i, j + 1, i);
      edge(inside(i, j), inside(i, j - 1), j, i, j, i + 1);
    }
  }
  return path;
}

// image → canvas in device pixels: x ↦ x · sx + ox, y ↦ y · sy + oy; zoom.x, zoom.y: the centre's fractions
function canvasTransform(canvas, zoom, height, width) {
  const sx = (canvas.width / width) * zoom.scale, sy = (canvas.height / height) * zoom.scale;
  return { sx, sy, ox: canvas.width / 2 - zoom.x * width * sx, oy: canvas.height / 2 - zoom.y * height * sy };
}

function crosshair({ x, y }, height, width, gx, gy) {
  const path = new Path2D();
  for (const [x0, y0, x1, y1] of [
    [0, y, x - gx, y], [x + gx, y, width, y], [x, 0, x, y - gy], [x, y + gy, x, height],
  ]) {
    path.moveTo(x0, y0);
    path.lineTo(x1, y1);
  }
  return path;
}

// the slice, its outlines [{ path, colour }] and the crosshair, on a canvas as wide as the page shows it
function drawSlice(panel, colours, shape, aspect, zoom, outlines, cursor) {
  const { canvas, image } = panel, [, height, width] = shape;
  const wide = Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio));
  const high = Math.max(1, Math.round((wide * height * aspect) / width));
  if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
  const context = canvas.getContext("2d"), t = canvasTransform(canvas, zoom, height, width);
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.fillStyle = "black";
  context.fillRect(0, 0, wide, high);
  if (!colours) return;
  if (image.width !== width || image.height !== height) Object.assign(image, { width, height });
  image.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(colours.buffer), width, height), 0, 0);
  context.setTransform(t.sx, 0, 0, t.sy, t.ox, t.oy);
  context.imageSmoothingEnabled = Math.min(t.sx, t.sy) < 1; // pixels stay sharp unless they are merged
  context.drawImage(image, 0, 0);
  // the path is transformed, not the pen: lines are as wide across as along pixels that are not square
  context.setTransform(1, 0, 0, 1, 0, 0);
  const stroke = (path, colour, points) => {
    const placed = new Path2D();
    placed.addPath(path, new DOMMatrix([t.sx, 0, 0, t.sy, t.ox, t.oy]));
    Object.assign(context, { strokeStyle: colour, lineWidth: points * devicePixelRatio });
    context.stroke(placed);
  };
  outlines.forEach(({ path, colour }) => stroke(path, colour, 1.5));
  const gap = 8 * devicePixelRatio;
  if (cursor) stroke(crosshair(cursor, height, width, gap / t.sx, gap / t.sy), "#56B4E9", 1);
}
