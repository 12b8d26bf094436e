// What the page shows lives in the address after "#", so every view can be linked to.
// Navigation pushes an entry, adjustments replace it.

const DEFAULTS = { q: "", since: "", from: "", to: "", sort: "newest", trace: "", span: "", panel: "", find: "", zoom: "" };

const listeners = [];
let current = parse(location.hash);

/** The state behind an address such as "#/trace/HEX?span=3.0". */
function parse(hash) {
	const [path, query = ""] = splitOnce(hash.replace(/^#/, ""), "?");
	const state = { view: "traces", ...DEFAULTS };
	for (const [key, value] of new URLSearchParams(query)) {
		if (Object.hasOwn(DEFAULTS, key)) state[key] = value;
	}
	const parts = path.split("/").filter(Boolean);
	if (parts[0] === "trace" && /^[0-9a-f]{1,32}$/i.test(parts[1] || "")) {
		state.view = "trace";
		state.trace = parts[1].toLowerCase();
	} else if (!/^[0-9a-f]{0,32}$/i.test(state.trace)) state.trace = "";
	if (!["newest", "slowest", "spans"].includes(state.sort)) state.sort = "newest";
	if (!/^(\d+\.\d+)?$/.test(state.span)) state.span = "";
	return state;
}

function splitOnce(text, mark) {
	const at = text.indexOf(mark);
	return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

function address(state) {
	const query = new URLSearchParams();
	for (const key of Object.keys(DEFAULTS)) {
		if (key === "trace" && state.view === "trace") continue;
		if (state[key] && state[key] !== DEFAULTS[key]) query.set(key, state[key]);
	}
	const text = query.toString();
	return "#/" + (state.view === "trace" ? "trace/" + state.trace : "traces") + (text ? "?" + text : "");
}

export const state = () => current;

/** Changes the state; `push` makes it a step that "back" undoes. */
export function go(patch, push = false) {
	const next = { ...current, ...patch };
	if (patch.trace !== undefined && patch.trace !== current.trace) {
		for (const key of ["span", "zoom", "find", "panel"]) if (patch[key] === undefined) next[key] = "";
	}
	const to = address(next);
	if (to === address(current)) return;
	if (push) history.pushState(null, "", to);
	else history.replaceState(null, "", to);
	set(next);
}

export function onState(call) {
	listeners.push(call);
}

function set(next) {
	const before = current;
	current = next;
	for (const call of listeners) call(next, before);
}

addEventListener("popstate", () => set(parse(location.hash)));

/** What belongs to this browser rather than to a link. Without storage the defaults stay. */
export function preference(name, value) {
	try {
		if (value === undefined) return localStorage.getItem("gossamer." + name);
		localStorage.setItem("gossamer." + name, value);
	} catch {
		// Storage is switched off.
	}
	return value === undefined ? null : value;
}

const RANGES = { "5m": 300, "15m": 900, "1h": 3600, "6h": 21600, "24h": 86400 };

/** The time range of a state as the API wants it, in microseconds. */
export function range(of) {
	if (of.since && RANGES[of.since]) return { from: String(Math.floor(Date.now() * 1000 - RANGES[of.since] * 1e6)) };
	const found = {};
	if (/^\d+$/.test(of.from)) found.from = of.from;
	if (/^\d+$/.test(of.to)) found.to = of.to;
	return found;
}
