/* Three planes through one volume: one crosshair, one scale, and edges that line up. */

const VOLUME_AXES = ["z", "y", "x"];
const SPHERE_FIELDS = 5; // z, y, x, radius, look
const REST_MS = 120;
const LEFT_OUT = 0.05; // of a pane's side: a crosshair nearer to the border than this is brought in

const cutAxis = (pane) => VOLUME_AXES.find((axis) => !pane.axes.includes(axis));
const axisIndex = (axis) => VOLUME_AXES.indexOf(axis);
const isSame = (a, b) => String(a) === String(b);

class PlanesViewer extends Viewer {
  /* ---- data in ---- */

  /**
   * What Python says wins, except over steps that it has not answered yet: those stay where the
   * sections that were sent reach, and else the last answer is shown on the way.
   */
  takeGiven(data) {
    super.takeGiven(data);
    const { at, selected } = data.options;
    const isNews = !isSame(this.state.given.at, at);
    this.state.given.at = at;
    if (isSame(at, this.wanted)) this.wanted = null;
    const own = this.wanted ?? (isNews ? at : this.state.at ?? at);
    this.goal = covers(data, own) ? own : at;
    if (JSON.stringify(this.state.given.selected) !== JSON.stringify(selected)) {
      this.selected = selected && { pane: 0, ...selected };
    }
    this.state.given.selected = selected;
  }

  addressesOf(panes, at = this.goal) {
    const spheres = panes.flatMap((pane) => pane.layers.map((spec) => spec.spheres).filter(Boolean));
    const pixels = panes.flatMap((pane) =>
      pane.layers
        .filter((spec) => spec.pixels)
        .map((spec) => [spec.pixels.urls[at[axisIndex(cutAxis(pane))]], spec.pixels.type]),
    );
    const all = [...pixels, ...spheres.map((address) => [address, "f4"])];
    return all.filter(([address]) => address);
  }

  adopt(data) {
    for (const pane of data.panes) {
      for (const { pixels } of pane.layers) if (pixels) pixels.axis = axisIndex(cutAxis(pane));
    }
    this.shape = data.options.shape;
    this.moveTo(this.goal);
    super.adopt(data);
    this.bringIn();
    this.refreshAxes();
    setTimeout(() => this.fetchNeighbours(data), 0);
    clearTimeout(this.restTimer);
    this.restTimer = setTimeout(() => this.askForNeighbours(), REST_MS);
  }

  /** Somebody rests here: the sections on both sides are wanted next. */
  askForNeighbours() {
    if (this.wanted || !this.root.isConnected) return;
    const { at } = this.state;
    const isLonely = at.some((place, axis) => {
      const beside = place > 0 ? -1 : 1;
      return this.shape[axis] > 1 && !covers(this.incoming, at.with(axis, place + beside));
    });
    if (isLonely && !isSame(this.askedAt, at)) this.send("near", { at });
    this.askedAt = at;
  }

  /** Fetch the sections on both sides, the nearest first, once the picture stands. */
  fetchNeighbours(data) {
    if (data !== this.incoming) return;
    const near = data.panes.flatMap((pane) => {
      const here = this.state.at[axisIndex(cutAxis(pane))];
      const { urls, type } = pane.layers.find((spec) => spec.pixels).pixels;
      return Object.entries(urls).map(([index, url]) => [Math.abs(index - here), url, type]);
    });
    near.sort(([a], [b]) => a - b);
    for (const [, url, type] of near) if (url) frameSoon(url, type).catch(() => undefined);
  }

  addressOf(pixels) {
    return pixels.urls[this.state.at[pixels.axis]];
  }

  numNamedPanes() {
    return this.panes.length;
  }

  draw() {
    super.draw();
    if (this.state.at) this.root.dataset.at = this.state.at.join(",");
  }

  /* ---- page ---- */

  build(data) {
    this.shape = data.options.shape;
    super.build(data);
  }

  moreBars() {
    this.axes = buildAxisBar(this.words, VOLUME_AXES, (axis, value) => this.goToPlane(axisIndex(axis), value));
    return [this.axes.bar];
  }

  keyWords(words) {
    return words.plane_keys;
  }

  canWipe() {
    return false;
  }

  isWiping() {
    return false;
  }

