// The tape bench: picture with zoom and pan, slider with time code, play, thumbnails, scopes, sound, findings.
const SILENCE = 4000; // milliseconds after which the kernel is said not to answer

function make(tag, cls, parent, props = {}) {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  Object.assign(node, props);
  if (parent) parent.append(node);
  return node;
}

// Bytes as something an <img> or <audio> shows; the one before is let go.
function link(node, bytes, type) {
  if (node.dataset.url) URL.revokeObjectURL(node.dataset.url);
  delete node.dataset.url;
  if (bytes && bytes.byteLength) node.src = node.dataset.url = URL.createObjectURL(new Blob([bytes], { type }));
  else node.removeAttribute("src");
}

// Bytes on a canvas; the newest wins.  Pictures that come and go by the thousand pile up in the page as <img>.
async function show(canvas, bytes, type) {
  const turn = (canvas.turn = (canvas.turn || 0) + 1);
  if (!bytes || !bytes.byteLength) {
    delete canvas.dataset.shown;
    return;
  }
  const picture = await createImageBitmap(new Blob([bytes], { type })).catch(() => null);
  if (!picture) return;
  if (canvas.turn === turn) {
    if (canvas.width !== picture.width) canvas.width = picture.width;
    if (canvas.height !== picture.height) canvas.height = picture.height;
    canvas.getContext("2d").drawImage(picture, 0, 0);
    canvas.dataset.shown = turn;
  }
  picture.close();
}

