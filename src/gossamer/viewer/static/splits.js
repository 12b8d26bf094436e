// Edges between panes that move by mouse, finger and arrow keys, and stay where they were put.

import { preference } from "./state.js";

/**
 * `handle` changes `property` on `target`; `sign` is 1 when moving right makes it larger.
 * `unit` is "px" or "%": a share of `whole()` pixels.
 */
export function split(handle, target, { name, property, least, most, first, sign = 1, unit = "px", whole = () => 100 }) {
	let value = Number(preference(name)) || first;
	const set = (wanted, keep) => {
		value = Math.max(least, Math.min(most, wanted));
		target.style.setProperty(property, value + unit);
		handle.setAttribute("aria-valuenow", String(Math.round(value)));
		if (keep) preference(name, String(Math.round(value)));
	};
	handle.setAttribute("aria-valuemin", String(least));
	handle.setAttribute("aria-valuemax", String(most));
	handle.setAttribute("aria-valuenow", String(Math.round(value)));
	if (preference(name)) set(value, false);
	const perPixel = () => (unit === "%" ? 100 / Math.max(1, whole()) : 1);
	handle.addEventListener("keydown", (event) => {
		const steps = { ArrowLeft: -16, ArrowRight: 16 };
		if (!steps[event.key]) return;
		event.preventDefault();
		event.stopPropagation();
		set(value + steps[event.key] * sign * perPixel(), true);
	});
	handle.addEventListener("pointerdown", (event) => {
		event.preventDefault();
		handle.setPointerCapture(event.pointerId);
		handle.classList.add("held");
		const from = event.clientX;
		const start = value;
		const move = (at) => set(start + (at.clientX - from) * sign * perPixel(), false);
		const up = () => {
			handle.classList.remove("held");
			handle.removeEventListener("pointermove", move);
			set(value, true);
		};
		handle.addEventListener("pointermove", move);
		handle.addEventListener("pointerup", up, { once: true });
		handle.addEventListener("pointercancel", up, { once: true });
	});
}
