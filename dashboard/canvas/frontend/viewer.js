/* One viewer: state that outlives reruns, drawing, pointer and keys. */

const GAP = 8; // CSS pixels between panes
const STEP_EVERY_MS = 120; // a held key must not interrupt every rerun that it causes
const FORGET_STEP_AFTER_MS = 4000; // if Python does not follow a step, stop showing it as wanted
const CLICK_SLACK = 4; // CSS pixels that a click may move

const TRY_AGAIN_MS = 3000; // when the pixels did not come
const MOST_TRIES = 40;

const memory = new Map(); // key -> state: also back after another page was looked at

function freshState() {
  return {
    view: { ...FITTED },
    size: "",
    layers: new Map(), // "pane.layer.kind" -> visible, opacity
    windows: new Map(), // group -> [low, high]
    overlays: true,
    wipe: null, // null: as Python says; else { on, at }
    panel: null,
    section: 0,
    threshold: 0.5,
    given: {}, // what Python said last, so that only its changes override a person's choice
  };
}

class Viewer {
  constructor(root) {
    this.root = root;
    this.turn = 0;
    this.panes = [];
    this.pointers = new Map();
    this.frame = 0;
    this.lastStep = 0;
    this.hover = null;
    this.activePane = 0; // the one that the pointer was in last
    this.selected = null; // { pane, layer, index }
    this.rects = [];
    this.wanted = null; // a section that was asked for and is not on the screen yet
    this.calls = 0;
  }

  /* ---- data in ---- */

  /** Take what Python sent; the old picture stays until every new array is here. */
  async update(data, report) {
    this.report = report;
    if (this.key !== data.key || this.language !== data.language) this.build(data);
    const turn = (this.turn += 1);
    clearTimeout(this.againTimer);
    this.incoming = data;
    this.takeGiven(data);
    const missing = this.addressesOf(data.panes).filter(([address]) => !frameNow(address));
    if (missing.length === 0) return this.adopt(data);
    try {
      await Promise.all(missing.map(([address, type]) => frameSoon(address, type)));
    } catch {
      if (turn === this.turn) this.giveUp();
      return;
    }
    if (turn === this.turn) this.adopt(data);
  }

  /**
   * Say that the picture did not come, and go on asking for a while: a rerun that Streamlit breaks
   * off takes the files away, the next one puts them back, and equal data are not sent again.
   */
  giveUp() {
    this.showMessage(true);
    this.numTries = (this.numTries ?? 0) + 1;
    if (this.numTries > MOST_TRIES) return;
    this.againTimer = setTimeout(() => {
      if (this.root.isConnected) this.update(this.incoming, this.report);
    }, TRY_AGAIN_MS);
  }

  /** Let a value that Python changed win over what was set here; else what was set here stays. */
  takeGiven(data) {
    const { given } = this.state;
    const take = (name, value, apply) => {
      if (JSON.stringify(given[name]) !== JSON.stringify(value)) apply(value);
      given[name] = value;
    };
    take("section", data.options.section ?? 0, (section) => this.takeSection(section));
    take("layout", data.options.layout, (layout) => {
      this.state.wipe = { on: layout === "wipe", at: 0.5 };
    });
    const cut = data.panes.flatMap((pane) => pane.layers).find((layer) => "threshold" in layer);
    if (cut) take("threshold", cut.threshold, (value) => (this.state.threshold = value));
    const { section, sections } = data.options;
    if (this.state.section >= sections) this.state.section = section ?? 0; // another, shorter stack
  }

  /** A late echo of an earlier step must not undo the later ones. */
  takeSection(section) {
    if (section === this.wanted) this.wanted = null;
    if (this.isStack && this.wanted !== null) return;
    this.state.section = section;
  }

  addressesOf(panes, section = this.state.section) {
    return panes.flatMap((pane) =>
      pane.layers.flatMap((spec) =>
        [spec.pixels, spec.truth]
          .filter(Boolean)
          .map(({ urls, type }) => [urls.length > 1 ? urls[section] : urls[0], type])
          .filter(([address]) => address),
      ),
    );
  }

  adopt(data) {
    const before = this.panes;
    this.options = data.options;
    this.panes = data.panes.map((pane, p) => ({
      title: pane.title,
      axes: pane.axes,
      size: { h: pane.size[0], w: pane.size[1] },
      layers: pane.layers.map((spec, l) => {
        const known = before[p]?.layers[l];
        const rasters = known && known.spec.kind === spec.kind ? known.rasters : {};
        return { spec, id: `${p}.${l}.${spec.kind}`, pane: p, index: l, rasters };
      }),
    }));
    this.takeLayerSettings();
    const size = this.panes.map((pane) => `${pane.size.w}x${pane.size.h}`).join();
    if (size !== this.state.size) Object.assign(this.state, { size, view: this.fitted() });
    this.isStack = data.panes.some((pane) => pane.layers.some((s) => s.pixels?.urls.length > 1));
    this.numTries = 0;
    this.stage.setAttribute("aria-label", data.alt);
    this.root.style.height = this.options.height ? `${this.options.height}px` : "";
    this.showMessage(false);
    this.layOut();
    this.refreshTools();
    this.draw();
  }

  takeLayerSettings() {
    for (const layer of this.panes.flatMap((pane) => pane.layers)) {
      const { visible, opacity } = layer.spec;
      const given = `${visible} ${opacity}`;
      const known = this.state.layers.get(layer.id);
      if (!known || known.given !== given) {
        this.state.layers.set(layer.id, { visible, opacity, given });
      }
    }
  }

  settings(layer) {
    return this.state.layers.get(layer.id);
  }

  pixelsOf(pixels) {
    return frameNow(this.addressOf(pixels));
  }

  addressOf(pixels) {
    return pixels.urls.length > 1 ? pixels.urls[this.state.section] : pixels.urls[0];
  }

  /* ---- page ---- */

