// Everything one span carried: attributes, the error with its stack, events, links and the raw form.

import { add, button, copy, div, fill, h, icon, iconButton, line, span, visible } from "./dom.js";
import { clock, day, duration, plural } from "./format.js";
import { get } from "./api.js";
import { swatch } from "./colours.js";
import { state } from "./state.js";
import { quote } from "./query.js";
import { asText, block, tabs, valueNode } from "./values.js";

export class Panel {
	/** `on`: close(), tab(id), search(term), go(row). */
	constructor(on) {
		this.on = on;
		this.element = h("aside", { class: "panel", "aria-label": "Span", tabindex: "-1", hidden: true });
		this.wanted = "";
		this.filter = "";
	}

	/** Shows a row of a tree; what is not known is asked for. */
	async show(tree, row, tab) {
		const name = tree.nameOf(row);
		this.tree = tree;
		this.row = row;
		this.element.hidden = false;
		if (this.wanted === name) return;
		this.wanted = name;
		if (this.abort) this.abort.abort();
		this.render(null, tab);
		this.abort = new AbortController();
		try {
			const detail = await get("spans/" + tree.chunk[row] + "/" + tree.n[row], null, this.abort.signal);
			if (this.wanted === name) this.render(detail, state().panel);
		} catch (error) {
			if (error.name !== "AbortError" && this.wanted === name) this.render(null, tab, error);
		}
	}

	hide() {
		this.wanted = "";
		this.element.hidden = true;
	}

	render(detail, tab, failure) {
		const parts = [this.head(), this.facts(detail)];
		if (failure) {
			const gone = failure.status === 404;
			parts.push(h("p", { class: "panel-note", role: "alert", text: gone ? "This span is no longer kept: " + failure.message : "The span could not be read: " + failure.message }));
		} else if (!detail) parts.push(h("p", { class: "panel-note muted", text: "Reading the span…" }));
		else parts.push(...this.tabs(detail, tab));
		fill(this.element, parts);
	}

	head() {
		const about = this.tree.about(this.row);
		const failed = this.tree.error[this.row];
		return div("panel-head",
			div("panel-title",
				h("h2", {}, failed ? icon("error") : null, span("v", line(about.resource, 400))),
				h("p", { class: "muted" }, swatch(about.service), span("v", line(about.service, 100)), " · ", span("v", line(about.name, 200)))),
			iconButton("close", "Close the span", () => this.on.close(), "mini", "Esc"));
	}

	facts(detail) {
		const { tree, row } = this;
		const about = tree.about(row);
		const whole = tree.to - tree.from;
		const share = (tree.dur[row] / whole) * 100;
		const fact = (name, value, hint) => h("div", { title: hint }, h("dt", { text: name }), h("dd", {}, value));
		const list = h("dl", { class: "facts" },
			fact("Duration", duration(tree.dur[row]), share >= 0.1 ? share.toFixed(1) + " % of the trace" : undefined),
			fact("Own time", duration(tree.ownTime(row)), "Time that none of its direct children covers"),
			fact("Starts", "+" + duration(tree.start[row] - tree.from), day(tree.start[row]) + " " + clock(tree.start[row])));
		if (about.kind && about.kind !== "internal") list.append(fact("Kind", span("v", line(about.kind, 40))));
		if (about.type) list.append(fact("Type", span("v", line(about.type, 40))));
		const id = detail && detail.span;
		if (id) list.append(fact("Span", h("button", { type: "button", class: "plain mono", title: "Copy the id", on: { click: (event) => copy(id, event.currentTarget) } }, id)));
		return list;
	}

	tabs(detail, chosen) {
		const attributes = pairs(detail.attributes);
		const resource = pairs(detail.resource_attributes);
		const { events, links } = detail;
		const errors = errorsOf(detail);
		const items = [{ id: "attributes", text: "Attributes", count: attributes.length + resource.length, make: () => this.attributes(attributes, resource) }];
		if (errors.length) items.push({ id: "error", text: "Error", make: () => errors.map((error) => this.error(error)) });
		if (events.length) items.push({ id: "events", text: "Events", count: events.length, make: () => this.events(events) });
		if (links.length) items.push({ id: "links", text: "Links", count: links.length, make: () => this.links(links) });
		items.push({ id: "raw", text: "Raw", make: () => block(asText(detail.raw), "the raw span") });
		const first = items.some((item) => item.id === chosen) ? chosen : errors.length ? "error" : "attributes";
		const cut = detail.truncated.length;
		return [
			cut ? h("p", { class: "panel-note" }, plural(cut, "value") + (cut === 1 ? " is" : " are") + " cut at 64 KB. ", button("Read all", "plain", () => this.readAll())) : null,
			div("panel-tabs", ...tabs(items, first, "Details of the span", (id) => this.on.tab(id))),
		];
	}

