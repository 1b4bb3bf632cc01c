// Where the backend is: the one place that knows. `chatswarm serve` puts the address into the page's <meta>.

export const backend = document.querySelector('meta[name="backend"]').content.replace(/\/+$/, "");
export const socketUrl = `${backend.replace(/^http/, "ws")}/ws/dashboard`;
