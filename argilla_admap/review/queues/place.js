// The strip of a card: which queue this is, how far it is read, what comes next. Runs after the card, in the card's frame.
//
// Part of it, the desk, lives in Argilla's own page, because the page takes the card's frame away at the end of a queue. Counts
// are asked for with the reader's own session, and nothing from outside. Texts of the data set are drawn as text only. No
// dollar sign: Argilla's text replacement would eat it.
(() => {
  "use strict";
  const facts = /*PLACES*/null;
  const outer = window.parent !== window ? window.parent : null;
  const main = document.getElementById("admap");
  if (!facts || !outer || !main || typeof record !== "object" || !record || !record.dataset_id) return;

  // ---- the desk: once a page load, in Argilla's page ------------------------------------------------------------------

  function openDesk() {
    const desk = { dataset: null, facts: null, started: null, place: null, paid: {}, said: new Map(), sent: 0, pages: new Map(), done: new Set(), listeners: new Set() };
    const path = () => location.pathname;
    const base = () => (path().includes("/dataset/") ? location.origin + path().slice(0, path().indexOf("/dataset/")) + "/" : document.baseURI);
    const query = () => new URLSearchParams(location.search);
    desk.link = (search) => base() + "dataset/" + encodeURIComponent(desk.dataset) + "/annotation-mode?" + search;

    const ask = async (who, body, limit, include) => {
      const token = localStorage.getItem("auth._token.local");
      if (!token) return null;
      const url = base() + "api/v1/" + who + "datasets/" + encodeURIComponent(desk.dataset) + "/records/search?limit=" + limit + (include || "");
      const answer = await fetch(url, { method: "POST", priority: "low", body: JSON.stringify(body),
        headers: { Authorization: token, "Content-Type": "application/json" } }).catch(() => null);
      return answer && answer.ok ? answer.json() : null;
    };
    desk.ask = ask;
    const terms = (scope, values) => ({ type: "terms", scope, values });
    const status = (...values) => terms({ entity: "response", property: "status" }, values);
    const OPEN = terms({ entity: "record", property: "status" }, ["pending"]);
    const total = async (filters) => {
      const found = await ask("me/", { filters: { and: filters } }, 1);
      return found ? found.total : null;
    };
    const mine = (queue) => (queue.status === "pending" ? [status("pending"), OPEN] : [status(queue.status)]);
    const left = (queue) => total([...queue.filters, ...mine(queue)]);

    // Those of the person who is signed in: a queue of another reviewer is not theirs.
    desk.user = () => {
      try {
        const part = localStorage.getItem("auth._token.local").split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
        return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(part), (c) => c.charCodeAt(0)))) || {};
      } catch (error) {
        return {};
      }
    };
    desk.queues = () => {
      const name = desk.user().username, all = desk.facts.queues.filter((queue) => !queue.reviewer || queue.reviewer === name);
      return [...all.filter((queue) => queue.reviewer), ...all.filter((queue) => !queue.reviewer)];
    };
    const same = (queue) => ["metadata", "sort", "status"].every((name) =>
      (query().get(name) || "") === (new URLSearchParams(queue.link).get(name) || "")) && !["search", "response", "suggestion", "similarity"].some((name) => query().get(name));
    desk.here = () => desk.queues().find(same) || null;
    desk.nowhere = () => (query().get("status") || "pending") === "pending" &&
      !["metadata", "sort", "search", "response", "suggestion", "similarity"].some((name) => query().get(name));
    desk.similarView = () => query().has("similarity");
    // The first queue after this one, round about, that still has something to read; `all` holds the others, so it is last.
    const next = async (queue) => {
      const all = desk.queues(), at = all.indexOf(queue);
      const order = [...all.slice(at + 1), ...all.slice(0, Math.max(0, at))];
      for (const other of [...order.filter((one) => one.name !== "all"), ...order.filter((one) => one.name === "all")]) {
        const count = await left(other);
        if (count === null) return null;
        if (count) return { queue: other, left: count };
      }
      return null;
    };
    desk.first = () => next(null);

    // ---- what is counted ----------------------------------------------------------------------------------------------

    let counting = null;
    const tell = () => desk.listeners.forEach((listener) => listener());
    desk.count = () => counting || (counting = count().finally(() => { counting = null; }));
    const count = async () => {
      // The server may or may not have counted an answer that was on its way: then it counts again.
      while (desk.holding()) await new Promise((go) => setTimeout(go, 100));
      const queue = desk.here(), began = desk.sent;
      const open = queue ? await left(queue) : null;
      const given = queue ? await total([...queue.filters, status("submitted", "discarded")]) : null;
      const after = await next(queue);
      const paid = {};
      for (const value of queue ? desk.facts.values : []) {
        paid[value] = await total([...queue.filters, status("submitted"), terms({ entity: "response", question: desk.facts.question }, [value])]);
      }
      if (queue !== desk.here()) return undefined;
      if (began !== desk.sent) return count();
      desk.place = { queue, left: open, answered: given, after, at: Date.now() };
      desk.paid = paid;
      return tell();
    };
    // Only in a page that is looked at; an answer is counted at once, by itself.
    setInterval(() => {
      if (!document.hidden && desk.dataset && path().includes(desk.dataset) && (!desk.place || Date.now() - desk.place.at > 30000)) desk.count();
    }, 5000);

    // ---- what is sent: one answer at a time -----------------------------------------------------------------------------

    // From Enter until the next record is drawn, keys would fall on the record that was just answered, or be lost. They wait.
    const HELD = /^([^]|Enter|Backspace|ArrowLeft|ArrowRight|ArrowUp|ArrowDown)(?![^])/u;
    let flying = null, requests = 0, timer = null, replaying = false, current = null;
    desk.holding = () => Boolean(flying || requests || keys.length);
    const keys = [];
    const typing = (target) => Boolean(target) && (/^(INPUT|TEXTAREA|SELECT)/.test(target.tagName) && !/^(radio|checkbox|range)/.test(target.type || "") || target.isContentEditable);
    const release = () => {
      clearTimeout(timer);
      flying = null;
      replay();
    };
    const later = (ms) => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        if (requests) return later(ms);
        // Answered, and no other record came: what was typed for it must not change this answer.
        if (flying && flying.sent && unread()) keys.length = 0;
        return release();
      }, ms);
    };
    const fly = (ms, sent = false) => {
      flying = { sent };
      later(ms);
    };
    const unread = () => ["pending", "draft"].includes(query().get("status") || "pending");
    const replay = () => {
      if (replaying || !keys.length) return;
      replaying = true;
      const step = () => {
        if (flying || !keys.length || over()) {
          replaying = false;
          if (over()) keys.length = 0;
          return;
        }
        const { key, code } = keys.shift(), at = document.activeElement || document.body;
        const event = new KeyboardEvent("keydown", { key, code, bubbles: true, cancelable: true });
        event.admap = true;
        if (at.dispatchEvent(event) && typing(at) && key.length < 3) document.execCommand("insertText", false, key);
        setTimeout(step, 40);
      };
      setTimeout(step, 40);
    };
    const over = () => Boolean(document.querySelector(".wrapper--empty"));
    const stop = (event) => {
      event.preventDefault();
      event.stopImmediatePropagation();
    };
    addEventListener("keydown", (event) => {
      if (!desk.dataset || !path().includes(desk.dataset) || event.ctrlKey || event.metaKey || event.altKey || !HELD.test(event.key)) return;
      const form = event.target.closest && event.target.closest("form.questions-form");
      if (over()) {
        // The form still shows the last record: nothing may change its answer unseen.
        if ((form || event.target === document.body) && event.key !== "Tab") stop(event);
        return;
      }
      if (query().get("page") && query().get("page").includes("~")) return;
      if (typing(event.target) && !flying && !keys.length) return;
      if ((flying || keys.length) && !event.admap) {
        stop(event);
        if (!event.repeat) keys.push({ key: event.key, code: event.code });
      } else if (/^(Enter|Backspace|ArrowLeft|ArrowRight)/.test(event.key)) {
        // The page sends at once; where it sends nothing and shows no other record, the keys go on.
        fly(300);
      }
    }, true);
    addEventListener("click", (event) => {
      const form = desk.dataset && path().includes(desk.dataset) && event.target.closest && event.target.closest("form.questions-form");
      if (form && over()) stop(event);
    }, true);

    const { open, send } = XMLHttpRequest.prototype;
    XMLHttpRequest.prototype.open = function (method, url, ...rest) {
      this.admap = [String(method).toUpperCase(), String(url)];
      return open.call(this, method, url, ...rest);
    };
    XMLHttpRequest.prototype.send = function (body) {
      const [method, url] = this.admap || ["", ""];
      const answer = /^(POST|PUT)/.test(method) && /\/(records\/[0-9a-f-]+\/responses|responses\/[0-9a-f-]+)(\?|(?![^]))/.exec(url);
      if (answer || /\/records\/search\?/.test(url)) {
        requests++;
        const queue = desk.here(), about = current, given = answer ? read(body) : {};
        if (answer) {
          desk.sent++;
          // The next record comes, or the queue's end. Only a draft stays, and an answer that was changed.
          if (given.status !== "draft") fly(unread() ? 8000 : 700, true);
        }
        this.addEventListener("loadend", () => {
          requests--;
          if (answer && this.status >= 200 && this.status < 300) took(about, queue, given);
        });
      }
      return send.call(this, body);
    };
    const read = (body) => {
      try {
        return JSON.parse(body) || {};
      } catch (error) {
        return {}; // not ours to read
      }
    };
    const took = (id, queue, { status, values }) => {
      const verdict = status === "submitted" ? ((values || {})[desk.facts.question] || {}).value : undefined;
      const before = desk.said.get(id), place = desk.place;
      desk.done.add(id);
      desk.said.set(id, { status, verdict });
      if (place && place.queue === queue) {
        if (place.left && !before) place.left--;
        if (place.answered !== null && status !== "draft" && (!before || before.status === "draft")) place.answered++;
        for (const [value, by] of [[before && before.verdict, -1], [verdict, 1]]) {
          if (typeof desk.paid[value] === "number") desk.paid[value] += by;
        }
      }
      desk.fault = desk.facts.faults.includes(verdict) ? id : desk.fault;
      tell();
      atEnd();
    };

    // ---- what the reader may want to know of a record ------------------------------------------------------------------

    // Records like one in which an error was found: those alike in half of their words, at most twenty.
    desk.alike = async (id) => {
      const body = { query: { vector: { name: desk.facts.texts, record_id: id, max_results: 20 } }, filters: { and: [status("pending"), OPEN] } };
      const found = await ask("me/", body, 20);
      // The engine's score of a cosine c is (1 + c) / 2.
      const near = found ? found.items.filter((item) => item.query_score >= 0.7) : [];
      return { id, records: near.map((item) => item.record) };
    };
    desk.similar = (id, limit) => desk.link("page=1&status=pending&similarity=record." + id + ".vector." + desk.facts.texts + ".limit." + limit + ".order.most");
    // What the others said, for those who may see it: Argilla refuses it to annotators.
    desk.others = async (id) => {
      const found = await ask("", { filters: { and: [terms({ entity: "record", property: "id" }, [id])] } }, 1, "&include=responses");
      const me = desk.user().identity;
      return found && found.items[0] ? (found.items[0].record.responses || []).filter((one) => one.status === "submitted" && one.user_id !== me) : [];
    };
    desk.complete = (id) => total([terms({ entity: "record", property: "id" }, [id]), terms({ entity: "record", property: "status" }, ["completed"])]);

    // ---- a record is drawn ----------------------------------------------------------------------------------------------

    const route = () => (window["\u0024nuxt"] || {})["\u0024route"] || null;
    const page = () => Number((route() ? route().query.page : query().get("page")) || 1);
    // Records that were answered have left the list: a reload of page 5 would skip four that nobody read.
    const answeredBefore = (at) => [...desk.pages].filter(([known, place]) => place < at && desk.done.has(known)).length;
    const keepPage = (id) => {
      const at = page();
      if (!Number.isInteger(at)) return;
      const other = [...desk.pages].find(([known, place]) => place === at && known !== id);
      if (other && !desk.done.has(other[0])) desk.pages.clear(), desk.done.clear();
      desk.pages.set(id, at);
      const skipped = unread() ? at - 1 - answeredBefore(at) : 0;
      if (desk.skipped === skipped) return;
      desk.skipped = skipped;
      tell();
    };
    const keepUrl = (id) => {
      const at = desk.pages.get(id);
      // Once the record is answered, the address is that of the next one, though this one is still in view.
      if (flying) setTimeout(() => keepUrl(id), 250);
      if (flying || current !== id || at !== page() || !unread()) return;
      const before = answeredBefore(at), url = new URL(location.href);
      if (before && url.searchParams.get("page") !== String(at - before)) {
        url.search = url.search.replace(/([?&]page=)[0-9]+/, "\u00241" + (at - before));
        history.replaceState(history.state, "", url.href);
      }
    };
    desk.drawn = (id) => {
      const moved = current !== id;
      current = id;
      if (moved) keepPage(id);
      setTimeout(() => keepUrl(id), 250);
      if (flying && moved) setTimeout(release, 30);
      if (desk.place && desk.place.queue !== desk.here()) desk.place = null;
      clearTimeout(desk.soon);
      if (!desk.place) desk.soon = setTimeout(desk.count, 300);
    };

    // ---- the end of a queue ---------------------------------------------------------------------------------------------

    const make = (name, style, ...children) => {
      const element = document.createElement(name);
      element.style.cssText = style;
      element.append(...children);
      return element;
    };
    const atEnd = async () => {
      const empty = document.querySelector(".wrapper--empty");
      if (!empty || !desk.dataset || !path().includes(desk.dataset) || empty.querySelector("[data-admap]")) return;
      const queue = desk.here();
      if (!queue && (query().get("status") || "pending") !== "pending") return;
      keys.length = 0;
      if (flying) release();
      const form = document.querySelector("form.questions-form");
      if (form) form.style.opacity = "0.4"; // it takes nothing any more
      const box = make("div", "text-align: center; font-size: 16px; line-height: 1.6; padding: 0 24px");
      box.dataset.admap = "end";
      empty.style.flexDirection = "column";
      empty.append(box);
      await counting;
      await desk.count();
      const paid = queue ? desk.payoff() : "", after = desk.place && desk.place.after;
      const title = make("p", "font-weight: 600; margin: 12px 0 0", queue ? queue.title + " is read to its end." : "Nothing is left here.");
      const parts = [title];
      if (paid) parts.push(make("p", "margin: 0", paid));
      if (after) {
        const link = make("a", "display: inline-block; margin-top: 14px; padding: 8px 16px; border-radius: 8px; border: 1px solid currentColor; font-weight: 600; color: inherit",
          "Next: " + after.queue.title + ", " + after.left.toLocaleString("en-US") + " left \u21b5");
        link.href = desk.link(after.queue.link);
        parts.push(link);
        setTimeout(() => link.focus(), 0);
      } else if (desk.place) parts.push(make("p", "margin: 8px 0 0", "No queue has a record left for you."));
      box.replaceChildren(...parts);
    };
    desk.payoff = () => {
      const words = { flip: "flipped ", keep: "kept ", tie: "called a tie ", both_bad: "called both bad " };
      const parts = Object.entries(desk.paid).filter(([, n]) => n).map(([value, n]) => words[value] + n.toLocaleString("en-US"));
      if (parts.length) return "You " + parts.join(", ") + ".";
      const answered = desk.place && desk.place.answered;
      return answered ? "You answered " + answered.toLocaleString("en-US") + "." : "";
    };
    new MutationObserver(() => {
      if (desk.dataset && !path().includes(desk.dataset)) desk.started = desk.place = current = null;
      atEnd();
    }).observe(document.body, { childList: true, subtree: true });
    return desk;
  }

  // ---- the strip, in the card -------------------------------------------------------------------------------------------

  const bulk = outer.document.querySelectorAll("iframe").length > 1 || new URLSearchParams(outer.location.search).get("page")?.includes("~");
  const desk = outer.admapDesk || (outer.admapDesk = outer.eval("(" + openDesk + ")()"));
  desk.dataset = record.dataset_id;
  // Kept while it is the same: queues are told apart by identity.
  if (JSON.stringify(desk.facts) !== JSON.stringify(facts)) desk.facts = facts;
  if (bulk) return;
  const home = desk.nowhere() && desk.started !== record.dataset_id;
  desk.started = record.dataset_id;
  const make = (name, attributes, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children.filter(Boolean));
    return element;
  };
  const number = (value) => value.toLocaleString("en-US");

  if (home) {
    // Argilla opens a data set in an order of its own. The first queue is where a minute of reading corrects most.
    main.replaceChildren(make("p", { class: "quiet" }, "Opening the first queue \u2026"));
    desk.first().then((found) => {
      if (found) outer.location.replace(desk.link(found.queue.link));
      else outer.location.replace(desk.link("page=1&status=pending&sort=record.inserted_at.asc"));
    });
    return;
  }

  const style = document.createElement("style");
  style.textContent = ".place { display: flex; flex-wrap: wrap; gap: 0 14px; margin: 0 0 3px; font-size: 12px; line-height: 18px; color: var(--soft);" +
    " font-variant-numeric: tabular-nums; } .place b { color: var(--ink); font-weight: 600; } .place .on { margin-left: auto; }" +
    " #admap .told { margin: 2px 0 5px; padding: 4px 10px; font-size: 12.5px; line-height: 18px; border-inline-start: 3px solid var(--accent); background: var(--wash); }" +
    " #admap .told summary { cursor: pointer; font-weight: 600; } #admap .told ul { margin: 2px 0 0; padding: 0; list-style: none; } .told li { overflow-wrap: anywhere; white-space: pre-wrap; }";
  document.head.append(style);
  const strip = make("nav", { class: "place", "aria-label": "Queue" });
  const draw = () => {
    const place = desk.place, queue = desk.here();
    const parts = [make("b", {}, queue ? queue.title : desk.similarView() ? "Similar records" : "Not in a queue")];
    const counted = place && place.queue === queue;
    if (counted && queue && place.left !== null && place.answered !== null) {
      const all = place.left + place.answered, at = Math.min(all, place.answered + 1 + (desk.skipped || 0));
      parts.push(make("span", {}, place.left ? number(at) + " of " + number(all) : number(all) + " read"), make("span", {}, number(place.left) + " left"));
      if (Date.now() - place.at > 60000) parts.push(make("span", {}, "as of " + new Date(place.at).toLocaleTimeString()));
      const paid = Object.values(desk.paid).some(Boolean) ? desk.payoff().replace(/^You |\.(?![^])/g, "") : "";
      if (paid) parts.push(make("span", {}, paid));
    }
    if (facts.texts) parts.push(make("a", { class: "on", target: "_blank", rel: "noopener", href: desk.similar(record.id, 20), title: "Opens the records whose texts are most like this one's" }, "more like this"));
    if (counted && place.after) {
      parts.push(make("a", { class: facts.texts ? "" : "on", target: "_parent", href: desk.link(place.after.queue.link) },
        (queue ? "next: " : "first: ") + place.after.queue.title + " (" + number(place.after.left) + ") \u2192"));
    }
    strip.replaceChildren(...parts);
  };
  draw();
  main.prepend(strip);

  // ---- beside it: records like a found error, answers of others --------------------------------------------------------

  const here = () => window.frameElement && window.frameElement.isConnected;
  const decode = (text) => String(text || "").replace(/\u241b{3}([\u2800-\u28ff]{3})|\u241b{2}([\u2800-\u28ff]{2})|\u241b([\u2800-\u28ff])/g,
    (all, three, two, one) => String.fromCodePoint([...(three || two || one)].reduce((code, digit) => code * 256 + digit.charCodeAt(0) - 0x2800, 0)));
  const told = (name, words, items) => {
    const box = make("details", { class: "told " + name }, make("summary", {}, words), make("ul", {}, ...items.map((item) => make("li", { dir: "auto" }, ...item))));
    strip.after(box);
    return box;
  };
  const offer = async () => {
    const fault = desk.fault;
    if (!fault || !facts.texts || fault === record.id) return;
    if (!desk.like || desk.like.id !== fault) desk.like = await desk.alike(fault);
    const like = desk.like.records.filter((one) => one.id !== record.id && !desk.done.has(one.id));
    if (!like.length || !here() || desk.fault !== fault) return;
    const first = (one) => decode(((((one.fields || {}).admap || {})._p || []).slice(-1)[0] || [])[1]).slice(0, 110);
    const open = make("a", { target: "_blank", rel: "noopener", href: desk.similar(fault, like.length) }, "open these " + number(like.length));
    told("alike", number(like.length) + " more look like the one that you flipped", [...like.slice(0, 9).map((one) => [first(one)]), [open]]);
  };
  const SAID = { a: "A is better", b: "B is better", tie: "a tie", both_bad: "both are bad", keep: "keep the label", flip: "flip the label" };
  const hear = async () => {
    if (!record.metadata || record.metadata[facts.review] !== "conflict") return;
    const answers = await desk.others(record.id);
    if (!answers.length || !here()) return;
    const words = ({ values }) => Object.entries(values || {}).filter(([name]) => name !== "note").map(([name, given]) => {
      const rated = /^rating_(.+)/.exec(name);
      return rated ? rated[1].toUpperCase() + " " + given.value : name === facts.question ? SAID[given.value] || String(given.value) : "";
    }).filter(Boolean).join(", ");
    const note = ({ values }) => (values && values.note && values.note.value ? " Note: " + values.note.value : "");
    told("others", "The reviewers disagree; your answer decides.", answers.map((answer, i) => ["Reviewer " + (i + 1) + ": " + words(answer) + "." + note(answer)])).open = true;
  };
  const meanwhile = async () => {
    if (!here() || record.status !== "pending" || desk.done.has(record.id)) return;
    if (await desk.complete(record.id) && here() && !desk.done.has(record.id)) strip.after(make("p", { class: "told since" }, "Somebody else has answered this record since it was opened."));
  };
  setTimeout(() => here() && Promise.all([offer(), hear()]).then(meanwhile), 600);
  // The strip takes the place of the field's title, so that the texts begin no lower.
  const title = window.frameElement && window.frameElement.previousElementSibling;
  if (title && title.classList.contains("title-area")) title.style.display = "none";
  const listener = () => (window.frameElement && window.frameElement.isConnected ? draw() : void desk.listeners.delete(listener));
  desk.listeners.add(listener);
  window.addEventListener("pagehide", () => desk.listeners.delete(listener));
  desk.drawn(record.id);
})();
