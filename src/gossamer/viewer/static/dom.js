// Builds the page out of nodes. Text from traces only ever becomes a text node: no markup is parsed here.

const SVG = "http://www.w3.org/2000/svg";

/** An element: `props` are attributes, except `on` (listeners), `text` and boolean properties. */
export function h(tag, props, ...children) {
	const node = document.createElement(tag);
	for (const [name, value] of Object.entries(props || {})) {
		if (value === undefined || value === null || value === false) continue;
		if (name === "on") {
			for (const [event, call] of Object.entries(value)) node.addEventListener(event, call);
		} else if (name === "text") node.textContent = value;
		else node.setAttribute(name, value === true ? "" : String(value));
	}
	add(node, children);
	return node;
}

/** A span of text; texts that came with traces have class "v", which keeps their direction to themselves. */
export const span = (name, text, title) => h("span", { class: name, text, title });

export const div = (name, ...children) => h("div", { class: name }, ...children);

export const NARROW = matchMedia("(max-width: 759px)");
export const narrow = () => NARROW.matches;
export const focused = () => document.activeElement;

/** Appends nodes and strings; lists are flattened, null and false are left out. */
export function add(node, children) {
	for (const child of children) {
		if (child === undefined || child === null || child === false) continue;
		if (Array.isArray(child)) add(node, child);
		else node.append(child);
	}
}

export function fill(node, ...children) {
	node.replaceChildren();
	add(node, children);
	return node;
}

export function icon(name, label) {
	const svg = document.createElementNS(SVG, "svg");
	svg.setAttribute("class", "i i-" + name);
	const use = document.createElementNS(SVG, "use");
	use.setAttribute("href", "#i-" + name);
	svg.append(use);
	if (label) {
		svg.setAttribute("role", "img");
		svg.setAttribute("aria-label", label);
	} else svg.setAttribute("aria-hidden", "true");
	return svg;
}

export const button = (text, name, click, props) => h("button", { type: "button", class: name, text, on: { click }, ...props });

/** A button that shows a symbol; its label is spoken and stands in the tooltip. */
export const iconButton = (symbol, label, click, name = "mini", key = "") =>
	h("button", { type: "button", class: name, "aria-label": label, title: key ? label + " (" + key + ")" : label, on: { click } }, icon(symbol));

export const byId = (id) => document.getElementById(id);

// Characters that change how neighbours are drawn, or are not drawn at all.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g;

const NAMES = new Map([
	[0x061c, "ALM"], [0x200b, "ZWSP"], [0x200c, "ZWNJ"], [0x200d, "ZWJ"], [0x200e, "LRM"], [0x200f, "RLM"],
	[0x202a, "LRE"], [0x202b, "RLE"], [0x202c, "PDF"], [0x202d, "LRO"], [0x202e, "RLO"],
	[0x2066, "LRI"], [0x2067, "RLI"], [0x2068, "FSI"], [0x2069, "PDI"], [0xfeff, "BOM"],
]);

const ZWJ = 0x200d;

function mark(char) {
	const code = char.codePointAt(0);
	if (code === 13) return "";
	if (code < 32) return String.fromCharCode(0x2400 + code);
	return "[" + (NAMES.get(code) || "U+" + code.toString(16).toUpperCase().padStart(4, "0")) + "]";
}

/** Text in which nothing hides: control and direction characters are written out. Emoji joiners stay. */
export function visible(text) {
	const string = String(text);
	HIDDEN.lastIndex = 0;
	if (!HIDDEN.test(string)) return string;
	return string.replace(HIDDEN, (char, at) => {
		if (char.charCodeAt(0) === ZWJ && at > 0 && string.charCodeAt(at - 1) > 0x2000) return char;
		return mark(char);
	});
}

/** The same on one line and not longer than anybody reads in a row. */
export function line(text, limit = 300) {
	let string = String(text);
	if (string.length > limit) string = string.slice(0, limit) + "…";
	return visible(string.replace(/\s+/g, " "));
}

/** Copies and says so on the button that was pressed. */
export async function copy(text, pressed) {
	// There is no clipboard at a plain-http address other than localhost.
	const done = await Promise.resolve().then(() => navigator.clipboard.writeText(text)).then(() => true, () => false);
	if (pressed) {
		pressed.classList.toggle("copied", done);
		setTimeout(() => pressed.classList.remove("copied"), 1200);
	}
	say(done ? "Copied" : "Could not copy");
}

let said = 0;
let waiting = null;

/** A line for screen readers; `calm` ones (live news) come at most once in five seconds. */
export function say(text, calm = false) {
	clearTimeout(waiting);
	const wait = calm ? Math.max(0, said + 5000 - Date.now()) : 0;
	waiting = setTimeout(() => {
		said = Date.now();
		byId("say").textContent = text;
	}, wait);
}
