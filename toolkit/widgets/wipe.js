// Before and after in one frame: a wipe, side by side, blink, or the difference. Mouse and keyboard.
const MODES = ["wipe", "side by side", "blink", "difference"];

function render({ model, el }) {
  el.classList.add("vhs-wipe");
  el.innerHTML = `
    <div class="bar" role="toolbar" aria-label="comparison mode"></div>
    <div class="stage" tabindex="0" role="slider" aria-label="wipe between before and after"
         aria-valuemin="0" aria-valuemax="100">
      <div class="half one"><img alt=""></div><div class="half two"><img alt=""></div>
      <div class="line"></div><span class="tag left"></span><span class="tag right"></span>
    </div>
    <div class="hint">drag or use the arrow keys; 1 to 4 choose the mode</div>`;
  const stage = el.querySelector(".stage");
  const [one, two] = el.querySelectorAll("img");
  const bar = el.querySelector(".bar");
  let blinking = null;

  const buttons = MODES.map((mode, i) => {
    const button = document.createElement("button");
    button.textContent = mode;
    button.title = `key ${i + 1}`;
    button.onclick = () => choose(mode);
    bar.append(button);
    return button;
  });
  function choose(mode) {
    model.set("mode", mode);
    model.save_changes();
  }
  function move(percent) {
    model.set("position", Math.min(100, Math.max(0, percent)));
    model.save_changes();
  }
  function draw() {
    const mode = model.get("mode");
    const position = model.get("position");
    stage.dataset.mode = mode.replaceAll(" ", "-");
    stage.style.setProperty("--position", `${position}%`);
    stage.setAttribute("aria-valuenow", Math.round(position));
    buttons.forEach((b, i) => b.setAttribute("aria-pressed", MODES[i] === mode));
    clearInterval(blinking);
    stage.classList.remove("second");
    if (mode === "blink") blinking = setInterval(() => stage.classList.toggle("second"), 500);
  }
  function load() {
    one.src = model.get("before");
    two.src = model.get("after");
    const [left, right] = model.get("labels");
    one.alt = left;
    two.alt = right;
    el.querySelector(".left").textContent = left;
    el.querySelector(".right").textContent = right;
  }
  function drag(event) {
    const box = stage.getBoundingClientRect();
    move((100 * (event.clientX - box.left)) / box.width);
  }
  stage.addEventListener("pointerdown", (event) => {
    if (model.get("mode") !== "wipe") return;
    stage.setPointerCapture(event.pointerId);
    drag(event);
    stage.onpointermove = drag;
  });
  stage.addEventListener("pointerup", () => { stage.onpointermove = null; });
  stage.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 10 : 1;
    const keys = { ArrowLeft: -step, ArrowRight: step };
    if (event.key in keys) move(model.get("position") + keys[event.key]);
    else if (event.key === "Home") move(0);
    else if (event.key === "End") move(100);
    else if (MODES[event.key - 1]) choose(MODES[event.key - 1]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  model.on("change:mode change:position", draw);
  model.on("change:before change:after change:labels", load);
  load();
  draw();
  return () => clearInterval(blinking);
}

export default { render };