  placePanes(width, height) {
    const [Z, Y, X] = this.shape;
    const scale = Math.min((width - GAP) / (X + Z), (height - GAP) / (Y + Z));
    const side = { z: Math.round(Z * scale), y: Math.round(Y * scale), x: Math.round(X * scale) };
    const left = Math.max(0, Math.round((width - side.x - GAP - side.z) / 2));
    return this.panes.map(({ axes: [row, column] }) => ({
      x: column === "z" ? left + side.x + GAP : left,
      y: row === "z" ? side.y + GAP : 0,
      w: side[column],
      h: side[row],
    }));
  }

  naturalHeight(width) {
    const [Z, Y, X] = this.shape;
    const tall = ((width - GAP) * (Y + Z)) / (X + Z) + GAP;
    return Math.round(clamp(tall, 200, 0.82 * innerHeight));
  }

  /* ---- the view: a centre in the volume, as a share along each axis, and a zoom ---- */

  fitted() {
    return { z: 0.5, y: 0.5, x: 0.5, zoom: 1 };
  }

  viewOf(pane) {
    const { axes: [row, column], size } = this.panes[pane];
    const { view } = this.state;
    return clampView({ cx: view[column], cy: view[row], zoom: view.zoom }, this.rects[pane], size);
  }

  setView(view, pane = 0) {
    if ("cx" in view) {
      const { axes: [row, column], size } = this.panes[pane];
      const { cx, cy, zoom } = clampView(view, this.rects[pane], size);
      Object.assign(this.state.view, { [column]: cx, [row]: cy, zoom });
    } else {
      this.state.view = view;
    }
    this.canvas.style.touchAction = this.state.view.zoom > 1.001 ? "none" : "pan-y";
    this.invalidate();
  }

  settleView() {
    if (!("z" in this.state.view)) this.state.view = this.fitted();
  }

  /** Zoom about the crosshair. */
  zoomBy(factor) {
    const { view, at } = this.state;
    const zoom = clamp(view.zoom * factor, 1, (MAX_SCALE * view.zoom) / this.scaleNow());
    const goal = { zoom };
    VOLUME_AXES.forEach((axis, i) => {
      const cross = (at[i] + 0.5) / this.shape[i];
      goal[axis] = cross + (view[axis] - cross) * (view.zoom / zoom);
    });
    this.glideTo(goal);
  }

  /** Move the view so far that the crosshair is in it. */
  bringIn() {
    const { view, at } = this.state;
    if (view.zoom <= 1.001 || isSame(this.shownAt, at)) return;
    this.shownAt = [...at];
    this.panes.forEach(({ axes, size }, pane) => {
      const { cx, cy } = this.viewOf(pane);
      const rect = this.rects[pane];
      const scale = this.scaleNow();
      [[axes[1], cx, rect.w / (2 * scale * size.w)], [axes[0], cy, rect.h / (2 * scale * size.h)]].forEach(
        ([axis, centre, half]) => {
          const cross = (at[axisIndex(axis)] + 0.5) / this.shape[axisIndex(axis)];
          if (Math.abs(cross - centre) > half * (1 - LEFT_OUT)) view[axis] = cross;
        },
      );
    });
  }

  /* ---- drawing ---- */

  titleOf(pane) {
    const index = this.state.at[axisIndex(cutAxis(pane))];
    const title = pane.title.replace("{index}", String(index)).replace("{length}", this.lengthWords(index));
    return title.replace(/[\s·]+$/, ""); // no length where the spacing is unknown
  }

  /** Where a section lies; angstrom stay angstrom, as picks are written in them. */
  lengthWords(index) {
    const { pixelSize, unit, offset } = this.options;
    if (pixelSize === null) return "";
    const length = (index - offset) * pixelSize;
    if (unit === "angstrom") return `${this.whole.format(length)} Å`;
    return lengthText(length, unit, (value) => this.number.format(value));
  }

  get whole() {
    this.wholeNumber ??= new Intl.NumberFormat(this.language, { maximumFractionDigits: 0 });
    return this.wholeNumber;
  }

  paintOver(context, view, transform) {
    const { axes, size } = this.panes[view.pane];
    const [y, x] = axes.map((axis) => this.state.at[axisIndex(axis)] + 0.5);
    const seen = seenRect(view.rect, transform, size);
    if (this.state.overlays) {
      drawCrosshair(context, seen, transform.x + x * transform.scale, transform.y + y * transform.scale);
    }
  }

