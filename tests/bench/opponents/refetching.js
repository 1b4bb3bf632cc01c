// The dashboards of k6, one to a virtual user: each subscribes, decodes every frame, refetches the list as chatswarm's
// dashboards do, and counts each message that became visible in it.
import { sleep } from 'k6';
import { WebSocket } from 'k6/experimental/websockets';
import http from 'k6/http';
import { Counter } from 'k6/metrics';

const TARGET = __ENV.TARGET;
const INTERVAL = 300; // milliseconds between two refetches, as in chatswarm's scenarios
const totals = { frames: new Counter('frames'), refetches: new Counter('refetches'), visible: new Counter('visible') };

export const options = {
  scenarios: {
    dashboards: { executor: 'per-vu-iterations', vus: Number(__ENV.DASHBOARDS), iterations: 1, maxDuration: '10m' },
  },
  summaryTrendStats: [],
};

export default function () {
  sleep(Math.random());
  const interval = INTERVAL * (1 + Math.random() / 10);
  const seen = new Map(); // by chat: how many messages the list has shown
  const counts = { frames: 0, refetches: 0, visible: 0 };
  let wanted = false;
  let busy = false;
  let last = 0;

  // One in flight, at most one waiting, and no more often than the interval allows.
  function want() {
    wanted = true;
    if (busy) return;
    busy = true;
    const early = last + interval - Date.now();
    if (early > 0) setTimeout(refetch, early);
    else refetch();
  }

  async function refetch() {
    wanted = false;
    last = Date.now();
    const response = await http.asyncRequest('GET', `${TARGET}/api/debug/users-chats`);
    if (response.status === 200) show(response.json()); // less CPU than JSON.parse(response.body)
    busy = false;
    if (wanted) want();
  }

  function show(list) {
    counts.refetches += 1;
    for (const user of list.users) {
      for (const chat of user.chats) {
        counts.visible += chat.total_messages - (seen.get(chat.chat_id) || 0);
        seen.set(chat.chat_id, chat.total_messages);
      }
    }
  }

  const socket = new WebSocket(`${TARGET.replace('http', 'ws')}/ws/dashboard`);
  socket.onmessage = (event) => {
    const frame = JSON.parse(event.data);
    if (frame.type === 'chat_updates') {
      counts.frames += 1;
      want();
    } else if (frame.type === 'connected') {
      socket.send('{"action": "subscribe", "subscription_type": "chat_updates"}');
    } else if (frame.type === 'subscribed') {
      want();
    }
  };
  // The chat ends the run.
  socket.onclose = () => {
    for (const [name, counter] of Object.entries(totals)) counter.add(counts[name]);
  };
}

export function handleSummary(data) {
  const sum = (name) => (data.metrics[name] ? data.metrics[name].values.count : 0);
  return { stdout: JSON.stringify({ frames: sum('frames'), refetches: sum('refetches'), visible: sum('visible') }) };
}
