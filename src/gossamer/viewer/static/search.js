// The search box: completes fields and values, and underlines the place where the viewer could not follow.

import { div, fill, h, icon, iconButton, span } from "./dom.js";
import { go, state } from "./state.js";
import { quote } from "./query.js";

const FIELDS = [
	["service:", "name of the service"], ["name:", "operation, such as flask.request"], ["resource:", "what was asked for, such as GET /cart"],
	["status:error", "spans that failed"], ["status:ok", "spans that did not fail"], ["duration:>", "of the span: duration:>100ms, duration:1s..5s"],
	["@", "an attribute: @http.status_code:500"], ["has:@", "spans that carry an attribute"], ["type:", "web, sql, http, cache …"], ["kind:", "server, client, producer, consumer, internal"],
	["env:", "environment"], ["version:", "version of the service"], ["trace.duration:>", "of the whole trace"], ["trace.spans:>", "number of spans in the trace"],
	["trace.errors:>", "number of errors in the trace"], ["root:", "before service, name, resource, type, kind: only the root span"], ["trace:", "id of a trace"], ["span:", "id of a span"],
];

export class Search {
	/** `values(field)` gives known values of a field, `keys()` known attribute keys: [[text, count]]. */
	constructor(form, values, keys) {
		this.form = form;
		this.values = values;
		this.keys = keys;
		this.chosen = -1;
		this.shown = [];
		this.build();
	}

	build() {
		this.input = h("input", { type: "text", role: "combobox", "aria-label": "Search spans", "aria-expanded": "false", "aria-controls": "search-options", "aria-autocomplete": "list", spellcheck: "false", autocapitalize: "off", autocomplete: "off", enterkeyhint: "search",
			placeholder: "Search: service:shop status:error duration:>100ms @key:value" });
		this.mirror = h("div", { class: "mirror", "aria-hidden": "true" });
		this.clear = iconButton("close", "Clear the search", () => this.submit(""));
		this.clear.hidden = true;
		this.options = h("ul", { class: "options", id: "search-options", role: "listbox", "aria-label": "Completions", hidden: true });
		this.fault = h("p", { class: "fault", id: "search-fault", role: "alert", hidden: true });
		fill(this.form, div("box", icon("search"), div("text", this.mirror, this.input), this.clear, h("kbd", { class: "key", "aria-hidden": "true", text: "/" })), this.options, this.fault);
		this.form.addEventListener("submit", (event) => {
			event.preventDefault();
			this.submit(this.input.value);
		});
		this.input.addEventListener("input", () => this.typed());
		this.input.addEventListener("focus", () => this.suggest());
		this.input.addEventListener("click", () => this.suggest());
		this.input.addEventListener("blur", () => this.hide());
		this.input.addEventListener("scroll", () => this.align());
		this.input.addEventListener("keydown", (event) => this.key(event));
		this.options.addEventListener("pointerdown", (event) => {
			event.preventDefault();
			const item = event.target.closest("li");
			if (item) this.take(Number(item.dataset.at));
		});
	}

	set(query) {
		if (query !== this.typedFor) this.input.value = query;
		this.typedFor = query;
		this.clear.hidden = !this.input.value;
	}

	submit(query) {
		this.hide();
		this.showFault(null);
		this.input.value = query;
		this.typedFor = query.trim();
		this.clear.hidden = !query;
		const patch = { q: query.trim() };
		if (state().view === "trace") Object.assign(patch, { view: "traces", trace: "" });
		go(patch, true);
	}

	typed() {
		this.clear.hidden = !this.input.value;
		this.showFault(null);
		this.suggest();
	}

	/** Says what the viewer could not read, and underlines where. */
	showFault(error) {
		this.fault.hidden = !error;
		this.form.classList.toggle("invalid", Boolean(error));
		this.input.setAttribute("aria-invalid", String(Boolean(error)));
		this.mirror.replaceChildren();
		if (!error) return this.input.removeAttribute("aria-describedby");
		this.fault.textContent = error.message;
		this.input.setAttribute("aria-describedby", "search-fault");
		if (error.at === null) return;
		const text = this.input.value || state().q;
		const at = Math.max(0, Math.min(error.at, text.length));
		// From the column to the end of its term; at the very end a space is what is underlined.
		const bad = text.slice(at).match(/^\s*[^\s()]*/)[0] || text.slice(at, at + 1) || "\u00a0\u00a0";
		fill(this.mirror, text.slice(0, at), span("bad", bad));
		this.align();
	}