  /** Cut the spheres of a layer with the plane of its pane; what is dragged stays in the picture. */
  marksOf(layer) {
    if (layer.spec.kind !== "spheres") return super.marksOf(layer);
    const table = layer.spec.spheres ? frameNow(layer.spec.spheres) : null;
    if (!table) return [];
    const section = this.state.at[axisIndex(cutAxis(this.panes[layer.pane]))];
    const stamp = `${section} ${layer.spec.spheres} ${JSON.stringify(layer.moved)}`;
    if (layer.cut?.stamp !== stamp) layer.cut = { stamp, marks: this.cutSpheres(layer, table, section) };
    return layer.cut.marks;
  }

  cutSpheres(layer, table, section) {
    const { axes } = this.panes[layer.pane];
    const [depthAt, rowAt, columnAt] = [cutAxis({ axes }), ...axes].map(axisIndex);
    const marks = [];
    for (let i = 0, index = 0; i < table.length; i += SPHERE_FIELDS, index += 1) {
      const depth = table[i + depthAt] - section;
      const radius = table[i + 3];
      const moved = layer.moved?.index === index ? layer.moved : null;
      if (Math.abs(depth) >= radius && !moved) continue;
      const { colour, style, label } = layer.spec.palette[table[i + 4]];
      marks.push({
        index,
        y: moved?.y ?? table[i + rowAt],
        x: moved?.x ?? table[i + columnAt],
        radius: Math.sqrt(Math.max(0, radius ** 2 - depth ** 2)),
        colour,
        style,
        label,
      });
    }
    return marks;
  }

  placeMark(layer, index, y, x) {
    layer.moved = { index, y, x };
  }

  /** A sphere that is selected is so in all three planes. */
  isSelected(layer) {
    return this.selected?.layer === layer.index;
  }

  /* ---- steps ---- */

  canStep() {
    return true;
  }

  /** Step the plane that the pointer was in last. */
  step(by) {
    const axis = axisIndex(cutAxis(this.panes[this.activePane]));
    this.goToPlane(axis, (this.wanted ?? this.state.at)[axis] + by);
  }

  goToPlane(axis, index) {
    const from = this.wanted ?? this.state.at;
    const target = from.with(axis, clamp(index, 0, this.shape[axis] - 1));
    if (isSame(target, from)) return;
    this.wanted = target;
    this.refreshAxes();
    if (covers(this.incoming, target)) this.showAt(target);
    this.sendStepSoon({ at: target });
  }

  /** Show sections that were sent before, without Python: at once where they are here already. */
  async showAt(target) {
    const addresses = this.addressesOf(this.incoming.panes, target);
    if (!addresses.every(([address]) => frameNow(address))) {
      try {
        await Promise.all(addresses.map(([address, type]) => frameSoon(address, type)));
      } catch {
        return; // the answer of Python brings them again
      }
      if (!isSame(this.wanted ?? this.state.at, target) || !covers(this.incoming, target)) return;
    }
    this.moveTo(target);
    this.bringIn();
    this.draw();
  }

  moveTo(at) {
    this.state.at = [...at];
  }

  forgetWanted() {
    this.wanted = null;
    this.refreshAxes();
  }

  refreshStepper() {
    this.tools.stepper.hidden = true;
  }

  refreshAxes() {
    const shown = this.wanted ?? this.state.at;
    VOLUME_AXES.forEach((axis, i) => {
      const { input, value } = this.axes.parts[axis];
      input.max = this.shape[i] - 1;
      setSlider(input, shown[i]);
      value.textContent = [shown[i], this.lengthWords(shown[i])].filter((part) => part !== "").join(" · ");
    });
  }

  /* ---- pointer and read-out ---- */

  setHover(spot) {
    this.hover = spot;
    this.writeReadout();
  }

  placeWords(x, y) {
    const pane = this.panes[this.hover.pane];
    const place = { [cutAxis(pane)]: this.state.at[axisIndex(cutAxis(pane))], [pane.axes[0]]: y, [pane.axes[1]]: x };
    const voxels = VOLUME_AXES.map((axis) => `${axis} ${place[axis]}`).join("  ");
    if (this.options.pixelSize === null) return [voxels];
    return [voxels, VOLUME_AXES.map((axis) => this.lengthWords(place[axis])).join(", ")];
  }

  send(kind, fields) {
    if (this.wants(kind)) this.report({ kind, at: this.state.at, ...fields });
  }
}

/** Whether the sections that were sent hold all planes at a voxel. */
function covers(data, at) {
  return data.panes.every((pane) =>
    pane.layers.every((spec) => !spec.pixels || spec.pixels.urls[at[axisIndex(cutAxis(pane))]] !== undefined),
  );
}
