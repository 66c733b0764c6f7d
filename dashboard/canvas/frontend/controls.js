/* The tools around the picture, built once; what they show is refreshed by the viewer. */

/** Make an element: attributes, `on...` listeners, then children (nodes or words). */
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "html") node.innerHTML = value;
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

function toolButton(name, words, hint, onclick) {
  return el("button", {
    type: "button",
    class: "tool",
    "data-tool": name,
    title: hint ? `${words} (${hint})` : words,
    "aria-label": words,
    html: icon(name),
    onclick,
  });
}

function slider(attributes, oninput, onchange) {
  const input = el("input", { type: "range", class: "slider", ...attributes });
  input.addEventListener("input", () => oninput(Number(input.value)));
  if (onchange) input.addEventListener("change", () => onchange(Number(input.value)));
  return input;
}

/** Fill the part of a slider's track that lies before its thumb. */
function setSlider(input, value) {
  if (Number(input.value) !== value) input.value = value;
  const share = (Number(input.value) - input.min) / (input.max - input.min || 1);
  input.style.setProperty("--share", `${100 * clamp(share, 0, 1)}%`);
}

/** The row of tools above the picture. `act` maps a tool's name to what it does. */
function buildToolbar(words, act, withSections) {
  const label = el("span", { class: "section", "aria-live": "polite" });
  const scrubber = slider({ min: 0, max: 1, step: 1, "aria-label": words.sections }, act.goTo);
  const stepper = el(
    "div",
    { class: "group stepper", role: "group" },
    toolButton("previous", words.previous, "←", act.previous),
    scrubber,
    toolButton("next", words.next, "→", act.next),
    label,
  );
  stepper.hidden = !withSections;
  const zoom = el("span", { class: "zoom", title: words.zoom });
  const buttons = {
    wipe: toolButton("wipe", words.wipe, "W", act.wipe),
    overlays: toolButton("overlays", words.overlays, "O", act.overlays),
    contrast: toolButton("contrast", words.contrast, "", act.contrast),
    layers: toolButton("layers", words.layers, "", act.layers),
  };
  const bar = el(
    "div",
    { class: "bar top", role: "toolbar" },
    stepper,
    el("div", { class: "space" }),
    el(
      "div",
      { class: "group" },
      toolButton("zoom_out", words.zoom_out, "−", act.zoomOut),
      zoom,
      toolButton("zoom_in", words.zoom_in, "+", act.zoomIn),
      toolButton("fit", words.fit, "0", act.fit),
    ),
    el("div", { class: "group" }, ...Object.values(buttons)),
    el("div", { class: "group" }, toolButton("download", words.download, "", act.download)),
  );
  return { bar, stepper, label, scrubber, zoom, buttons };
}

/** The row under the picture: read-out, threshold, legend. */
function buildFooter(words, onThreshold, onThresholdEnd) {
  const readout = el("output", { class: "readout" });
  const value = el("output", { class: "value" });
  const input = slider(
    { min: 0, max: 1, step: 0.01, "aria-label": words.threshold },
    onThreshold,
    onThresholdEnd,
  );
  const threshold = el("label", { class: "threshold" }, el("span", {}, words.threshold), input, value);
  const legend = el("div", { class: "legend" });
  const bar = el("div", { class: "bar bottom" }, readout, threshold, legend);
  return { bar, readout, threshold, input, value, legend };
}

/** Colour and second cue of a layer as a small picture for legends. */
function swatch(look) {
  const node = el("span", { class: `swatch ${look.shape}` });
  if (look.gradient) node.style.background = look.gradient;
  if (look.colour) node.style.setProperty("--swatch", look.colour);
  return node;
}

/** What the legend says of a layer: one entry, or three for a comparison. */
function legendOf(layer, words) {
  const { spec } = layer;
  if (spec.kind === "compare") {
    return VERDICTS.map((v) => ({ words: words[v.word], colour: v.colour, shape: v.pattern }));
  }
  const plain = { words: spec.name };
  if (spec.kind === "image") return [{ ...plain, gradient: colormapGradient("grey"), shape: "box" }];
  if (spec.kind === "scalar") {
    return [{ ...plain, gradient: colormapGradient(spec.colormap), shape: "ramp", layer }];
  }
  if (spec.kind === "labels") {
    const stripes = OKABE_ITO.slice(0, 4).map((c, i) => `${c} ${i * 25}% ${(i + 1) * 25}%`);
    return [{ ...plain, gradient: `linear-gradient(90deg, ${stripes.join(", ")})`, shape: "box" }];
  }
  if (spec.kind === "points") return pointsLegend(spec, words);
  if (spec.kind === "spheres") return spheresLegend(spec);
  if (spec.kind === "lines") return [{ ...plain, colour: spec.colour, shape: "stroke" }];
  return [{ ...plain, colour: spec.colour, shape: spec.style === "outline" ? "line" : "plain" }];
}

const WORD_OF_STYLE = { full: "true_positive", dashed: "false_positive", cross: "missed" };

