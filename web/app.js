// The page: builds as they happen, one build with its jobs, steps, log and artifacts, a build started by hand, and what
// is live.
// Whatever comes from elsewhere reaches the document as text nodes only.

/** @typedef {{id:number,repo:string,commit_hash:string,commit_short:string,branch:string,status:string,created_at:string,
 *   started_at:?string,finished_at:?string,duration_seconds:?number,waiting?:string,reason?:string}} BuildInfo */
/** @typedef {{id:number,name:string,status:string,reason:?string,message:?string,waiting:?string,attempt:number,needs:string[],runner:?string,
 *   started_at:?string,finished_at:?string,duration_seconds:?number,exit_code:?number,steps:Step[],outputs:Object<string,string>}} Job */
/** @typedef {{position:number,name:string,status:string,exit_code:?number,started_at:?string,finished_at:?string,
 *   duration_seconds:?number}} Step */

const WHY_AGAIN = 5000; // ms: why something waits changes with others' builds and with time, of which no event tells
const LOG_LINES = 5000; // kept in the document; the rest is a click away as plain text
const LINE_LENGTH = 20000; // characters; a longer line goes on in the next one
const PENDING = 2000000; // characters that may wait for a frame: a hidden page has none
const RECONNECT = 3000; // ms
const LIST_ROWS = 100;
const ENDED = new Set(["success", "failed", "partial", "cancelled", "skipped"]);

const main = /** @type {HTMLElement} */ (document.getElementById("main"));
const live = /** @type {HTMLElement} */ (document.getElementById("live"));
const notice = /** @type {HTMLElement} */ (document.getElementById("notice"));
const logout = /** @type {HTMLButtonElement} */ (document.getElementById("logout"));

// ---- small helpers -------------------------------------------------------------------------------------------------

/** An element with attributes and children; text only ever becomes a text node.
 * @param {string} tag @param {Record<string, any>} [attributes] @param {...(Node|string|null|undefined)} children */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child !== null && child !== undefined) node.append(child);
  return node;
}

/** Only http and https may become a link. @param {?string} url */
function safeUrl(url) {
  try {
    const parsed = new URL(url ?? "", location.href);
    return parsed.protocol === "http:" || parsed.protocol === "https:" ? parsed.href : null;
  } catch {
    return null;
  }
}

/** Document 3's "2026-02-24 06:59:36" is UTC. @param {?string} text */
export function parseTime(text) {
  if (!text) return NaN;
  return Date.parse(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/.test(text) ? text.replace(" ", "T") + "Z" : text);
}

