// Before and after in one frame: a wipe, side by side, blink, or the difference; zoomed and moved together, with numbers.
// Joined by page.py after page.js, kernel.js and zoom.js, whose functions it uses.
const MODES = ["wipe", "side by side", "blink", "difference"];
const NEAR = 24; // pixels from the line within which a hand takes the line, where there is a picture to move as well

function render({ model, el }) {
  const get = (name) => model.get(name);
  el.classList.add("vhs-wipe");
  const bar = make("div", "bar", el);
  bar.setAttribute("role", "toolbar");
  bar.setAttribute("aria-label", "comparison mode and zoom");
  const stage = make("div", "stage", el, { tabIndex: 0 });
  const halves = ["one", "two"].map((name) => {
    const half = make("div", `half ${name}`, stage);
    return { half, whole: make("img", "whole", half, { alt: "", draggable: false }), detail: make("canvas", "detail", half) };
  });
  make("div", "line", stage);
  const tags = ["left", "right"].map((side) => make("span", `tag ${side}`, stage));
  const measured = make("div", "of", el);
  const table = make("table", "figures", el);
  const line = words(el, () => kernel.tell("again"));
  make("div", "hint", el, {
    textContent: "drag or use the arrow keys; 1 to 4 choose the mode; wheel, + and − zoom, 0 shows all, "
      + "drag beside the line or shift and arrows move the picture",
  });
  let blinking = null;

  const kernel = kernelOf(model, el, line, place);
  const now = kernel.now;
  const view = windowOn(now, ask, () => get("most"));
  function ask(changes) {
    // The pictures that are there can be moved without a kernel, too.
    if (!kernel.ask(changes)) Object.entries(changes).forEach(([name, value]) => model.set(name, value));
    place();
  }
  const button = (text, title, act) => {
    const made = make("button", "", bar, { textContent: text, title, type: "button", onclick: act });
    made.setAttribute("aria-label", title);
    return made;
  };
  const buttons = MODES.map((mode, i) => button(mode, `${mode} (${i + 1})`, () => choose(mode)));
  button("−", "zoom out (minus)", () => view.zoom(1 / 2)).classList.add("first");
  const size = button("1x", "whole picture (0)", () => view.whole());
  button("+", "zoom in (plus)", () => view.zoom(2));

  function choose(mode) {
    ask({ mode });
    draw();
  }
  function move(percent) {
    model.set("position", Math.min(100, Math.max(0, percent)));
    model.save_changes();
  }

  // -- drawing ---------------------------------------------------------------------------------------------------
  function draw() {
    const mode = now("mode");
    const position = get("position");
    stage.dataset.mode = mode.replaceAll(" ", "-");
    stage.style.setProperty("--position", `${position}%`);
    const wipes = mode === "wipe";
    stage.setAttribute("role", wipes ? "slider" : "group");
    stage.setAttribute("aria-label", wipes ? "wipe between before and after" : `before and after, ${mode}`);
    for (const [name, value] of [["min", 0], ["max", 100], ["now", Math.round(position)]]) {
      if (wipes) stage.setAttribute(`aria-value${name}`, value);
      else stage.removeAttribute(`aria-value${name}`);
    }
    buttons.forEach((b, i) => b.setAttribute("aria-pressed", MODES[i] === mode));
    clearInterval(blinking);
    stage.classList.remove("second");
    name();
    if (mode === "blink") {
      blinking = setInterval(() => {
        stage.classList.toggle("second");
        name();
      }, 500);
    }
  }
  // In a blink, which of the two is on show; else both.
  function name() {
    const blinks = now("mode") === "blink";
    const second = stage.classList.contains("second");
    const [left, right] = get("labels");
    tags[0].textContent = blinks && second ? "" : left;
    tags[1].textContent = blinks && !second ? "" : right;
  }
  function load() {
    halves.forEach(({ whole }, i) => {
      const source = get(["before", "after"][i]);
      if (source) whole.src = source;
      whole.alt = get("labels")[i];
    });
    stage.style.setProperty("--aspect", get("aspect"));
    stage.style.setProperty("--wide", `${get("wide")}px`);
    stage.hidden = bar.hidden = !get("after");
    name();
  }
  function place() {
    const z = now("zoom");
    for (const { whole, detail } of halves) {
      view.put(whole);
      if (detail.part) view.put(detail, detail.part);
    }
    size.textContent = `${Math.round(z * 10) / 10}x`;
    stage.classList.toggle("zoomed", z > 1);
  }
  function sharpen() {
    const { pictures = [], parts = [] } = get("detail");
    halves.forEach(({ detail }, i) =>
      show(detail, pictures[i], "image/png", () => view.put(detail, (detail.part = parts[i]))));
  }
  function measure() {
    const { of, rows = [], notes } = get("figures");
    measured.textContent = of || "";
    measured.title = table.title = notes || "";
    table.hidden = measured.hidden = !rows.length;
    table.replaceChildren();
    if (!rows.length) return;
    const head = make("tr", "", table);
    for (const text of ["", "PSNR", "SSIM"]) make("th", "", head, { textContent: text, scope: "col" });
    rows.forEach((numbers, i) => {
      const row = make("tr", "", table);
      make("th", "", row, { textContent: get("labels")[i], scope: "row" });
      for (const text of numbers) make("td", "", row, { textContent: text });
    });
  }

  // -- what the hand does ----------------------------------------------------------------------------------------
  stage.addEventListener("wheel", (event) => view.wheel(event, stage, paneUnder(event)), { passive: false });
  function paneUnder(event) {
    const side = now("mode") === "side by side" && event.clientX > halves[1].half.getBoundingClientRect().left;
    return halves[Number(side)].half;
  }
  stage.addEventListener("pointerdown", (event) => {
    stage.focus({ preventScroll: true });
    const box = stage.getBoundingClientRect();
    const across = (moved) => (100 * (moved.clientX - box.left)) / box.width;
    const far = (Math.abs(across(event) - get("position")) * box.width) / 100 > NEAR;
    if (now("mode") !== "wipe" || (now("zoom") > 1 && far)) {
      if (now("zoom") > 1) view.drag(event, stage, halves[0].half);
      return;
    }
    stage.setPointerCapture(event.pointerId);
    stage.onpointermove = (moved) => move(across(moved));
    move(across(event));
  });
  for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, () => (stage.onpointermove = null));
  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const wipes = now("mode") === "wipe" && !event.shiftKey;
    const side = (sign) => (wipes ? move(get("position") + sign) : view.pan(0.2 * sign, 0));
    const acts = {
      ArrowLeft: () => side(-1), ArrowRight: () => side(1), ArrowUp: () => view.pan(0, -0.2), ArrowDown: () => view.pan(0, 0.2),
      PageUp: () => move(get("position") + 10), PageDown: () => move(get("position") - 10),
      Home: () => move(0), End: () => move(100),
      "+": () => view.zoom(2), "=": () => view.zoom(2), "-": () => view.zoom(0.5), 0: () => view.whole(),
    };
    MODES.forEach((mode, i) => (acts[i + 1] = () => choose(mode)));
    if (!(event.key in acts)) return;
    acts[event.key]();
    event.preventDefault();
    event.stopPropagation();
  });

  const handlers = [
    ["change:mode change:position", draw], ["change:before change:after change:labels change:aspect change:wide", load],
    ["change:zoom change:centre", () => kernel.waiting() || place()], ["change:detail", sharpen],
    ["change:figures change:labels", measure], ["change:message", () => line(get("message").text, get("message").kind)],
  ];
  for (const [names, act] of handlers) model.on(names, act);
  const look = () => kernel.check();
  el.addEventListener("pointerenter", look);
  load();
  draw();
  place();
  sharpen();
  measure();
  line(get("message").text, get("message").kind);
  return () => {
    el.removeEventListener("pointerenter", look);
    kernel.close();
    clearInterval(blinking);
    for (const [names, act] of handlers) model.off(names, act);
  };
}

export default { render };
