// The phone page: draws chats and the wire from /api/state and /events.
// Whatever a member or the service wrote is put on the page by textContent only;
// the one markup understood is WeChat's own <a href="…">, and only for http(s)
// and weixin://bizmsgmenu addresses.
"use strict";

const $ = (id) => document.getElementById(id);
const people = new Map();
const entries = new Map();
const seen = new Set();
const waiting = new Map();
let order = [];
let me = "";
let menu = [];
let cleared = 0;

function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function toast(text) {
  $("toast").textContent = text;
  $("toast").classList.add("on");
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => $("toast").classList.remove("on"), 2600);
}

async function act(name, fields) {
  try {
    const response = await fetch(`/api/${name}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ who: me, ...fields }),
    });
    if (response.ok) return true;
    const type = response.headers.get("Content-Type") || "";
    toast(type.includes("json") ? (await response.json()).error : `出错了（${response.status}）`);
  } catch {
    toast("连不上试用服务器，它还在运行吗？");
  }
  return false;
}

// Suggestions work for strangers too: following comes first, in the same order on the wire.
async function say(text) {
  if (!people.get(me).followed && !(await act("follow"))) return false;
  return act("send", { text });
}

// ---- Chat

const LINK = /<a\s+href=(["'])(.*?)\1[^>]*>([\s\S]*?)<\/a>|(https?:\/\/[^\s<>"'，。；）」]+)/gi;

function webAddress(text) {
  try {
    const url = new URL(text, location.origin);
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
  } catch {
    return null;
  }
}

function outside(address, text) {
  const link = make("a", "", text);
  link.href = address;
  link.target = "_blank";
  link.rel = "noopener noreferrer";
  return link;
}

function linkTo(address, label) {
  const bizmsg = /^weixin:\/\/bizmsgmenu\?(.*)$/i.exec(address);
  if (bizmsg) {
    const query = new URLSearchParams(bizmsg[1].replaceAll("&amp;", "&"));
    const content = query.get("msgmenucontent") || label;
    const link = make("a", "tap", label);
    link.href = "#";
    link.dataset.content = content;
    link.addEventListener("click", (event) => {
      event.preventDefault();
      act("link", { text: content, id: query.get("msgmenuid") || "1" });
    });
    return link;
  }
  const safe = webAddress(address);
  return safe ? outside(safe, label) : document.createTextNode(label);
}

function putText(node, text) {
  let from = 0;
  for (const hit of text.matchAll(LINK)) {
    node.append(text.slice(from, hit.index));
    node.append(hit[4] ? linkTo(hit[4], hit[4]) : linkTo(hit[2], hit[3]));
    from = hit.index + hit[0].length;
  }
  node.append(text.slice(from));
}

const MEDIA = { miniprogrampage: "[小程序] ", voice: "[语音]", video: "[视频]", music: "[音乐]" };
const ROUTES = {
  custom: "客服消息（单独送达）",
  mass: "群发消息",
  template: "模板消息",
  notice: "订阅通知",
};

// A picture, and whose phone may be held before it: a QR code is for somebody else.
function picture(media, owner) {
  const box = make("div", "bubble in picture");
  const image = make("img");
  image.alt = "[图片]";
  image.src = `/media/${encodeURIComponent(media)}`;
  image.addEventListener("load", () => {
    // Posters with a code stand, and bare codes are square; covers lie, charts are 1080 wide and
    // seldom much higher. Nobody scans those.
    const { naturalWidth: wide, naturalHeight: high } = image;
    row.hidden = wide > high || (wide === 1080 && high < wide * 1.3);
    box.classList.toggle("wide", row.hidden);
    $("chat").scrollTop = $("chat").scrollHeight;
  });
  const row = make("div", "scan", "扫码关注：");
  for (const openid of order.filter((other) => other !== owner)) {
    const button = make("button", "", people.get(openid).name);
    button.type = "button";
    button.dataset.test = "scan";
    button.addEventListener("click", async () => {
      if (await act("scan", { who: openid, media })) become(openid);
    });
    row.append(button);
  }
  const link = outside(image.src, "");
  link.append(image);
  box.append(link, row);
  return box;
}

// The picture of a mass send's article; of any other a sign, for pictures elsewhere are not loaded.
function cover(card) {
  if (!/^\/media\//.test(card.picurl || "")) return make("div", "cover", [...card.title][0] || "文");
  const image = make("img", "cover");
  image.alt = "";
  image.src = card.picurl;
  return image;
}

function article(cards) {
  const box = make("div", "bubble in article");
  cards.forEach((card, index) => {
    const safe = card.url ? webAddress(card.url) : null;
    const row = safe ? outside(safe, "") : make("a");
    if (index === 0) row.append(cover(card));
    row.append(make("b", "", card.title));
    if (card.description) row.append(make("span", "", card.description));
    box.append(row);
  });
  return box;
}

function options(part) {
  const box = make("div", "bubble in options");
  putText(box, part.head);
  for (const option of part.options) {
    const button = make("button", "tap", option.content);
    button.type = "button";
    button.addEventListener("click", () => act("link", { text: option.content, id: option.id }));
    box.append(button);
  }
  if (part.tail) putText(box, part.tail);
  return box;
}

function avatar(person, text) {
  const face = make("div", "avatar", text || [...person.name][0]);
  if (person) face.style.background = person.colour;
  return face;
}

function drawBubble(bubble) {
  if (bubble.kind === "system" || bubble.kind === "notice" || bubble.kind === "transfer") {
    return make("div", bubble.kind === "notice" ? "notice" : "system", bubble.text);
  }
  const row = make("div", `row ${bubble.side}`);
  row.dataset.test = `bubble-${bubble.id}`;
  let box;
  if (bubble.kind === "news") box = article(bubble.articles);
  else if (bubble.kind === "msgmenu") box = options(bubble.menu);
  else if (bubble.kind === "image") box = picture(bubble.text, bubble.who);
  else {
    box = make("div", `bubble ${bubble.side}`);
    if (bubble.side === "out") box.textContent = bubble.text;
    else if (bubble.kind === "miniprogrampage") box.textContent = MEDIA[bubble.kind] + bubble.text;
    else putText(box, MEDIA[bubble.kind] || bubble.text);
  }
  if (ROUTES[bubble.route]) {
    box.append(make("small", "late", ROUTES[bubble.route]));
    box.classList.add("custom");
  }
  row.append(bubble.side === "out" ? avatar(people.get(bubble.who)) : avatar(null, "知"), box);
  return row;
}

const clock = (at) =>
  new Date(at * 1000).toLocaleTimeString("zh-CN", { hour: "2-digit", minute: "2-digit" });

function append(bubble) {
  const chat = $("chat");
  if (!append.last || bubble.at - append.last > 300) {
    chat.append(make("div", "system time", clock(bubble.at)));
  }
  append.last = bubble.at;
  chat.append(drawBubble(bubble));
  chat.scrollTop = chat.scrollHeight;
}

function drawChat() {
  const person = people.get(me);
  $("chat").replaceChildren();
  append.last = 0;
  if (!person.chat.length) {
    const welcome = make("div", "welcome");
    welcome.append(avatar(null, "知"), make("b", "", document.title), make("div", "", drawChat.kind));
    const button = make("button", "", "关注公众号");
    button.type = "button";
    button.addEventListener("click", () => act("follow"));
    if (!person.followed) welcome.append(button);
    $("chat").append(welcome);
  }
  person.chat.forEach(append);
}

function drawPeople() {
  $("people").replaceChildren(
    ...order.map((openid) => {
      const person = people.get(openid);
      const button = make("button");
      button.type = "button";
      button.id = `who-${openid}`;
      button.setAttribute("role", "tab");
      button.setAttribute("aria-selected", String(openid === me));
      const names = make("span", "who", person.name);
      names.append(make("small", "", person.role));
      button.append(avatar(person), names);
      if (person.unread) button.append(make("span", "badge", person.unread));
      button.addEventListener("click", () => become(openid));
      return button;
    }),
  );
}

function drawControls() {
  const person = people.get(me);
  $("follow").textContent = person.followed ? "取消关注" : "关注";
  $("follow").classList.toggle("on", person.followed);
  $("input").disabled = $("send").disabled = !person.followed;
  $("input").placeholder = person.followed ? `以${person.name}的身份说点什么` : "先关注，再说话";
  $("chips").replaceChildren(
    ...person.suggestions.map((text) => {
      const chip = make("button", "", text);
      chip.type = "button";
      chip.dataset.say = text;
      chip.addEventListener("click", () => say(text));
      return chip;
    }),
  );
  drawTyping();
}

function drawTyping() {
  $("typing").textContent = (waiting.get(me) || new Set()).size ? "对方正在输入…" : "";
}

function become(openid) {
  me = openid;
  people.get(me).unread = 0;
  drawPeople();
  drawChat();
  drawControls();
  drawMenu();
}

// ---- Menu

function item(button) {
  const node = make("button", "", button.name);
  node.type = "button";
  if (button.type === "click") {
    node.dataset.key = button.key;
    node.addEventListener("click", () => act("click", { key: button.key }));
  } else if (button.type === "view") {
    const safe = webAddress(button.url);
    node.addEventListener("click", () => {
      act("view", { url: button.url });
      if (safe) window.open(safe, "_blank", "noopener,noreferrer");
    });
  } else {
    node.addEventListener("click", () => toast("这种菜单在试用手机上没有"));
  }
  return node;
}

function closeMenus(except) {
  for (const sub of document.querySelectorAll("#menu .sub")) {
    if (sub !== except) sub.hidden = true;
  }
}

function drawMenu() {
  $("menu").replaceChildren();
  if (!people.get(me).followed) return;
  for (const button of menu.slice(0, 3)) {
    const top = make("div", "top");
    const below = button.sub_button || [];
    if (below.length) {
      const sub = make("div", "sub");
      sub.hidden = true;
      sub.append(...below.slice(0, 5).map(item));
      const head = make("button", "", `☰ ${button.name}`);
      head.type = "button";
      head.addEventListener("click", () => {
        closeMenus(sub);
        sub.hidden = !sub.hidden;
      });
      top.append(head, sub);
    } else {
      top.append(item(button));
    }
    $("menu").append(top);
  }
}

// ---- The wire

const NAMES = {
  text: "文本消息", image: "图片消息", voice: "语音消息", location: "位置消息", link: "链接消息",
  subscribe: "关注事件", unsubscribe: "取消关注事件", scan: "扫码事件", masssendjobfinish: "群发结束事件", click: "菜单点击", view: "菜单链接",
  "/cgi-bin/token": "取 access_token", "/cgi-bin/stable_token": "取 access_token",
  "/cgi-bin/message/custom/send": "客服消息：迟到的答案、推送或活动",
  "/cgi-bin/message/custom/typing": "正在输入", "/cgi-bin/menu/create": "设置菜单",
  "/cgi-bin/menu/get": "读取菜单", "/cgi-bin/menu/delete": "删除菜单",
  "/cgi-bin/user/info": "读取用户资料", "/cgi-bin/qrcode/create": "生成二维码",
  "/cgi-bin/media/upload": "上传图片", "/cgi-bin/media/uploadimg": "上传文章里的图片",
  "/cgi-bin/material/add_material": "上传永久素材", "/cgi-bin/draft/add": "新建图文草稿",
  "/cgi-bin/message/mass/send": "群发：按名单", "/cgi-bin/message/mass/sendall": "群发：按标签或全员",
  "/cgi-bin/message/mass/preview": "群发预览：只给一个人", "/cgi-bin/message/mass/get": "群发到哪一步了",
  "/cgi-bin/tags/create": "新建标签", "/cgi-bin/tags/members/batchtagging": "给成员打标签",
};

const QUERY_NOTES = {
  signature: "sha1(token, timestamp, nonce)，不保护正文",
  msg_signature: "再加上密文一起签名，正文改一个字就不对",
  timestamp: "太旧的请求会被拒绝", nonce: "每次投递都不同", openid: "谁发的",
  encrypt_type: "正文用 AES-256-CBC 加密", access_token: "调用接口的凭据，这里只显示开头",
};

function prettyXml(text) {
  const parts = text.match(/<!\[CDATA\[[\s\S]*?\]\]>|<\/?[^>]+>|[^<]+/g) || [];
  let depth = 0;
  let out = "";
  let open = false;
  for (const part of parts) {
    if (/^<\//.test(part)) {
      depth -= 1;
      out += open ? part : `\n${"  ".repeat(Math.max(0, depth))}${part}`;
      open = false;
    } else if (/^<[^!?]/.test(part)) {
      out += `${out ? "\n" : ""}${"  ".repeat(depth)}${part}`;
      if (!part.endsWith("/>")) depth += 1;
      open = !part.endsWith("/>");
    } else if (part.trim()) {
      out += part;
    }
  }
  return out;
}

// Not JSON.parse: it would round 64-bit message ids.
function prettyJson(text) {
  let depth = 0;
  return text.replace(/"(?:\\.|[^"\\])*"|[{}[\],]|:\s*|\s+/g, (part) => {
    if (part[0] === '"') return part;
    if (part === "{" || part === "[") { depth += 1; return `${part}\n${"  ".repeat(depth)}`; }
    if (part === "}" || part === "]") { depth -= 1; return `\n${"  ".repeat(Math.max(0, depth))}${part}`; }
    if (part === ",") return `,\n${"  ".repeat(depth)}`;
    return part[0] === ":" ? ": " : "";
  });
}

function pretty(text) {
  const first = text.trim()[0];
  if (first === "<") return prettyXml(text);
  return first === "{" || first === "[" ? prettyJson(text) : text;
}

function part(box, title, note, text, sealed) {
  if (!text) return;
  const head = make("h3", "", title);
  head.append(make("small", "", note));
  box.append(head, make("pre", sealed ? "sealed" : "", sealed ? text : pretty(text)));
}

function inside(entry) {
  const box = make("div", "inside");
  const query = [...new URLSearchParams(entry.query)]
    .map(([name, value]) => `${name} = ${value}${QUERY_NOTES[name] ? `    ← ${QUERY_NOTES[name]}` : ""}`)
    .join("\n");
  if (entry.note) box.append(make("p", "why", entry.note));
  part(box, "地址参数", "query", query);
  const toBot = entry.direction === "to_bot";
  const encrypted = toBot && entry.plain && entry.plain !== entry.body;
  if (encrypted) {
    part(box, "请求正文", "传输时的样子：密文", entry.body, true);
    part(box, "解密之后", "zhiqun 读到的内容", entry.plain);
  } else part(box, "请求正文", toBot ? "明文" : "zhiqun 发给微信", entry.body);
  if (entry.reply_plain && entry.reply_plain !== entry.reply_body) {
    part(box, "回复正文", "传输时的样子：密文", entry.reply_body, true);
    part(box, "回复解密之后", "用户看到的内容", entry.reply_plain);
  } else {
    const nothing = entry.reply_body === "success" ? "收到了，现在不回复；若有答案，稍后用客服消息送达" : "";
    part(box, "回复正文", nothing, entry.reply_body);
  }
  if (entry.done && !entry.reply_body && entry.status === 200) box.append(make("h3", "", "回复是空的"));
  return box;
}

function state(entry) {
  if (!entry.done) return "等待…";
  if (entry.status === null) return "无回复";
  if (entry.direction !== "to_bot" || entry.status !== 200) return String(entry.status);
  if (entry.note) return "回复有误";
  return entry.reply_plain ? "200 已回复" : "200 收到";
}

// What was said or clicked, for the card's first line.
function gist(entry) {
  const hit = /<(?:Content|EventKey)>(?:<!\[CDATA\[)?([^<\]]{1,40})|"(?:Content|EventKey)":\s*"([^"\\]{1,40})/
    .exec(entry.plain);
  return hit ? `「${hit[1] || hit[2]}」` : "";
}

function drawCard(entry) {
  const old = $(`wire-${entry.id}`);
  const card = make("details", "card");
  card.id = `wire-${entry.id}`;
  const toBot = entry.direction === "to_bot";
  card.classList.add(toBot ? "delivery" : "api");
  if (!entry.done) card.classList.add("open");
  else if (entry.note || entry.status !== 200 || entry.attempt > 1) card.classList.add("bad");
  card.dataset.attempt = entry.attempt;
  const path = entry.title.split(" ").pop();
  const name = NAMES[toBot ? path.toLowerCase() : path] || entry.title;
  const who = toBot && people.get(new URLSearchParams(entry.query).get("openid"));
  const title = make("span", "name", `${toBot ? "→ zhiqun" : "→ 微信"}　${name}${who ? `（${who.name}）` : ""}`);
  title.append(make("small", "", toBot ? gist(entry) : path));
  const summary = make("summary");
  summary.append(make("span", "tag", new Date(entry.at * 1000).toLocaleTimeString("zh-CN", { hour12: false })), title);
  if (toBot) summary.append(make("span", entry.attempt > 1 ? "tag retry" : "tag", `第 ${entry.attempt}/${entry.attempts} 次`));
  summary.append(make("span", "tag state", state(entry)));
  summary.append(make("span", "tag", entry.ms === null ? "" : `${entry.ms.toFixed(entry.ms < 10 ? 1 : 0)} ms`));
  card.append(summary);
  card.addEventListener("toggle", () => {
    if (card.open && card.children.length === 1) card.append(inside(entries.get(entry.id)));
  });
  card.hidden = !toBot && $("deliveries").checked;
  if (old) {
    card.open = old.open;
    old.replaceWith(card);
  } else $("wire").prepend(card);
}

function onWire(entry) {
  if (entry.id <= cleared) return;
  entries.set(entry.id, entry);
  drawCard(entry);
  while ($("wire").children.length > 200) {
    entries.delete(Number($("wire").lastChild.id.slice(5)));
    $("wire").lastChild.remove();
  }
  const openid = entry.direction === "to_bot" && new URLSearchParams(entry.query).get("openid");
  if (!openid) return;
  if (!waiting.has(openid)) waiting.set(openid, new Set());
  if (entry.done) waiting.get(openid).delete(entry.id);
  else waiting.get(openid).add(entry.id);
  drawTyping();
}

// ---- Events

function onBubble(bubble) {
  const person = people.get(bubble.who);
  if (!person || seen.has(bubble.id)) return;
  seen.add(bubble.id);
  person.chat.push(bubble);
  if (bubble.who === me) {
    if (person.chat.length === 1) drawChat();
    else append(bubble);
  } else if (bubble.side === "in") {
    person.unread += 1;
    drawPeople();
  }
}

function onPerson(change) {
  const person = people.get(change.openid);
  if (!person) return;
  person.followed = change.followed;
  if (change.openid !== me) return;
  drawControls();
  drawMenu();
}

async function load() {
  const response = await fetch("/api/state");
  const fresh = await response.json();
  document.title = fresh.title;
  drawChat.kind = fresh.kind;
  $("account").textContent = fresh.title;
  $("links").replaceChildren(
    ...fresh.links.filter((link) => webAddress(link.url)).map((link) => outside(link.url, link.label)),
  );
  menu = fresh.menu;
  order = fresh.people.map((person) => person.openid);
  seen.clear();
  for (const person of fresh.people) {
    const before = people.get(person.openid);
    people.set(person.openid, { ...person, unread: before ? before.unread : 0 });
    person.chat.forEach((bubble) => seen.add(bubble.id));
  }
  // A restarted sandbox counts from 1 again.
  if (!fresh.wire.length || fresh.wire.at(-1).id < cleared) cleared = 0;
  $("wire").replaceChildren();
  entries.clear();
  waiting.clear();
  fresh.wire.forEach(onWire);
  become(people.has(me) ? me : order[0]);
}

function listen() {
  const stream = new EventSource("/events");
  const on = (name, handle) => stream.addEventListener(name, (event) => {
    if (listen.ready) handle(JSON.parse(event.data));
    else listen.early.push([handle, JSON.parse(event.data)]);
  });
  on("wire", onWire);
  on("bubble", onBubble);
  on("person", onPerson);
  on("said", groups.onSaid);
  on("members", groups.onMembers);
  on("menu", (buttons) => { menu = buttons; drawMenu(); });
  // The stream first, then the state: nothing that happens in between is lost.
  stream.addEventListener("open", async () => {
    listen.ready = false;
    listen.early = [];
    try {
      await Promise.all([load(), groups.load()]);
      listen.ready = true;
      for (const [handle, data] of listen.early) handle(data);
      document.body.dataset.ready = "yes";
    } catch {
      toast("连不上试用服务器，正在重试…");
    }
  });
}

// Enter sends, as on a phone; with Shift it begins a line. What is being composed is not sent.
$("input").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("form").requestSubmit();
});
$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("input").value;
  if (!text.trim()) return;
  $("input").value = "";
  if (!(await act("send", { text }))) $("input").value = text;
  $("input").focus();
});
$("follow").addEventListener("click", () => act(people.get(me).followed ? "unfollow" : "follow"));
$("clear").addEventListener("click", () => {
  cleared = Math.max(0, ...entries.keys());
  entries.clear();
  $("wire").replaceChildren();
});
$("deliveries").addEventListener("change", (event) => {
  for (const card of document.querySelectorAll("#wire .api")) card.hidden = event.target.checked;
});
document.addEventListener("click", (event) => {
  if (!event.target.closest("#menu")) closeMenus();
});
document.addEventListener("click", (event) => {
  if (event.target.closest("#menu .sub")) closeMenus();
});
listen();
