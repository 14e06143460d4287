/* Draws the charts of a page from the specifications that stand in it, in the colours of its scheme, and saves them as
   SVG and PNG. Nothing is fetched, nothing is made from text: expressions are interpreted (vega-interpreter). */
(() => {
  "use strict";
  const NARROW = 560, SAVED = 860;

  /* The specification with other colours: only what tells how it looks is gone through, never what it shows. */
  const coloured = (part, colours) => {
    if (typeof part === "string") {
      return part.replace(/#[0-9a-f]{6}/g, (each) => colours[each] || each);
    }
    if (Array.isArray(part)) {
      return part.map((each) => coloured(each, colours));
    }
    if (part === null || typeof part !== "object") {
      return part;
    }
    return Object.fromEntries(
      Object.entries(part).map(([name, value]) => [
        name,
        ["data", "domain", "title", "description", "transform"].includes(name) ? value : coloured(value, colours),
      ]),
    );
  };

  const view = (specification, options) => {
    const compiled = vegaLite.compile(specification, { logger: vega.logger(vega.Error) }).spec;
    return new vega.View(vega.parse(compiled, null, { ast: true }), {
      expr: vegaInterpreter.expressionInterpreter,
      loader: vega.loader({ sanitize: () => Promise.reject(new Error("nothing is loaded")) }),
      logLevel: vega.Error,
      ...options,
    });
  };

  class Chart {
    constructor(figure) {
      this.figure = figure;
      this.drawing = figure.querySelector(".drawing");
      this.specification = JSON.parse(figure.dataset.chart);
      this.palette = JSON.parse(figure.dataset.palette);
      figure.querySelectorAll("[data-save]").forEach((button) => {
        button.addEventListener("click", () => this.save(button.dataset.save));
        button.hidden = false;
      });
    }

    async draw(printed) {
      this.drawing.hidden = false;
      const width = this.drawing.clientWidth;
      const style = getComputedStyle(document.documentElement);
      const colours = Object.fromEntries(
        Object.entries(this.palette).map(([colour, name]) => [colour, style.getPropertyValue(name).trim()]),
      );
      // Upon paper, the colours of the light scheme.
      const shown = printed ? structuredClone(this.specification) : coloured(this.specification, colours);
      // The heading stands above.
      delete shown.title;
      shown.background = null;
      if (width < NARROW) {
        shown.layer = shown.layer.filter((each) => each.name !== "ends");
        shown.layer.flatMap((each) => each.layer || []).filter((each) => (each.name || "").startsWith("limit")).forEach((each) => {
          each.encoding.text.field = "short";
        });
        shown.config.legend.layout = { top: { direction: "vertical" } };
        shown.config.axis.labelLimit = 110;
      }
      shown.config.legend.columns = Math.max(1, Math.floor(width / 190));
      const drawn = view(shown, { renderer: "svg", container: this.drawing, hover: false });
      await drawn.runAsync();
      if (this.view) {
        this.view.finalize();
      }
      this.view = drawn;
      this.width = width;
      // One picture with one text; marks are not read one by one.
      this.drawing.setAttribute("role", "img");
      this.drawing.setAttribute("aria-label", shown.description);
      this.drawing.firstElementChild.setAttribute("aria-hidden", "true");
      this.figure.dataset.drawn = "true";
    }

    async save(kind) {
      const picture = view({ ...this.specification, width: SAVED, autosize: "pad" }, { renderer: "none" });
      const name = `${this.figure.id}.${kind}`;
      if (kind === "svg") {
        return this.keep(name, new Blob([await picture.toSVG()], { type: "image/svg+xml" }));
      }
      const canvas = await picture.toCanvas(2);
      return canvas.toBlob((blob) => this.keep(name, blob), "image/png");
    }

    keep(name, blob) {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    }
  }

  const charts = [...document.querySelectorAll("figure[data-chart]")].map((figure) => new Chart(figure));
  const all = (printed) => Promise.all(charts.map((each) => each.draw(printed)));
  all();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => all());
  addEventListener("beforeprint", () => all(true));
  addEventListener("afterprint", () => all());
  let waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => charts.filter((each) => each.drawing.clientWidth !== each.width).forEach((each) => each.draw()), 150);
  });
})();
