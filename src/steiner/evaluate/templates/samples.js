"use strict";
// The sample browser. Texts of models are only ever set as text, never as markup.
(() => {
  const PAGE = 25, DEEPEST = 8;
  const at = (id) => document.getElementById(id);
  const make = (name, className, text) => {
    const element = document.createElement(name);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const unpack = async (id) => {
    const bytes = Uint8Array.from(atob(at(id).textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  };
  // A result: right, class, steps, reasoning tokens, answer, evidence, its step.
  const [RIGHT, KIND, STEPS, TOKENS, ANSWER, EVIDENCE, AT] = [0, 1, 2, 3, 4, 5, 6];
  const counted = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;

  let data, found = [], start = 0, current = -1;
  const parts = new Map();
  const part = (number) => {
    if (!parts.has(number)) parts.set(number, unpack(`part-${number}`));
    return parts.get(number);
  };
  const limit = () => Number(at("limit").value);
  const resultOf = (entry) => data.results[entry][limit()];

  function matches(entry, outcome, wanted) {
    const result = resultOf(entry);
    if (!result) return false;
    const other = data.other.length ? data.other[limit()][entry] : null;
    if (outcome === "right" && !result[RIGHT]) return false;
    if (outcome === "wrong" && result[RIGHT]) return false;
    if (outcome === "gained" && !(result[RIGHT] && other !== null && other < 1)) return false;
    if (outcome === "lost" && !(!result[RIGHT] && other !== null && other > 0)) return false;
    const kind = data.kinds.findIndex(([name]) => name === outcome);
    if (kind >= 0 && result[KIND] !== kind) return false;
    return !wanted || `${data.question[entry]}\n${result[ANSWER]}\n${data.id[entry]}`.toLowerCase().includes(wanted);
  }

  function filter() {
    const outcome = at("outcome").value, wanted = at("find").value.trim().toLowerCase();
    found = data.id.map((_, entry) => entry).filter((entry) => matches(entry, outcome, wanted));
    const order = at("order").value;
    if (order) {
      const sign = order === "most" ? -1 : 1;
      found.sort((a, b) => sign * (resultOf(a)[STEPS] - resultOf(b)[STEPS]) || a - b);
    }
    start = 0;
    list();
    at("count").textContent = `${counted(found.length, "sample")} of ${data.id.length.toLocaleString("en")}`;
  }

  function strip(entry, steps) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("class", "strip");
    svg.setAttribute("viewBox", `0 0 ${Math.max(steps, 24)} 8`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    const drawn = { on: "", back: "" };
    for (let i = 0; i < steps; i++) drawn[i && data.moves[entry][i - 1] === "b" ? "back" : "on"] += `M${i} 4h.82`;
    for (const [name, d] of Object.entries(drawn)) {
      if (!d) continue;
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.setAttribute("class", name);
      path.setAttribute("d", d);
      svg.append(path);
    }
    return svg;
  }

  function row(entry) {
    const result = resultOf(entry), item = make("li"), button = make("button");
    button.type = "button";
    button.dataset.entry = entry;
    if (entry === current) button.setAttribute("aria-current", "true");
    const top = make("span", "top"), asked = make("span", "asked", data.question[entry] || `question ${data.id[entry]}`);
    asked.dir = "auto";
    const sign = make("span", `sign ${result[RIGHT] ? "right" : "wrong"}`, result[RIGHT] ? "✓" : "✗");
    sign.setAttribute("role", "img");
    sign.setAttribute("aria-label", result[RIGHT] ? "right" : "wrong");
    top.append(sign, asked);
    const under = make("span", "under");
    const kind = result[KIND] < 0 ? "" : data.kinds[result[KIND]][1];
    under.append(make("span", "", result[STEPS] ? counted(result[STEPS], "step") : counted(result[TOKENS], "token")));
    if (kind) under.append(make("span", "kind", kind.length > 26 ? "answer differs" : kind));
    if (result[STEPS]) under.append(strip(entry, result[STEPS]));
    button.append(top, under);
    item.append(button);
    return item;
  }

  function list() {
    const shown = found.slice(start, start + PAGE);
    at("list").replaceChildren(...shown.map(row));
    at("list").start = start + 1;
    at("place").textContent = shown.length
      ? `${(start + 1).toLocaleString("en")}–${(start + shown.length).toLocaleString("en")}` : "none";
    at("back").disabled = start === 0;
    at("next").disabled = start + PAGE >= found.length;
  }

  // As on the server: a step after a backtrack is a sibling of the latest earlier step of the same name.
  function places(steps, moves) {
    const made = [];
    steps.forEach(([name], i) => {
      let parent = -1, known = true;
      if (i && moves[i - 1] === "p") parent = i - 1;
      else if (i) {
        const twin = steps.slice(0, i).map((s) => s[0]).lastIndexOf(name);
        known = twin >= 0 && made[twin].known;
        if (known) parent = made[twin].parent;
      }
      made.push({ parent, known, depth: parent < 0 ? 0 : made[parent].depth + 1 });
    });
    return made;
  }

  function field(name, text) {
    const line = make("p", name);
    line.dir = "auto";
    if (name !== "thought") line.append(make("span", "key", name), " ");
    line.append(text);
    return line;
  }

  function card(step, i, place, move, earlier, flagged) {
    const kind = i === 0 ? "start" : move === "b" ? "backtrack" : "proceed";
    const item = make("li", `step ${kind} d${Math.min(place.depth, DEEPEST)}${flagged ? " flagged" : ""}`);
    const head = make("p", "head"), name = make("b", "", step[0]);
    name.dir = "auto";
    let arrival = i === 0 ? "starts" : "proceeds";
    if (move === "b") {
      arrival = !place.known ? "backtracks" : place.parent < 0 ? "backtracks to the question" : `backtracks to step ${place.parent + 1}`;
    }
    head.append(make("span", "number", String(i + 1)), name, make("span", "arrival", arrival));
    if (earlier >= 0) head.append(make("span", "repeat", `repeats step ${earlier + 1}`));
    if (flagged) head.append(make("span", "deadend", "here"));
    const body = make("div", "body");
    ["thought", "summary", "reflection"].forEach((key, k) => { if (step[k + 1]) body.append(field(key, step[k + 1])); });
    item.append(head, body);
    return item;
  }

  function stepList(text, result, moves) {
    const steps = text.steps.slice(0, result[STEPS]), where = places(steps, moves), said = new Map();
    const items = make("ol", "steps");
    items.setAttribute("aria-label", "Steps");
    steps.forEach((step, i) => {
      const key = JSON.stringify(step.slice(0, 2)), earlier = said.has(key) ? said.get(key) : -1;
      if (earlier < 0) said.set(key, i);
      items.append(card(step, i, where[i], i ? moves[i - 1] : "", earlier, result[AT] === i + 1));
    });
    const more = result[STEPS] - steps.length;
    if (more > 0 && steps.length) items.append(make("li", "more", `${counted(more, "more step")} in the JSON file.`));
    return items;
  }

  function answer(text, result) {
    const item = make("li", `step answer ${result[RIGHT] ? "right" : "wrong"}`), head = make("p", "head");
    const said = make("b", "", text.answers[limit()] || "(no answer)");
    said.dir = "auto";
    head.append(make("span", "number", result[RIGHT] ? "✓" : "✗"), said, make("span", "arrival", "answers"));
    item.append(head);
    if (text.reference) item.append(field("reference", text.reference));
    return item;
  }

  function header(entry, result) {
    const head = make("header"), move = make("span", "move");
    head.append(
      make("h3", "", `Sample ${entry + 1}`),
      make("span", `mark ${result[RIGHT] ? "right" : "wrong"}`, result[RIGHT] ? "✓ right" : "✗ wrong"),
    );
    if (result[KIND] >= 0) head.append(make("span", "chip wrong", data.kinds[result[KIND]][1]));
    head.append(make("span", "note", `${counted(result[STEPS], "step")}, ${counted(result[TOKENS], "reasoning token")}`));
    for (const [label, name, step] of [["‹", "Sample before", -1], ["›", "Sample after", 1]]) {
      const button = make("button", "", label);
      button.type = "button";
      button.setAttribute("aria-label", name);
      const place = found.indexOf(entry) + step;
      button.disabled = place < 0 || place >= found.length;
      button.addEventListener("click", () => go(place));
      move.append(button);
    }
    head.append(move);
    return head;
  }

  async function show(entry, focus) {
    current = entry;
    const result = resultOf(entry), shown = at("shown");
    document.querySelectorAll("#list button").forEach((b) => {
      if (Number(b.dataset.entry) === entry) b.setAttribute("aria-current", "true");
      else b.removeAttribute("aria-current");
    });
    history.replaceState(null, "", `#sample/${entry + 1}/${limit()}`);
    const text = (await part(Math.floor(entry / data.part)))[entry % data.part];
    if (current !== entry) return;
    const asked = make("p", "question", text.question || `Question ${data.id[entry]}: its text is not kept here.`);
    asked.dir = "auto";
    const steps = stepList(text, result, data.moves[entry]);
    steps.append(answer(text, result));
    shown.replaceChildren(header(entry, result), asked);
    shown.setAttribute("aria-label", `Sample ${entry + 1}, ${result[RIGHT] ? "right" : "wrong"}`);
    if (result[EVIDENCE]) shown.append(make("p", "why", `Why this class: ${result[EVIDENCE]}.`));
    if (text.text) {
      const plain = make("p", "plain", text.text);
      plain.dir = "auto";
      shown.append(plain);
    }
    shown.append(steps);
    if (focus) shown.focus();
  }

  function go(place) {
    if (place < start || place >= start + PAGE) {
      start = Math.floor(place / PAGE) * PAGE;
      list();
    }
    show(found[place], true);
  }

  function follow() {
    const [kind, first, second] = location.hash.slice(1).split("/");
    const column = second in data.limits ? second : String(data.limits.length - 1);
    if (kind === "samples" && [...at("outcome").options].some((option) => option.value === first)) {
      at("limit").value = column;
      at("outcome").value = first;
      at("find").value = "";
      filter();
      if (found.length) show(found[0], false);
      at("samples").scrollIntoView();
      at("list").querySelector("button")?.focus({ preventScroll: true });
    } else if (kind === "sample" && data.results[first - 1]?.[column]) {
      at("limit").value = column;
      at("outcome").value = "";
      filter();
      start = Math.floor((first - 1) / PAGE) * PAGE;
      list();
      show(first - 1, true);
      at("browser").scrollIntoView();
    }
  }

  function arrows(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const buttons = [...at("list").querySelectorAll("button")], place = buttons.indexOf(document.activeElement);
    if (!step || place < 0) return;
    event.preventDefault();
    buttons[place + step]?.focus();
  }

  async function begin() {
    data = await unpack("index");
    filter();
    for (const id of ["outcome", "limit", "order"]) at(id).addEventListener("change", () => {
      filter();
      if (current >= 0 && resultOf(current)) show(current, false);
    });
    at("find").addEventListener("input", filter);
    at("list").addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) show(Number(button.dataset.entry), true);
    });
    at("list").addEventListener("keydown", arrows);
    at("back").addEventListener("click", () => { start = Math.max(0, start - PAGE); list(); });
    at("next").addEventListener("click", () => { start += PAGE; list(); });
    addEventListener("hashchange", follow);
    at("tool").hidden = false;
    follow();
  }
  begin();
})();
