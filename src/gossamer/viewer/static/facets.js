// What is there to choose from: services, types, status, environments and keys, with counts. A click adds to the search.

import { div, fill, focused, h, icon, iconButton, line, span } from "./dom.js";
import { count } from "./format.js";
import { get } from "./api.js";
import { swatch } from "./colours.js";
import { go, onState, range, state } from "./state.js";
import { has, minus, plus, term, toggle } from "./query.js";

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

	values(field) {
		return this.groups.get(field) || [];
	}

	draw() {
		const held = this.element.contains(focused()) ? focused().dataset.term : null;
		fill(this.element, div("sheet-head", "Filter", iconButton("close", "Close the filters", () => this.sheet(false), "tool icon")),
			GROUPS.map(([, field, title]) => title && this.group(field, title)));
		if (held) [...this.element.querySelectorAll(".facet")].find((node) => node.dataset.term === held)?.focus();
	}

	group(name, title) {
		const all = this.groups.get(name) || [];
		if (!all.length || (name === "env" && all.length === 1 && !all[0][0])) return null;
		return h("section", {}, h("h2", { text: title }), h("ul", {}, all.map(([value, hits]) => h("li", {}, this.facet(name, value, hits)))));
	}

	facet(name, value, hits) {
		const text = name === "keys" ? "has:@" + value : term(name, value);
		const { q } = state();
		const shown = line(value, 120) || "(none)";
		return h("button", {
			type: "button", class: "facet", "aria-pressed": String(has(q, text)), "data-term": text, title: text + " · with Alt: leave out",
			on: { click: (event) => this.choose(text, event.altKey) },
		},
		name === "service" ? swatch(value) : name === "status" && value === "error" ? icon("error") : null,
		span("name v", shown),
		span("hits", hits === null ? "" : count(hits)));
	}

	choose(text, exclude) {
		const { q } = state();
		go({ q: exclude ? plus(minus(q, text), "-" + text) : toggle(q, text) }, true);
	}
}

/** One group of the answer as [[value, count]]; environments are counted in a sample only, so not shown. */
const valuesOf = (answer, name) => answer[name].map((item) => (typeof item === "string" ? [item, null] : [item.value, name === "envs" ? null : item.count]));
