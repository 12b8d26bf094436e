// A value of a span as a reader meets it: nothing hidden in it, links only to the web, and never a megabyte at once.

import { button, copy, div, focused, h, icon, iconButton, span, visible } from "./dom.js";
import { bytes } from "./format.js";

const SHOWN = 65536;
const LINE = 2000;

export function asText(value) {
	if (typeof value === "string") return value;
	if (value === null || value === undefined) return "";
	if (typeof value === "object") {
		try {
			return JSON.stringify(value, null, 1);
		} catch {
			return String(value);
		}
	}
	return String(value);
}

/** The address if the value is one of the web, else null. */
function webAddress(text) {
	if (text.length > 2048 || !/^https?:\/\/[^\s]+$/i.test(text)) return null;
	try {
		const url = new URL(text);
		return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
	} catch {
		return null;
	}
}

/** Text of any length: the first `limit` characters, the first 64 KB, all, each on demand. `tag` is "span" or "pre". */
function longText(text, tag = "span", limit = SHOWN) {
	if (text.length <= limit) return h(tag, { class: "v", text: visible(text) });
	// Not within a surrogate pair.
	const cut = limit - (/[\ud800-\udbff]/.test(text[limit - 1]) ? 1 : 0);
	const box = h("span", { class: "long" }, h(tag, { class: "v", text: visible(text.slice(0, cut)) }), "… ",
		button("Show " + (limit < SHOWN ? "more" : "all") + ", " + bytes(text.length), "plain", () => box.replaceChildren(longText(text, tag, limit < SHOWN ? SHOWN : Infinity))));
	return box;
}

export function valueNode(value) {
	if (Array.isArray(value) && value.every((item) => typeof item !== "object" || item === null)) {
		return h("span", { class: "items" }, value.slice(0, 200).map((item) => h("span", { class: "item" }, longText(asText(item), "span", LINE))),
			value.length > 200 ? span("muted", "and " + (value.length - 200) + " more") : null);
	}
	const text = asText(value);
	const href = webAddress(text);
	if (href) {
		return h("a", { class: "v", href, target: "_blank", rel: "noopener noreferrer", referrerpolicy: "no-referrer" }, visible(text), icon("out"));
	}
	const node = longText(text, "span", LINE);
	if (typeof value === "number" || typeof value === "boolean") node.classList.add("typed");
	return node;
}

/** A block of code or a stack, with a button that copies it whole. */
export function block(text, label) {
	return div("block",
		iconButton("copy", "Copy " + label, (event) => copy(text, event.currentTarget)),
		longText(text, "pre"));
}

/** Tabs by the pattern of the ARIA guide: arrows move, one tab stop. `items`: [{id, text, count, make}]. */
export function tabs(items, chosen, label, choose) {
	const list = h("div", { class: "tabs", role: "tablist", "aria-label": label });
	const body = h("div", { class: "tab-body", role: "tabpanel", tabindex: "0" });
	const show = (item, tell) => {
		for (const tab of list.children) {
			const yes = tab.dataset.id === item.id;
			tab.setAttribute("aria-selected", String(yes));
			tab.tabIndex = yes ? 0 : -1;
			if (yes) body.setAttribute("aria-label", tab.textContent);
		}
		body.replaceChildren(...[item.make()].flat());
		body.scrollTop = 0;
		if (tell) choose(item.id);
	};
	for (const item of items) {
		list.append(h("button", { type: "button", role: "tab", "data-id": item.id, on: { click: () => show(item, true) } }, item.text,
			item.count ? span("tab-count", " " + item.count) : null));
	}
	list.addEventListener("keydown", (event) => {
		const steps = { ArrowRight: 1, ArrowLeft: -1 };
		if (!steps[event.key]) return;
		event.preventDefault();
		event.stopPropagation();
		const at = items.findIndex((item) => item.id === focused().dataset.id);
		const next = items[(at + steps[event.key] + items.length) % items.length];
		show(next, true);
		[...list.children].find((tab) => tab.dataset.id === next.id).focus();
	});
	show(items.find((item) => item.id === chosen) || items[0], false);
	return [list, body];
}
