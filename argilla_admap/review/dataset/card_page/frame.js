const root = document.documentElement;
const main = document.getElementById("admap");
const outer = window.parent !== window ? window.parent : null;

// ---- the frame: its styles, its theme, its height -------------------------------------------------------------------

// Argilla copies some thirty style sheets of its own into the frame. None is for this card, and each would be loaded again
// for each card of a page.
const head = document.head || document.getElementsByTagName("head")[0];
for (const item of [...head.querySelectorAll("link, style")]) {
  if (!item.textContent.includes("--mark-line")) item.remove();
}

const following = [];
const follow = (target, name, handler, options) => {
  target.addEventListener(name, handler, options);
  following.push(() => target.removeEventListener(name, handler, options));
};
window.addEventListener("pagehide", () => following.splice(0).forEach((stop) => stop()));

const takeTheme = () => {
  const theme = outer && outer.document.documentElement.getAttribute("data-theme");
  if (theme) root.setAttribute("data-theme", theme);
  // A frame of another scheme than its surroundings is drawn on an opaque ground.
  if (window.frameElement) root.style.colorScheme = outer.getComputedStyle(window.frameElement).colorScheme;
};
if (outer) {
  takeTheme();
  const watch = new MutationObserver(takeTheme);
  watch.observe(outer.document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  following.push(() => watch.disconnect());
}
const fit = () => {
  const frame = window.frameElement;
  if (frame) frame.style.height = Math.ceil(main.getBoundingClientRect().height) + 2 + "px";
};
new ResizeObserver(fit).observe(main);
window.addEventListener("load", () => setTimeout(fit, 0)); // Argilla sets its own height on load

// The record's name stands in a text field of its own, for Argilla's list of similar records. The card shows it too, and on a
// small screen a whole box for one word pushes the completions out of sight.
const hideTitle = () => {
  const title = typeof record === "object" && record && record.fields && record.fields.admap_title;
  const field = window.frameElement && window.frameElement.closest(".custom_field_component");
  const before = field && field.parentElement && field.parentElement.previousElementSibling;
  const alone = title && before && !before.querySelector("iframe") &&
    [...before.querySelectorAll("div")].some((item) => !item.childElementCount && item.textContent === title);
  if (alone) before.style.display = "none";
  // The field's own title says nothing that the card does not, and its wide margins are lines of the texts.
  const heading = field && field.querySelector(".title-area");
  if (heading) heading.style.display = "none";
  if (field) field.style.padding = "10px 12px 8px";
};
if (outer) hideTitle();

// On a low screen the completions would begin below its edge: then the prompt and the reasons take less room.
const low = Boolean(outer) && outer.innerHeight < 800;
main.classList.toggle("low", low);

// ---- small tools ----------------------------------------------------------------------------------------------------

const ESCAPED = /\u241b{3}([\u2800-\u28ff]{3})|\u241b{2}([\u2800-\u28ff]{2})|\u241b([\u2800-\u28ff])/g;
const decode = (text) => String(text == null ? "" : text).replace(ESCAPED, (all, three, two, one) => {
  let code = 0;
  for (const digit of three || two || one) code = code * 256 + digit.charCodeAt(0) - 0x2800;
  return code > 0xffff ? String.fromCodePoint(code) : String.fromCharCode(code);
});
const make = (name, attributes, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key === "class") element.className = value;
    else if (key === "onclick") element.addEventListener("click", value);
    else if (value != null && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child != null && child !== false));
  return element;
};
const draw = (name, attributes, ...children) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes || {})) if (value != null) element.setAttribute(key, value);
  element.append(...children.filter(Boolean));
  return element;
};
const known = (value) => typeof value === "number" && Number.isFinite(value);
const fixed = (value, digits) => value.toFixed(digits);
const short = (value) => (Math.abs(value) >= 100 ? fixed(value, 0) : fixed(value, 1));
const tick = (value, range) => (range < 1 ? fixed(value, 2) : short(value)).replace(/\.0+\b/, "");
const rating = (value) => (Number.isInteger(value) ? String(value) : fixed(value, 2).replace(/\.?0+(?![^])/, ""));
const count = (value) => value.toLocaleString("en-US");
const letter = (index) => {
  let name = "";
  for (let i = index + 1; i > 0; i = Math.floor((i - 1) / 26)) name = String.fromCharCode(65 + ((i - 1) % 26)) + name;
  return name;
};
const list = (names) => (names.length < 2 ? names.join("") : names.slice(0, -1).join(", ") + " and " + names[names.length - 1]);