/** A time that far away, in the largest unit that says something; null: name the day. @param {number} s */
function span(s) {
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h`;
  return s < 31 * 86400 ? `${Math.floor(s / 86400)} days` : null;
}

/** @param {?string} text @param {number} [now] */
export function ago(text, now = Date.now()) {
  const then = parseTime(text);
  if (Number.isNaN(then)) return "";
  const s = Math.max(0, Math.round((now - then) / 1000)), away = span(s);
  if (s < 5) return "just now";
  return away ? `${away} ago` : new Date(then).toISOString().slice(0, 10);
}

/** @param {?string} text @param {number} [now] */
export function until(text, now = Date.now()) {
  const then = parseTime(text);
  if (Number.isNaN(then)) return "";
  const away = span(Math.max(0, Math.round((then - now) / 1000)));
  return away ? `in ${away}` : `on ${new Date(then).toISOString().slice(0, 10)}`;
}

/** @param {?number} seconds */
export function human(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

/** @param {number} bytes */
export function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (bytes >= 1024 && unit < units.length - 1) {
    bytes /= 1024;
    unit++;
  }
  return `${unit ? bytes.toFixed(1) : bytes} ${units[unit]}`;
}

/** How long something took, or has been running. @param {{started_at?:?string,finished_at?:?string,duration_seconds?:?number}} it */
function took(it) {
  if (it.duration_seconds !== null && it.duration_seconds !== undefined) return human(it.duration_seconds);
  const start = parseTime(it.started_at ?? null);
  return Number.isNaN(start) || it.finished_at ? "" : human(Math.max(0, (Date.now() - start) / 1000));
}

/** A time that is kept up to date by tick(). @param {?string} at */
function timeElement(at) {
  const then = parseTime(at);
  if (Number.isNaN(then)) return el("span", {}, "");
  return el("time", { datetime: new Date(then).toISOString(), title: new Date(then).toLocaleString() }, ago(at));
}

/** A state in words and colour. @param {?string} status */
function statusElement(status) {
  const word = /^[a-z]+$/.test(status ?? "") ? /** @type {string} */ (status) : "queued";
  return el("span", { class: `status ${word === "live" ? "is-live" : word}` }, status ?? "");
}

/** The state of a build or a job as people are told it. @param {{status:string,reason?:?string}} it */
export function stateOf(it) {
  return it.status === "cancelled" && it.reason === "superseded" ? "superseded" : it.status;
}

/** @param {string} message */
function tell(message) {
  notice.textContent = message;
  notice.hidden = message === "";
}

/** @param {string} words @param {boolean} [lost] */
function tellLive(words, lost = false) {
  live.textContent = words;
  live.classList.toggle("lost", lost);
}

class LoginNeeded extends Error {}
class Away extends Error {} // nobody answers, or nobody who could

/** Asks for the token, once. */
function loginAgain() {
  if (!document.getElementById("token")) show();
}

/** Why something that nobody waits for could not be read; the next change, or the connection's return, reads it again.
 * @param {unknown} error */
function missed(error) {
  if (error instanceof LoginNeeded) loginAgain();
}

/** What became of something that was asked for. @param {unknown} error */
function failed(error) {
  if (error instanceof LoginNeeded) loginAgain();
  else tell(/** @type {Error} */ (error).message);
}

/** A request; an error's message is the server's own. @param {string} path @param {RequestInit} [init] */
async function api(path, init = {}) {
  const response = await fetch(path, {
    credentials: "same-origin",
    ...init,
    headers: { Accept: "application/json", ...(init.body ? { "Content-Type": "application/json" } : {}), ...init.headers },
  }).catch(() => {
    throw new Away("The server does not answer.");
  });
  if (response.status === 401) throw new LoginNeeded("log in first");
  const body = await response.json().catch(() => ({}));
  if (!response.ok) {
    const hints = Array.isArray(body.suggestions) && body.suggestions.length ? ` (${body.suggestions.join("; ")})` : "";
    const Kind = response.status > 501 ? Away : Error;
    throw new Kind(`${body.message ?? body.error ?? `The server answers ${response.status}.`}${hints}`);
  }
  return body;
}

// ---- where we are --------------------------------------------------------------------------------------------------

let leave = () => {}; // ends what the page that is shown has running
let turn = 0; // grows with every page, so that a late answer does not draw over a newer one

/** The route of an address: "/builds/3" and "/#/builds/3" are the same. @param {Location|URL} at */
export function routeOf(at) {
  const path = at.hash.startsWith("#/") ? at.hash.slice(1) : at.pathname;
  const build = /^\/builds\/(\d+)\/?$/.exec(path);
  if (build) return { page: "build", id: Number(build[1]) };
  if (/^\/deployments\/?$/.test(path)) return { page: "deployments" };
  if (/^\/repositories\/?$/.test(path)) return { page: "repositories" };
  const repo = new URLSearchParams(at.search).get("repo");
  return { page: "builds", repo };
}

/** @param {string} url */
function go(url) {
  history.pushState(null, "", url);
  show();
}

async function show() {
  const mine = ++turn;
  const route = routeOf(location);
  leave();
  leave = () => {};
  tellLive("");
  tell("");
  for (const link of document.querySelectorAll("[data-page]")) {
    if (link.getAttribute("data-page") === route.page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  try {
    const page = { builds: showBuilds, build: showBuild, repositories: showRepositories, deployments: showDeployments }[route.page];
    await page(() => mine === turn, route);
    if (mine === turn) logout.hidden = false;
  } catch (error) {
    if (mine !== turn) return;
    if (error instanceof LoginNeeded) showLogin();
    else showFailure(/** @type {Error} */ (error));
  }
}

/** There is nothing to show; what may pass is tried again. @param {Error} error */
function showFailure(error) {
  draw("");
  logout.hidden = error instanceof Away;
  if (!(error instanceof Away)) return tell(error.message);
  tell(`${error.message} Trying again …`);
  const timer = setTimeout(show, RECONNECT);
  leave = () => clearTimeout(timer);
}

/** What draws the same again and again: one at a time, and once more where it was asked for meanwhile.
 * @param {()=>Promise<void>} work */
export function inTurn(work) {
  let running = false, again = false;
  return async () => {
    again = true;
    if (running) return;
    running = true;
    try {
      while (again) {
        again = false;
        await work();
      }
    } finally {
      running = false;
    }
  };
}

/** Replaces what is in a box; what had the focus has it again, known by an attribute. @param {HTMLElement} box
 * @param {Node[]} children @param {string} attribute */
function redraw(box, children, attribute) {
  const focused = box.contains(document.activeElement) ? document.activeElement?.getAttribute(attribute) : null;
  box.replaceChildren(...children);
  if (focused === null || focused === undefined) return;
  for (const node of box.querySelectorAll(`[${attribute}]`))
    if (node.getAttribute(attribute) === focused) return /** @type {HTMLElement} */ (node).focus({ preventScroll: true });
}

/** Replaces the page. @param {string} title @param {...Node} children */
function draw(title, ...children) {
  document.title = title ? `${title} · Pelton` : "Pelton";
  main.replaceChildren(...children);
}

// ---- logging in ----------------------------------------------------------------------------------------------------

function showLogin() {
  const field = /** @type {HTMLInputElement} */ (
    el("input", { id: "token", type: "password", autocomplete: "current-password", required: true, spellcheck: "false" })
  );
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    tell("");
    try {
      await api("/api/login", { method: "POST", body: JSON.stringify({ token: field.value.trim() }) });
      show();
    } catch (error) {
      tell(error instanceof LoginNeeded ? "This token is wrong, expired or revoked." : /** @type {Error} */ (error).message);
      field.select();
    }
  };
  if (!logout.hidden) tell("The session has ended.");
  logout.hidden = true;
  draw(
    "Log in",
    el(
      "form",
      { class: "card login", onsubmit: submit },
      el("h1", {}, "Log in"),
      el("p", { class: "dim" }, "With a token. The server's first one is in the file admin.token of its state directory."),
      el("label", { for: "token" }, "Token"),
      field,
      el("button", { type: "submit", class: "main" }, "Log in"),
    ),
  );
  field.focus();
}

logout.addEventListener("click", async () => {
  try {
    await api("/api/logout", { method: "POST" });
  } catch {
    /* logged out is logged out */
  }
  turn++;
  leave();
  leave = () => {};
  tellLive("");
  logout.hidden = true;
  showLogin();
});

// ---- the list of builds --------------------------------------------------------------------------------------------

/** A name that gives way to the number behind it. @param {string} name @param {Node} number */
function named(name, number) {
  return el("span", { class: "named" }, el("span", { title: name }, name), number);
}

/** @param {BuildInfo} build */
function buildRow(build) {
  return el(
    "a",
    { class: "row", href: `/builds/${build.id}`, "data-nav": true, "data-build": build.id },
    statusElement(stateOf(build)),
    named(build.repo, el("span", { class: "dim" }, `#${build.id}`)),
    el("span", { class: "wide" }, el("span", { class: "mono" }, build.commit_short ?? ""), ` ${build.branch ?? ""} `,
      build.status === "queued" ? el("span", { class: "dim", "data-waits": build.id }, build.waiting ?? "") : null),
    el("span", { class: "right dim", "data-took": build.started_at && !build.finished_at ? build.started_at : null }, took(build)),
    el("span", { class: "right dim" }, timeElement(build.created_at)),
  );
}

