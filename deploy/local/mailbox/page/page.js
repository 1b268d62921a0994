// Shows what GET /messages says. Texts of a mail are only ever set as text, never as markup.

const element = (id) => document.getElementById(id);
const views = ["html", "text", "source"];
let mails = [];
let shown = null;
let view = "html";

const made = (tag, text, className = "") =>
  Object.assign(document.createElement(tag), { textContent: text, className });

const matches = (mail, words) =>
  `${mail.recipients.join(" ")} ${mail.subject}`.toLowerCase().includes(words.toLowerCase());

function entry(mail) {
  const button = made("button", "");
  button.type = "button";
  button.setAttribute("aria-current", String(mail.id === shown?.id));
  button.append(
    made("span", mail.subject || "(no subject)", "subject"),
    made("span", mail.recipients.join(", "), "to"),
    made("time", new Date(mail.received_at).toLocaleTimeString()),
  );
  button.addEventListener("click", () => show(mail));
  return button;
}

function list() {
  const found = mails.filter((mail) => matches(mail, element("filter").value));
  element("list").replaceChildren(...found.map(entry));
  element("count").textContent = mails.length === 1 ? "1 mail" : `${mails.length} mails`;
  element("nothing").hidden = mails.length > 0;
}

function show(mail) {
  shown = mail;
  element("mail").hidden = !mail;
  list();
  if (!mail) return;
  element("subject").textContent = mail.subject || "(no subject)";
  const facts = {
    To: mail.recipients.join(", "),
    From: mail.headers.From ?? mail.sender,
    Received: new Date(mail.received_at).toLocaleString(),
  };
  element("envelope").replaceChildren(
    ...Object.entries(facts).flatMap(([name, value]) => [made("dt", name), made("dd", value)]),
  );
  element("unanswered").hidden = mail.answered;
  element("html").src = `/messages/${mail.id}/html`;
  element("text").textContent = mail.text;
  element("source").textContent = Object.entries(mail.headers)
    .map(([name, value]) => `${name}: ${value}`)
    .join("\n");
  choose(mail.html ? view : "text");
}

function choose(name) {
  views.forEach((each) => (element(each).hidden = each !== name));
  document
    .querySelectorAll("[role=tab]")
    .forEach((tab) => tab.setAttribute("aria-selected", String(tab.dataset.view === name)));
}

async function look() {
  const answer = await fetch("/messages");
  const found = await answer.json();
  const changed = found.length !== mails.length || found[0]?.id !== mails[0]?.id;
  mails = found;
  if (!changed) return;
  const kept = mails.find((mail) => mail.id === shown?.id);
  if (kept) list();
  else show(mails[0] ?? null);
}

document.querySelectorAll("[role=tab]").forEach((tab) =>
  tab.addEventListener("click", () => {
    view = tab.dataset.view;
    choose(view);
  }),
);
element("filter").addEventListener("input", list);
element("clear").addEventListener("click", async () => {
  await fetch("/messages", { method: "DELETE" });
  await look();
});

// The server may be restarting: the next look will tell.
setInterval(() => look().catch(() => {}), 1000);
look().catch(() => {});
