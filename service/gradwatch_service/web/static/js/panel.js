// One chart on the page: it reads, draws, says what is seen, and tells when it cannot.
import { draw, listenTo } from "./plot.js";

export class Panel {
  /** `chart`: `load(context, signal)`, `isEmpty(data)`, `figure(data, context)`, `say(data, context)`. */
  constructor(root, chart, context) {
    this.root = root;
    this.chart = chart;
    this.context = context;
    this.plot = root.querySelector(".plot");
    this.said = root.querySelector(".said");
    this.told = root.querySelector(".told");
    this.link = root.querySelector(".data");
    this.data = null;
    this.request = null;
    this.turn = 0;
    this.reading = null;
    root.querySelector(".again")?.addEventListener("click", () => {
      context.learn();
      this.refresh();
    });
  }

  /** Read anew; what is still being read for an older view is let go. */
  refresh() {
    const reading = this.#read();
    this.reading = reading;
    return reading.finally(() => {
      if (this.reading === reading) this.reading = null;
    });
  }

  async #read() {
    this.request?.abort();
    this.request = new AbortController();
    const { signal } = this.request;
    if (this.data === null) this.#show("loading", "Loading …");
    this.root.setAttribute("aria-busy", "true");
    try {
      const data = await this.chart.load(this, signal);
      if (signal.aborted) return;
      this.data = data;
      await this.redraw();
    } catch (error) {
      if (signal.aborted) return;
      this.#show("error", `This chart could not be read: ${error.message}`);
    }
    this.root.setAttribute("aria-busy", "false");
  }

  /** Draw what was read before, as the theme and the view are now. */
  async redraw() {
    const { data } = this;
    if (data === null) return;
    const turn = ++this.turn;
    if (this.chart.isEmpty(data, this)) {
      this.said.textContent = "";
      this.#show("empty", this.chart.missing);
      return;
    }
    this.said.textContent = this.chart.say(data, this);
    if (this.chart.source) this.link.href = `/api/v1/runs/${this.context.run}/${this.chart.source(data, this)}`;
    this.plot.hidden = false;
    await draw(this.plot, this.chart.figure(data, this));
    if (turn !== this.turn) return;
    this.#listen();
    this.told.textContent = "";
    this.chart.after?.(data, this);
    this.root.dataset.state = "drawn";
  }

  #listen() {
    if (this.listening) return;
    this.listening = true;
    const { view } = this.context;
    listenTo(this.plot, {
      zoom: this.chart.alongSteps && ((from, to) => view.zoom(from, to)),
      reset: this.chart.alongSteps && (() => view.reset()),
      click: (points) => this.chart.click?.(points, this),
    });
  }

  #show(state, text) {
    this.root.dataset.state = state;
    this.told.textContent = text;
    this.plot.hidden = state === "empty" || (state === "error" && this.data === null);
  }
}
