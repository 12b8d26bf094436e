// The viewer's JSON interface and its stream of news; also notices when the viewer is gone and when it is back.

/** What the viewer answered when it was not a success; status 0 when it did not answer. */
export class Refused extends Error {
	constructor(status, body) {
		const error = (body && body.error) || {};
		super(error.message || "The viewer answered " + status);
		this.status = status;
		this.code = error.code || "";
		this.at = Number.isInteger(error.at) ? error.at : null;
		this.body = body;
	}
}

const watchers = [];
let reachable = true;

export function onReachable(call) {
	watchers.push(call);
}

function reached(now) {
	if (now === reachable) return;
	reachable = now;
	for (const call of watchers) call(now);
	if (!now) setTimeout(knock, 1000);
}

async function knock() {
	if (reachable) return;
	try {
		const answer = await fetch("api/status", { cache: "no-store" });
		if (answer.ok) return reached(true);
	} catch {
		// Still gone.
	}
	setTimeout(knock, 1500);
}

async function ask(path, options) {
	let answer;
	try {
		answer = await fetch(path, { cache: "no-store", ...options });
	} catch (error) {
		if (error.name !== "AbortError") reached(false);
		throw error.name === "AbortError" ? error : new Refused(0, { error: { message: "the viewer does not answer" } });
	}
	reached(true);
	const body = await answer.json().catch(() => null);
	if (!answer.ok || !body) throw new Refused(answer.ok ? 0 : answer.status, body);
	return body;
}

/** GET of a JSON answer; `params` without value are left out. */
export function get(path, params, signal) {
	const query = new URLSearchParams();
	for (const [key, value] of Object.entries(params || {})) if (value) query.set(key, value);
	const text = query.toString();
	return ask("api/" + path + (text ? "?" + text : ""), { signal });
}

export function change(method, path, body) {
	const headers = { "X-Gossamer": "1", "Content-Type": "application/json" };
	return ask("api/" + path, { method, headers, body: JSON.stringify(body || {}) });
}

/** News as they come. A hidden tab lets go of its stream: browsers allow six connections to one address. */
export function live(call) {
	let source = null;
	const close = () => {
		source?.close();
		source = null;
	};
	const update = () => {
		if (!reachable || document.visibilityState === "hidden") return close();
		if (source) return;
		const mine = new EventSource("api/live");
		source = mine;
		for (const name of ["hello", "traces", "removed", "cleared"]) mine.addEventListener(name, (event) => call(name, JSON.parse(event.data)));
		mine.onerror = () => {
			mine.close();
			if (source !== mine) return;
			source = null;
			// Either the viewer has stopped, which `ask` notices, or it has no stream to spare: later again.
			get("status").catch(() => null).then(() => setTimeout(update, 2000));
		};
	};
	document.addEventListener("visibilitychange", update);
	addEventListener("pagehide", close);
	addEventListener("pageshow", update);
	onReachable(update);
	update();
}
