/* Marks drawn in screen pixels, sharp at every zoom: outlines, patterns, points, lines, scale bar. */

const VECTOR_EDGES_FROM = 3; // screen pixels for one image pixel; below, edge pixels are finer
const HALO = "rgba(0, 0, 0, 0.55)";
const LABEL_FONT = "600 12px system-ui, sans-serif";

const patternTiles = new Map();

/** A tile of the second cue of a comparison: dashes for false, small crosses for missed. */
function patternTile(kind, colour, ratio) {
  const name = `${kind} ${colour} ${ratio}`;
  if (patternTiles.has(name)) return patternTiles.get(name);
  const side = Math.round(8 * ratio);
  const tile = newCanvas(side, side);
  const context = tile.getContext("2d");
  context.fillStyle = colour;
  context.globalAlpha = 0.4;
  context.fillRect(0, 0, side, side);
  context.globalAlpha = 1;
  context.strokeStyle = colour;
  context.lineWidth = 1.6 * ratio;
  context.beginPath();
  if (kind === "dashes") {
    for (const shift of [-side, 0, side]) {
      context.moveTo(shift - 1, side + 1);
      context.lineTo(shift + side + 1, -1);
    }
  } else {
    const [a, b] = [side * 0.22, side * 0.78];
    context.moveTo(a, a);
    context.lineTo(b, b);
    context.moveTo(a, b);
    context.lineTo(b, a);
  }
  context.stroke();
  patternTiles.set(name, tile);
  return tile;
}

/** Draw circles and crosses; `selected` is the index of one of them or null. */
function drawMarks(context, marks, transform, selected) {
  marks.forEach(({ y, x, index, radius: radiusPx, style, colour }) => {
    const radius = Math.max(3.5, radiusPx * transform.scale);
    const px = transform.x + (x + 0.5) * transform.scale;
    const py = transform.y + (y + 0.5) * transform.scale;
    strokeMark(context, px, py, radius, style, HALO, index === selected ? 6 : 3.5);
    if (index === selected) strokeMark(context, px, py, radius, style, "#ffffff", 4);
    strokeMark(context, px, py, radius, style, colour, 2);
  });
}

const pick = (values, index) => (typeof values === "string" ? values : values[index]);

function strokeMark(context, x, y, radius, style, colour, width) {
  context.beginPath();
  context.setLineDash([]);
  if (style === "cross") {
    const arm = radius * 0.75;
    context.moveTo(x - arm, y - arm);
    context.lineTo(x + arm, y + arm);
    context.moveTo(x - arm, y + arm);
    context.lineTo(x + arm, y - arm);
  } else {
    if (style === "dashed") context.setLineDash(dashesFor(radius));
    if (style === "dotted") context.setLineDash([1.5, 4]);
    context.arc(x, y, radius, 0, 2 * Math.PI);
  }
  context.lineWidth = width;
  context.strokeStyle = colour;
  context.stroke();
  context.setLineDash([]);
}

/** An even number of dashes around a circle, so that no seam shows. */
function dashesFor(radius) {
  const count = clamp(Math.round((2 * Math.PI * radius) / 9), 5, 24);
  const period = (2 * Math.PI * radius) / count;
  return [period * 0.58, period * 0.42];
}

function drawLines(context, layer, transform) {
  context.strokeStyle = layer.colour;
  context.lineWidth = layer.width;
  context.lineJoin = "round";
  context.beginPath();
  for (const line of layer.lines) {
    line.forEach(([y, x], i) => {
      const px = transform.x + (x + 0.5) * transform.scale;
      const py = transform.y + (y + 0.5) * transform.scale;
      if (i) context.lineTo(px, py);
      else context.moveTo(px, py);
    });
  }
  context.stroke();
}

/** A bar of a round length with its words, on a quiet plate in the corner of a pane. */
function drawScaleBar(context, rect, scale, pixelSize, unit, format) {
  const perPixel = pixelSize ?? 1;
  const most = (Math.min(150, rect.w * 0.34) / scale) * perPixel;
  if (!(most > 0)) return;
  const length = niceLength(most);
  const bar = (length / perPixel) * scale;
  const words = lengthText(length, pixelSize === null ? "px" : unit, format);
  context.font = LABEL_FONT;
  const wide = Math.max(bar, context.measureText(words).width) + 16;
  const [x, y] = [rect.x + 10, rect.y + rect.h - 42];
  drawPlate(context, x, y, wide, 32);
  context.textAlign = "center";
  context.fillText(words, x + wide / 2, y + 11.5);
  context.fillRect(Math.round(x + (wide - bar) / 2), Math.round(y + 21), Math.round(bar), 4);
}

/** The words of a pane in its upper corner: left, or right of a wipe. */
function drawTitle(context, rect, title, isRight) {
  context.font = LABEL_FONT;
  const wide = context.measureText(title).width + 16;
  const x = isRight ? rect.x + rect.w - wide - 10 : rect.x + 10;
  drawPlate(context, x, rect.y + 10, wide, 24);
  context.textAlign = "left";
  context.fillText(title, x + 8, rect.y + 22.5);
}

/** A dark plate under white words: legible on any picture. Leaves the pen white. */
function drawPlate(context, x, y, w, h) {
  context.fillStyle = "rgba(12, 14, 18, 0.66)";
  context.beginPath();
  context.roundRect(x, y, w, h, 6);
  context.fill();
  context.fillStyle = "#ffffff";
  context.textBaseline = "middle";
}

/** A hairline around the picture: without it a pale mask has no border. */
function drawFrame(context, rect, colour = "rgba(128, 128, 128, 0.35)") {
  context.lineWidth = 1;
  context.strokeStyle = colour;
  context.strokeRect(rect.x + 0.5, rect.y + 0.5, rect.w - 1, rect.h - 1);
}

/** Two lines through a place, open around it, so that what stands there is seen. */
function drawCrosshair(context, rect, x, y) {
  const gap = 11;
  for (const [width, colour] of [[2.4, "rgba(0, 0, 0, 0.4)"], [1.1, "#56B4E9"]]) {
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.beginPath();
    for (const [x0, y0, x1, y1] of [
      [rect.x, y, x - gap, y],
      [x + gap, y, rect.x + rect.w, y],
      [x, rect.y, x, y - gap],
      [x, y + gap, x, rect.y + rect.h],
    ]) {
      if (x1 <= x0 && y1 <= y0) continue;
      context.moveTo(x0, y0);
      context.lineTo(x1, y1);
    }
    context.stroke();
  }
}

/** A small cross at the place in the other panes that the pointer is on in this one. */
function drawLinkedCursor(context, x, y) {
  for (const [width, colour] of [[3, HALO], [1.2, "#ffffff"]]) {
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(x + dx * 4, y + dy * 4);
      context.lineTo(x + dx * 11, y + dy * 11);
    }
    context.stroke();
  }
}