function render({ model, el }) {
  const get = (name) => model.get(name);
  const gone = new AbortController();
  el.classList.add("vhs-bench");
  const root = make("div", "grid", el);
  const head = make("div", "head", root);
  const title = make("b", "", head);
  const about = make("span", "about", head);
  const left = make("div", "left", root);

  // -- the picture -----------------------------------------------------------------------------------------------
  const stage = make("div", "stage", left, { tabIndex: 0 });
  stage.setAttribute("role", "group");
  stage.setAttribute("aria-label", "picture; arrow keys step, space plays, plus and minus zoom, shift and arrows pan");
  const panes = [0, 1].map(() => {
    const pane = make("div", "pane", stage);
    const tag = make("span", "tag", pane);
    return { pane, base: make("canvas", "base", pane), detail: make("canvas", "detail", pane), tag };
  });
  const bar = make("div", "bar", left);
  const button = (text, title, act, parent = bar) => {
    const b = make("button", "", parent, { textContent: text, title, type: "button" });
    b.setAttribute("aria-label", title);
    b.addEventListener("click", act);
    return b;
  };
  const back = button("◂", "one frame back (arrow left)", () => step(-1));
  const play = button("▶", "play two seconds, again and again (space)", () => (burst ? stop() : tell("play")));
  const forth = button("▸", "one frame on (arrow right)", () => step(1));
  const code = make("input", "code", bar, { type: "text", spellcheck: false, title: "time code, seconds, or # and a frame number" });
  code.setAttribute("aria-label", code.title);
  const where = make("span", "where", bar);
  const views = make("span", "views", bar);
  views.setAttribute("role", "group");
  views.setAttribute("aria-label", "how the two fields are shown");
  const chosen = Object.entries(get("views")).map(([name, meaning]) => {
    const b = button(name, meaning, () => ask({ view: name }), views);
    b.dataset.view = name;
    return b;
  });
  const zooms = make("span", "zooms", bar);
  button("−", "zoom out (minus)", () => zoom(1 / 2), zooms);
  const size = button("1x", "whole picture (0)", () => ask({ zoom: 1, centre: [0.5, 0.5] }), zooms);
  button("+", "zoom in (plus)", () => zoom(2), zooms);
  const levels = button("scopes", "waveform and vectorscope", () => ask({ scopes: !get("scopes") }));
  const scopes = make("div", "scopes", root);
  const [wave, vector] = [
    "waveform: luma levels from the left to the right of the picture", "vectorscope: chroma of the picture",
  ].map((text) => {
    const canvas = make("canvas", "", scopes);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", text);
    return canvas;
  });
  const scale = make("div", "scale", scopes);
  const slider = make("input", "slider", root, { type: "range", min: 0, step: 1 });
  slider.setAttribute("aria-label", "frame");
  const strip = make("div", "strip", root);
  const message = make("div", "message", root);
  message.setAttribute("role", "status");
  const said = make("span", "", message);
  const again = button("try again", "try again", () => tell("again"), message);

  // -- below it ---------------------------------------------------------------------------------------------------
  const sound = make("div", "sound", root);
  const track = make("select", "", sound, { title: "sound track" });
  track.setAttribute("aria-label", "sound track");
  const hear = button("sound from here", "load five seconds of sound from this frame on", () => tell("sound", { track: track.selectedIndex }), sound);
  const player = make("audio", "", sound, { controls: true, hidden: true });
  const heard = make("span", "heard", sound);
  const details = make("details", "", root, { open: true });
  make("summary", "", details, { textContent: "what the probe finds" });
  const table = make("table", "", details);

  // -- asking the kernel: one request at a time, always ending with the newest -------------------------------------
  let wanted = {}; // what was set here and not yet sent
  let waiting = 0; // the number of the request on its way
  let patience = null;
  let burst = null;
  let blink = null;
  let telling = 0;
  let silent = false;

  function ask(changes) {
    if (burst) stop();
    Object.assign(wanted, changes);
    if ("position" in changes) follow(changes.position);
    if ("zoom" in changes || "centre" in changes) place();
    if (!waiting) send();
  }
  function send() {
    const number = get("asked") + 1;
    for (const [name, value] of Object.entries(wanted)) model.set(name, value);
    wanted = {};
    waiting = number;
    model.set("asked", number);
    model.save_changes();
    watch();
  }
  function answered() {
    if (silent) calm(); // it was only busy
    if (!waiting || get("answered") < waiting) return;
    waiting = 0;
    calm();
    if (Object.keys(wanted).length) send();
    else {
      settle();
      place();
    }
  }
  function tell(kind, more = {}) {
    telling += 1;
    el.classList.add("busy");
    model.send({ kind, number: telling, ...more });
    watch();
  }
  function watch() {
    clearTimeout(patience);
    patience = setTimeout(() => {
      waiting = 0;
      silent = true;
      el.classList.remove("busy");
      say("No kernel answers: it is busy, was restarted, or there is none. Run the cell again when it is idle.", "silence");
    }, SILENCE);
  }
  function calm() {
    clearTimeout(patience);
    el.classList.remove("busy");
    if (silent) say(get("message").text, get("message").kind);
    silent = false;
  }
  const now = (name) => (name in wanted ? wanted[name] : get(name));

  // -- drawing ---------------------------------------------------------------------------------------------------
  function follow(position) {
    slider.value = position;
    const last = get("last");
    back.disabled = position <= 0;
    forth.disabled = position >= last;
    play.disabled = last < 1;
    slider.disabled = last < 1;
    where.textContent = `#${position} of 0–${last}`;
    const cell = Math.floor((position * strip.childElementCount) / (last + 1));
    [...strip.children].forEach((c, i) => c.classList.toggle("here", i === cell));
  }
  function place() {
    const z = now("zoom");
    const [x, y] = now("centre").map((v) => Math.min(Math.max(v, 0.5 / z), 1 - 0.5 / z));
    const put = (canvas, l, t, w, h) =>
      Object.assign(canvas.style, {
        left: `${(0.5 + (l - x) * z) * 100}%`, top: `${(0.5 + (t - y) * z) * 100}%`,
        width: `${w * z * 100}%`, height: `${h * z * 100}%`,
      });
    const part = get("detail").part;
    for (const { base, detail } of panes) {
      put(base, 0, 0, 1, 1);
      if (part) put(detail, ...part);
    }
    size.textContent = `${Math.round(z * 10) / 10}x`;
    stage.classList.toggle("zoomed", z > 1);
  }
  function paint() {
    const pictures = get("pictures");
    const part = get("detail").pictures || [];
    const view = get("view");
    const two = view === "separate" && pictures.length > 1;
    stage.dataset.view = view;
    panes[1].pane.hidden = !two;
    clearInterval(blink);
    const set = (i, n) => {
      show(panes[i].base, pictures[n], "image/jpeg");
      show(panes[i].detail, part[n], "image/png");
    };
    set(0, 0);
    if (two) set(1, 1);
    panes[0].tag.textContent = two ? "top field" : view === "interleaved" ? "first field" : "";
    panes[1].tag.textContent = "bottom field";
    if (view === "interleaved" && pictures.length > 1 && !matchMedia("(prefers-reduced-motion: reduce)").matches) {
      let n = 0;
      blink = setInterval(() => {
        n = 1 - n;
        set(0, n);
        panes[0].tag.textContent = n ? "second field" : "first field";
      }, 500);
    }
    place();
  }
  function settle() {
    stage.style.setProperty("--aspect", get("aspect"));
    title.textContent = get("name");
    about.textContent = get("about");
    slider.max = get("last");
    if (document.activeElement !== code) code.value = get("timecode");
    slider.setAttribute("aria-valuetext", get("timecode"));
    follow(now("position"));
    for (const b of chosen) b.setAttribute("aria-pressed", b.dataset.view === now("view"));
    levels.setAttribute("aria-pressed", now("scopes"));
    scopes.hidden = !now("scopes") || !get("waveform").byteLength;
    scale.textContent = get("scale");
  }
  function say(text, kind) {
    said.textContent = text;
    message.dataset.kind = kind;
    again.hidden = kind !== "error";
    message.hidden = !text;
    stage.classList.toggle("stale", kind === "error" && Boolean(text));
  }
  function fill() {
    const found = get("strip");
    const last = get("last");
    while (strip.childElementCount > found.length) strip.lastChild.remove();
    while (strip.childElementCount < found.length) {
      const cell = make("button", "", strip, { type: "button", tabIndex: -1 });
      make("img", "", cell, { alt: "", draggable: false });
      const n = strip.childElementCount - 1;
      cell.addEventListener("click", () => ask({ position: Math.floor(((n + 0.5) * (get("last") + 1)) / strip.childElementCount) }));
    }
    [...strip.children].forEach((cell, n) => {
      const seconds = ((n + 0.5) * (last + 1)) / found.length / get("rate");
      cell.title = `${Math.floor(seconds / 3600)}:${String(Math.floor(seconds / 60) % 60).padStart(2, "0")}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
      const img = cell.firstChild;
      if (img.seen !== found[n]) link(img, (img.seen = found[n]), "image/jpeg");
    });
    follow(now("position"));
  }
  function list() {
    table.replaceChildren();
    const rows = get("findings");
    for (const [name, text] of rows.length ? rows : [["", get("pictures").length ? "looking at the tape ..." : "nothing yet"]]) {
      const row = make("tr", "", table);
      make("th", "", row, { textContent: name, scope: "row" });
      make("td", "", row, { textContent: text });
    }
  }
  function tracks() {
    track.replaceChildren(...get("tracks").map((text, n) => make("option", "", null, { textContent: `${n + 1}: ${text}` })));
    track.hidden = get("tracks").length < 2;
    hear.disabled = !get("tracks").length;
    hear.textContent = get("tracks").length ? "sound from here" : "no sound";
    player.hidden = true;
    heard.textContent = "";
  }

  // -- what the hand does ----------------------------------------------------------------------------------------
  function step(by) {
    const to = Math.min(Math.max(now("position") + by, 0), get("last"));
    if (to !== now("position")) ask({ position: to });
  }
  function zoom(factor, at = null) {
    const z = now("zoom");
    const to = Math.min(Math.max(z * factor, 1), get("most"));
    const centre = now("centre").map((v) => Math.min(Math.max(v, 0.5 / z), 1 - 0.5 / z));
    // What lies under the pointer stays there.
    const next = at ? centre.map((c, i) => c + (at[i] - 0.5) * (1 / z - 1 / to)) : centre;
    if (to !== z) ask({ zoom: to, centre: next.map((v) => Math.min(Math.max(v, 0.5 / to), 1 - 0.5 / to)) });
  }
  function pan(dx, dy) {
    const z = now("zoom");
    const [x, y] = now("centre");
    if (z > 1) ask({ centre: [x + dx / z, y + dy / z].map((v) => Math.min(Math.max(v, 0.5 / z), 1 - 0.5 / z)) });
  }
  slider.addEventListener("input", () => ask({ position: Number(slider.value) }));
  code.addEventListener("change", () => {
    if (burst) stop();
    tell("go", { text: code.value });
    code.blur();
  });
  code.addEventListener("keydown", (event) => event.stopPropagation());
  stage.addEventListener("wheel", (event) => {
    // Only once the picture was clicked, or the page could not be scrolled past it.
    if (document.activeElement !== stage && !event.ctrlKey) return;
    const box = event.target.closest(".pane")?.getBoundingClientRect();
    if (!box) return;
    event.preventDefault();
    zoom(event.deltaY < 0 ? Math.SQRT2 : Math.SQRT1_2, [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]);
  }, { passive: false });
  stage.addEventListener("pointerdown", (event) => {
    const box = panes[0].pane.getBoundingClientRect();
    let [x, y] = [event.clientX, event.clientY];
    stage.focus({ preventScroll: true });
    if (now("zoom") <= 1) return;
    stage.setPointerCapture(event.pointerId);
    stage.onpointermove = (move) => {
      pan((x - move.clientX) / box.width, (y - move.clientY) / box.height);
      [x, y] = [move.clientX, move.clientY];
    };
  });
  for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => (stage.onpointermove = null));
  stage.addEventListener("keydown", (event) => {
    const far = event.ctrlKey || event.metaKey || event.altKey;
    const acts = {
      ArrowLeft: () => (event.shiftKey ? pan(-0.2, 0) : step(-1)), ArrowRight: () => (event.shiftKey ? pan(0.2, 0) : step(1)),
      ArrowUp: () => (event.shiftKey ? pan(0, -0.2) : zoom(2)), ArrowDown: () => (event.shiftKey ? pan(0, 0.2) : zoom(0.5)),
      Home: () => step(-Infinity), End: () => step(Infinity), "+": () => zoom(2), "=": () => zoom(2), "-": () => zoom(0.5),
      0: () => ask({ zoom: 1, centre: [0.5, 0.5] }), " ": () => play.click(),
    };
    if (far || !(event.key in acts)) return;
    acts[event.key]();
    event.preventDefault();
    event.stopPropagation();
  });

  // -- play and sound --------------------------------------------------------------------------------------------
  function start(told, buffers) {
    stop(false);
    const mine = (burst = {});
    clearInterval(blink);
    play.textContent = "■";
    play.title = "stop (space)";
    stage.classList.add("playing");
    const begun = performance.now();
    let shown = -1;
    const tick = (time) => {
      if (burst !== mine) return;
      const at = Math.max(0, time - begun) % told.length;
      let n = told.steps.length - 1;
      while (n > 0 && told.steps[n][0] > at) n -= 1;
      if (n !== shown) {
        const [, first, count] = told.steps[(shown = n)];
        for (let i = 0; i < count; i += 1) show(panes[i].base, buffers[first + i], "image/jpeg");
        stage.dataset.played = n;
        const frame = told.position + (get("view") === "interleaved" ? Math.floor(n / 2) : n);
        follow(frame);
      }
      mine.frame = requestAnimationFrame(tick);
    };
    mine.frame = requestAnimationFrame(tick);
  }
  function stop(redraw = true) {
    if (!burst) return;
    cancelAnimationFrame(burst.frame);
    burst = null;
    play.textContent = "▶";
    play.title = "play two seconds, again and again (space)";
    stage.classList.remove("playing");
    if (redraw) {
      paint();
      settle();
    }
  }

  // -- what the kernel says --------------------------------------------------------------------------------------
  const on = (names, act) => {
    model.on(names.split(" ").map((n) => `change:${n}`).join(" "), act);
    gone.signal.addEventListener("abort", () => model.off(names.split(" ").map((n) => `change:${n}`).join(" "), act));
  };
  on("answered", answered);
  on("pictures detail", () => burst || paint());
  on("position last timecode name about aspect view zoom centre scopes scale", () => {
    if (waiting || burst) return;
    settle();
    place();
  });
  on("waveform vectorscope", () => {
    show(wave, get("waveform"), "image/png");
    show(vector, get("vectorscope"), "image/png");
    settle();
  });
  on("strip last", fill);
  on("findings pictures", list);
  on("tracks", tracks);
  on("message", () => say(get("message").text, get("message").kind));
  const heardFrom = (told, buffers) => {
    if (told.kind === "burst") start(told, buffers);
    else if (told.kind === "sound") {
      link(player, buffers[0], "audio/flac");
      player.hidden = false;
      heard.textContent = `${told.seconds.toFixed(1)} s from ${told.from}`;
      player.play().catch(() => null);
    } else if (told.kind === "done" && told.number === telling) {
      calm();
      if (waiting) watch();
      settle();
    }
  };
  model.on("msg:custom", heardFrom);

  show(wave, get("waveform"), "image/png");
  show(vector, get("vectorscope"), "image/png");
  say(get("message").text, get("message").kind);
  tracks();
  fill();
  list();
  paint();
  settle();
  hideStill(el, get("still"), gone.signal);
  tell("shown");
  return () => {
    gone.abort();
    model.off("msg:custom", heardFrom);
    stop(false);
    clearInterval(blink);
    clearTimeout(patience);
    for (const node of el.querySelectorAll("[data-url]")) URL.revokeObjectURL(node.dataset.url);
  };
}

// The picture that stands in for the widget where there is no kernel is not needed beside the living one.
function hideStill(el, end, signal) {
  const look = () => {
    const output = el.closest(".jp-OutputArea-child, .output_area");
    const image = output?.previousElementSibling?.querySelector("img");
    if (end && image?.src.endsWith(end)) output.previousElementSibling.style.display = "none";
  };
  for (const delay of [0, 100, 1000, 3000]) {
    const planned = setTimeout(look, delay);
    signal.addEventListener("abort", () => clearTimeout(planned));
  }
}

export default { render };
