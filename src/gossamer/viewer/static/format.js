// Numbers and times as people read them. Every time that arrives here is in microseconds.

const COUNT = new Intl.NumberFormat("en");

export const count = (number) => COUNT.format(number);

export function plural(number, one, many) {
	return count(number) + " " + (number === 1 ? one : many || one + "s");
}

function digits(value) {
	if (value >= 100) return value.toFixed(0);
	return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** "0.4 µs", "12.3 ms", "1.24 s", "2 min 3 s". */
export function duration(us) {
	if (!Number.isFinite(us)) return "–";
	if (us < 0) return "−" + duration(-us);
	if (us === 0) return "0";
	if (us < 10) return (us < 1 ? us.toFixed(2) : us.toFixed(1)) + " µs";
	if (us < 999.5) return us.toFixed(0) + " µs";
	if (us < 999500) return digits(us / 1e3) + " ms";
	if (us < 59.95e6) return digits(us / 1e6) + " s";
	if (us < 3600e6) {
		const seconds = Math.round(us / 1e6);
		return Math.floor(seconds / 60) + " min " + (seconds % 60) + " s";
	}
	const minutes = Math.round(us / 60e6);
	return Math.floor(minutes / 60) + " h " + (minutes % 60) + " min";
}

const pad = (number, width = 2) => String(number).padStart(width, "0");

/** "09:14:03.120", local. */
export function clock(us, withMillis = true) {
	const date = new Date(us / 1000);
	const text = pad(date.getHours()) + ":" + pad(date.getMinutes()) + ":" + pad(date.getSeconds());
	return withMillis ? text + "." + pad(date.getMilliseconds(), 3) : text;
}

export function day(us) {
	const date = new Date(us / 1000);
	return date.getFullYear() + "-" + pad(date.getMonth() + 1) + "-" + pad(date.getDate());
}

export const isToday = (us) => day(us) === day(Date.now() * 1000);

/** The time, with the day in front unless it is today. */
export function moment(us, withMillis = true) {
	return (isToday(us) ? "" : day(us) + " ") + clock(us, withMillis);
}

export function ago(us) {
	const seconds = Math.max(0, Date.now() / 1000 - us / 1e6);
	if (seconds < 2) return "just now";
	if (seconds < 60) return Math.round(seconds) + " s ago";
	if (seconds < 3600) return Math.round(seconds / 60) + " min ago";
	return seconds < 86400 ? Math.round(seconds / 3600) + " h ago" : Math.round(seconds / 86400) + " d ago";
}

export function bytes(number) {
	if (number < 1000) return number + " B";
	if (number < 1e6) return digits(number / 1e3) + " kB";
	return number < 1e9 ? digits(number / 1e6) + " MB" : digits(number / 1e9) + " GB";
}

/** Round steps for a time axis: at most `most` ticks in `span` microseconds. */
export function ticks(from, to, most) {
	const least = (to - from) / Math.max(1, most);
	const power = Math.pow(10, Math.floor(Math.log10(Math.max(least, 1e-3))));
	const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= least);
	const found = [];
	for (let at = Math.ceil(from / step - 1e-9) * step; at <= to + step * 1e-6; at += step) found.push(at);
	return found;
}