	align() {
		this.mirror.style.transform = "translateX(" + -this.input.scrollLeft + "px)";
	}

	word() {
		const to = this.input.selectionStart ?? this.input.value.length;
		const before = this.input.value.slice(0, to);
		const start = before.search(/[^\s(]*$/);
		const sign = before[start] === "-" ? 1 : 0;
		return { from: start + sign, to, text: before.slice(start + sign) };
	}

	candidates(word) {
		const root = word.startsWith("root:") ? "root:" : "";
		const text = word.slice(root.length);
		const colon = text.indexOf(":");
		const wanted = text.toLowerCase();
		if (text.startsWith("has:@") || (text.startsWith("@") && colon < 0)) {
			const lead = text.startsWith("has:@") ? "has:@" : "@";
			const part = wanted.slice(lead.length);
			return this.keys().filter(([key]) => key.toLowerCase().includes(part)).map(([key, hits]) => [root + lead + key + (lead === "@" ? ":" : ""), hits ? hits + " spans" : "attribute"]);
		}
		if (colon > 0) {
			const field = text.slice(0, colon);
			const part = wanted.slice(colon + 1).replace(/^"/, "");
			const values = this.values(field).filter(([value]) => value.toLowerCase().includes(part)).map(([value, hits]) => [root + field + ":" + quote(value), hits ? hits + " spans" : ""]);
			const fixed = FIELDS.filter(([name]) => name.startsWith(field + ":") && name.length > field.length + 1 && name.startsWith(wanted)).map(([name, why]) => [root + name, why]);
			return [...fixed, ...values.filter(([value]) => !fixed.some(([name]) => root + name === value))];
		}
		return FIELDS.filter(([name]) => name.startsWith(wanted) && !(root && name === "root:")).map(([name, why]) => [root + name, why]);
	}

	suggest() {
		const word = this.word();
		this.shown = this.candidates(word.text).filter(([text]) => text !== word.text).slice(0, 12);
		this.chosen = -1;
		if (!this.shown.length || this.fault.hidden === false) return this.hide();
		fill(this.options, this.shown.map(([text, why], at) => h("li", { role: "option", id: "option-" + at, "data-at": at, "aria-selected": "false" }, span("what v", text), span("why", why))));
		this.options.hidden = false;
		this.input.setAttribute("aria-expanded", "true");
	}

	hide() {
		this.options.hidden = true;
		this.chosen = -1;
		this.input.setAttribute("aria-expanded", "false");
		this.input.removeAttribute("aria-activedescendant");
	}

	choose(at) {
		this.chosen = (at + this.shown.length) % this.shown.length;
		[...this.options.children].forEach((item, index) => item.setAttribute("aria-selected", String(index === this.chosen)));
		this.options.children[this.chosen].scrollIntoView({ block: "nearest" });
		this.input.setAttribute("aria-activedescendant", "option-" + this.chosen);
	}

	take(at) {
		const [text] = this.shown[at];
		const { from, to } = this.word();
		const whole = !/[:>@]$/.test(text);
		const rest = this.input.value.slice(to).replace(/^\S*/, "");
		const put = text + (whole && !rest.startsWith(" ") ? " " : "");
		this.input.value = this.input.value.slice(0, from) + put + rest;
		const cursor = from + put.length;
		this.input.setSelectionRange(cursor, cursor);
		this.input.focus();
		this.typed();
		if (whole) this.hide();
	}

	key(event) {
		const open = !this.options.hidden;
		if (event.key === "ArrowDown" || event.key === "ArrowUp") {
			if (!open) this.suggest();
			if (this.options.hidden) return;
			this.choose(event.key === "ArrowDown" ? this.chosen + 1 : Math.max(this.chosen, 0) - 1);
		} else if ((event.key === "Enter" || event.key === "Tab") && open && this.chosen >= 0) this.take(this.chosen);
		else if (event.key === "Escape") {
			if (open) this.hide();
			else this.input.blur();
			event.stopPropagation();
		} else return;
		event.preventDefault();
	}

	focus() {
		this.input.focus();
		this.input.select();
	}
}
