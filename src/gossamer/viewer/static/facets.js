// What is there to choose from: services, types, status, environments and keys, with counts. A click adds to the search.

import { button, fill, h, icon, iconButton, line, span } from "./dom.js";
import { count } from "./format.js";
import { get } from "./api.js";
import { paint } from "./colours.js";
import { go, onState, range, state } from "./state.js";
import { has, minus, plus, term, toggle } from "./query.js";

const SHOWN = 8;
// Group of the answer, field of the search, title; the last two only help completion.
const GROUPS = [
  ["statuses", "status", "Status"], ["services", "service", "Service"], ["envs", "env", "Environment"], ["types", "type", "Type"], ["kinds", "kind", "Kind"], ["keys", "keys", "Attributes"],
  ["names", "name"], ["resources", "resource"],
];

export class Facets {
  /** `drawn(answer)` is told every answer. */
  constructor(element, toggleButton, drawn) {
    this.drawn = drawn;
    this.element = element;
    this.toggleButton = toggleButton;
    this.groups = new Map();
    this.open = new Set();
    toggleButton.addEventListener("click", () => this.sheet(!this.element.classList.contains("open")));
    onState((now, before) => {
      if (["q", "since", "from", "to"].some((key) => now[key] !== before[key])) this.load();
    });
  }

  sheet(open) {
    this.element.classList.toggle("open", open);
    this.toggleButton.setAttribute("aria-expanded", String(open));
    if (open) this.element.querySelector("button")?.focus();
  }

  async load() {
    if (this.abort) this.abort.abort();
    this.abort = new AbortController();
    const asked = state();
    try {
      const answer = await get("facets", { q: asked.q, ...range(asked) }, this.abort.signal);
      for (const [group, field] of GROUPS) this.groups.set(field, valuesOf(answer, group));
      this.drawn(answer);
      this.draw();
    } catch {
      // A search that cannot be read is reported beside the box; the facets stay as they were.
    }
  }

  /** Known values of a field, for completion. */
  values(field) {
    return this.groups.get(field) || [];
  }

  draw() {
    const focused = document.activeElement && this.element.contains(document.activeElement) ? document.activeElement.dataset.term : null;
    fill(this.element, h("div", { class: "sheet-head" }, "Filter", iconButton("close", "Close the filters", () => this.sheet(false), "tool icon")),
      GROUPS.map(([, field, title]) => title && this.group(field, title)));
    if (focused) [...this.element.querySelectorAll(".facet")].find((node) => node.dataset.term === focused)?.focus();
  }

  group(name, title) {
    const all = this.groups.get(name) || [];
    if (!all.length || (name === "env" && all.length === 1 && !all[0][0])) return null;
    const shown = this.open.has(name) ? all : all.slice(0, SHOWN);
    return h("section", {}, h("h2", { text: title }), h("ul", {}, shown.map(([value, hits]) => h("li", {}, this.facet(name, value, hits)))),
      all.length > SHOWN ? button(this.open.has(name) ? "Fewer" : "All " + all.length, "plain", () => this.more(name), { "aria-expanded": String(this.open.has(name)) }) : null);
  }

  more(name) {
    if (!this.open.delete(name)) this.open.add(name);
    this.draw();
  }

  facet(name, value, hits) {
    const text = name === "keys" ? "has:@" + value : term(name, value);
    const { q } = state();
    const shown = line(value, 120) || "(none)";
    return h("button", {
      type: "button", class: "facet", "aria-pressed": String(has(q, text)), "data-term": text, title: text + " · with Alt: leave out",
      on: { click: (event) => this.choose(text, event.altKey) },
    },
    name === "service" ? paint(h("i", { class: "swatch" }), value) : name === "status" && value === "error" ? icon("error") : null,
    span("name v", shown),
    span("hits", hits === null ? "" : count(hits)));
  }

  choose(text, exclude) {
    const { q } = state();
    go({ q: exclude ? plus(minus(q, text), "-" + text) : toggle(q, text) }, true);
  }
}

/** One group of the answer as [[value, count]]. */
const valuesOf = (answer, name) => answer[name].map((item) => (typeof item === "string" ? [item, null] : [item.value, item.count]));
