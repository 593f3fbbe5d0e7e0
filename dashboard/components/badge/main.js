const DAY = 86400;

// The server reads the cookies when the next visit begins.
export default function ({ data }) {
  const secure = location.protocol === "https:" ? "; secure" : "";
  for (const [name, [value, days]] of Object.entries(data)) {
    const age = days === null ? "" : `; max-age=${days * DAY}`;
    document.cookie = `${name}=${encodeURIComponent(value)}; path=/; samesite=strict${age}${secure}`;
  }
}
