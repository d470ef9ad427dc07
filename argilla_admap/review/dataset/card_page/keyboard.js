// The keyboard of the review: it lives in Argilla's page, because a card goes with its record and keys come in between.
//
// A digit answers a pair and goes on by itself, shortly after, so that another digit can still correct it; Enter goes on at once.
// What is typed until the next card is drawn waits for it: an answer lands on a record that is on the screen, or nowhere.
const keyboardOfPage = () => {
  const GRACE = 400, PATIENCE = 5000;
  const page = { card: null, chosen: null, gone: null, queue: [], timer: null };
  const typing = (element) => element && (/^(INPUT|TEXTAREA|SELECT)/.test(element.tagName) &&
    !/^(radio|checkbox|range)/.test(element.type || "") || element.isContentEditable);
  const options = () => [...document.querySelectorAll("input[id^=better_][data-keyboard]")];
  const shown = () => page.card && page.card.frame.isConnected;
  const several = () => document.querySelectorAll("iframe").length > 1;
  const submittable = () => {
    const button = document.querySelector(".button--submit");
    return Boolean(button) && !button.disabled && !button.classList.contains("--disabled") && getComputedStyle(button).pointerEvents !== "none";
  };
  const stop = (event) => {
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  const press = (key) => {
    const event = new KeyboardEvent("keydown", { key, code: key === "Enter" ? "Enter" : "Digit" + key, bubbles: true, cancelable: true });
    event.ofCard = true;
    (document.activeElement || document.body).dispatchEvent(event);
  };
  const forget = () => {
    clearTimeout(page.timer);
    page.chosen = null;
    if (shown()) page.card.say("");
  };
  // From here on keys wait for the next card.
  const leave = () => {
    const left = { id: page.card.id };
    page.gone = left;
    forget();
    setTimeout(() => {
      if (page.gone !== left) return;
      page.gone = null;
      page.queue = [];
    }, PATIENCE);
  };
  const submit = () => {
    clearTimeout(page.timer);
    if (!page.chosen || !shown()) return forget();
    const { id } = page.card;
    // The page takes a moment to see the choice; while it saves, it takes no key.
    const attempt = (times) => {
      if (!shown() || page.card.id !== id || page.gone) return;
      if (!submittable() && times) return setTimeout(attempt, 25, times - 1);
      const from = document.activeElement;
      if (typing(from)) from.blur();
      leave();
      press("Enter");
    };
    attempt(40);
  };
  const choose = (option) => {
    clearTimeout(page.timer);
    page.chosen = option.id;
    if (!option.checked) option.click();
    option.focus({ preventScroll: true });
    page.card.say(option.name);
    page.timer = setTimeout(submit, GRACE);
  };
  const take = (key) => {
    if (key === "Enter") return page.chosen ? submit() : press("Enter");
    const option = options().find((item) => item.dataset.keyboard === key);
    if (option) choose(option);
    else press(key);
  };
  const drain = () => {
    if (!page.queue.length || page.gone || !shown()) return;
    take(page.queue.shift());
    setTimeout(drain, 70);
  };
  window.addEventListener("keydown", (event) => {
    if (event.ofCard || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const digit = /^[0-9](?![^])/.test(event.key), enter = event.key === "Enter";
    if (page.gone || page.queue.length) {
      if (!digit && !enter) return;
      stop(event);
      // Enter belongs to an answer: alone, it would accept what nobody has read.
      if (digit || (page.queue.length && page.queue[page.queue.length - 1] !== "Enter")) page.queue.push(event.key);
      return;
    }
    if (!shown() || several()) return;
    if (page.chosen && enter) {
      stop(event);
      return submit();
    }
    if (digit && (page.chosen || !typing(event.target))) {
      const option = options().find((item) => item.dataset.keyboard === event.key);
      if (!option) return;
      stop(event);
      if (!event.repeat) choose(option);
    } else if (enter && event.repeat) stop(event);
    else if (enter && !typing(event.target) && submittable()) leave();
    else if (page.chosen && !/^(Shift|Control|Alt|Meta|d|f|D|F)(?![^])/.test(event.key)) forget();
  }, true);
  page.drawn = (card) => {
    page.card = card;
    if (page.gone && page.gone.id === card.id) return; // the same record, drawn again
    page.gone = null;
    requestAnimationFrame(() => requestAnimationFrame(drain));
  };
  return page;
};

// `say`: shows what was chosen until it is saved; empty for nothing.
const joinKeyboard = (say) => {
  if (!outer.admapKeyboard) {
    const script = outer.document.createElement("script");
    script.textContent = "window.admapKeyboard = (" + keyboardOfPage + ")();";
    outer.document.head.append(script);
    script.remove();
  }
  if (window.frameElement) outer.admapKeyboard.drawn({ id: record.id, frame: window.frameElement, say });
};