  build(data) {
    const { words, key, language } = data;
    Object.assign(this, { key, language, words });
    if (!memory.has(key)) memory.set(key, freshState());
    this.state = memory.get(key);
    this.number = new Intl.NumberFormat(language, { maximumSignificantDigits: 3 });
    this.share = new Intl.NumberFormat(language, { minimumFractionDigits: 2, maximumFractionDigits: 3 });
    this.percent = new Intl.NumberFormat(language, { style: "percent", useGrouping: false });
    this.tools = buildToolbar(words, this.actions(), (data.options.sections ?? 1) > 1);
    this.footer = buildFooter(
      words,
      (value) => this.setThreshold(value),
      (threshold) => this.send("threshold", { threshold }),
    );
    this.contrast = buildContrastPanel(
      words,
      (end, value) => this.setWindow(end, value),
      () => this.resetWindow(),
      () => this.autoWindow(),
    );
    this.canvas = el("canvas", { "aria-hidden": "true" });
    this.divider = el("div", {
      class: "divider",
      role: "slider",
      tabindex: "0",
      "aria-label": words.wipe_divider,
      "aria-valuemin": 0,
      "aria-valuemax": 100,
      hidden: true,
    }, el("span", { class: "grip", html: icon("grip") }));
    this.side = el("div", { class: "side", hidden: true });
    this.message = el("div", { class: "message", role: "status" });
    const hint = el("span", { class: "for-readers", id: "canvas-keys" }, this.keyWords(words));
    this.stage = el(
      "div",
      {
        class: "stage",
        tabindex: "0",
        role: "application",
        "aria-roledescription": words.viewer,
        "aria-describedby": "canvas-keys",
      },
      this.canvas,
      this.divider,
      this.message,
    );
    this.body = el("div", { class: "body" }, this.stage, this.side);
    this.root.replaceChildren(this.tools.bar, ...this.moreBars(), this.body, this.footer.bar, hint);
    this.root.classList.remove("is-loading");
    this.root.style.height = data.options.height ? `${data.options.height}px` : "";
    this.options = data.options;
    this.panes = [];
    this.reserveHeight(data);
    this.listen();
  }

  /** Take the room of the picture before its pixels are here, so that nothing jumps. */
  reserveHeight(data) {
    this.panes = data.panes.map(({ size: [h, w], axes }) => ({ layers: [], size: { w, h }, axes, title: "" }));
    this.layOut();
    this.showSkeleton();
  }

  keyWords(words) {
    return words.keys;
  }

  /** Rows of controls between the tools and the picture. */
  moreBars() {
    return [];
  }

  showSkeleton() {
    this.message.className = "message skeleton";
    this.message.replaceChildren(el("span", { class: "for-readers" }, this.words.loading));
  }

  showMessage(failed) {
    this.message.className = failed ? "message failed" : "message";
    if (!failed) return this.message.replaceChildren();
    const again = el("button", { type: "button", class: "text" }, this.words.retry);
    again.addEventListener("click", () => this.update(this.incoming, this.report));
    return this.message.replaceChildren(el("p", {}, this.words.failed), again);
  }

  listen() {
    this.stopListening?.();
    const ends = new AbortController();
    const on = (target, type, act, more = {}) =>
      target.addEventListener(type, act, { signal: ends.signal, ...more });
    on(this.canvas, "pointerdown", (e) => this.pointerDown(e));
    on(this.canvas, "pointermove", (e) => this.pointerMove(e));
    on(this.canvas, "pointerup", (e) => this.pointerUp(e));
    on(this.canvas, "pointercancel", (e) => this.pointers.delete(e.pointerId));
    on(this.canvas, "pointerleave", () => this.setHover(null));
    on(this.canvas, "dblclick", () => this.wants("click") || this.fit());
    on(this.canvas, "contextmenu", (e) => this.wants("click") && e.preventDefault());
    on(this.canvas, "wheel", (e) => this.wheel(e), { passive: false });
    on(window, "wheel", (e) => this.noteWheel(e), { passive: true, capture: true });
    on(this.stage, "keydown", (e) => this.keyDown(e));
    on(this.divider, "pointerdown", (e) => this.divider.setPointerCapture(e.pointerId));
    on(this.divider, "pointermove", (e) => this.dragDivider(e));
    on(this.divider, "keydown", (e) => this.dividerKey(e));
    const observer = new ResizeObserver(() => this.resized());
    observer.observe(this.root);
    observer.observe(this.stage);
    const scheme = matchMedia(`(resolution: ${devicePixelRatio}dppx)`);
    on(scheme, "change", () => this.resized());
    this.stopListening = () => {
      ends.abort();
      observer.disconnect();
      cancelAnimationFrame(this.frame);
      this.frame = 0;
    };
  }

  resized() {
    this.layOut();
    if (this.panes.length) this.draw(); // in the same turn, or the canvas would flash empty
  }

  actions() {
    return {
      previous: () => this.step(-1),
      next: () => this.step(1),
      goTo: (section) => this.goTo(section),
      zoomIn: () => this.zoomBy(1.5),
      zoomOut: () => this.zoomBy(1 / 1.5),
      fit: () => this.fit(),
      wipe: () => this.toggleWipe(),
      overlays: () => this.toggleOverlays(),
      contrast: () => this.togglePanel("contrast"),
      layers: () => this.togglePanel("layers"),
      download: () => this.download(),
    };
  }