/** One look for all points, or one entry for each kind of hit that occurs. */
function pointsLegend(spec, words) {
  if (typeof spec.styles === "string") {
    return [{ words: spec.name, colour: pick(spec.colours, 0), shape: `point-${spec.styles}` }];
  }
  return Object.keys(WORD_OF_STYLE).flatMap((style) => {
    const colours = new Set(spec.styles.flatMap((s, i) => (s === style ? [pick(spec.colours, i)] : [])));
    if (!colours.size) return [];
    const colour = colours.size === 1 ? [...colours][0] : "currentColor";
    return [{ words: words[WORD_OF_STYLE[style]], colour, shape: `point-${style}` }];
  });
}

/** One entry for each look that has a name of its own. */
function spheresLegend({ palette, name }) {
  if (!palette.length) return [{ words: name, colour: "currentColor", shape: "point-full" }];
  return palette.map((look) => ({ words: look.name, colour: look.colour, shape: `point-${look.style}` }));
}

/** A slider for each axis of a volume, with its place in voxels and in length. */
function buildAxisBar(words, axes, goTo) {
  const parts = {};
  const rows = axes.map((axis) => {
    const input = slider(
      { min: 0, max: 1, step: 1, "data-axis": axis, "aria-label": words.axis.replace("{axis}", axis) },
      (value) => goTo(axis, value),
    );
    const value = el("output", { class: "value" });
    parts[axis] = { input, value };
    return el("label", { class: "axis" }, el("b", {}, axis), input, value);
  });
  return { bar: el("div", { class: "bar axes" }, ...rows), parts };
}

/** The list of layers with a switch and an opacity each, by pane. */
function buildLayersPanel(panes, words, settings) {
  const rows = panes.flatMap((pane) => [
    panes.length > 1 && pane.title ? el("h4", {}, pane.title) : null,
    ...[...pane.layers].reverse().map((layer) => layerRow(layer, words, settings)),
  ]);
  return el("div", { class: "panel layers" }, el("h3", {}, words.layers), ...rows.filter(Boolean));
}

function layerRow(layer, words, { get, set, percent }) {
  const settings = get(layer);
  const name = layer.spec.name;
  const shown = el("button", {
    type: "button",
    class: "tool eye",
    "aria-pressed": String(settings.visible),
    "aria-label": `${settings.visible ? words.hide : words.show}: ${name}`,
    title: settings.visible ? words.hide : words.show,
    html: icon(settings.visible ? "overlays" : "overlays_off"),
    onclick: () => set(layer, { visible: !settings.visible }),
  });
  const value = el("output", { class: "value" });
  const write = (opacity) => {
    value.textContent = percent(opacity);
    setSlider(input, opacity);
  };
  const input = slider(
    { min: 0, max: 1, step: 0.01, value: settings.opacity, "aria-label": `${words.opacity}: ${name}` },
    (opacity) => {
      write(opacity);
      set(layer, { opacity });
    },
  );
  write(settings.opacity);
  return el(
    "div",
    { class: settings.visible ? "layer" : "layer is-hidden" },
    shown,
    swatch(legendOf(layer, words)[0]),
    el("span", { class: "name", title: name }, name),
    input,
    value,
  );
}

/** Black and white point over a small histogram. */
function buildContrastPanel(words, onWindow, onReset, onAuto) {
  const plot = el("canvas", { class: "histogram", role: "img", "aria-label": words.histogram });
  const parts = { plot, range: [0, 1], format: String };
  const field = (name, index) => {
    const value = el("output", { class: "value" });
    const input = slider({ min: 0, max: 1000, step: 1, "aria-label": words[name] }, (position) =>
      onWindow(index, parts.range[0] + (position / 1000) * (parts.range[1] - parts.range[0])),
    );
    parts[name] = { input, value };
    return el("label", { class: "field" }, el("span", {}, words[name]), input, value);
  };
  parts.panel = el(
    "div",
    { class: "panel contrast" },
    el("h3", {}, words.contrast),
    plot,
    field("black", 0),
    field("white", 1),
    el(
      "div",
      { class: "row" },
      el("button", { type: "button", class: "text", onclick: onAuto }, words.auto),
      el("button", { type: "button", class: "text", onclick: onReset }, words.reset),
    ),
  );
  return parts;
}

/** Show counts (square root, so that rare values are seen) and the two points of the window. */
function drawHistogram(plot, histogram, window) {
  const ratio = devicePixelRatio || 1;
  const [w, h] = [236, 56];
  Object.assign(plot, { width: w * ratio, height: h * ratio });
  const context = plot.getContext("2d");
  const style = getComputedStyle(plot);
  context.scale(ratio, ratio);
  const most = Math.sqrt(Math.max(...histogram.counts.subarray(1, 255), 1));
  const span = histogram.high - histogram.low || 1;
  context.fillStyle = style.color;
  histogram.counts.forEach((count, bin) => {
    const value = histogram.low + (bin / 255) * span;
    context.globalAlpha = value < window[0] || value > window[1] ? 0.22 : 0.6;
    const tall = Math.min(1, Math.sqrt(count) / most) * (h - 4);
    context.fillRect((bin / 256) * w, h - tall, w / 256 + 0.4, tall);
  });
  context.globalAlpha = 1;
  context.strokeStyle = style.getPropertyValue("--accent");
  context.lineWidth = 1.5;
  context.beginPath();
  const [a, b] = window.map((v) => clamp(((v - histogram.low) / span) * w, 0.75, w - 0.75));
  context.moveTo(a, h);
  context.lineTo(b, 2);
  context.stroke();
}