/** Server-sent events of all builds. @param {(type:string, build:BuildInfo)=>void} onBuild @param {()=>void} onBack */
function watchBuilds(onBuild, onBack) {
  let lost = false;
  return listen("/api/events", (source) => {
    source.onopen = () => {
      tellLive("live");
      if (lost) onBack(); // what happened meanwhile is in the list, not in the stream
      lost = false;
    };
    source.onmessage = (event) => {
      try {
        const { type, build, reason } = JSON.parse(event.data);
        if (build) onBuild(type, { ...build, reason });
      } catch {
        /* not for us */
      }
    };
  }, () => {
    lost = true;
    tellLive("no connection, trying again …", true);
  });
}

/** An EventSource that is opened anew also after an answer that is none (a proxy's 503); a session that has ended shows the
 * login. Gives what ends it. @param {string} url @param {(source:EventSource)=>void} setUp @param {()=>void} onLost */
function listen(url, setUp, onLost) {
  let timer = 0;
  let ended = false;
  /** @type {EventSource} */
  let source;
  const open = () => {
    source = new EventSource(url);
    setUp(source);
    source.onerror = () => {
      if (ended) return;
      onLost();
      if (source.readyState === EventSource.CLOSED) timer = setTimeout(again, RECONNECT);
    };
  };
  const again = async () => {
    try {
      await api("/api/version");
    } catch (error) {
      if (ended) return;
      if (error instanceof LoginNeeded) show();
      else timer = setTimeout(again, RECONNECT);
      return;
    }
    if (!ended) open();
  };
  open();
  return () => {
    ended = true;
    clearTimeout(timer);
    source.close();
  };
}

/** @param {()=>boolean} current @param {{repo?:?string}} route */
async function showBuilds(current, route) {
  const query = `/api/builds?waiting=1&limit=${LIST_ROWS}${route.repo ? `&repo=${encodeURIComponent(route.repo)}` : ""}`;
  const list = el("div", { class: "card" });
  const fill = inTurn(async () => {
    const { builds } = await api(query);
    if (!current()) return;
    redraw(list, builds.map(buildRow), "data-build");
    if (builds.length === 0) {
      list.append(el("p", { class: "empty" }, "No builds yet. ", route.repo ? "Push to it, or start one." : "Make a repository and push to it: ",
        route.repo ? null : el("code", {}, "pelton repo create hello")));
    }
  });
  const tellWhy = async () => {
    if (document.hidden || !list.querySelector("[data-waits]")) return;
    const { builds } = await api(query);
    for (const build of builds) {
      const why = list.querySelector(`[data-waits="${Number(build.id)}"]`);
      if (why) why.textContent = build.waiting ?? "";
    }
  };
  await fill();
  if (!current()) return;
  if (route.repo) draw(route.repo, ...startByHand(route.repo), list);
  else draw("Builds", el("h1", {}, "Builds"), list);
  const unwatch = watchBuilds(
    (_type, build) => {
      if (route.repo && build.repo !== route.repo) return;
      const row = buildRow(build);
      const old = list.querySelector(`[data-build="${Number(build.id)}"]`);
      const focused = old !== null && old === document.activeElement;
      if (old) old.replaceWith(row);
      else {
        const newest = Number(list.querySelector("[data-build]")?.getAttribute("data-build") ?? 0);
        if (build.id < newest) return; // older than what the list holds
        list.querySelector(".empty")?.remove();
        list.prepend(row);
        if (list.childElementCount > LIST_ROWS) list.lastElementChild?.remove();
      }
      if (focused) row.focus();
    },
    () => fill().catch(missed),
  );
  const timer = setInterval(() => tellWhy().catch(missed), WHY_AGAIN);
  leave = () => {
    unwatch();
    clearInterval(timer);
  };
}

// ---- a build by hand -----------------------------------------------------------------------------------------------

/** @typedef {{name:string,type:string,options:string[],default:?string,required:boolean,description:?string}} Input */

/** @param {string} repo */
function repoUrl(repo) {
  return `/?repo=${encodeURIComponent(repo)}`;
}

/** What a person fills in for an input. @param {Input} input */
function inputField(input) {
  const id = `input-${input.name}`, needed = input.required;
  const common = { id, name: input.name, "aria-describedby": `${id}-help ${id}-error` };
  if (input.type === "boolean") return el("input", { ...common, type: "checkbox", checked: input.default === "true" });
  if (input.default?.includes("\n")) return el("textarea", { ...common, required: needed, rows: "4", spellcheck: "false" }, input.default);
  if (input.type !== "choice")
    return el("input", { ...common, required: needed, value: input.default, spellcheck: "false", autocomplete: "off",
      ...(input.type === "number" ? { type: "number", step: "any" } : { type: "text" }) });
  const none = input.default === null ? [el("option", { value: "" }, needed ? "choose one" : "none")] : [];
  return el("select", { ...common, required: needed }, ...none,
    ...input.options.map((option) => el("option", { value: option, selected: option === input.default }, option)));
}