	async readAll() {
		const name = this.wanted;
		const { tree, row } = this;
		try {
			const detail = await get("spans/" + tree.chunk[row] + "/" + tree.n[row], { full: "1" });
			if (this.wanted === name) this.render(detail, state().panel);
		} catch {
			// The banner says why.
		}
	}

	attributes(all, resource) {
		const table = h("dl", { class: "attributes" });
		const draw = () => {
			const wanted = this.filter.toLowerCase();
			const some = (list) => list.filter((pair) => !wanted || pair.some((part) => asText(part).slice(0, 65536).toLowerCase().includes(wanted))).map(([key, value]) => this.attribute(key, value));
			const own = some(all);
			const shared = some(resource);
			fill(table, own, shared.length ? h("h3", { class: "group", text: "Resource" }) : null, shared);
			if (!own.length && !shared.length) fill(table, h("p", { class: "muted", text: wanted ? "No attribute matches." : "This span carries no attributes." }));
		};
		const box = h("input", { type: "search", class: "filter", placeholder: "Filter attributes", "aria-label": "Filter attributes", spellcheck: "false",
			on: { input: () => { this.filter = box.value; draw(); } } });
		box.value = this.filter;
		draw();
		return [all.length + resource.length > 6 || this.filter ? box : null, table].filter(Boolean);
	}

	attribute(key, value) {
		const text = asText(value);
		const short = text.length <= 200 && !/[\r\n]/.test(text) && (typeof value !== "object" || value === null);
		const term = short ? "@" + key + ":" + quote(text) : "has:@" + key;
		const usable = /^[^\s"():<>]+$/.test(key);
		const shown = line(key, 200);
		return div("attribute",
			h("dt", {}, usable
				? button(shown, "key v", () => this.on.search(term), { title: "Search for " + line(term, 120) })
				: span("key v", shown)),
			h("dd", {}, valueNode(value), h("span", { class: "acts" },
				usable ? iconButton("plus", "Add " + shown + " to the search", () => this.on.search(term)) : null,
				usable ? iconButton("minus", "Leave out this " + shown, () => this.on.search("-" + term)) : null,
				iconButton("copy", "Copy " + shown, (event) => copy(text, event.currentTarget)))));
	}

	error({ type, message, stack, time }) {
		return h("section", { class: "error-box" },
			h("h3", {}, icon("error"), span("v", line(type || "Error", 300))),
			message ? h("p", { class: "error-message v", text: visible(message.slice(0, 20000)) }) : null,
			time ? h("p", { class: "muted", text: "at +" + duration(time - this.tree.from) }) : null,
			stack ? block(stack, "the stack") : h("p", { class: "muted", text: "The span carries no stack." }));
	}

	events(events) {
		return h("ol", { class: "events" }, events.map((event) => h("li", {},
			h("h3", {}, span("v", line(event.name || "event", 300)),
				Number.isFinite(event.time) ? span("muted", "+" + duration(event.time - this.tree.from), clock(event.time)) : null),
			plain(event.attributes))));
	}

	links(links) {
		return h("ol", { class: "events" }, links.map((each) => {
			const trace = String(each.trace || "");
			const valid = /^[0-9a-f]{1,32}$/i.test(trace);
			const item = h("li", {}, h("h3", {}, icon("link"), valid
				? h("a", { class: "mono", href: "#/trace/" + trace, text: trace })
				: span("v", line(trace, 100))));
			if (each.span) add(item, [h("p", { class: "muted" }, "span ", span("mono v", line(each.span, 40)))]);
			add(item, [plain(each.attributes)]);
			return item;
		}));
	}
}

/** Attributes as pairs; nothing is looked up by a name that came from outside. */
function pairs(attributes) {
	// Those of the tracer's own use stand last.
	const rank = (key) => (key.startsWith("_") ? "\uffff" : "") + key;
	return Object.entries(attributes || {}).sort((a, b) => (rank(a[0]) < rank(b[0]) ? -1 : 1));
}

const plain = (attributes) => h("dl", { class: "attributes" }, pairs(attributes).map(([key, value]) =>
	div("attribute", h("dt", {}, span("key v", line(key, 200))), h("dd", {}, valueNode(value)))));

/** The errors of a span: its exceptions, else what the status says. */
function errorsOf(detail) {
	const found = detail.events.filter((event) => event.name === "exception").map((event) => {
		const held = new Map(pairs(event.attributes));
		const of = (name) => asText(held.get("exception." + name));
		return { type: of("type"), message: of("message"), stack: of("stacktrace"), time: event.time };
	});
	if (!found.length && detail.exception) found.push(detail.exception);
	if (!found.length && detail.error) found.push({ type: "Error", message: detail.status.message });
	return found;
}
