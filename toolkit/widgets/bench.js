// The tape bench: picture with zoom and pan, slider with time code, play, thumbnails, scopes, sound, findings.
// Joined by page.py after page.js, kernel.js, zoom.js, play.js and strip.js, whose functions it uses.

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
  const bar = make("div", "bar asks", left);
  const button = (text, title, act, parent = bar) => {
    const b = make("button", "", parent, { textContent: text, title, type: "button" });
    b.setAttribute("aria-label", title);
    b.addEventListener("click", act);
    return b;
  };
  const back = button("◂", "one frame back (arrow left)", () => step(-1));
  const play = button("▶", "play two seconds, again and again (space)", () => (burst ? stop() : kernel.tell("play")));
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
  button("−", "zoom out (minus)", () => view.zoom(1 / 2), zooms);
  const size = button("1x", "whole picture (0)", () => view.whole(), zooms);
  button("+", "zoom in (plus)", () => view.zoom(2), zooms);
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
  const slider = make("input", "slider asks", root, { type: "range", min: 0, step: 1 });
  slider.setAttribute("aria-label", "frame");
  const strip = make("div", "strip asks", root);
  const line = words(root, () => kernel.tell("again"));

  // -- below it ---------------------------------------------------------------------------------------------------
  const sound = make("div", "sound", root);
  const track = make("select", "asks", sound, { title: "sound track" });
  track.setAttribute("aria-label", "sound track");
  const hear = button("sound from here", "load five seconds of sound from this frame on", () => kernel.tell("sound", { track: track.selectedIndex }), sound);
  hear.classList.add("asks");
  const player = make("audio", "", sound, { controls: true, hidden: true });
  const heard = make("span", "heard", sound);
  const details = make("details", "", root, { open: true });
  make("summary", "", details, { textContent: "what the probe finds" });
  const table = make("table", "", details);

  // -- asking the kernel -------------------------------------------------------------------------------------------
  let burst = null; // while one plays: ends it
  let blink = null;
  const kernel = kernelOf(model, el, say, () => {
    settle();
    place();
  });
  const now = kernel.now;
  const view = windowOn(now, ask, () => get("most"));
  function ask(changes) {
    if (burst) stop();
    if (!kernel.ask(changes)) return;
    if ("position" in changes) follow(changes.position);
    if ("zoom" in changes || "centre" in changes) place();
  }

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
    for (const { base, detail } of panes) {
      view.put(base);
      if (detail.part) view.put(detail, detail.part);
    }
    size.textContent = `${Math.round(z * 10) / 10}x`;
    stage.classList.toggle("zoomed", z > 1);
  }
  function paint() {
    const pictures = get("pictures");
    const { pictures: sharp = [], part } = get("detail");
    const fields = get("view");
    const two = fields === "separate" && pictures.length > 1;
    stage.dataset.view = fields;
    panes[1].pane.hidden = !two;
    clearInterval(blink);
    const set = (i, n) => {
      const { base, detail } = panes[i];
      show(base, pictures[n], "image/jpeg");
      show(detail, sharp[n], "image/png", () => view.put(detail, (detail.part = part)));
    };
    set(0, 0);
    if (two) set(1, 1);
    panes[0].tag.textContent = two ? "top field" : fields === "interleaved" ? "first field" : "";
    panes[1].tag.textContent = "bottom field";
    if (fields === "interleaved" && pictures.length > 1 && !matchMedia("(prefers-reduced-motion: reduce)").matches) {
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
    line(text, kind);
    stage.classList.toggle("stale", ["error", "dead"].includes(kind) && Boolean(text));
  }
  function fill() {
    fillStrip(strip, get("strip"), get("last") + 1, get("rate"), (position) => ask({ position }));
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
  slider.addEventListener("input", () => ask({ position: Number(slider.value) }));
  code.addEventListener("change", () => {
    if (burst) stop();
    kernel.tell("go", { text: code.value });
    code.blur();
  });
  code.addEventListener("keydown", (event) => event.stopPropagation());
  stage.addEventListener("wheel", (event) => view.wheel(event, stage, event.target.closest(".pane")), { passive: false });
  stage.addEventListener("pointerdown", (event) => {
    stage.focus({ preventScroll: true });
    if (now("zoom") > 1) view.drag(event, stage, panes[0].pane);
  });
  for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => (stage.onpointermove = null));
  stage.addEventListener("keydown", (event) => {
    const far = event.ctrlKey || event.metaKey || event.altKey;
    const { zoom, pan, whole } = view;
    const acts = {
      ArrowLeft: () => (event.shiftKey ? pan(-0.2, 0) : step(-1)), ArrowRight: () => (event.shiftKey ? pan(0.2, 0) : step(1)),
      ArrowUp: () => (event.shiftKey ? pan(0, -0.2) : zoom(2)), ArrowDown: () => (event.shiftKey ? pan(0, 0.2) : zoom(0.5)),
      Home: () => step(-Infinity), End: () => step(Infinity), "+": () => zoom(2), "=": () => zoom(2), "-": () => zoom(0.5),
      0: whole, " ": () => play.click(),
    };
    if (far || !(event.key in acts)) return;
    acts[event.key]();
    event.preventDefault();
    event.stopPropagation();
  });

  // -- play and sound --------------------------------------------------------------------------------------------
  function start(told, buffers) {
    stop(false);
    clearInterval(blink);
    play.textContent = "■";
    play.title = "stop (space)";
    stage.classList.add("playing");
    burst = playing(told, (n) => {
      const [, first, count] = told.steps[n];
      for (let i = 0; i < count; i += 1) show(panes[i].base, buffers[first + i], "image/jpeg");
      stage.dataset.played = n;
      follow(told.position + (get("view") === "interleaved" ? Math.floor(n / 2) : n));
    });
  }
  function stop(redraw = true) {
    if (!burst) return;
    burst();
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
  on("pictures detail", () => burst || paint());
  on("position last timecode name about aspect view zoom centre scopes scale", () => {
    if (kernel.waiting() || burst) return;
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
  el.addEventListener("pointerenter", () => kernel.check(), { signal: gone.signal });
  kernel.tell("shown");
  return () => {
    gone.abort();
    model.off("msg:custom", heardFrom);
    stop(false);
    clearInterval(blink);
    kernel.close();
    for (const node of el.querySelectorAll("[data-url]")) URL.revokeObjectURL(node.dataset.url);
  };
}

export default { render };
