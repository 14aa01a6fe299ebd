// What of the page needs no browser: node --test tests/browser/page.test.mjs
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

/** As much of the DOM as the page's own code touches. */
class Element {
  constructor(tag) {
    this.tag = tag;
    this.children = [];
    this.attributes = {};
    this.classList = { contains: (name) => (this.attributes.class ?? "").split(" ").includes(name), toggle() {} };
    this.scrollHeight = this.scrollTop = this.clientHeight = 0;
  }
  setAttribute(name, value) { this.attributes[name] = value; }
  getAttribute(name) { return this.attributes[name] ?? null; }
  removeAttribute(name) { delete this.attributes[name]; }
  addEventListener() {}
  focus() {}
  select() {}
  adopt(nodes) {
    return nodes.flatMap((node) => (node.tag === "#fragment" ? node.children.splice(0) : [node])).map((node) => {
      if (node instanceof Element) node.parent = this;
      return node;
    });
  }
  append(...nodes) { this.children.push(...this.adopt(nodes)); }
  prepend(...nodes) { this.children.unshift(...this.adopt(nodes)); }
  replaceChildren(...nodes) { this.children = this.adopt(nodes); }
  remove() { this.parent.children.splice(this.parent.children.indexOf(this), 1); }
  get elements() { return this.children.filter((node) => node instanceof Element); }
  get childElementCount() { return this.elements.length; }
  get firstElementChild() { return this.elements[0] ?? null; }
  get textContent() { return this.children.map((node) => (node instanceof Element ? node.textContent : String(node))).join(""); }
  set textContent(text) { this.children = [text]; }
}

globalThis.document = {
  getElementById: () => new Element("div"),
  createElement: (tag) => new Element(tag),
  createDocumentFragment: () => new Element("#fragment"),
  querySelectorAll: () => [],
  addEventListener() {},
  hidden: true,
};
globalThis.location = new URL("http://pelton/");
globalThis.history = { pushState() {} };
globalThis.addEventListener = () => {};
globalThis.fetch = async () => ({ status: 401, ok: false, json: async () => ({}) });
globalThis.setInterval = () => 0;
let frames = [];
globalThis.requestAnimationFrame = (callback) => frames.push(callback);
globalThis.cancelAnimationFrame = () => { frames = []; };
const paint = () => frames.splice(0).forEach((callback) => callback());

const source = readFileSync(new URL("../../web/app.js", import.meta.url));
const page = await import(`data:text/javascript;base64,${source.toString("base64")}`);

test("an address leads to its page", () => {
  const route = (path) => page.routeOf(new URL(path, "http://pelton"));
  assert.deepEqual(route("/builds/3"), { page: "build", id: 3 });
  assert.deepEqual(route("/#/builds/3"), { page: "build", id: 3 });
  assert.deepEqual(route("/builds/5#/builds/3"), { page: "build", id: 3 });
  assert.deepEqual(route("/#/deployments"), { page: "deployments" });
  assert.deepEqual(route("/#/repositories"), { page: "repositories" });
  assert.deepEqual(route("/?repo=hello"), { page: "builds", repo: "hello" });
});

test("times are of UTC, with and without a zone", () => {
  assert.equal(page.parseTime("2026-02-24 06:59:36"), page.parseTime("2026-02-24T06:59:36Z"));
  assert.equal(page.ago("2026-02-24 06:59:36", page.parseTime("2026-02-24T07:02:40Z")), "3 min ago");
  assert.equal(page.ago(null), "");
  assert.equal(page.until("2026-02-26T06:59:36Z", page.parseTime("2026-02-24T07:02:40Z")), "in 47 h");
  assert.equal(page.until("2026-05-26T06:59:36Z", page.parseTime("2026-02-24T07:02:40Z")), "on 2026-05-26");
  assert.equal(page.until(null), "");
});

test("what a newer build took the place of is shown as superseded, and nothing else", () => {
  assert.equal(page.stateOf({ status: "cancelled", reason: "superseded" }), "superseded");
  assert.equal(page.stateOf({ status: "cancelled", reason: "user" }), "cancelled");
  assert.equal(page.stateOf({ status: "running", reason: "superseded" }), "running");
  assert.equal(page.stateOf({ status: "failed" }), "failed");
});

test("a job stands behind all that it needs", () => {
  const job = (name, ...needs) => ({ name, needs });
  const stages = page.stagesOf([job("d", "b", "c"), job("a"), job("b", "a"), job("c"), job("lost", "nobody")]);
  assert.deepEqual(stages.map((stage) => stage.map((j) => j.name)), [["a", "c", "lost"], ["b"], ["d"]]);
  assert.ok(page.stagesOf([job("x", "y"), job("y", "x")]).flat().length === 2);
});

const pieces = (text, size) => {
  const ansi = new page.Ansi();
  const out = [];
  for (let at = 0; at < text.length; at += size) out.push(...ansi.feed(text.slice(at, at + size)));
  const joined = [];
  for (const piece of out) {
    const last = joined.at(-1);
    if (last && last.classes === piece.classes) last.text += piece.text;
    else joined.push({ ...piece });
  }
  return joined;
};