/** What is given for an input; undefined: nothing, and its default holds. @param {Input} input @param {any} field */
export function givenFor(input, field) {
  if (input.type === "boolean") return field.checked;
  if (field.value !== "") return field.value;
  return input.type === "string" && input.default && !input.required ? "" : undefined; // a text was emptied
}

/** The fields of inputs; start gets what is given for them. @param {Input[]} inputs @param {string} ref
 * @param {(given:Record<string, any>)=>Promise<void>} start @param {()=>void} close */
function inputsForm(inputs, ref, start, close) {
  const rows = new Map(inputs.map((input) => {
    const field = inputField(input);
    const error = el("p", { class: "failed", id: `input-${input.name}-error`, role: "alert" });
    const name = el("label", { for: `input-${input.name}` }, input.name, input.required ? el("span", { class: "dim" }, " (required)") : null);
    const help = el("p", { class: "dim", id: `input-${input.name}-help` }, input.description ?? "");
    return [input.name, { input, field, error, element: el("div", { class: "field" }, name, field, help, error) }];
  }));
  const button = /** @type {HTMLButtonElement} */ (el("button", { type: "submit", class: "main" }, "Start"));
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    for (const { field, error } of rows.values()) {
      error.textContent = "";
      field.removeAttribute("aria-invalid");
    }
    button.disabled = true;
    try {
      await start(Object.fromEntries([...rows].map(([name, { input, field }]) => [name, givenFor(input, field)])));
    } catch (error) {
      button.disabled = false;
      const row = rows.get(/input "([^"]+)"/.exec(/** @type {Error} */ (error).message)?.[1] ?? "");
      if (!row) return failed(error);
      row.error.textContent = /** @type {Error} */ (error).message;
      row.field.setAttribute("aria-invalid", "true");
      row.field.focus();
    }
  };
  return el("form", { class: "card inputs", "aria-label": `Inputs of a build of ${ref}`, onsubmit: submit },
    el("h2", {}, `What a build of ${ref} asks for`), ...[...rows.values()].map((row) => row.element),
    el("div", { class: "actions" }, button, el("button", { type: "button", onclick: close }, "Close")));
}

