// ---- mathematics: the common part of LaTeX as MathML, made node by node; what is not understood stays as it is written -----

const MATHML = "http://www.w3.org/1998/Math/MathML";
const math = (name, attributes, ...children) => {
  const element = document.createElementNS(MATHML, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
};
const table = (text) => Object.assign(Object.create(null), Object.fromEntries(text.split(" ").map((pair) => pair.split(":"))));
const LETTERS = table("alpha:α beta:β gamma:γ delta:δ epsilon:ϵ varepsilon:ε zeta:ζ eta:η theta:θ vartheta:ϑ iota:ι kappa:κ lambda:λ mu:μ nu:ν xi:ξ pi:π rho:ρ sigma:σ tau:τ upsilon:υ phi:ϕ varphi:φ chi:χ psi:ψ omega:ω Gamma:Γ Delta:Δ Theta:Θ Lambda:Λ Xi:Ξ Pi:Π Sigma:Σ Upsilon:Υ Phi:Φ Psi:Ψ Omega:Ω infty:∞ partial:∂ nabla:∇ ell:ℓ hbar:ℏ emptyset:∅ varnothing:∅ Re:ℜ Im:ℑ aleph:ℵ imath:ı jmath:ȷ");
const OPERATORS = table("times:× cdot:⋅ div:÷ pm:± mp:∓ le:≤ leq:≤ ge:≥ geq:≥ ne:≠ neq:≠ lt:\u003c gt:\u003e ll:≪ gg:≫ approx:≈ equiv:≡ cong:≅ sim:∼ simeq:≃ propto:∝ to:→ rightarrow:→ leftarrow:← leftrightarrow:↔ Rightarrow:⇒ Leftarrow:⇐ Leftrightarrow:⇔ implies:⟹ iff:⟺ mapsto:↦ in:∈ notin:∉ ni:∋ subset:⊂ subseteq:⊆ supset:⊃ supseteq:⊇ cup:∪ cap:∩ setminus:∖ forall:∀ exists:∃ neg:¬ lnot:¬ land:∧ wedge:∧ lor:∨ vee:∨ oplus:⊕ otimes:⊗ circ:∘ bullet:• star:⋆ ast:∗ prime:′ dots:… ldots:… cdots:⋯ vdots:⋮ ddots:⋱ mid:∣ vert:| parallel:∥ Vert:∥ perp:⊥ angle:∠ triangle:△ degree:° therefore:∴ because:∵ langle:⟨ rangle:⟩ lfloor:⌊ rfloor:⌋ lceil:⌈ rceil:⌉ lbrace:{ rbrace:} lvert:| rvert:| colon:: backslash:\\ cdotp:⋅ models:⊨ vdash:⊢ square:□ blacksquare:■");
const LARGE = table("sum:∑ prod:∏ int:∫ iint:∬ iiint:∭ oint:∮ bigcup:⋃ bigcap:⋂ bigoplus:⨁ coprod:∐");
OPERATORS.colon = ":";
const NAMES = new Set("sin cos tan cot sec csc sinh cosh tanh arcsin arccos arctan log ln lg exp min max sup inf lim det gcd arg deg dim ker Pr".split(" "));
const BELOW = new Set("sum prod bigcup bigcap bigoplus coprod min max sup inf lim det gcd Pr".split(" "));
const ACCENTS = table("hat:^ widehat:^ bar:¯ overline:¯ vec:→ tilde:~ widetilde:~ dot:˙ ddot:¨ overrightarrow:→");
const SPACES = { ",": ".17em", ":": ".22em", ";": ".28em", " ": ".28em", "!": "0", quad: "1em", qquad: "2em" };
const UPRIGHT = new Set("text textrm textit textbf mbox mathrm operatorname mathsf mathtt".split(" "));
const STYLES = { mathbf: "bold", boldsymbol: "bold", bm: "bold", mathit: "", mathcal: "", mathscr: "", mathfrak: "" };
const DOUBLE = table("C:ℂ E:𝔼 F:𝔽 H:ℍ N:ℕ P:ℙ Q:ℚ R:ℝ Z:ℤ");
const IGNORED = new Set("displaystyle textstyle limits nolimits big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr nonumber".split(" "));
const GRIDS = { matrix: ["", ""], pmatrix: ["(", ")"], bmatrix: ["[", "]"], vmatrix: ["|", "|"], cases: ["{", ""], aligned: ["", ""], align: ["", ""], "align*": ["", ""], gathered: ["", ""] };
const LATEX = /\\([A-Za-z]+)|\\([^])|(\d+(?:\.\d+)?)|(\s+)|([^])/gu;

// The formula as nodes, or null where any part of it is not understood.
const formula = (source, display) => {
  if (source.length > 2000) return null;
  const all = [...source.matchAll(LATEX)].filter((one) => one[4] === undefined || one[4].length > 0);
  let at = 0;
  const skip = () => { while (at < all.length && all[at][4] !== undefined) at++; };
  const fail = () => { throw new SyntaxError("not understood"); };
  const peek = (text) => { skip(); return at < all.length && all[at][0] === text; };
  const take = (text) => { if (!peek(text)) fail(); at++; };
  const raw = () => {
    take("{");
    let text = "";
    for (let deep = 1; ; at++) {
      if (at >= all.length) fail();
      deep += all[at][0] === "{" ? 1 : all[at][0] === "}" ? -1 : 0;
      if (!deep) break;
      if (/^[\\{}]/.test(all[at][0])) fail();
      text += all[at][0];
    }
    at++;
    return text;
  };
  const row = (depth, ends) => {
    const nodes = [];
    for (skip(); at < all.length && !ends(all[at][0]); skip()) {
      const node = scripted(depth + 1);
      if (node) nodes.push(node);
    }
    return nodes;
  };
  const group = (depth) => {
    if (!peek("{")) {
      // Without braces one digit alone belongs here.
      const digits = at < all.length && all[at][3];
      if (!digits || digits.length < 2) return atom(depth + 1) || fail();
      const rest = digits.slice(1);
      all[at] = [rest, undefined, undefined, rest];
      return math("mn", {}, digits[0]);
    }
    at++;
    const nodes = row(depth, (text) => text === "}");
    take("}");
    return nodes.length === 1 ? nodes[0] : math("mrow", {}, ...nodes);
  };
  const delimiter = () => {
    skip();
    if (at >= all.length) fail();
    const [text, word, sign] = all[at++];
    if (word) return OPERATORS[word] || fail();
    if (sign) return sign === "|" ? "∥" : /[{}]/.test(sign) ? sign : fail();
    return text === "." ? "" : /^[()[\]|/]/.test(text) ? text : fail();
  };
  const fence = (text) => math("mo", { fence: "true", stretchy: "true" }, text);
  const fenced = (left, inside, right) => math("mrow", {}, ...(left ? [fence(left)] : []), ...inside, ...(right ? [fence(right)] : []));
  const grid = (depth) => {
    const name = raw(), ends = (text) => text === "&" || text === "\\\\" || text === "\\end";
    if (!Object.hasOwn(GRIDS, name)) fail();
    const rows = [[]];
    for (;;) {
      rows[rows.length - 1].push(math("mtd", {}, ...row(depth, ends)));
      if (at >= all.length) fail();
      const mark = all[at++][0];
      if (mark === "\\end") break;
      if (mark === "\\\\") rows.push([]);
    }
    if (raw() !== name) fail();
    return fenced(GRIDS[name][0], [math("mtable", {}, ...rows.map((cells) => math("mtr", {}, ...cells)))], GRIDS[name][1]);
  };
  const command = (word, depth) => {
    if (LETTERS[word]) return math("mi", {}, LETTERS[word]);
    if (OPERATORS[word]) return math("mo", {}, OPERATORS[word]);
    if (LARGE[word]) return math("mo", { movablelimits: "true" }, LARGE[word]);
    if (NAMES.has(word)) return math("mi", { mathvariant: "normal" }, word);
    if (Object.hasOwn(SPACES, word)) return math("mspace", { width: SPACES[word] });
    if (IGNORED.has(word)) return null;
    if (/^[dt]?frac(?![^])/.test(word)) return math("mfrac", {}, group(depth), group(depth));
    if (/^[dt]?binom(?![^])/.test(word)) return fenced("(", [math("mfrac", { linethickness: "0" }, group(depth), group(depth))], ")");
    if (word === "sqrt") {
      if (!peek("[")) return math("msqrt", {}, group(depth));
      at++;
      const degree = math("mrow", {}, ...row(depth, (text) => text === "]"));
      take("]");
      return math("mroot", {}, group(depth), degree);
    }
    if (UPRIGHT.has(word)) return math("mtext", {}, raw());
    if (word === "mathbb") return math("mi", {}, DOUBLE[raw()] || fail());
    if (Object.hasOwn(STYLES, word)) {
      const inside = math("mrow", {}, group(depth));
      if (STYLES[word]) inside.setAttribute("class", STYLES[word]);
      return inside;
    }
    if (word === "boxed") return math("mrow", { class: "boxed" }, group(depth));
    if (ACCENTS[word]) return math("mover", { accent: "true" }, group(depth), math("mo", {}, ACCENTS[word]));
    if (word === "underline") return math("munder", {}, group(depth), math("mo", {}, "_"));
    if (word === "left") {
      const left = delimiter(), inside = row(depth, (text) => text === "\\right");
      take("\\right");
      return fenced(left, inside, delimiter());
    }
    return word === "begin" ? grid(depth) : fail();
  };
  const atom = (depth) => {
    skip();
    if (depth > 40 || at >= all.length) fail();
    if (all[at][0] === "{") return group(depth);
    const [text, word, sign, number] = all[at++];
    if (word) return command(word, depth);
    if (sign) {
      if (Object.hasOwn(SPACES, sign)) return math("mspace", { width: SPACES[sign] });
      return /[{}%&#_|\u0024]/.test(sign) ? math("mo", {}, sign === "|" ? "∥" : sign) : fail();
    }
    if (number) return math("mn", {}, number);
    if (/^[}&^_#\u0024%]/.test(text)) fail();
    return /\p{L}/u.test(text) ? math("mi", {}, text) : math("mo", text === "|" || /[()[\]]/.test(text) ? { stretchy: "false" } : {}, text === "-" ? "−" : text === "'" ? "′" : text);
  };
  const scripted = (depth) => {
    skip();
    const from = all[at] && all[at][1];
    let base = atom(depth), low = null, high = null;
    if (!base) return null;
    for (;;) {
      if (peek("_") && !low) { at++; low = group(depth); }
      else if (peek("^") && !high) { at++; high = group(depth); }
      else if (peek("'") && !high) {
        let primes = "";
        while (peek("'")) { at++; primes += "′"; }
        high = math("mo", {}, primes);
      } else break;
    }
    if (peek("_") || peek("^")) fail();
    if (!low && !high) return base;
    const under = BELOW.has(from) && display;
    if (low && high) return math(under ? "munderover" : "msubsup", {}, base, low, high);
    return low ? math(under ? "munder" : "msub", {}, base, low) : math(under ? "mover" : "msup", {}, base, high);
  };
  try {
    const nodes = row(0, () => false);
    return nodes.length ? math("math", { display: display ? "block" : "inline", "aria-label": source.trim(), title: source.trim() }, math("mrow", {}, ...nodes)) : null;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof RangeError) return null;
    throw error;
  }
};
