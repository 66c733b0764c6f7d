/* A viewer that keeps the sections it was sent on a shelf, and steps to them at once. */

const ASK_AFTER_MS = 200; // others are fetched ahead only once somebody rests on a section
const WHEEL_STEP_PX = 40; // how far a wheel turns from one section to the next

class ShelfViewer extends Viewer {
  constructor(root) {
    super(root);
    this.shelf = new Map(); // section -> its panes, as Python packed them
    this.stamp = null; // what is the same in all sections of the shelf
    this.wheelTurned = 0;
  }

  /** Put what Python sent on the shelf; show the section that was asked for last, if it is here. */
  async update(data, report) {
    this.latest = data;
    if (data.options.section === this.wanted) this.wanted = null;
    this.putOnShelf(data);
    const isLate = this.wanted !== null && this.isHere(this.wanted);
    await super.update(isLate ? this.at(this.wanted) : data, report);
    this.askSoon();
  }

  /** Every section that reaches `update` is meant to be shown: late ones were replaced there. */
  takeSection(section) {
    this.state.section = section;
  }

  putOnShelf({ options, panes, near }) {
    if (this.stamp !== options.stamp) {
      this.shelf.clear();
      this.stamp = options.stamp;
    }
    this.shelf.set(options.section, panes);
    for (const [section, others] of Object.entries(near)) this.fetchAhead(Number(section), others);
  }

  /** Take a neighbour in; when its pixels do not come, Python is asked once it is wanted. */
  async fetchAhead(section, panes) {
    const { shelf } = this;
    shelf.set(section, panes);
    try {
      await Promise.all(this.addressesOf(panes).map(([address, type]) => frameSoon(address, type)));
    } catch {
      if (shelf.get(section) === panes) shelf.delete(section);
    }
  }

  /** Whether a section can be shown now, with nothing to wait for. */
  isHere(section) {
    const panes = this.shelf.get(section);
    return Boolean(panes) && this.addressesOf(panes).every(([address]) => frameNow(address));
  }

  at(section) {
    const { latest } = this;
    return { ...latest, panes: this.shelf.get(section), options: { ...latest.options, section } };
  }

  goTo(target) {
    super.goTo(target);
    if (target === this.wanted && this.isHere(target)) super.update(this.at(target), this.report);
  }

  askSoon() {
    clearTimeout(this.askTimer);
    if (this.wants("near")) this.askTimer = setTimeout(() => this.ask(), ASK_AFTER_MS);
  }

  /** Ask for the sections around this one that are not here, the nearest first. */
  ask() {
    if (this.wanted !== null || !this.root.isConnected) return;
    const { section } = this.state;
    const { reach, sections } = this.options;
    const missing = [];
    for (let by = 1; by <= reach; by += 1) {
      for (const other of [section + by, section - by]) {
        if (other >= 0 && other < sections && !this.shelf.has(other)) missing.push(other);
      }
    }
    const question = `${this.stamp} ${section} ${missing}`;
    if (!missing.length || question === this.asked) return; // the last answer brought none of them
    this.asked = question;
    this.send("near", { sections: missing });
  }

  /** With the shift key the wheel steps through the sections; browsers then turn it sideways. */
  wheel(event) {
    if (!event.shiftKey || this.options.sections < 2) return super.wheel(event);
    event.preventDefault();
    const turned = event.deltaY || event.deltaX;
    this.wheelTurned += event.deltaMode === 1 ? turned * 16 : turned;
    const by = Math.trunc(this.wheelTurned / WHEEL_STEP_PX);
    this.wheelTurned -= by * WHEEL_STEP_PX;
    return by ? this.step(Math.sign(by)) : undefined;
  }
}