/** The head of a repository's page: starts a build of a ref at once, or asks for its inputs first. @param {string} repo */
function startByHand(repo) {
  const path = `/api/repos/${encodeURIComponent(repo)}`;
  const ref = /** @type {HTMLInputElement} */ (el("input", { id: "ref", size: "16", placeholder: "default branch", spellcheck: "false",
    autocomplete: "off", autocapitalize: "off", "aria-label": "Branch, tag or commit", oninput: () => asked.replaceChildren() }));
  const button = /** @type {HTMLButtonElement} */ (el("button", { type: "submit" }, "Start a build"));
  const asked = el("div");
  let wish = { body: "", key: "" };
  const start = async (/** @type {Record<string, any>} */ inputs) => {
    const what = { ...(ref.value.trim() ? { ref: ref.value.trim() } : {}), inputs };
    const body = JSON.stringify(what);
    if (body !== wish.body) wish = { body, key: `${Date.now()} ${Math.random()}` }; // a second click is the same wish
    const started = await api(`${path}/builds`, { method: "POST", body, headers: { "Idempotency-Key": wish.key } });
    go(`/builds/${started.id}`);
  };
  const close = () => {
    asked.replaceChildren();
    button.focus();
  };
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    button.disabled = true;
    tell("");
    try {
      const of = ref.value.trim() ? `?ref=${encodeURIComponent(ref.value.trim())}` : "";
      const { ref: full, inputs } = await api(`${path}/inputs${of}`);
      if (inputs.length === 0) return await start({});
      asked.replaceChildren(inputsForm(inputs, full.replace(/^refs\/(heads|tags)\//, ""), start, close));
      /** @type {?HTMLElement} */ (asked.querySelector("input, select"))?.focus();
    } catch (error) {
      failed(error);
    } finally {
      button.disabled = false;
    }
  };
  return [
    el("div", { class: "head" }, el("h1", {}, `Builds of ${repo}`), el("form", { class: "actions", onsubmit: submit }, ref, button)),
    asked,
  ];
}

// ---- the repositories ----------------------------------------------------------------------------------------------

/** @param {{name:string,builds_count:number,last_build:?BuildInfo}} repo */
function repoRow(repo) {
  const last = repo.last_build;
  return el(
    "a",
    { class: "row", href: repoUrl(repo.name), "data-nav": true },
    last ? statusElement(last.status) : el("span", { class: "dim" }, "never built"),
    el("span", {}, repo.name),
    el("span", { class: "wide" }, last ? el("span", { class: "mono" }, last.commit_short) : null, last ? ` ${last.branch}` : null),
    el("span", { class: "right dim" }, repo.builds_count === 1 ? "1 build" : `${repo.builds_count} builds`),
    el("span", { class: "right dim" }, timeElement(last ? last.created_at : null)),
  );
}

/** @param {()=>boolean} current */
async function showRepositories(current) {
  const list = el("div", { class: "card" });
  const fill = inTurn(async () => {
    const repos = await api("/api/repos");
    if (!current()) return;
    redraw(list, repos.map(repoRow), "href");
    if (!repos.length) list.append(el("p", { class: "empty" }, "There is none yet: ", el("code", {}, "pelton repo create hello")));
  });
  await fill();
  if (!current()) return;
  draw("Repositories", el("h1", {}, "Repositories"), list);
  leave = watchBuilds(() => fill().catch(missed), () => fill().catch(missed));
}

// ---- one build -----------------------------------------------------------------------------------------------------

/** Jobs in columns: each stands behind all that it needs. @param {Job[]} jobs @returns {Job[][]} */
export function stagesOf(jobs) {
  const byName = new Map(jobs.map((job) => [job.name, job]));
  const depths = new Map();
  const depth = (/** @type {Job} */ job) => {
    const known = depths.get(job.name);
    if (known !== undefined) return known;
    depths.set(job.name, 0); // ends a cycle, which the server does not send
    const needs = (job.needs ?? []).map((name) => byName.get(name)).filter((need) => need !== undefined);
    const found = needs.reduce((most, need) => Math.max(most, depth(need) + 1), 0);
    depths.set(job.name, found);
    return found;
  };
  /** @type {Job[][]} */
  const stages = [];
  for (const job of jobs) (stages[depth(job)] ??= []).push(job);
  return stages;
}

/** "2 failed · 58 success", where there are more than one looks through. @param {Job[]} jobs */
export function countStates(jobs) {
  const counts = new Map();
  for (const job of jobs) counts.set(stateOf(job), (counts.get(stateOf(job)) ?? 0) + 1);
  return jobs.length > 4 ? [...counts].sort().map(([state, count]) => `${count} ${state}`).join(" · ") : "";
}

/** @param {Job} job */
function jobWhy(job) {
  return job.message || job.reason || job.waiting || null;
}

/** @param {Job} job @param {boolean} chosen @param {()=>void} choose */
function jobCard(job, chosen, choose) {
  const running = job.started_at && !job.finished_at ? job.started_at : null;
  return el(
    "button",
    { class: "job", type: "button", "aria-pressed": chosen ? "true" : "false", "data-job": job.name, onclick: choose },
    el("span", { class: "name" }, job.name),
    statusElement(stateOf(job)),
    " ",
    el("span", { class: "dim", "data-took": running }, took(job)),
    jobWhy(job) ? el("span", { class: "meta" }, jobWhy(job)) : null,
    job.attempt > 1 ? el("span", { class: "meta" }, `attempt ${job.attempt}`) : null,
    job.runner ? el("span", { class: "meta" }, `on ${job.runner}`) : null,
  );
}

/** @param {Job} job */
function stepList(job) {
  return el(
    "ul",
    { class: "steps", "aria-label": `Steps of ${job.name}` },
    ...(job.steps ?? []).map((step) =>
      el("li", {}, statusElement(step.status), ` ${step.name} `, el("span", { class: "dim" },
        [took(step), step.exit_code ? `exit status ${step.exit_code}` : ""].filter(Boolean).join(" · "))),
    ),
  );
}

/** What the job's steps handed over. @param {Job} job */
function outputList(job) {
  return el(
    "ul",
    { class: "steps", "aria-label": `Outputs of ${job.name}` },
    ...Object.entries(job.outputs ?? {}).map(([name, value]) =>
      el("li", {}, el("span", { class: "dim" }, `${name} = `), value.length > 200 ? `${value.slice(0, 200)}…` : value)),
  );
}

/** @param {()=>boolean} current @param {{id:number}} route */
async function showBuild(current, route) {
  let build = await api(`/api/builds/${route.id}`);
  if (!current()) return;
  /** @type {?string} */
  let chosen = null; // the job whose log and steps are shown; null: all
  const head = el("div");
  const title = el("h2", {}), columns = el("div", { class: "stages" }), details = el("div");
  const artifacts = el("div");
  const log = new LogView(() => current() && refresh());

  const refresh = inTurn(async () => {
    const fresh = await api(`/api/builds/${route.id}`).catch(() => null);
    if (!fresh || !current()) return;
    const same = JSON.stringify(fresh) === JSON.stringify(build);
    build = fresh;
    if (same) return; // what is selected or scrolled to stays
    drawAll();
    if (ENDED.has(build.status)) await drawArtifacts().catch(missed);
  });
  const choose = (/** @type {?string} */ name) => {
    chosen = chosen === name ? null : name;
    drawAll();
    log.open(route.id, chosen, chosen === null);
  };
  const drawAll = () => {
    redraw(head, [buildHead(build, refresh)], "data-act");
    title.replaceChildren("Jobs ", el("span", { class: "dim" }, countStates(build.jobs ?? [])));
    for (const part of [title, columns, log.element]) part.hidden = !build.jobs?.length; // of a file with mistakes
    const stages = stagesOf(build.jobs ?? []).filter(Boolean);
    const job = (build.jobs ?? []).find((/** @type {Job} */ j) => j.name === chosen) ?? (build.jobs?.length === 1 ? build.jobs[0] : null);
    redraw(columns, stages.map((jobs) =>
      el("div", { class: "stage" }, ...jobs.map((j) => jobCard(j, j.name === chosen, () => choose(j.name))))), "data-job");
    details.replaceChildren(...(job ? [stepList(job), outputList(job)] : []));
  };
  const drawArtifacts = async () => {
    const { artifacts: list = [], expired = [] } = await api(`/api/builds/${route.id}/artifacts`);
    if (!current()) return;
    artifacts.replaceChildren();
    if (list.length + expired.length === 0) return;
    artifacts.append(el("h2", {}, "Artifacts"), el("div", { class: "card" }, ...list.map((/** @type {Artifact} */ a) => artifactRow(route.id, a)), ...expired.map(expiredRow)));
  };

  drawAll();
  draw(`${build.repo} #${build.id}`, head, title, columns, details, log.element, artifacts);
  log.open(route.id, null, build.jobs?.length > 1);
  const unwatch = watchBuilds(
    (_type, info) => {
      if (info.id === route.id) refresh();
    },
    refresh,
  );
  const timer = setInterval(() => {
    if (!document.hidden && build.jobs?.some((/** @type {Job} */ job) => job.waiting)) refresh();
  }, WHY_AGAIN);
  leave = () => {
    unwatch();
    clearInterval(timer);
    log.close();
  };
  drawArtifacts().catch(missed);
}

/** "pull request 7 into main: Faster start, by ann; from a fork, not approved" @param {any} build */
export function pullText(build) {
  const { number, target, title, author, fork } = build.pull_request;
  const trust = build.untrusted ? ", not approved" : build.approved_by ? `, approved by ${build.approved_by}` : "";
  return `pull request ${number} into ${target}${title ? `: ${title}` : ""}${author ? `, by ${author}` : ""}` +
    (fork ? `; from a fork${trust}` : "");
}

/** @param {any} build @param {()=>void} refresh */
function buildHead(build, refresh) {
  /** @param {string} label @param {string} verb @param {Record<string, any>} attributes */
  const act = (label, verb, attributes) => {
    const button = /** @type {HTMLButtonElement} */ (el("button", { type: "button", "data-act": verb, ...attributes }, label));
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        await api(`/api/builds/${build.id}/${verb}`, { method: "POST" });
        tell("");
      } catch (error) {
        failed(error);
      }
      refresh();
    });
    return button;
  };
  /** @param {string} label @param {string} jobs */
  const again = (label, jobs) => {
    const button = /** @type {HTMLButtonElement} */ (el("button", { type: "button", "data-act": jobs }, label));
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        const started = await api(`/api/builds/${build.id}/rerun`, { method: "POST", body: JSON.stringify({ jobs }),
          headers: { "Idempotency-Key": key } });
        go(`/builds/${started.id}`);
      } catch (error) {
        button.disabled = false;
        failed(error);
      }
    });
    return button;
  };
  const key = `${build.id} ${Date.now()} ${Math.random()}`; // a second click is the same wish
  const bad = (build.jobs ?? []).some((/** @type {Job} */ job) => job.status === "failed" || job.status === "cancelled");
  const ended = ENDED.has(build.status) && build.jobs?.length;
  const running = build.started_at && !build.finished_at ? build.started_at : null;
  const why = build.message || build.reason;
  return el(
    "div",
    {},
    el(
      "div",
      { class: "head" },
      el("div", {}, el("h1", {}, el("a", { href: repoUrl(build.repo), "data-nav": true, "data-act": "repo" }, build.repo), ` #${build.id} `), statusElement(stateOf(build)), " ",
        el("span", { class: "dim", "data-took": running }, took(build))),
      el("div", { class: "actions" }, ended && bad ? again("Run what failed", "failed") : null,
        ended ? again("Run again", "all") : null,
        build.untrusted
          ? act("Approve", "approve", { title: "It is from a fork: look at what it changes first. Its jobs may have secrets then." })
          : null,
        ENDED.has(build.status) ? null : act("Cancel", "cancel", { class: "danger" })),
    ),
    el("p", { class: "facts" }, el("span", { class: "mono" }, build.commit_short ?? ""),
      build.commit_message ? el("span", {}, build.commit_message) : null,
      build.commit_author ? el("span", {}, `by ${build.commit_author}`) : null,
      el("span", {}, build.branch ?? build.ref ?? ""), build.event ? el("span", {}, build.event.replace("_", " ")) : null,
      build.pull_request ? el("span", {}, pullText(build)) : null,
      build.rerun_of ? el("a", { href: `/builds/${build.rerun_of}`, "data-nav": true, "data-act": "first" }, `again #${build.rerun_of}`) : null,
      timeElement(build.created_at)),
    why ? el("p", { class: `why ${build.status === "failed" ? "bad" : ""}` }, why) : null,
  );
}

