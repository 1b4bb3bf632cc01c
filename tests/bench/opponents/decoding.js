// The dashboards of k6 in a push chat, one to a virtual user: each logs in, and decodes and counts every frame.
import { sleep } from 'k6';
import { WebSocket } from 'k6/experimental/websockets';
import http from 'k6/http';
import { Counter } from 'k6/metrics';

const TARGET = __ENV.TARGET;
const total = new Counter('frames');

export const options = {
  scenarios: {
    dashboards: { executor: 'per-vu-iterations', vus: Number(__ENV.DASHBOARDS), iterations: 1, maxDuration: '10m' },
  },
  summaryTrendStats: [],
};

export default function () {
  sleep(Math.random());
  const login = http.post(`${TARGET}/api/login`, JSON.stringify({ user: `watcher-${__VU}` }));
  let frames = 0;
  const socket = new WebSocket(`${TARGET.replace('http', 'ws')}/ws/push?token=${login.json('token')}`);
  socket.onmessage = (event) => {
    const frame = JSON.parse(event.data);
    if (frame.type === 'message' && frame.text) frames += 1;
  };
  // The chat ends the run.
  socket.onclose = () => total.add(frames);
}

export function handleSummary(data) {
  return { stdout: JSON.stringify({ frames: data.metrics.frames ? data.metrics.frames.values.count : 0 }) };
}
