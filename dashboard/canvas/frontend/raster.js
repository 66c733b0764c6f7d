/* From arrays of numbers to canvases of the same size, one canvas pixel for one image pixel. */

function newCanvas(w, h) {
  const canvas = document.createElement("canvas");
  canvas.width = w;
  canvas.height = h;
  return canvas;
}

/** Let `fill(pixels)` write the 32-bit pixels of a canvas that is reused while its size stays. */
function paintCanvas(canvas, size, fill) {
  const target = canvas && canvas.width === size.w && canvas.height === size.h
    ? canvas
    : newCanvas(size.w, size.h);
  const context = target.getContext("2d");
  const image = context.createImageData(size.w, size.h);
  fill(new Uint32Array(image.data.buffer));
  context.putImageData(image, 0, 0);
  return target;
}

/** Grey or colour-mapped numbers: a table for integers, arithmetic for floats. */
function paintNumbers(canvas, size, array, type, colours, low, high) {
  const scale = high > low ? 255 / (high - low) : 0;
  const step = (value) => (scale ? clamp((value - low) * scale, 0, 255) : value >= high ? 255 : 0);
  return paintCanvas(canvas, size, (pixels) => {
    if (type === "f4") {
      for (let i = 0; i < pixels.length; i += 1) {
        const value = array[i];
        pixels[i] = value === value ? colours[step(value) | 0] : 0; // NaN stays transparent
      }
      return;
    }
    const table = new Uint32Array(type === "u1" ? 256 : 65536);
    for (let value = 0; value < table.length; value += 1) {
      table[value] = colours[Math.round(step(value))];
    }
    for (let i = 0; i < pixels.length; i += 1) pixels[i] = table[array[i]];
  });
}

function paintColour(canvas, size, array, channels) {
  return paintCanvas(canvas, size, (pixels) => {
    for (let i = 0, k = 0; i < pixels.length; i += 1, k += channels) {
      pixels[i] = packPixel(array[k], array[k + 1], array[k + 2], channels === 4 ? array[k + 3] : 255);
    }
  });
}

/** Cut a probability: 1 where it is on the wanted side of the threshold. */
function regionOfThreshold(array, type, threshold, side) {
  const cut = type === "u1" ? threshold * 255 : threshold;
  const region = new Uint8Array(array.length);
  if (side === "above") for (let i = 0; i < region.length; i += 1) region[i] = array[i] >= cut ? 1 : 0;
  else for (let i = 0; i < region.length; i += 1) region[i] = array[i] < cut ? 1 : 0;
  return region;
}

/** 1 found, 2 false, 3 missed, 0 neither. */
function regionOfVerdicts(predicted, truth) {
  const region = new Uint8Array(predicted.length);
  for (let i = 0; i < region.length; i += 1) {
    if (predicted[i]) region[i] = truth[i] ? 1 : 2;
    else if (truth[i]) region[i] = 3;
  }
  return region;
}

function paintRegion(canvas, size, region, pixelOf) {
  return paintCanvas(canvas, size, (pixels) => {
    for (let i = 0; i < pixels.length; i += 1) if (region[i]) pixels[i] = pixelOf(region[i]);
  });
}

/** The pixels of a region that touch another region or none. */
function paintEdges(canvas, size, region, pixelOf) {
  const { w, h } = size;
  return paintCanvas(canvas, size, (pixels) => {
    for (let y = 0, i = 0; y < h; y += 1) {
      for (let x = 0; x < w; x += 1, i += 1) {
        const id = region[i];
        if (!id) continue;
        const inside =
          (x === 0 || region[i - 1] === id) &&
          (x === w - 1 || region[i + 1] === id) &&
          (y === 0 || region[i - w] === id) &&
          (y === h - 1 || region[i + w] === id);
        if (!inside) pixels[i] = pixelOf(id);
      }
    }
  });
}

/**
 * Outline regions along pixel borders, for the part of the image that is in view.
 * Neighbouring borders of one line are joined, so a view holds some thousand strokes at most.
 */
function edgePaths(size, region, view, colourOf) {
  const paths = new Map();
  const add = (id, x0, y0, x1, y1) => {
    const colour = colourOf(id);
    if (!paths.has(colour)) paths.set(colour, new Path2D());
    const path = paths.get(colour);
    path.moveTo(x0, y0);
    path.lineTo(x1, y1);
  };
  const at = (x, y) => region[y * size.w + x];
  for (let y = Math.max(1, view.y0); y < view.y1; y += 1) {
    joinRuns(view.x0, view.x1, (x) => borderId(at(x, y - 1), at(x, y)), (id, a, b) => add(id, a, y, b, y));
  }
  for (let x = Math.max(1, view.x0); x < view.x1; x += 1) {
    joinRuns(view.y0, view.y1, (y) => borderId(at(x - 1, y), at(x, y)), (id, a, b) => add(id, x, a, x, b));
  }
  return paths;
}

const borderId = (a, b) => (a === b ? 0 : Math.max(a, b));

function joinRuns(start, end, idAt, emit) {
  let id = 0;
  let from = start;
  for (let i = start; i <= end; i += 1) {
    const next = i < end ? idAt(i) : 0;
    if (next === id) continue;
    if (id) emit(id, from, i);
    [id, from] = [next, i];
  }
}