/** @typedef {{path:string,name:string,size:number,job:string,sha256:string,created_at:string,expires_at:?string}} Artifact */

/** @param {number} id @param {Artifact} artifact */
function artifactRow(id, artifact) {
  const path = artifact.path.split("/").map(encodeURIComponent).join("/");
  const which = new URLSearchParams({ job: artifact.job ?? "", name: artifact.name ?? "" });
  const said = [artifact.name, artifact.expires_at ? `goes ${until(artifact.expires_at)}` : "", (artifact.sha256 ?? "").slice(0, 16)];
  return el(
    "a",
    { class: "row", href: `/api/builds/${id}/artifacts/${path}?${which}`, download: artifact.path.split("/").pop(), title: `sha256 ${artifact.sha256}` },
    el("span", { class: "dim" }, artifact.job ?? ""),
    el("span", { class: "mono whole" }, artifact.path),
    el("span", { class: "wide dim mono" }, said.filter(Boolean).join(" · ")),
    el("span", { class: "right" }, size(artifact.size)),
    el("span", { class: "right dim" }, timeElement(artifact.created_at)),
  );
}

/** What has had its time. @param {{name:string,job:string,files:number,size:number,keep:string,removed_at:string}} gone */
function expiredRow(gone) {
  return el(
    "div",
    { class: "row dim" },
    el("span", {}, gone.job),
    el("span", { class: "mono" }, gone.name),
    el("span", { class: "wide" }, `${gone.files} files, removed after a keep of ${gone.keep}`),
    el("span", { class: "right" }, size(gone.size)),
    el("span", { class: "right" }, timeElement(gone.removed_at)),
  );
}

// ---- the log -------------------------------------------------------------------------------------------------------

