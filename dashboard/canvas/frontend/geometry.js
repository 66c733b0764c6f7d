/* Where things are: the linked view, panes on the stage, screen <-> image, nice lengths. */

const MAX_SCALE = 64; // CSS pixels for one image pixel
const FITTED = { cx: 0.5, cy: 0.5, zoom: 1 };

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/**
 * The view is shared by all panes: centre as a fraction of the image, zoom relative to "fits".
 * Image coordinates run here from corner to corner (0 to width); index coordinates, in which the
 * centre of a pixel is an integer, are half a pixel less.
 */
function paneTransform(rect, size, view) {
  const scale = Math.min(rect.w / size.w, rect.h / size.h) * view.zoom;
  return {
    scale,
    x: rect.x + rect.w / 2 - view.cx * size.w * scale,
    y: rect.y + rect.h / 2 - view.cy * size.h * scale,
  };
}

const toImage = (t, x, y) => ({ x: (x - t.x) / t.scale, y: (y - t.y) / t.scale });

/**
 * Keep the picture on the pane: no border may get wider than when the picture fits. The centre may
 * stray by just as much as zooming about any point of the picture moves it, so that point holds.
 */
function clampView(view, rect, size) {
  const fit = Math.min(rect.w / size.w, rect.h / size.h);
  const zoom = clamp(view.zoom, 1, Math.max(1, MAX_SCALE / fit));
  const stray = 0.5 * (1 - 1 / zoom);
  const near = (centre) => clamp(centre, 0.5 - stray, 0.5 + stray);
  return { cx: near(view.cx), cy: near(view.cy), zoom };
}

/** Zoom so that the image point under (x, y) stays there. */
function zoomAbout(view, rect, size, factor, x, y) {
  const before = paneTransform(rect, size, view);
  const point = toImage(before, x, y);
  const fit = before.scale / view.zoom;
  const zoom = clamp(view.zoom * factor, 1, Math.max(1, MAX_SCALE / fit));
  const scale = fit * zoom;
  return clampView(
    {
      zoom,
      cx: (point.x - (x - rect.x - rect.w / 2) / scale) / size.w,
      cy: (point.y - (y - rect.y - rect.h / 2) / scale) / size.h,
    },
    rect,
    size,
  );
}

/** The part of a pane that the picture covers. */
function seenRect(rect, transform, size) {
  const x0 = Math.max(rect.x, transform.x);
  const y0 = Math.max(rect.y, transform.y);
  const x1 = Math.min(rect.x + rect.w, transform.x + size.w * transform.scale);
  const y1 = Math.min(rect.y + rect.h, transform.y + size.h * transform.scale);
  return { x: x0, y: y0, w: x1 - x0, h: y1 - y0 };
}

/** Choose the number of columns in which `count` panes are largest. */
function bestColumns(count, size, width, height) {
  let best = 1;
  let bestScale = 0;
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const scale = Math.min(width / columns / size.w, height / rows / size.h);
    if (scale > bestScale * 1.02) [best, bestScale] = [columns, scale];
  }
  return best;
}

/** Columns when the width alone is given: side by side while a pane stays legible. */
function columnsForWidth(count, width) {
  if (count === 4 && width < 1100) return width < 420 ? 1 : 2;
  return clamp(Math.floor(width / 230), 1, count);
}

/** Split the stage into equal panes with a gap between them. */
function paneRects(count, columns, width, height, gap) {
  const rows = Math.ceil(count / columns);
  const w = (width - gap * (columns - 1)) / columns;
  const h = (height - gap * (rows - 1)) / rows;
  return Array.from({ length: count }, (_, i) => ({
    x: Math.round((i % columns) * (w + gap)),
    y: Math.round(Math.floor(i / columns) * (h + gap)),
    w: Math.round(w),
    h: Math.round(h),
  }));
}

/** The largest 1, 2 or 5 times a power of ten that is not above `most`. */
function niceLength(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  const step = [5, 2, 1].find((s) => s * power <= most * (1 + 1e-9));
  return step * power;
}

const IN_NANOMETRES = { nm: 1, angstrom: 0.1, um: 1000 };

/** Write a physical length in the unit a reader expects at that size. */
function lengthText(value, unit, format) {
  if (unit === "px") return `${format(value)} px`;
  const nanometres = value * IN_NANOMETRES[unit];
  if (nanometres >= 1000) return `${format(nanometres / 1000)} µm`;
  if (unit === "angstrom" && nanometres < 100) return `${format(value)} Å`;
  return `${format(nanometres)} nm`;
}
