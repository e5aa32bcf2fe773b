// Keyboard and quickness for the labelling page. The page is whole without this file: everything here presses the
// same buttons and fills the same fields that a mouse or a plain browser would.
"use strict";
(() => {
  const desk = document.getElementById("desk");
  if (!desk) return;
  const words = desk.dataset;
  const $ = (selector, root = desk) => root.querySelector(selector);
  const all = (selector, root = desk) => [...root.querySelectorAll(selector)];
  const form = () => $("#answer");
  const kind = () => (form() ? form().dataset.kind : "");
  let busy = false;

  // ---- Seconds that the page was really looked at, and characters that were pasted.
  let shown = 0, since = performance.now(), pasted = 0;
  const looked = () => shown + (document.hidden ? 0 : performance.now() - since);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) shown += performance.now() - since;
    else since = performance.now();
  });
  desk.addEventListener("paste", (event) => { pasted += (event.clipboardData?.getData("text") ?? "").length; });

  const say = (text, bad = false) => {
    const state = $("#state");
    if (state) { state.textContent = text; state.classList.toggle("bad", bad); }
  };

  // ---- Sending: the answer comes back as the next example, and only the work area is replaced.
  async function send(target, submitter) {
    if (busy) return;
    busy = true;
    say(words.saving);
    if (target === form()) {
      for (const [name, value] of [["seconds", (looked() / 1000).toFixed(1)], ["pasted", String(pasted)]]) {
        const field = target.elements.namedItem(name);
        if (field) field.value = value;
      }
    }
    try {
      const body = new URLSearchParams(new FormData(target, submitter));
      const answer = await fetch(submitter?.getAttribute("formaction") ?? target.getAttribute("action"), {
        method: "POST", body, headers: { "X-Fragment": "1" }, credentials: "same-origin", redirect: "manual",
      });
      if (answer.status === 401 || answer.status === 403) {
        // Signed out elsewhere: what was written must not go with the page.
        if (all("textarea").some((one) => one.value.trim())) say(words.session, true);
        else location.reload();
        return;
      }
      if (answer.type === "opaqueredirect") { location.reload(); return; }
      if (!answer.headers.get("content-type")?.startsWith("text/html")) throw new Error(String(answer.status));
      show(await answer.text());
    } catch {
      // The same answer may be sent again: the server keeps it once.
      say(words.lost, true);
    } finally {
      busy = false;
    }
  }

  function show(html) {
    // The server's own page: every text of an example in it is escaped, and the parser runs no script.
    const fresh = new DOMParser().parseFromString(html, "text/html").getElementById("work");
    if (!fresh) { location.reload(); return; }
    $("#work").replaceWith(document.adoptNode(fresh));
    shown = 0; pasted = 0; since = performance.now();
    scrollTo(0, 0);
    begin();
  }

  desk.addEventListener("submit", (event) => {
    if (!event.target.matches("form[data-quick]")) return;
    event.preventDefault();
    send(event.target, event.submitter);
  });

  // ---- Questions: one for most kinds, several for a rubric; `at` is the one that digits answer.
  let at = 0;
  const questions = () => all("fieldset.question");
  const inputs = (question) => all("input[type=radio], input[type=checkbox]", question);
  function move(by) {
    const count = questions().length;
    at = Math.max(0, Math.min(count - 1, at + by));
    const question = questions()[at];
    if (!question) return;
    const input = $("input:checked, textarea", question) ?? $("input", question);
    input?.focus();
    question.scrollIntoView({ block: "nearest" });
  }
  function pick(input) {
    if (!input) return;
    input.checked = input.type === "checkbox" ? !input.checked : true;
    input.focus({ preventScroll: true });
    input.dispatchEvent(new Event("change", { bubbles: true }));
    const question = input.closest("fieldset.question");
    at = Math.max(0, questions().indexOf(question));
    if (input.type === "radio" && questions().length > 1 && at < questions().length - 1) move(1);
    else if (input.type === "radio" && questions().length === 1 && atOnce()) submit();
  }
  const atOnce = () => { try { return localStorage.getItem("tamis.at-once") === "1"; } catch { return false; } };
  const submit = () => { const button = $("#send"); if (button && !button.disabled) form().requestSubmit(button); };
  desk.addEventListener("focusin", (event) => {
    const question = event.target.closest?.("fieldset.question");
    if (question) at = questions().indexOf(question);
  });

  // ---- Ranking: digits name the items from best to worst, the selects keep the places.
  const places = () => all("select.place");
  function place(n) {
    const select = places()[n - 1];
    if (!select) return;
    if (select.value) select.value = "";
    else {
      const taken = places().map((one) => Number(one.value));
      const most = Math.max(0, ...taken);
      select.value = String(tie && most ? most : most + 1);
      tie = false;
    }
    mark();
  }
  function mark() {
    for (const select of places()) select.closest(".item").classList.toggle("placed", Boolean(select.value));
  }
  // The next item shares the place of the last one.
  let tie = false;
  function unplace() {
    const last = places().filter((one) => one.value).sort((a, b) => Number(b.value) - Number(a.value))[0];
    if (last) { last.value = ""; mark(); }
  }

  // ---- Spans: offsets count the code points of the original text; a mark that is spelt out counts one.
  class Spans {
    constructor(question) {
      this.question = question;
      this.name = question.dataset.field;
      this.field = $(".span-text", question);
      this.list = $("ul.spans", question);
      this.cursor = [0, 0];
      this.units = [];
      read(this.field, (text) => this.units.push(...text), (mark) => this.units.push({ mark }));
      this.words = wordsOf(this.units);
      this.spans = all("input[type=hidden]", this.list).map((one) => {
        const [start, end, ...label] = one.value.split(",");
        return { start: Number(start), end: Number(end), label: label.join(",") };
      });
      for (const one of all(".no-script", question)) one.remove();
      for (const one of all(".script, .span-label", question)) one.hidden = false;
      for (const one of all(".span-label", question)) {
        one.addEventListener("click", () => this.add(one.dataset.label));
        // A click on a label must not lose the selection that it is for.
        one.addEventListener("mousedown", (event) => event.preventDefault());
      }
      this.draw();
    }
    labels() { return all(".span-label", this.question).map((one) => one.dataset.label); }
    selected() {
      const [from, to] = this.cursor;
      return to > from ? [this.words[from][0], this.words[to - 1][1]] : [0, 0];
    }
    dragged() {
      const selection = getSelection();
      if (!selection.rangeCount || selection.isCollapsed) return null;
      const range = selection.getRangeAt(0);
      if (!this.field.contains(range.startContainer) || !this.field.contains(range.endContainer)) return null;
      const before = (node, offset) => {
        const head = document.createRange();
        head.selectNodeContents(this.field);
        head.setEnd(node, offset);
        let count = 0;
        read(head.cloneContents(), (text) => { count += [...text].length; }, () => { count += 1; });
        return count;
      };
      return [before(range.startContainer, range.startOffset), before(range.endContainer, range.endOffset)];
    }
    add(label) {
      const [start, end] = this.dragged() ?? this.selected();
      if (!label || end <= start) { say(words.select); return; }
      if (!this.spans.some((span) => span.start === start && span.end === end && span.label === label)) {
        this.spans.push({ start, end, label });
      }
      this.spans.sort((a, b) => a.start - b.start || a.end - b.end);
      getSelection().removeAllRanges();
      say("");
      this.draw();
    }
    back() { this.spans.pop(); this.draw(); }
    move(by, extend) {
      if (!this.words.length) return;
      const [from, to] = this.cursor, last = this.words.length;
      if (extend && to > from) this.cursor = [from, Math.max(from + 1, Math.min(last, to + by))];
      else {
        const start = to > from ? Math.max(0, Math.min(last - 1, from + by)) : 0;
        this.cursor = [start, start + 1];
      }
      this.draw();
    }
    draw() {
      const [from, to] = this.selected();
      const stops = [...new Set([0, this.units.length, from, to, ...this.spans.flatMap((one) => [one.start, one.end])])];
      stops.sort((a, b) => a - b);
      const pieces = [];
      for (let n = 0; n + 1 < stops.length; n++) {
        const inside = this.spans.filter((span) => span.start <= stops[n] && stops[n + 1] <= span.end);
        const here = from < to && from <= stops[n] && stops[n + 1] <= to;
        const holder = inside.length || here ? document.createElement("mark") : document.createDocumentFragment();
        if (inside.length) holder.title = inside.map((span) => span.label).join(", ");
        if (here) holder.className = "cursor";
        let run = "";
        for (const unit of this.units.slice(stops[n], stops[n + 1])) {
          if (typeof unit === "string") { run += unit; continue; }
          const spelt = document.createElement("b");
          spelt.className = "mark";
          spelt.dataset.mark = unit.mark;
          holder.append(run, spelt);
          run = "";
        }
        holder.append(run);
        pieces.push(holder);
      }
      this.field.replaceChildren(...pieces);
      $("mark.cursor", this.field)?.scrollIntoView({ block: "nearest" });
      this.list.replaceChildren(...this.spans.map((span, n) => this.line(span, n)));
    }
    line(span, n) {
      const make = (name, values) => Object.assign(document.createElement(name), values);
      const quote = this.units.slice(span.start, Math.min(span.end, span.start + 120)).map((unit) => unit.mark ?? unit).join("");
      const remove = make("button", { type: "button", className: "button small", textContent: words.remove });
      remove.addEventListener("click", () => { this.spans.splice(n, 1); this.draw(); });
      const item = document.createElement("li");
      item.append(
        make("span", { className: "tag", textContent: span.label }), make("q", { textContent: quote }),
        make("input", { type: "hidden", name: `${this.name}.span`, value: `${span.start},${span.end},${span.label}` }), remove,
      );
      return item;
    }
  }
  function read(node, onText, onMark) {
    for (const child of node.childNodes) {
      if (child.nodeType === Node.TEXT_NODE) onText(child.data);
      else if (child.matches("b.mark")) onMark(child.dataset.mark);
      else read(child, onText, onMark);
    }
  }
  function wordsOf(units) {
    // Scripts without spaces go character by character.
    const alone = /\p{Script=Han}|\p{Script=Hiragana}|\p{Script=Katakana}|\p{Script=Thai}/u;
    const found = [];
    let start = -1;
    units.forEach((unit, n) => {
      const inWord = typeof unit === "string" && /[\p{L}\p{N}\p{M}'’_-]/u.test(unit);
      if (start >= 0 && (!inWord || alone.test(unit) || alone.test(units[n - 1]))) { found.push([start, n]); start = -1; }
      if (inWord && start < 0) start = n;
    });
    if (start >= 0) found.push([start, units.length]);
    return found;
  }
  let widgets = new Map();
  const widget = () => widgets.get(questions()[at]);

  // ---- Each new example.
  let renewing = 0, retrying = 0;
  function begin() {
    at = 0;
    clearInterval(renewing);
    clearTimeout(retrying);
    widgets = new Map(questions().filter((one) => one.dataset.kind === "span").map((one) => [one, new Spans(one)]));
    if (places().length) { places().forEach((one) => one.addEventListener("change", mark)); mark(); }
    const text = $("#answer fieldset textarea");
    if (text && questions().length === 1) text.focus({ preventScroll: true });
    else $("#work")?.focus({ preventScroll: true });
    const { lease, retry } = $("#work")?.dataset ?? {};
    if (lease) renewing = setInterval(renew, Math.max(5, Number(lease) / 3) * 1000);
    if (retry) retrying = setTimeout(() => location.reload(), Number(retry) * 1000);
  }
  // The example stays lent as long as somebody looks at it.
  function renew() {
    if (document.hidden || busy || !form()) return;
    const { csrf, assignment } = form().elements;
    const body = new URLSearchParams({ csrf: csrf.value, assignment: assignment?.value ?? "" });
    if (assignment) fetch(`${words.root}/label/renew`, { method: "POST", body, credentials: "same-origin" }).catch(() => {});
  }

  // ---- Keys.
  const dialog = document.getElementById("keys");
  const typing = (target) => target.matches?.("textarea, select, input:not([type=radio], [type=checkbox], [type=hidden])");
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || dialog?.open) return;
    const target = event.target;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); submit(); return; }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      const skip = document.getElementById("skip");
      if (skip) skip.open = false;
      target.blur?.();
      return;
    }
    if (typing(target)) {
      // A browser sends a form on Enter in a field, but not in a list.
      if (event.key === "Enter" && target.matches("#skip select")) { event.preventDefault(); target.form.requestSubmit(); }
      return;
    }
    const onControl = target.closest?.("button, a, summary");
    if (event.key === "Enter" && onControl) return;
    const handled = press(event);
    if (handled) event.preventDefault();
  });
  function openSkip() {
    const skip = document.getElementById("skip");
    if (!skip) return;
    skip.open = true;
    $("select", skip).focus({ preventScroll: true });
    skip.scrollIntoView({ block: "center" });
  }
  desk.addEventListener("click", (event) => {
    if (!event.target.closest?.("#to-skip")) return;
    event.preventDefault();
    openSkip();
  });
  function press(event) {
    const { key, shiftKey } = event;
    if (key === "?") { dialog?.showModal(); return true; }
    if (key === "u") { $("#undo")?.click(); return true; }
    if (key === "s") { openSkip(); return true; }
    if (key === "g") { const guide = document.getElementById("guide"); if (guide) { guide.open = !guide.open; } return true; }
    if (!form()) { if (key === "Enter") { $("#go")?.click(); return true; } return false; }
    if (key === "Enter") { submit(); return true; }
    if (/^[0-9]$/.test(key)) {
      const n = key === "0" ? 10 : Number(key);
      if (places().length) place(n);
      else if (widget()) widget().add(widget().labels()[n - 1]);
      else {
        const question = questions()[at];
        if (!question) return false;
        const by = all(`input[data-key="${key}"]`, question)[0];
        pick(by ?? inputs(question)[n - 1]);
      }
      return true;
    }
    if (key === "Backspace" && places().length) { unplace(); return true; }
    if (key === "=" && places().length) { tie = true; return true; }
    if (widget() && (key === "ArrowRight" || key === "ArrowLeft")) { widget().move(key === "ArrowRight" ? 1 : -1, shiftKey); return true; }
    if (widget() && key === "Backspace") { widget().back(); return true; }
    if (key.startsWith("Arrow")) {
      const named = $(`input[data-arrow="${key}"]`);
      if (named) { pick(named); return true; }
      if (questions().length > 1 && (key === "ArrowUp" || key === "ArrowDown")) { move(key === "ArrowDown" ? 1 : -1); return true; }
      const radios = questions()[at] ? inputs(questions()[at]).filter((one) => one.type === "radio") : [];
      // In a group that has the focus, arrows already work by themselves.
      if (radios.length && !radios.includes(event.target)) { (radios.find((one) => one.checked) ?? radios[0]).focus(); return true; }
    }
    return false;
  }

  // ---- Help, and the choice of sending with the digit itself.
  for (const one of document.querySelectorAll("[data-open-keys]")) {
    one.hidden = false;
    one.addEventListener("click", () => dialog?.showModal());
  }
  const quick = document.getElementById("at-once");
  if (quick) {
    quick.checked = atOnce();
    quick.addEventListener("change", () => { try { localStorage.setItem("tamis.at-once", quick.checked ? "1" : "0"); } catch { /* private mode */ } });
  }
  begin();
})();