const CONTROL = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]/;
// CSI to its final byte; a string (OSC and its like) to BEL or ST; other escapes
const SEQUENCE = /\x1b\[([0-?]*)[ -/]*([@-~])|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]*[0-OQ-WYZ\\`-~]/y;
const UNFINISHED = /^\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*\x1b?|[ -/]*)$/;
const SEQUENCE_MAX = 4096;

/** Colours and weights of a log's SGR sequences (ECMA-48, 8.3.117) as classes; every other control sequence is dropped. */
export class Ansi {
  constructor() {
    this.classes = new Map(); // "f", "k", "b", … → class
    this.rest = ""; // of a sequence that is not yet whole
  }

  /** Pieces of text with their classes. @param {string} text @returns {{text:string, classes:string}[]} */
  feed(text) {
    const out = [];
    const input = this.rest + text;
    const add = (/** @type {number} */ from, /** @type {number} */ to) => {
      if (to > from) out.push({ text: input.slice(from, to), classes: [...this.classes.values()].join(" ") });
    };
    this.rest = "";
    for (let at = 0; at < input.length; ) {
      const next = input.slice(at).search(CONTROL);
      if (next < 0) {
        add(at, input.length);
        break;
      }
      add(at, at + next);
      at += next;
      SEQUENCE.lastIndex = at;
      const match = SEQUENCE.exec(input);
      if (!match && input.length - at < SEQUENCE_MAX && UNFINISHED.test(input.slice(at))) {
        this.rest = input.slice(at);
        break;
      }
      if (match?.[2] === "m") this.sgr(match[1]);
      at += match ? match[0].length : 1;
    }
    return out;
  }

  /** @param {string} parameters */
  sgr(parameters) {
    if (!/^[0-9;:]*$/.test(parameters)) return;
    const codes = parameters.split(/[;:]/).map(Number);
    for (let i = 0; i < codes.length; i++) {
      const code = codes[i];
      if (code === 0) this.classes.clear();
      else if (code === 1) this.classes.set("b", "b");
      else if (code === 2) this.classes.set("d", "d");
      else if (code === 3) this.classes.set("i", "i");
      else if (code === 4) this.classes.set("u", "u");
      else if (code === 9) this.classes.set("s", "s");
      else if (code === 22) ["b", "d"].forEach((key) => this.classes.delete(key));
      else if (code === 23) this.classes.delete("i");
      else if (code === 24) this.classes.delete("u");
      else if (code === 29) this.classes.delete("s");
      else if (code >= 30 && code <= 37) this.classes.set("f", `f${code - 30}`);
      else if (code >= 90 && code <= 97) this.classes.set("f", `f${code - 82}`);
      else if (code >= 40 && code <= 47) this.classes.set("k", `k${code - 40}`);
      else if (code >= 100 && code <= 107) this.classes.set("k", `k${code - 100}`);
      else if (code === 39) this.classes.delete("f");
      else if (code === 49) this.classes.delete("k");
      else if (code === 38 || code === 48) {
        const key = code === 38 ? "f" : "k";
        if (codes[i + 1] === 5) {
          if (codes[i + 2] < (key === "f" ? 16 : 8)) this.classes.set(key, key + codes[i + 2]);
          i += 2;
        } else if (codes[i + 1] === 2) i += 4;
      }
    }
  }
}

/** The live log: pieces are gathered and appended once a frame; at most LOG_LINES lines stay in the document. */
export class LogView {
  /** @param {()=>void} onChange a job's state has changed */
  constructor(onChange) {
    this.onChange = onChange;
    this.box = el("div", { class: "log", tabindex: "0", role: "log", "aria-label": "Log", "aria-live": "off" });
    this.follow = /** @type {HTMLButtonElement} */ (
      el("button", { type: "button", hidden: true, onclick: () => this.toEnd() }, "Follow")
    );
    this.state = el("span", { class: "dim", role: "status" });
    this.raw = el("a", { class: "dim", target: "_blank", rel: "noopener" }, "plain text");
    this.title = el("h2", {}, "Log");
    this.element = el("section", { "aria-label": "Log" },
      el("div", { class: "log-head" }, this.title, this.state, this.follow, this.raw), this.box);
    this.atEnd = true;
    this.box.addEventListener("scroll", () => {
      this.atEnd = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < 24;
      this.follow.hidden = this.atEnd;
    });
    this.frame = 0;
    this.stop = () => {};
    this.reset();
  }

  reset() {
    this.pending = []; // [job, attempt, text]
    this.waiting = 0; // characters in it
    this.positions = new Map(); // job and attempt → offset behind what was shown
    this.streams = new Map(); // job and attempt → its colours and its unfinished line
    this.last = null;
    this.several = false;
    this.cut = false;
    this.box.replaceChildren();
    this.atEnd = true;
    this.follow.hidden = true;
  }

  toEnd() {
    this.box.scrollTop = this.box.scrollHeight;
    this.atEnd = true;
    this.follow.hidden = true;
    this.box.focus();
  }

  close() {
    this.stop();
    this.stop = () => {};
    if (this.pending.length) this.paint();
  }

  /** @param {number} build @param {?string} job @param {boolean} [several] the first job's lines are headed too */
  open(build, job, several = false) {
    this.close();
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.reset();
    this.several = several;
    const query = job ? `job=${encodeURIComponent(job)}&` : "";
    this.title.textContent = job ? `Log of ${job}` : "Log";
    this.raw.setAttribute("href", `/api/builds/${build}/logs?${query}offset=0`);
    this.state.textContent = "";
    const end = () => {
      this.close();
      this.state.textContent = this.box.childElementCount ? "" : "no output";
      this.onChange();
    };
    this.stop = listen(`/api/builds/${build}/logs?${query}follow=true`, (source) => {
      source.addEventListener("log", (event) => this.take(JSON.parse(event.data)));
      source.addEventListener("job", () => this.onChange());
      source.addEventListener("end", end);
      source.onopen = () => {
        this.state.textContent = "";
      };
    }, () => {
      this.state.textContent = "no connection, trying again …";
    });
  }

  /** A piece; what was shown already is left out. A replacement character counts as the one byte that it stands for.
   * @param {{job:string, attempt:number, offset:number, text:string}} piece */
  take({ job, attempt, offset, text }) {
    const key = `${attempt} ${job}`;
    const next = this.positions.get(key) ?? offset;
    const bytes = (/** @type {string} */ c) => {
      const code = /** @type {number} */ (c.codePointAt(0));
      return code === 0xfffd || code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    };
    let at = offset;
    let start = 0;
    for (const c of text) {
      if (at < next) start += c.length;
      at += bytes(c);
    }
    if (at <= next) return;
    this.positions.set(key, at);
    this.pending.push([job, attempt, start ? text.slice(start) : text]);
    this.waiting += text.length;
    if (this.waiting > PENDING) this.paint();
    else if (!this.frame) this.frame = requestAnimationFrame(() => this.paint());
  }

  /** A line of our own. @param {string} text @param {string} kind */
  mark(text, kind) {
    return el("div", { class: `l ${kind}` }, text);
  }

  paint() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    const fresh = document.createDocumentFragment();
    const pieces = this.pending;
    this.pending = [];
    this.waiting = 0;
    // far more than can stay: only the end of it is worth making lines of
    const kept = [];
    let lines = 0;
    for (let i = pieces.length - 1; i >= 0 && lines <= LOG_LINES; i--) {
      const all = pieces[i][2].split("\n");
      lines += all.length;
      const over = Math.max(0, all.length - LOG_LINES - 1);
      kept.unshift([pieces[i][0], pieces[i][1], over ? all.slice(over) : all]);
      this.cut ||= over > 0 || (lines > LOG_LINES && i > 0);
    }
    for (const [job, attempt, all] of kept) this.append(fresh, job, attempt, all);
    this.box.append(fresh);
    const height = this.atEnd ? 0 : this.box.scrollHeight;
    while (this.box.childElementCount > LOG_LINES) {
      this.box.firstElementChild?.remove();
      this.cut = true;
    }
    if (this.cut && !this.box.firstElementChild?.classList.contains("cut"))
      this.box.prepend(this.mark("… earlier lines are in the plain text", "cut"));
    if (this.atEnd) this.box.scrollTop = this.box.scrollHeight;
    else this.box.scrollTop -= height - this.box.scrollHeight; // what is read stays where it is
  }

  /** @param {DocumentFragment} fresh @param {string} job @param {number} attempt @param {string[]} lines */
  append(fresh, job, attempt, lines) {
    const key = `${attempt} ${job}`;
    let stream = this.streams.get(key);
    if (!stream) {
      stream = { ansi: new Ansi(), open: null, length: 0 };
      this.streams.set(key, stream);
    }
    if (this.last !== key) {
      if (this.last !== null || this.several || attempt > 1)
        fresh.append(this.mark(attempt > 1 ? `── ${job}, attempt ${attempt} ──` : `── ${job} ──`, "h"));
      stream.open = null;
      this.last = key;
    }
    lines.forEach((text, i) => {
      if (i > 0) {
        stream.open = null; // the newline before it
        stream.ansi.rest = ""; // ends a sequence too, so that a broken one cannot hide a log
      }
      if (text === "" && i === lines.length - 1) return;
      if (!stream.open || stream.length > LINE_LENGTH) {
        stream.open = el("div", { class: "l" });
        stream.length = 0;
        fresh.append(stream.open);
      }
      // a carriage return writes the line anew (progress bars)
      const visible = text.replace(/\r+$/, "");
      const back = visible.lastIndexOf("\r");
      if (back >= 0) stream.open.replaceChildren();
      stream.length += visible.length;
      for (const piece of stream.ansi.feed(visible.slice(back + 1)))
        stream.open.append(piece.classes ? el("span", { class: piece.classes }, piece.text) : piece.text);
    });
  }
}

// ---- deployments ---------------------------------------------------------------------------------------------------

/** @param {()=>boolean} current */
async function showDeployments(current) {
  const list = el("div", { class: "card" });
  const fill = inTurn(async () => {
    const { deployments } = await api("/api/deployments");
    if (!current()) return;
    redraw(list, deployments.map(deploymentRow), "href");
    if (!deployments.length) list.append(el("p", { class: "empty" }, "Nothing is deployed. A deploy: part in .pelton.yml does it."));
  });
  await fill();
  if (!current()) return;
  draw("Deployments", el("h1", {}, "Deployments"), list);
  leave = watchBuilds((type) => type === "completed" && fill().catch(missed), () => fill().catch(missed));
}

/** @param {any} d */
function deploymentRow(d) {
  const url = safeUrl(d.url);
  return el(
    "div",
    { class: "row" },
    statusElement(d.status),
    named(d.project, el("a", { href: `/builds/${Number(d.build_id)}`, "data-nav": true }, `#${d.build_id}`)),
    el("span", { class: "wide whole" }, d.error_message ? el("span", { class: "failed" }, d.error_message)
      : d.status === "live" && url ? el("a", { href: url, rel: "noopener", target: "_blank" }, d.url)
      : el("span", { class: "dim" }, d.commit_message ?? "")),
    el("span", { class: "right mono dim" }, (d.commit_sha ?? "").slice(0, 8)),
    el("span", { class: "right dim" }, timeElement(d.created_at)),
  );
}

// ---- start ---------------------------------------------------------------------------------------------------------

document.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a[data-nav]") : null;
  if (!link || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  go(/** @type {HTMLAnchorElement} */ (link).href);
  main.focus();
});
addEventListener("popstate", show);

setInterval(() => {
  if (document.hidden) return;
  for (const node of document.querySelectorAll("time")) node.textContent = ago(node.getAttribute("datetime"));
  for (const node of document.querySelectorAll("[data-took]"))
    node.textContent = took({ started_at: node.getAttribute("data-took") });
}, 1000);

show();