test("colours become classes however the text is cut; other sequences vanish", () => {
  for (const size of [1, 2, 3, 7, 1000]) {
    assert.deepEqual(pieces("a\x1b[1;31mred\x1b[0m b\x1b[38;5;4mc\x1b[38;2;1;2;3md\x1b[39me", size), [
      { text: "a", classes: "" }, { text: "red", classes: "b f1" }, { text: " b", classes: "" },
      { text: "cd", classes: "f4" }, { text: "e", classes: "" },
    ]);
    assert.equal(pieces("a\x1b[2Jb\x1b]0;title\x07c\x1b]8;;http://x\x1b\\d\x07e\x1bcf\x1b(Bg", size).map((p) => p.text).join(""), "abcdefg");
  }
  assert.deepEqual(pieces("<b onclick=x>", 5), [{ text: "<b onclick=x>", classes: "" }]);
});

const lines = (log) => log.box.elements.map((line) => line.textContent);
const take = (log, offset, text, job = "a", attempt = 1) => log.take({ job, attempt, offset, text });

test("each byte is shown once, a line in its own element", () => {
  const log = new page.LogView(() => {});
  take(log, 0, "one\ntw");
  paint();
  take(log, 0, "one\ntw");
  take(log, 4, "two\nthree");
  paint();
  assert.deepEqual(lines(log), ["one", "two", "three"]);
  take(log, 13, "\n\xe4\ufffd");
  take(log, 17, "!");
  paint();
  assert.deepEqual(lines(log).at(-1), "\xe4\ufffd!");
});

test("empty lines stay, carriage returns write anew", () => {
  const log = new page.LogView(() => {});
  take(log, 0, "a\n\nb\r\n10%\r20%");
  paint();
  assert.deepEqual(lines(log), ["a", "", "b", "20%"]);
});

test("jobs and attempts are told apart", () => {
  const log = new page.LogView(() => {});
  take(log, 0, "x\n", "a");
  take(log, 0, "y\n", "b");
  take(log, 0, "z\n", "b", 2);
  paint();
  assert.deepEqual(lines(log), ["x", "── b ──", "y", "── b, attempt 2 ──", "z"]);
});

test("a long log and a long line stay within bounds, also without frames", () => {
  const log = new page.LogView(() => {});
  let offset = 0;
  for (let i = 0; i < 3000; i++) {
    const text = `${"x".repeat(990)}${i}\n`.repeat(3);
    take(log, offset, text);
    offset += text.length;
  }
  paint();
  assert.ok(log.box.childElementCount <= 5001);
  assert.ok(lines(log)[0].startsWith("…"));
  assert.ok(lines(log).at(-1).endsWith("2999"));
  assert.ok(log.waiting === 0);
  const wide = new page.LogView(() => {});
  for (let i = 0; i < 100; i++) take(wide, i * 10000, "y".repeat(10000));
  paint();
  assert.ok(wide.box.childElementCount > 10);
});

test("a pull request says what it is for, whose it is, and whether it is trusted", () => {
  const pull = { number: 7, target: "main", title: "Faster", author: "ann", fork: false };
  assert.equal(page.pullText({ pull_request: pull, untrusted: false, approved_by: null }), "pull request 7 into main: Faster, by ann");
  const fork = { ...pull, title: "", author: "", fork: true };
  assert.equal(page.pullText({ pull_request: fork, untrusted: true, approved_by: null }),
    "pull request 7 into main; from a fork, not approved");
  assert.equal(page.pullText({ pull_request: fork, untrusted: false, approved_by: "bob" }),
    "pull request 7 into main; from a fork, approved by bob");
});

test("what is left empty is not given, so that its default holds", () => {
  const given = (input, value) => page.givenFor({ type: "string", default: null, required: false, ...input }, { value });
  assert.equal(given({}, "x"), "x");
  assert.equal(given({}, ""), undefined);
  assert.equal(given({ required: true }, ""), undefined);
  assert.equal(given({ type: "number", default: "2" }, ""), undefined);
  assert.equal(given({ type: "choice" }, ""), undefined);
  assert.equal(given({ default: "x" }, ""), ""); // a text that somebody has emptied
  assert.equal(page.givenFor({ type: "boolean" }, { checked: false, value: "on" }), false);
});

test("what is asked for while it is done is done once more, and not beside itself", async () => {
  let runs = 0, together = 0;
  const ends = [];
  const run = page.inTurn(async () => {
    runs++;
    assert.equal(++together, 1);
    await new Promise((resolve) => ends.push(resolve));
    together--;
  });
  const all = run();
  run();
  run();
  assert.equal(runs, 1);
  ends.shift()();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(runs, 2);
  ends.shift()();
  await all;
  assert.equal(runs, 2);
});

test("many jobs are counted by their state", () => {
  const jobs = (...states) => states.map((status) => ({ status }));
  assert.equal(page.countStates(jobs("success", "failed")), "");
  assert.equal(page.countStates(jobs("success", "failed", "success", "skipped", "success")), "1 failed · 1 skipped · 3 success");
});