  /** Size the stage and the canvas, and place the panes. */
  layOut() {
    if (!this.panes.length) return;
    const width = this.stage.clientWidth;
    if (!width) return;
    const { size } = this.panes[0];
    if (!this.options.height) this.stage.style.height = `${this.naturalHeight(width, size)}px`;
    const height = this.stage.clientHeight;
    const ratio = Math.min(devicePixelRatio || 1, 3);
    const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.canvas.width !== w || this.canvas.height !== h) {
      Object.assign(this.canvas, { width: w, height: h });
    }
    Object.assign(this, { ratio, width, height });
    this.rects = this.placePanes(width, height, size);
    this.settleView();
    this.placeDivider();
  }

  placePanes(width, height, size) {
    const count = this.isWiping() ? 1 : this.panes.length;
    const columns = this.options.height
      ? bestColumns(count, size, width, height)
      : columnsForWidth(count, width);
    return paneRects(count, columns, width, height, GAP);
  }

  settleView() {
    this.state.view = clampView(this.state.view, this.rects[0], this.panes[0].size);
  }

  naturalHeight(width, size) {
    const count = this.options.layout === "wipe" ? 1 : this.panes.length;
    const columns = columnsForWidth(count, width);
    const rows = Math.ceil(count / columns);
    const wide = (width - GAP * (columns - 1)) / columns;
    const tall = (wide * size.h) / size.w;
    return Math.round(clamp(rows * tall + GAP * (rows - 1), 160, 0.82 * innerHeight));
  }

  isWiping() {
    return Boolean(this.state.wipe?.on);
  }

  placeDivider() {
    this.divider.hidden = !this.isWiping();
    const at = this.state.wipe?.at ?? 0.5;
    this.divider.style.left = `${at * this.width}px`;
    this.divider.setAttribute("aria-valuenow", String(Math.round(at * 100)));
  }

  /** What is drawn where: a rectangle, the part of it that is seen, a pane. */
  views() {
    if (!this.isWiping()) {
      return this.rects.map((rect, pane) => ({ rect, clip: rect, pane, baseOnly: false }));
    }
    const rect = this.rects[0];
    const cut = Math.round(this.state.wipe.at * rect.w);
    const single = this.panes.length === 1;
    return [
      { rect, clip: { ...rect, w: cut }, pane: 0, baseOnly: single },
      { rect, clip: { ...rect, x: rect.x + cut, w: rect.w - cut }, pane: single ? 0 : 1, baseOnly: false },
    ];
  }

  /* ---- drawing ---- */

  invalidate() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => this.draw());
  }

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    if (!this.panes.length || !this.rects.length || !this.panes[0].layers.length) return;
    this.paint(this.canvas.getContext("2d"));
    this.writeReadout();
    this.tools.zoom.textContent = this.percent.format(this.scaleNow());
    this.root.dataset.painted = this.panes.slice(0, this.numNamedPanes()).map(nameOfPixels, this).join();
    this.root.dataset.section = String(this.state.section);
  }

  /** How many panes tell the page what they show; the others of a comparison follow the first. */
  numNamedPanes() {
    return 1;
  }

  paint(context) {
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    for (const view of this.views()) {
      context.save();
      context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
      context.beginPath();
      context.rect(view.clip.x, view.clip.y, view.clip.w, view.clip.h);
      context.clip();
      this.paintPane(context, view);
      context.restore();
    }
  }

  paintPane(context, view) {
    const pane = this.panes[view.pane];
    const transform = this.transformOf(view);
    for (const layer of pane.layers) {
      if (this.isDrawn(layer, view)) this.paintLayer(context, layer, view, transform);
    }
    context.globalAlpha = 1;
    this.paintOver(context, view, transform);
    const seen = seenRect(view.rect, transform, pane.size);
    drawFrame(context, seen);
    const isRightOfWipe = view.clip.x > view.rect.x;
    const { pixelSize, unit } = this.options;
    if (!isRightOfWipe) {
      drawScaleBar(context, seen, transform.scale, pixelSize, unit, (n) => this.number.format(n));
    }
    if (pane.title) drawTitle(context, seen, this.titleOf(pane), isRightOfWipe);
  }

  titleOf(pane) {
    return pane.title;
  }

  isDrawn(layer, view) {
    const { visible, opacity } = this.settings(layer);
    const overlay = layer.index > 0;
    if (overlay && (!this.state.overlays || view.baseOnly)) return false;
    return visible && opacity > 0;
  }

  /** Whole device pixels, so that a still picture is not blurred by half a pixel. */
  transformOf(view) {
    const t = paneTransform(view.rect, this.panes[view.pane].size, this.viewOf(view.pane));
    const snap = (v) => Math.round(v * this.ratio) / this.ratio;
    return { scale: t.scale, x: snap(t.x), y: snap(t.y) };
  }

  scaleNow() {
    return paneTransform(this.rects[0], this.panes[0].size, this.viewOf(0)).scale;
  }

  /** Centre and zoom of a pane; all panes share them here. */
  viewOf() {
    return this.state.view;
  }

  fitted() {
    return { ...FITTED };
  }

  /** What lies over all layers: the pointer's place in the other panes. */
  paintOver(context, view, transform) {
    if (!this.hover || this.hover.pane === view.pane || this.isWiping()) return;
    const { x, y } = this.hover;
    drawLinkedCursor(context, transform.x + x * transform.scale, transform.y + y * transform.scale);
  }

  paintLayer(context, layer, view, transform) {
    const { spec } = layer;
    context.globalAlpha = this.settings(layer).opacity;
    if (isMarks(spec)) {
      const chosen = this.isSelected(layer) ? this.selected.index : null;
      return drawMarks(context, this.marksOf(layer), transform, chosen);
    }
    if (spec.kind === "lines") return drawLines(context, spec, transform);
    const array = this.pixelsOf(spec.pixels);
    if (!array) return undefined;
    if (spec.kind === "image" || spec.kind === "scalar") {
      this.prepareNumbers(layer, array);
      return this.paintRaster(context, layer.rasters.fill, transform, view);
    }
    this.prepareRegion(layer, array);
    if (spec.kind === "compare") return this.paintVerdicts(context, layer, transform, view);
    return this.paintOverlay(context, layer, transform, view);
  }

  /** Draw the part of a raster that is in view; soft only where pixels are smaller than two. */
  paintRaster(context, raster, transform, view) {
    const scale = transform.scale * this.ratio;
    context.imageSmoothingEnabled = scale < 2 && scale !== 1;
    context.imageSmoothingQuality = "high";
    const seen = this.visiblePart(transform, view.clip, raster.width, raster.height);
    const [w, h] = [seen.x1 - seen.x0, seen.y1 - seen.y0];
    if (w <= 0 || h <= 0) return;
    context.drawImage(
      raster, seen.x0, seen.y0, w, h,
      transform.x + seen.x0 * transform.scale, transform.y + seen.y0 * transform.scale,
      w * transform.scale, h * transform.scale,
    );
  }

  visiblePart(transform, clip, w, h) {
    const first = toImage(transform, clip.x, clip.y);
    const last = toImage(transform, clip.x + clip.w, clip.y + clip.h);
    return {
      x0: clamp(Math.floor(first.x) - 1, 0, w),
      y0: clamp(Math.floor(first.y) - 1, 0, h),
      x1: clamp(Math.ceil(last.x) + 1, 0, w),
      y1: clamp(Math.ceil(last.y) + 1, 0, h),
    };
  }

  prepareNumbers(layer, array) {
    const { spec, rasters } = layer;
    const size = this.panes[layer.pane].size;
    const { type, shape } = spec.pixels;
    if (shape.length === 3) {
      return this.once(layer, "colour", () => {
        rasters.fill = paintColour(rasters.fill, size, array, shape[2]);
      });
    }
    const [low, high] = spec.kind === "image" ? this.windowOf(layer, array) : this.rangeOf(layer, array);
    const map = spec.kind === "image" ? "grey" : spec.colormap;
    return this.once(layer, `${low} ${high} ${map}`, () => {
      rasters.fill = paintNumbers(rasters.fill, size, array, type, colormapPixels(map), low, high);
    });
  }

  rangeOf(layer, array) {
    const { low, high } = layer.spec;
    const address = this.addressOf(layer.spec.pixels);
    if (layer.rangeFor !== address) {
      Object.assign(layer, { rangeFor: address, range: low === null || high === null ? extremes(array) : [0, 1] });
    }
    return [low ?? layer.range[0], high ?? layer.range[1]];
  }

  /** Cut regions and paint their fill and edge pixels, when pixels or settings changed. */
  prepareRegion(layer, array) {
    const { spec, rasters } = layer;
    const size = this.panes[layer.pane].size;
    const cut = "threshold" in spec ? this.thresholdOf(spec) : "";
    const truth = spec.truth ? this.addressOf(spec.truth) : "";
    this.once(layer, `${cut} ${truth} ${spec.side} ${spec.colour} ${spec.style}`, () => {
      rasters.region = this.regionOf(spec, array);
      const pixelOf = regionPixels(spec);
      rasters.fill = spec.style === "outline" ? null : paintRegion(rasters.fill, size, rasters.region, pixelOf);
      rasters.edges = hasOutline(spec) ? paintEdges(rasters.edges, size, rasters.region, pixelOf) : null;
      rasters.verdicts = spec.kind === "compare" ? this.splitVerdicts(rasters, size) : null;
    });
  }

  splitVerdicts(rasters, size) {
    return VERDICTS.map((verdict, i) => {
      const pixel = packPixel(...parseColour(verdict.colour), 255);
      return paintRegion(rasters.verdicts?.[i], size, rasters.region, (id) => (id === i + 1 ? pixel : 0));
    });
  }

  /** With a slider in the canvas there is one threshold; else each layer may have its own. */
  thresholdOf(spec) {
    return this.wants("threshold") ? this.state.threshold : spec.threshold;
  }

  regionOf(spec, array) {
    if (spec.kind === "mask" || spec.kind === "labels") return array;
    const predicted = regionOfThreshold(array, spec.pixels.type, this.thresholdOf(spec), spec.side);
    if (spec.kind === "threshold") return predicted;
    return regionOfVerdicts(predicted, this.pixelsOf(spec.truth));
  }

  /** Run `work` unless this layer was last worked on with the same pixels and settings. */
  once(layer, settings, work) {
    const stamp = `${this.addressOf(layer.spec.pixels)} ${settings}`;
    if (layer.rasters.stamp === stamp) return;
    work();
    layer.rasters.stamp = stamp;
  }

  paintOverlay(context, layer, transform, view) {
    const { rasters, spec } = layer;
    const { opacity } = this.settings(layer);
    if (rasters.fill) this.paintRaster(context, rasters.fill, transform, view);
    if (!hasOutline(spec)) return;
    context.globalAlpha = spec.style === "outline" ? opacity : Math.min(1, opacity * 1.9);
    if (transform.scale < VECTOR_EDGES_FROM) {
      this.paintRaster(context, rasters.edges, transform, view);
      return;
    }
    const size = this.panes[layer.pane].size;
    const seen = this.visiblePart(transform, view.clip, size.w, size.h);
    context.save();
    context.transform(transform.scale, 0, 0, transform.scale, transform.x, transform.y);
    context.lineWidth = 2 / transform.scale;
    context.lineCap = "square";
    for (const [colour, path] of edgePaths(size, rasters.region, seen, regionColour(spec))) {
      context.strokeStyle = colour;
      context.stroke(path);
    }
    context.restore();
  }

  /** Fill each verdict with its own pattern: drawn as a stencil, then filled on screen. */
  paintVerdicts(context, layer, transform, view) {
    const { verdicts } = layer.rasters;
    this.paintRaster(context, verdicts[0], transform, view);
    for (const i of [1, 2]) {
      const stencil = this.stencil();
      this.paintRaster(stencil, verdicts[i], transform, view);
      stencil.globalCompositeOperation = "source-in";
      stencil.setTransform(1, 0, 0, 1, 0, 0);
      const tile = patternTile(VERDICTS[i].pattern, VERDICTS[i].colour, this.ratio);
      const pattern = stencil.createPattern(tile, "repeat");
      pattern.setTransform(new DOMMatrix().translate(transform.x * this.ratio, transform.y * this.ratio));
      stencil.fillStyle = pattern;
      stencil.fillRect(0, 0, this.canvas.width, this.canvas.height);
      context.save();
      context.globalAlpha = Math.min(1, this.settings(layer).opacity * 1.5);
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.drawImage(stencil.canvas, 0, 0);
      context.restore();
    }
  }

  stencil() {
    const { width, height } = this.canvas;
    this.scratch = paintableCanvas(this.scratch, width, height);
    const context = this.scratch.getContext("2d");
    context.globalCompositeOperation = "source-over";
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    return context;
  }

  download() {
    const copy = newCanvas(this.canvas.width, this.canvas.height);
    const context = copy.getContext("2d");
    this.paint(this.canvas.getContext("2d"));
    context.fillStyle = getComputedStyle(this.stage).backgroundColor;
    context.fillRect(0, 0, copy.width, copy.height);
    context.drawImage(this.canvas, 0, 0);
    copy.toBlob((blob) => {
      const link = el("a", { href: URL.createObjectURL(blob), download: `${this.fileName()}.png` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    }, "image/png");
  }

  fileName() {
    const section = this.options.sections > 1 ? `-${this.state.section + 1}` : "";
    return this.key.replace(/[^\w.-]+/g, "_") + section;
  }

  /* ---- contrast ---- */

  groupOf(layer) {
    return `${layer.spec.pixels.type} ${layer.spec.window}`;
  }

  /**
   * Grey images of one number type share a window: what is compared looks comparable, and a step to
   * the next section does not flicker. Only an image that the window does not fit gets a new one.
   */
  windowOf(layer, array) {
    const group = this.groupOf(layer);
    const known = this.state.windows.get(group);
    const address = this.addressOf(layer.spec.pixels);
    if (known && layer.fitsFor === address) return known.window;
    layer.fitsFor = address;
    if (known && this.fits(known, layer, array)) return known.window;
    const window = this.startWindow(layer, array);
    this.state.windows.set(group, { window, chosen: false });
    return window;
  }

  fits({ window, chosen }, layer, array) {
    if (layer.spec.window || layer.spec.pixels.type === "u1") return true;
    const shared = overlap(window, percentiles(this.histogram(layer, array)));
    return chosen ? shared > 0 : shared > 0.5;
  }

  startWindow(layer, array) {
    const { window, pixels } = layer.spec;
    if (window) return window;
    return pixels.type === "u1" ? [0, 255] : percentiles(this.histogram(layer, array));
  }

  histogram(layer, array) {
    const address = this.addressOf(layer.spec.pixels);
    if (this.counted?.address !== address) {
      this.counted = { address, histogram: histogramOf(array, layer.spec.pixels.type) };
    }
    return this.counted.histogram;
  }

  greyLayer() {
    const layers = this.panes.flatMap((pane) => pane.layers);
    return layers.find((l) => l.spec.kind === "image" && l.spec.pixels.shape.length === 2);
  }

  setWindow(end, value) {
    const layer = this.greyLayer();
    const window = [...this.windowOf(layer, this.pixelsOf(layer.spec.pixels))];
    window[end] = value;
    if (window[0] > window[1]) window[1 - end] = value;
    this.applyWindow(layer, window);
  }

  resetWindow() {
    const layer = this.greyLayer();
    this.state.windows.delete(this.groupOf(layer));
    this.refreshContrast();
    this.invalidate();
  }

  autoWindow() {
    const layer = this.greyLayer();
    this.applyWindow(layer, percentiles(this.histogram(layer, this.pixelsOf(layer.spec.pixels))));
  }

  applyWindow(layer, window) {
    this.state.windows.set(this.groupOf(layer), { window, chosen: true });
    this.refreshContrast();
    this.invalidate();
  }

  refreshContrast() {
    const layer = this.greyLayer();
    if (!layer || this.state.panel !== "contrast") return;
    const array = this.pixelsOf(layer.spec.pixels);
    const window = this.windowOf(layer, array);
    const histogram = this.histogram(layer, array);
    this.contrast.range = [histogram.low, histogram.high];
    const span = histogram.high - histogram.low || 1;
    ["black", "white"].forEach((name, end) => {
      const { input, value } = this.contrast[name];
      setSlider(input, clamp(Math.round(((window[end] - histogram.low) / span) * 1000), 0, 1000));
      value.textContent = this.number.format(window[end]);
    });
    drawHistogram(this.contrast.plot, histogram, window);
  }

  /* ---- tools ---- */

  refreshStepper() {
    const { label, stepper, scrubber } = this.tools;
    const { sections, section } = this.options;
    stepper.hidden = section === null || sections < 2;
    const shown = this.wanted ?? this.state.section;
    label.textContent = this.words.section
      .replace("{index}", String(shown + 1))
      .replace("{count}", String(sections));
    scrubber.max = sections - 1;
    setSlider(scrubber, shown);
    const [previous, next] = stepper.querySelectorAll("button");
    previous.disabled = shown <= 0;
    next.disabled = shown >= sections - 1;
  }

  refreshTools() {
    const { buttons } = this.tools;
    this.refreshStepper();
    const hasOverlays = this.panes.some((pane) => pane.layers.length > 1);
    const press = (name, on) => buttons[name].setAttribute("aria-pressed", String(on));
    buttons.wipe.hidden = !this.canWipe(hasOverlays);
    buttons.overlays.hidden = !hasOverlays;
    buttons.contrast.hidden = !this.greyLayer();
    press("wipe", this.isWiping());
    press("overlays", this.state.overlays);
    press("contrast", this.state.panel === "contrast");
    press("layers", this.state.panel === "layers");
    this.refreshPanel();
    this.refreshFooter();
  }

  canWipe(hasOverlays) {
    return hasOverlays || this.panes.length > 1;
  }

  refreshPanel() {
    const { panel } = this.state;
    this.side.hidden = panel === null;
    if (panel === "contrast") {
      this.side.replaceChildren(this.contrast.panel);
      this.refreshContrast();
    }
    if (panel === "layers") {
      this.side.replaceChildren(
        buildLayersPanel(this.panes, this.words, {
          get: (layer) => this.settings(layer),
          set: (layer, change) => this.setLayer(layer, change),
          percent: (share) => this.percent.format(share),
        }),
      );
    }
  }

  refreshFooter() {
    const { legend, threshold, input, value } = this.footer;
    threshold.hidden = !this.wants("threshold");
    setSlider(input, this.state.threshold);
    value.textContent = this.share.format(this.state.threshold);
    legend.replaceChildren(...this.legendEntries().map((entry) => this.legendChip(entry)));
    this.root.classList.toggle("is-clickable", this.wants("click"));
  }

  /** Every look that is on the screen, once. */
  legendEntries() {
    const entries = new Map();
    for (const layer of this.panes.flatMap((pane) => pane.layers)) {
      if (layer.spec.kind === "image" || (layer.index > 0 && !this.state.overlays)) continue;
      if (!this.settings(layer).visible) continue;
      for (const entry of legendOf(layer, this.words)) {
        entries.set(`${entry.words} ${entry.colour} ${entry.shape}`, entry);
      }
    }
    return [...entries.values()];
  }

  legendChip(entry) {
    const chip = el("span", { class: "chip" }, swatch(entry), el("span", {}, entry.words));
    const array = entry.layer && this.pixelsOf(entry.layer.spec.pixels);
    if (array) {
      const [low, high] = this.rangeOf(entry.layer, array).map((v) => this.number.format(v));
      chip.prepend(el("small", {}, low));
      chip.insertBefore(el("small", {}, high), chip.lastChild);
    }
    return chip;
  }

  setLayer(layer, change) {
    Object.assign(this.settings(layer), change);
    if ("visible" in change) this.refreshTools();
    this.invalidate();
  }

  setThreshold(value) {
    this.state.threshold = value;
    this.refreshFooter();
    this.invalidate();
  }

  togglePanel(name) {
    this.state.panel = this.state.panel === name ? null : name;
    this.refreshTools();
  }

  toggleWipe() {
    this.state.wipe = { at: 0.5, ...this.state.wipe, on: !this.isWiping() };
    this.layOut();
    this.refreshTools();
    this.draw();
  }

  toggleOverlays() {
    this.state.overlays = !this.state.overlays;
    this.refreshTools();
    this.invalidate();
  }

  /* ---- sections ---- */

  step(by) {
    const from = this.wanted ?? this.state.section;
    this.goTo(clamp(from + by, 0, this.options.sections - 1));
  }

  goTo(target) {
    if (this.options.section === null || target === (this.wanted ?? this.state.section)) return;
    this.wanted = target;
    this.refreshStepper();
    if (this.isStack) this.showSection(target);
    this.sendStepSoon({ section_index: target });
  }

  /** A held key reports at most every STEP_EVERY_MS, and always its last section. */
  sendStepSoon(target) {
    clearTimeout(this.stepTimer);
    const wait = Math.max(0, this.lastStep + STEP_EVERY_MS - performance.now());
    this.stepTimer = setTimeout(() => {
      this.lastStep = performance.now();
      this.send("step", target);
    }, wait);
    clearTimeout(this.forgetTimer);
    this.forgetTimer = setTimeout(() => this.forgetWanted(), FORGET_STEP_AFTER_MS);
  }

  forgetWanted() {
    this.wanted = null;
    this.refreshStepper();
  }

  /** Show a section whose pixels were sent before, without Python; then fetch its neighbours. */
  async showSection(section) {
    const fetchAll = (index) =>
      Promise.all(this.addressesOf(this.incoming.panes, index).map(([a, t]) => frameSoon(a, t)));
    try {
      await fetchAll(section);
    } catch {
      this.showMessage(true);
      return;
    }
    if (this.wanted !== section) return; // already on to another one
    this.state.section = section;
    if (!this.wants("step")) this.wanted = null;
    this.showMessage(false);
    this.refreshTools();
    this.draw();
    const near = [section + 1, section - 1, section + 2];
    for (const s of near) {
      if (s >= 0 && s < this.options.sections) fetchAll(s).catch(() => undefined); // asked again when shown
    }
  }

  /* ---- view ---- */

  zoomBy(factor, x, y) {
    const rect = this.rects[0];
    const [cx, cy] = [x ?? rect.x + rect.w / 2, y ?? rect.y + rect.h / 2];
    this.glideTo(zoomAbout(this.state.view, rect, this.panes[0].size, factor, cx, cy));
  }

  fit() {
    this.glideTo(this.fitted());
  }

  /** Move the view in a short glide, or at once where motion is not wanted. */
  glideTo(goal) {
    const start = { ...this.state.view };
    const glide = (this.glide = (this.glide ?? 0) + 1);
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return this.setView(goal);
    const begun = performance.now();
    const tick = () => {
      if (glide !== this.glide) return;
      const part = clamp((performance.now() - begun) / 140, 0, 1);
      const ease = 1 - (1 - part) ** 3;
      const mix = (name) => start[name] + (goal[name] - start[name]) * ease;
      const places = Object.fromEntries(Object.keys(goal).map((name) => [name, mix(name)]));
      this.setView({ ...places, zoom: start.zoom * (goal.zoom / start.zoom) ** ease });
      if (part < 1) requestAnimationFrame(tick);
    };
    return tick();
  }

  /** Take a view of one pane, which the others follow. */
  setView(view) {
    this.state.view = view;
    this.settleView();
    this.canvas.style.touchAction = this.state.view.zoom > 1.001 ? "none" : "pan-y";
    this.invalidate();
  }

  panBy(dx, dy) {
    const pane = this.activePane;
    const view = this.viewOf(pane);
    const { size } = this.panes[pane];
    const scale = this.scaleNow();
    this.glide = (this.glide ?? 0) + 1;
    this.setView({ ...view, cx: view.cx - dx / (size.w * scale), cy: view.cy - dy / (size.h * scale) }, pane);
  }

  /** Remember where a wheel movement began: one that scrolls the page must not start to zoom. */
  noteWheel(event) {
    const now = performance.now();
    if (now - (this.wheelAt ?? -1e9) > 250) this.wheelIsOurs = event.composedPath().includes(this.canvas);
    this.wheelAt = now;
  }

  wheel(event) {
    const zoomsOut = event.deltaY > 0;
    const isFitted = this.state.view.zoom <= 1.0005;
    if (!event.ctrlKey && (!this.wheelIsOurs || (zoomsOut && isFitted))) return;
    event.preventDefault();
    const { x, y } = this.placeOf(event);
    const view = this.viewAt(x, y) ?? this.views()[0];
    const pixels = event.deltaMode === 1 ? event.deltaY * 16 : event.deltaY;
    const factor = Math.exp(-clamp(pixels, -120, 120) * (event.ctrlKey ? 0.01 : 0.0022));
    this.glide = (this.glide ?? 0) + 1;
    const { size } = this.panes[view.pane];
    this.setView(zoomAbout(this.viewOf(view.pane), view.rect, size, factor, x, y), view.pane);
    this.moveHover(x, y);
  }

  /* ---- pointer ---- */

  placeOf(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: event.clientX - box.x, y: event.clientY - box.y };
  }

  viewAt(x, y) {
    return this.views().find(
      ({ clip }) => x >= clip.x && x < clip.x + clip.w && y >= clip.y && y < clip.y + clip.h,
    );
  }

  /** The image place under a screen place, corner-based, or null beside the image. */
  spot(x, y) {
    const view = this.viewAt(x, y);
    if (!view) return null;
    const place = toImage(this.transformOf(view), x, y);
    const { size } = this.panes[view.pane];
    if (place.x < 0 || place.y < 0 || place.x >= size.w || place.y >= size.h) return null;
    return { pane: view.pane, view, ...place };
  }

  centresOf({ spec: { centres } }) {
    return (centres.length > 1 ? centres[this.state.section] : centres[0]) ?? [];
  }

  /** What is drawn of a layer of points: place, radius in pixels, colour, style and label of each. */
  marksOf(layer) {
    const { spec } = layer;
    return this.centresOf(layer).map(([y, x], index) => ({
      y,
      x,
      index,
      radius: Array.isArray(spec.radius) ? spec.radius[index] : spec.radius,
      style: pick(spec.styles, index),
      colour: pick(spec.colours, index),
      label: spec.labels[index] ?? null,
    }));
  }

  markOf(layer, index) {
    return this.marksOf(layer).find((mark) => mark.index === index);
  }

  placeMark(layer, index, y, x) {
    this.centresOf(layer)[index] = [y, x];
  }

  /** The nearest point under a screen place, upper layers first. */
  pointAt(x, y) {
    const view = this.viewAt(x, y);
    if (!view) return null;
    const transform = this.transformOf(view);
    for (const layer of [...this.panes[view.pane].layers].reverse()) {
      if (!isMarks(layer.spec) || !this.isDrawn(layer, view)) continue;
      let best = null;
      this.marksOf(layer).forEach((mark) => {
        const dx = transform.x + (mark.x + 0.5) * transform.scale - x;
        const dy = transform.y + (mark.y + 0.5) * transform.scale - y;
        const distance = Math.hypot(dx, dy);
        const reach = Math.max(8, mark.radius * transform.scale);
        if (distance > Math.min(reach, best?.distance ?? Infinity)) return;
        best = { layer, index: mark.index, label: mark.label, distance };
      });
      if (best) return best;
    }
    return null;
  }

  isSelected(layer) {
    return this.selected?.pane === layer.pane && this.selected?.layer === layer.index;
  }

  pointerDown(event) {
    this.stage.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    const place = this.placeOf(event);
    this.activePane = this.viewAt(place.x, place.y)?.pane ?? this.activePane;
    this.pointers.set(event.pointerId, place);
    const hit = this.pointAt(place.x, place.y);
    const grabbed = hit?.layer.spec.editable && event.button === 0 ? hit : null;
    this.press = { start: place, hit, grabbed, moved: false };
    if (this.pointers.size > 1) this.press.moved = true;
  }

  pointerMove(event) {
    const place = this.placeOf(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) return this.moveHover(place.x, place.y);
    if (this.pointers.size === 2) return this.pinch(event, place);
    const { press } = this;
    if (Math.hypot(place.x - press.start.x, place.y - press.start.y) > CLICK_SLACK) press.moved = true;
    if (!press.moved) return undefined;
    this.root.classList.add("is-dragging");
    if (press.grabbed) this.movePoint(press.grabbed, place);
    else this.panBy(place.x - before.x, place.y - before.y);
    this.pointers.set(event.pointerId, place);
    return undefined;
  }

  pinch(event, place) {
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
    const before = this.pointers.get(event.pointerId);
    const spread = (p) => Math.max(1, Math.hypot(p.x - other.x, p.y - other.y));
    const [mx, my] = [(place.x + other.x) / 2, (place.y + other.y) / 2];
    const view = this.viewAt(mx, my) ?? this.views()[0];
    const { size } = this.panes[view.pane];
    const factor = spread(place) / spread(before);
    this.setView(zoomAbout(this.viewOf(view.pane), view.rect, size, factor, mx, my), view.pane);
    this.panBy((place.x - before.x) / 2, (place.y - before.y) / 2);
    this.pointers.set(event.pointerId, place);
  }

  movePoint({ layer, index }, place) {
    const view = this.views().find((v) => v.pane === layer.pane);
    const spot = toImage(this.transformOf(view), place.x, place.y);
    const { w, h } = this.panes[layer.pane].size;
    this.placeMark(layer, index, clamp(spot.y, 0, h) - 0.5, clamp(spot.x, 0, w) - 0.5);
    this.selected = { pane: layer.pane, layer: layer.index, index };
    this.invalidate();
  }

  pointerUp(event) {
    const place = this.placeOf(event);
    const isOurs = this.pointers.delete(event.pointerId);
    this.root.classList.remove("is-dragging");
    if (!isOurs || this.pointers.size) return;
    const { press } = this;
    if (press.moved) {
      if (press.grabbed) this.endDrag(event, press, place);
      return;
    }
    this.click(event, place, press.hit);
  }

  endDrag(event, press, place) {
    const { layer, index } = press.grabbed;
    const { y, x } = this.markOf(layer, index);
    const from = this.spot(press.start.x, press.start.y);
    this.send("drag", {
      ...this.where(event, from ?? this.spot(place.x, place.y)),
      end_y_px: y,
      end_x_px: x,
      layer: layer.index,
      point_index: index,
    });
  }

  click(event, place, hit) {
    this.selected = hit && { pane: hit.layer.pane, layer: hit.layer.index, index: hit.index };
    this.invalidate();
    const spot = this.spot(place.x, place.y);
    if (!spot) return;
    this.send("click", {
      ...this.where(event, spot),
      layer: hit ? hit.layer.index : null,
      point_index: hit ? hit.index : null,
    });
  }

  where(event, spot) {
    return {
      pane: spot?.pane ?? 0,
      y_px: (spot?.y ?? 0.5) - 0.5,
      x_px: (spot?.x ?? 0.5) - 0.5,
      button: ["left", "middle", "right"][event.button] ?? "left",
      modifiers: ["shift", "ctrl", "alt", "meta"].filter((name) => event[`${name}Key`]),
    };
  }

  dragDivider(event) {
    if (!this.divider.hasPointerCapture(event.pointerId)) return;
    this.setWipe(this.placeOf(event).x / this.width);
  }

  setWipe(at) {
    this.state.wipe.at = clamp(at, 0, 1);
    this.placeDivider();
    this.invalidate();
  }

  /* ---- read-out ---- */

  moveHover(x, y) {
    const overPoint = this.pointAt(x, y);
    this.root.classList.toggle("is-over-point", Boolean(overPoint));
    this.hoverLabel = overPoint?.label ?? null;
    this.activePane = this.viewAt(x, y)?.pane ?? this.activePane;
    this.setHover(this.spot(x, y));
  }

  setHover(spot) {
    this.hover = spot;
    if (this.panes.length > 1 && !this.isWiping()) this.invalidate(); // the linked crosses move
    else this.writeReadout();
  }

  writeReadout() {
    const { readout } = this.footer;
    if (!this.hover) {
      readout.textContent = this.words.move_hint;
      readout.classList.add("is-idle");
      return;
    }
    readout.classList.remove("is-idle");
    const [x, y] = [Math.floor(this.hover.x), Math.floor(this.hover.y)];
    const parts = this.placeWords(x, y);
    if (this.hoverLabel) parts.unshift(this.hoverLabel);
    readout.textContent = [...parts, ...this.valuesAt(x, y)].join("  ·  ");
  }

  placeWords(x, y) {
    const { pixelSize, unit } = this.options;
    if (pixelSize === null) return [`x ${x}  y ${y} px`];
    const text = (n) => lengthText(n * pixelSize, unit, (v) => this.number.format(v));
    return [`x ${x}  y ${y} px`, `${text(this.hover.x)}, ${text(this.hover.y)}`];
  }

  valuesAt(x, y) {
    const pane = this.panes[this.hover.pane];
    const position = y * pane.size.w + x;
    return pane.layers
      .filter((l) => l.spec.pixels && l.spec.kind !== "mask" && this.settings(l).visible)
      .map((layer) => {
        const { pixels, name } = layer.spec;
        const array = this.pixelsOf(pixels);
        if (!array) return "";
        const channels = pixels.shape[2] ?? 1;
        const values = [...array.subarray(position * channels, (position + 1) * channels)];
        return `${name} ${values.map((v) => this.valueText(v, layer)).join(" ")}`;
      });
  }

  valueText(value, { spec }) {
    const isShare = (spec.kind === "threshold" || spec.kind === "compare") && spec.pixels.type === "u1";
    return Number.isNaN(value) ? "–" : this.number.format(isShare ? value / 255 : value);
  }

  /* ---- keys ---- */

  keyDown(event) {
    if (event.target !== this.stage || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = this.keyAction(event);
    if (!act) return;
    event.preventDefault();
    event.stopPropagation(); // Streamlit has shortcuts of its own
    act();
  }

  keyAction(event) {
    const arrows = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };
    const steps = { PageUp: -1, k: -1, ArrowLeft: -1, PageDown: 1, j: 1, ArrowRight: 1 };
    if (this.canStep() && event.key in steps && !event.shiftKey) return () => this.step(steps[event.key]);
    if (event.key in arrows) return () => this.panBy(...arrows[event.key]);
    const plain = {
      0: () => this.fit(),
      "+": () => this.zoomBy(1.5),
      "=": () => this.zoomBy(1.5),
      "-": () => this.zoomBy(1 / 1.5),
      w: () => this.tools.buttons.wipe.hidden || this.toggleWipe(),
      o: () => this.toggleOverlays(),
    };
    if (event.key === "Escape" && this.state.panel) return () => this.togglePanel(this.state.panel);
    if (event.key === "Delete" || event.key === "Backspace") return this.selected && (() => this.deletePoint());
    return plain[event.key.toLowerCase()];
  }

  canStep() {
    return this.options.section !== null && this.options.sections > 1;
  }

  deletePoint() {
    const { pane, layer, index } = this.selected;
    const found = this.panes[pane]?.layers[layer];
    if (!found?.spec.editable) return;
    const { y: y_px, x: x_px } = this.markOf(found, index) ?? {};
    this.selected = null;
    this.send("delete", { pane, layer, point_index: index, y_px, x_px });
  }

  dividerKey(event) {
    const by = { ArrowLeft: -0.02, ArrowRight: 0.02, Home: -1, End: 1 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.setWipe(this.state.wipe.at + by);
  }

  /* ---- events out ---- */

  wants(kind) {
    return this.options.events.includes(kind);
  }

  send(kind, fields) {
    if (!this.wants(kind)) return;
    const section_index = this.options.section === null ? null : this.state.section;
    this.report({ kind, section_index, ...fields });
  }
}

const isMarks = (spec) => spec.kind === "points" || spec.kind === "spheres";

/** The content id of the pixels that a pane shows, as the page can read it. */
function nameOfPixels(pane) {
  const { pixels } = pane.layers.find((layer) => layer.spec.pixels).spec;
  return (this.addressOf(pixels) ?? "").split("/").pop().split(".")[0];
}

const hasOutline = (spec) => (spec.kind === "labels" ? spec.outlined : spec.style !== "fill" && spec.kind !== "compare");

function regionPixels(spec) {
  if (spec.kind !== "labels") {
    const pixel = packPixel(...parseColour(spec.colour ?? "#000000"), 255);
    return () => pixel;
  }
  const known = new Map();
  return (id) => {
    if (!known.has(id)) known.set(id, packPixel(...instanceColour(id), 255));
    return known.get(id);
  };
}

function regionColour(spec) {
  if (spec.kind !== "labels") return () => spec.colour;
  return (id) => `rgb(${instanceColour(id).join(" ")})`;
}

function paintableCanvas(canvas, w, h) {
  return canvas && canvas.width === w && canvas.height === h ? canvas : newCanvas(w, h);
}
