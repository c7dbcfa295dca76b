// The group beside the private chats: what is said there, who speaks, what may be tried.
// Loaded before phone.js, whose parts it uses; the same rule holds: words of people are
// put on the page by textContent only. In a group nothing is markup but a web address.
"use strict";

const groups = {
  names: null, // {group, board, bot}; null while the page has no groups
  people: [],
  lines: [],
  seen: new Set(),
  unread: new Map(),
  who: "",
  room: "group",
  quote: null,

  person: () => groups.people.find((one) => one.id === groups.who),

  rooms() {
    return [
      ["group", groups.names.group],
      ["private", `私聊${groups.person().name}`],
      ["board", groups.names.board],
    ];
  },

  // A line belongs to "group", to "board", or to the private chat of who is chosen.
  shown(line) {
    return line.room === (groups.room === "private" ? groups.who : groups.room);
  },

  async act(name, fields) {
    return act(`group_${name}`, { who: groups.who, ...fields });
  },

  address(text) {
    const node = document.createDocumentFragment();
    let from = 0;
    for (const hit of text.matchAll(/https?:\/\/[^\s<>"'，。；）」]+/g)) {
      node.append(text.slice(from, hit.index));
      const safe = webAddress(hit[0]);
      node.append(safe ? outside(safe, hit[0]) : hit[0]);
      from = hit.index + hit[0].length;
    }
    node.append(text.slice(from));
    return node;
  },

  draw(line) {
    if (!line.name) return make("div", "told", line.text);
    const mine = line.who === groups.who && groups.room !== "board";
    const row = make("div", mine ? "line mine" : "line");
    row.dataset.test = line.bot ? "line-bot" : "line";
    const face = make("div", "face", line.bot ? "知" : [...line.name][0]);
    if (line.colour) face.style.background = line.colour;
    const box = make("div", "said");
    box.append(make("b", "", line.name));
    const words = make("div", line.bot ? "words bot" : "words");
    words.append(groups.address(line.text));
    if (line.quotes) {
      const quoted = make("div", "quoted", `${line.quotes.name}：${line.quotes.text}`);
      box.append(words, quoted);
    } else box.append(words);
    if (line.room === "group" && line.message) {
      words.tabIndex = 0;
      words.title = "点一下引用这条";
      words.setAttribute("role", "button");
      const choose = (event) => {
        if (!event.target.closest("a")) groups.quoting(line);
      };
      words.addEventListener("click", choose);
      words.addEventListener("keydown", (event) => {
        if (event.key === "Enter") choose(event);
      });
    }
    row.append(face, box);
    return row;
  },

  intro() {
    const { names } = groups;
    const told = {
      group: [
        `这里是「${names.group}」：三位成员、苏老师和${names.bot}。选一个人，点下面的按钮或自己打字。`,
        `@${names.bot} 才回答，回答时引用你的问题；大家闲聊，它不插嘴。`,
        "「签到」「接龙」不用 @。积分和券这类私事，它只私聊你说。",
        "有人进群，几秒后一起欢迎；发广告、刷屏会被提醒，并报告给苏老师（先在左边让她关注、说句话）。",
      ],
      private: [`${names.bot}和${groups.person().name}的私聊，在群的这一边；公众号那边是另一个窗口。`],
      board: [
        "只发不收的群。苏老师在左边的公众号里发：",
        `/group push ${names.board} 今晚八点开播`,
        "再回复确认，这里就会收到。",
      ],
    };
    const box = make("div", "intro");
    for (const text of told[groups.room]) box.append(make("p", "", text));
    return box;
  },

  add(line) {
    const talk = $("talk");
    talk.querySelector(".intro.alone")?.classList.remove("alone");
    talk.append(groups.draw(line));
    talk.scrollTop = talk.scrollHeight;
  },

  drawTalk() {
    const here = groups.lines.filter(groups.shown);
    const intro = groups.intro();
    if (!here.length) intro.classList.add("alone");
    $("talk").replaceChildren(intro, ...here.map(groups.draw));
    $("talk").scrollTop = here.length ? $("talk").scrollHeight : 0;
  },

  drawRooms() {
    $("rooms").replaceChildren(
      ...groups.rooms().map(([room, name]) => {
        const button = make("button", "", name);
        button.type = "button";
        button.id = `room-${room}`;
        button.setAttribute("role", "tab");
        button.setAttribute("aria-selected", String(room === groups.room));
        const unread = groups.unread.get(room === "private" ? groups.who : room);
        if (unread) button.append(make("span", "badge", unread));
        button.addEventListener("click", () => groups.enter(room));
        return button;
      }),
    );
  },

  drawSpeakers() {
    $("speakers").replaceChildren(
      ...groups.people.map((person) => {
        const button = make("button", "", person.name);
        button.type = "button";
        button.title = person.role;
        button.dataset.speaker = person.name;
        button.setAttribute("role", "radio");
        button.setAttribute("aria-checked", String(person.id === groups.who));
        button.style.setProperty("--face", person.colour);
        if (groups.unread.get(person.id)) button.append(make("i", "dot"));
        button.addEventListener("click", () => groups.speak(person.id));
        return button;
      }),
    );
  },

  drawControls() {
    const person = groups.person();
    const board = groups.room === "board";
    $("speaking").hidden = board;
    $("at").hidden = groups.room !== "group";
    $("at").textContent = `@${groups.names.bot}`;
    $("groupinput").placeholder = `以${person.name}的身份${groups.room === "group" ? "在群里" : `私聊${groups.names.bot}`}说点什么`;
    $("examples").hidden = groups.room !== "group";
    $("examples").replaceChildren(
      ...person.examples.map((example) => {
        const chip = make("button", "", example.label);
        chip.type = "button";
        chip.dataset.example = example.label;
        if (example.text) chip.title = example.text;
        chip.addEventListener("click", () => groups.run(example));
        return chip;
      }),
    );
  },

  drawAll() {
    groups.unread.set(groups.room === "private" ? groups.who : groups.room, 0);
    groups.drawRooms();
    groups.drawSpeakers();
    groups.drawTalk();
    groups.drawControls();
  },

  enter(room) {
    groups.room = room;
    groups.quoting(null);
    groups.drawAll();
  },

  speak(id) {
    groups.who = id;
    groups.drawAll();
  },

  quoting(line) {
    groups.quote = line;
    $("quoting").hidden = !line;
    if (!line) return;
    $("quotedtext").textContent = `引用 ${line.name}：${line.text}`;
    $("groupinput").focus();
  },

  run(example) {
    return groups.act(example.act, example.act === "say" ? { text: example.text } : {});
  },

  async send() {
    const text = $("groupinput").value;
    if (!text.trim()) return;
    const quoted = groups.quote;
    $("groupinput").value = "";
    const sent = groups.room === "private"
      ? await groups.act("whisper", { text })
      : await groups.act("say", { text, quote: quoted ? quoted.message : "" });
    if (sent) groups.quoting(null);
    else $("groupinput").value = text;
    $("groupinput").focus();
  },

  onSaid(line) {
    if (!groups.names || groups.seen.has(line.id)) return;
    groups.seen.add(line.id);
    groups.lines.push(line);
    if (groups.shown(line)) {
      groups.add(line);
      return;
    }
    groups.unread.set(line.room, (groups.unread.get(line.room) || 0) + 1);
    groups.drawRooms();
    groups.drawSpeakers();
  },

  onMembers(people) {
    if (!groups.names) return;
    groups.people = people;
    if (!people.some((one) => one.id === groups.who)) groups.who = people[0].id;
    groups.drawAll();
  },

  listen() {
    $("groupinput").addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      groups.send();
    });
    $("groupform").addEventListener("submit", (event) => {
      event.preventDefault();
      groups.send();
    });
    $("at").addEventListener("click", () => {
      const input = $("groupinput");
      const mention = `@${groups.names.bot} `;
      if (!input.value.startsWith(mention)) input.value = mention + input.value;
      input.focus();
    });
    $("unquote").addEventListener("click", () => groups.quoting(null));
    for (const button of document.querySelectorAll("#views button")) {
      button.addEventListener("click", () => groups.view(button.dataset.view));
    }
  },

  // On a small screen one column is shown at a time.
  view(name) {
    document.body.dataset.view = name;
    for (const button of document.querySelectorAll("#views button")) {
      button.setAttribute("aria-selected", String(button.dataset.view === name));
    }
    if (groups.names) $("talk").scrollTop = $("talk").scrollHeight;
    $("chat").scrollTop = $("chat").scrollHeight;
  },

  async load() {
    const response = await fetch("/api/groups");
    if (!response.ok) return; // a page without groups
    const fresh = await response.json();
    if (!groups.names) groups.listen();
    Object.assign(groups, fresh);
    groups.seen = new Set(fresh.lines.map((line) => line.id));
    if (!groups.people.some((one) => one.id === groups.who)) groups.who = groups.people[0].id;
    groups.quoting(null);
    document.body.dataset.groups = "yes";
    $("groups").hidden = false;
    groups.drawAll();
  },
};
