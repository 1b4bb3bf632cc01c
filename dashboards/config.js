// The backend's address, which `chatswarm serve` writes into the page's <meta>.

export const backend = document.querySelector('meta[name="backend"]').content.replace(/\/+$/, "");
export const socketUrl = `${backend.replace(/^http/, "ws")}/ws/dashboard`;
