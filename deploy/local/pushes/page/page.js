// Shows what GET /pushes says. What came is only ever set as text, never as markup.

const element = (id) => document.getElementById(id);
let pushes = [];

const made = (tag, text, className = "") =>
  Object.assign(document.createElement(tag), { textContent: text, className });

const matches = (push, words) =>
  `${push.service} ${push.token}`.toLowerCase().includes(words.toLowerCase());

// What a phone would make of it, whichever service brought it.
function shown({ service, payload }) {
  const apple = service === "apns";
  const alert = apple ? payload.aps.alert?.body : payload.notification?.body;
  const badge = apple
    ? payload.aps.badge ?? payload.badge
    : payload.android?.notification?.notification_count ?? payload.data?.badge;
  return { alert, badge };
}

function entry(push) {
  const { alert, badge } = shown(push);
  const item = made("li", "", alert ? "" : "silent");
  item.append(
    made("span", alert ?? "Silent: takes back what was shown", "said"),
    made("time", new Date(push.received_at).toLocaleTimeString()),
    made("span", `${push.service === "apns" ? "Apple" : "Google"} · ${push.token}`, "token"),
  );
  if (badge !== undefined) item.append(made("span", String(badge), "badge"));
  if (!push.answered) {
    item.append(made("span", "The sender was never told that this push was taken.", "unanswered"));
  }
  const details = made("details", "");
  details.append(
    made("summary", "What came"),
    made("pre", JSON.stringify({ ...push.headers, ...push.payload }, null, 2)),
  );
  item.append(details);
  return item;
}

function list() {
  const found = pushes.filter((push) => matches(push, element("filter").value));
  element("list").replaceChildren(...found.map(entry));
  element("count").textContent = pushes.length === 1 ? "1 push" : `${pushes.length} pushes`;
  element("nothing").hidden = pushes.length > 0;
}

async function look() {
  const answer = await fetch("/pushes");
  const found = await answer.json();
  const changed = found.length !== pushes.length || found[0]?.id !== pushes[0]?.id;
  pushes = found;
  if (changed) list();
}

element("filter").addEventListener("input", list);
element("clear").addEventListener("click", async () => {
  await fetch("/pushes", { method: "DELETE" });
  await look();
});

// The server may be restarting: the next look will tell.
setInterval(() => look().catch(() => {}), 1000);
look().catch(() => {});
