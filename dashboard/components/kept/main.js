const TURN = "loupe-name-turn";
const YEAR = 31536000;

// The server reads the cookie when the next visit begins.
export default function ({ data }) {
  if (!data.turn || sessionStorage.getItem(TURN) === data.turn) return;
  sessionStorage.setItem(TURN, data.turn);
  const value = encodeURIComponent(data.name.toWellFormed());
  document.cookie = `${data.cookie}=${value}; path=/; max-age=${value ? YEAR : 0}; samesite=strict`;
}
